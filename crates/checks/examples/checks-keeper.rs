//! The keeper of runs, for this crate's tests on a real host: `keeper RUN_DIR`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(run_dir) => orcha_exec::keeper::main(Path::new(&run_dir)),
        None => ExitCode::from(64),
    }
}
