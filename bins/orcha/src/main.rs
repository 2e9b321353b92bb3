//! `orcha`: a person's, or a script's, hand on the daemon.
//!
//! It parses, calls the API and shows the answer. It holds no state and decides nothing; everything that it can do,
//! any other client of the API can do too.

mod cli;
mod commands;
mod connect;
mod hints;
mod say;
mod tables;

use clap::Parser;
use cli::Cli;
use hints::Hints;
use orcha_client::ClientError;
use orcha_client::live::FollowError;
use say::Say;
use std::io::ErrorKind;
use std::process::ExitCode;

const REFUSED: u8 = 1;
const MISSPELT: u8 = 2;
const UNREACHABLE: u8 = 3;
const UNAUTHORIZED: u8 = 4;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(wrong) => return misspelt(&wrong),
    };
    let (say, hints) = (Say { json: cli.json }, Hints::of(&cli.command));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("error: the runtime could not be started: {error}");
            return ExitCode::from(REFUSED);
        }
    };
    match runtime.block_on(commands::run(cli)) {
        Ok(code) => code,
        Err(error) => report(say, hints, &error),
    }
}

/// Says what is wrong with the command line. Help and the version come this way, too, and are no fault.
fn misspelt(wrong: &clap::Error) -> ExitCode {
    if !wrong.use_stderr() || !std::env::args_os().any(|it| it == "--json") {
        wrong.exit()
    }
    let text = wrong.to_string();
    let text = text.trim().trim_start_matches("error: ");
    anstream::eprintln!("{}", say::fault(text, MISSPELT, &[], None));
    ExitCode::from(MISSPELT)
}

/// Says what went wrong, and returns the code that scripts branch on.
fn report(say: Say, hints: Hints, error: &anyhow::Error) -> ExitCode {
    let client = error.chain().find_map(as_client_error);
    // Who stops reading has seen enough: `orcha ls | head`. A connection that breaks is another matter.
    if client.is_none() && error.chain().any(is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    let code = match client {
        Some(it) if it.is_unreachable() => UNREACHABLE,
        Some(ClientError::Unauthorized(_) | ClientError::Token) => UNAUTHORIZED,
        Some(_) => REFUSED,
        None if error.is::<connect::NotRunning>() => UNREACHABLE,
        None if error.is::<connect::NoToken>() => UNAUTHORIZED,
        None => REFUSED,
    };
    let problem = client.and_then(ClientError::problem);
    // The words of the layers below help only where ours do not say everything.
    let causes = if client.is_none() { error.chain().skip(1).map(ToString::to_string).collect() } else { Vec::new() };
    if say.json {
        anstream::eprintln!("{}", say::fault(&error.to_string(), code, &causes, problem));
        return ExitCode::from(code);
    }
    anstream::eprintln!("error: {error}");
    for cause in causes {
        anstream::eprintln!("  because: {cause}");
    }
    if let Some(hint) = problem.and_then(|it| it.known()).and_then(|it| hints.after(it)) {
        anstream::eprintln!("  {hint}");
    }
    ExitCode::from(code)
}

fn as_client_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a ClientError> {
    match error.downcast_ref::<FollowError>() {
        Some(FollowError::Client(error)) => Some(error),
        Some(FollowError::Write(_)) | None => error.downcast_ref(),
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = match error.downcast_ref::<FollowError>() {
        Some(FollowError::Write(io)) => Some(io),
        Some(FollowError::Client(_)) | None => error.downcast_ref::<std::io::Error>(),
    };
    io.is_some_and(|it| it.kind() == ErrorKind::BrokenPipe)
}
