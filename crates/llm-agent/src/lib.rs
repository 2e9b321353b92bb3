//! Floor 3: an agent over a model's API, as a program of its own.
//!
//! `orchad llm-agent` is started like any other agent: by a keeper, in a run directory, so that it outlives the
//! daemon. It reads prompts on its standard input, writes one [`orcha_agent::Event`] a line on its standard output,
//! and calls tools: local ones in its folder, and over MCP the daemon's and those of tool servers. It knows nothing of
//! objectives or roles, and whether a whole conversation is tried again is not its business: it ends a turn with the class
//! of the error.

mod backend;
mod bounded;
pub mod catalog;
mod conversation;
mod daemon_tools;
mod engine;
mod fault;
mod form;
mod http;
mod input;
mod shelf;
mod tool_server;
mod tools;
mod voice;

use orcha_agent::llm::{Server, Settings};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why the agent could not begin.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("usage: llm-agent --settings FILE --conversations DIR, or llm-agent --look FILE")]
    Usage,
    #[error("{what} failed at {}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the settings are not understood")]
    Settings(#[source] serde_json::Error),
    #[error("the agent could not be set up")]
    SetUp(#[source] std::io::Error),
    #[error("the way to the provider could not be made")]
    Http(#[source] reqwest::Error),
    #[error("the local tools could not be made")]
    Tools(#[from] orcha_local_tools::SetupError),
    #[error("the schema of the output is none: {reason}")]
    Schema { reason: String },
    #[error("{0}")]
    Conversation(#[from] shelf::ShelfError),
    #[error("nobody listens to the agent any more")]
    Deaf(#[from] voice::Unheard),
}

/// Runs the agent with the arguments after its name, until its input ends. It is meant to be the whole process.
pub fn main(args: Vec<String>) -> ExitCode {
    let outcome = match args.as_slice() {
        [first, server] if first == LOOK => read(Path::new(server)).and_then(look),
        _ => begin(&args)
            .and_then(|(settings, conversations)| runtime()?.block_on(engine::run(settings, &conversations))),
    };
    match outcome {
        // Not by return: the thread that reads standard input never ends.
        Ok(code) => std::process::exit(code),
        Err(fault) => {
            eprintln!("orchad llm-agent: {}", chain(&fault));
            ExitCode::from(2)
        }
    }
}

/// What looks at a tool server instead of serving a conversation.
pub const LOOK: &str = "--look";

fn runtime() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::SetUp)
}

/// Says in one line what a tool server says of its tools, `tools`, or why it says nothing, `fault`.
fn look(server: Server) -> Result<i32, StartError> {
    let dir = std::env::current_dir().map_err(StartError::SetUp)?;
    let looked = runtime()?.block_on(tool_server::look(server, dir, std::env::vars().collect()));
    let line = match looked {
        Ok(definitions) => json!({"tools": definitions.text()}),
        Err(fault) => json!({"fault": fault}),
    };
    writeln!(std::io::stdout(), "{line}").map_err(|fault| StartError::Deaf(fault.into()))?;
    Ok(0)
}

fn begin(args: &[String]) -> Result<(Settings, PathBuf), StartError> {
    let [first, settings, second, conversations] = args else { return Err(StartError::Usage) };
    if first != "--settings" || second != "--conversations" {
        return Err(StartError::Usage);
    }
    Ok((read(Path::new(settings))?, PathBuf::from(conversations)))
}

/// Reads the settings, and deletes them: they hold keys, and nobody else needs them.
fn read<T: DeserializeOwned>(path: &Path) -> Result<T, StartError> {
    // Commands that a model asks for run as the same user, and shall not look into this process.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|fault| StartError::SetUp(fault.into()))?;
    let fault = |what| move |source| StartError::File { what, path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(fault("reading the settings"))?;
    std::fs::remove_file(path).map_err(fault("deleting the settings"))?;
    serde_json::from_str(&text).map_err(StartError::Settings)
}

/// Says an error with all its causes.
fn chain(fault: &dyn std::error::Error) -> String {
    let mut words = fault.to_string();
    let mut cause = fault.source();
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !words.ends_with(&more) {
            words = format!("{words}: {more}");
        }
        cause = deeper.source();
    }
    words
}
