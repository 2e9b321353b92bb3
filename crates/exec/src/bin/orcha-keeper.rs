//! `orcha-keeper RUN_DIR`: keeps one run.
//!
//! For tests and for hosts that do not have the daemon's own binary; everything is in the library.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(run_dir) => orcha_exec::keeper::main(Path::new(&run_dir)),
        None => {
            eprintln!("usage: orcha-keeper RUN_DIR");
            ExitCode::from(64)
        }
    }
}
