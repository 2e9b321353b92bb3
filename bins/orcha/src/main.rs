//! `orcha`: a person's, or a script's, hand on the daemon.
//!
//! It parses, calls the API and shows the answer. It holds no state and decides nothing; everything that it can do,
//! any other client of the API can do too.

mod cli;
mod commands;
mod connect;
mod say;
mod tables;

use clap::Parser;
use cli::Cli;
use orcha_client::ClientError;
use orcha_client::live::FollowError;
use orcha_wire::Code;
use say::Say;
use std::io::ErrorKind;
use std::process::ExitCode;

const REFUSED: u8 = 1;
const UNREACHABLE: u8 = 3;
const UNAUTHORIZED: u8 = 4;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let say = Say { json: cli.json };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("error: the runtime could not be started: {error}");
            return ExitCode::from(REFUSED);
        }
    };
    match runtime.block_on(commands::run(cli)) {
        Ok(code) => code,
        Err(error) => report(say, &error),
    }
}

/// Says what went wrong, and returns the code that scripts branch on.
fn report(say: Say, error: &anyhow::Error) -> ExitCode {
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
    if say.json {
        anstream::eprintln!("{}", say::fault(&error.to_string(), code, problem));
        return ExitCode::from(code);
    }
    anstream::eprintln!("error: {error}");
    // The words of the layers below help only where ours do not say everything.
    if client.is_none() {
        for cause in error.chain().skip(1) {
            anstream::eprintln!("  because: {cause}");
        }
    }
    if let Some(hint) = problem.and_then(|it| it.known()).and_then(hint) {
        anstream::eprintln!("  {hint}");
    }
    ExitCode::from(code)
}

/// Returns the next step after a refusal whose own words do not name it.
fn hint(code: Code) -> Option<&'static str> {
    match code {
        Code::NotFound => {
            Some("`orcha ls objectives|sessions|questions|prs|targets|projects|workspaces --all` shows ids")
        }
        Code::AmbiguousId => Some("name it by its full id, as --json prints it"),
        _ => None,
    }
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
