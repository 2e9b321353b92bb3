//! A tool server as a program, for tests: `orchad` holds it otherwise.

use std::process::ExitCode;

fn main() -> ExitCode {
    orcha_scripted_model::tool_server::main(&std::env::args().skip(1).collect::<Vec<_>>())
}
