//! The program `orcha-scripted-agent`. All of it is in the library, so that other programs can offer it too.

use std::process::ExitCode;

fn main() -> ExitCode {
    orcha_scripted_agent::main(std::env::args().skip(1).collect())
}
