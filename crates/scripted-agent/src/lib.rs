//! A real agent process that follows a script instead of a model.
//!
//! To whoever starts it, it is Claude Code: the same arguments, the same lines on its streams, the same way to
//! call tools over MCP. It edits files, runs commands and commits. It will not think, reach a model, or know
//! anything of the daemon but the tools in its configuration. The script language is in this crate's `README.md`.

mod args;
mod conversation;
mod input;
mod mcp;
mod mischief;
mod perform;
mod protocol;
pub mod script;
mod session;
mod template;

use std::collections::BTreeMap;
use std::process::ExitCode;

/// Runs the program with the arguments after its name, until its conversation is over.
///
/// It is meant to be the whole process: it listens to signals and may end the process at any time, as its
/// script says.
pub fn main(args: Vec<String>) -> ExitCode {
    if let [first, rest @ ..] = args.as_slice()
        && first == mischief::STRAY
    {
        return mischief::stray(rest);
    }
    let leading = leading_words(&args);
    let env: BTreeMap<String, String> = std::env::vars().collect();
    let outcome = args::Args::parse(&args, &env).and_then(|args| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(session::run(args, env, leading))
    });
    match outcome {
        // Not by return: the thread that reads standard input never ends.
        Ok(code) => std::process::exit(code),
        Err(fault) => {
            eprintln!("orcha-scripted-agent: {fault:#}");
            ExitCode::from(2)
        }
    }
}

/// Returns the words between the program's name and our arguments: the subcommand of a program that holds us.
fn leading_words(args: &[String]) -> Vec<String> {
    let all: Vec<String> = std::env::args().skip(1).collect();
    let own = all.len().saturating_sub(args.len());
    all[..own].to_vec()
}
