//! The agent as a program, for tests: `orchad` holds it otherwise.

use std::process::ExitCode;

fn main() -> ExitCode {
    orcha_llm_agent::main(std::env::args().skip(1).collect())
}
