//! What programs have in common that hear one prompt and end: the prompt on standard input, and what their reader is
//! told.
//!
//! A next turn is a new run that goes on with the conversation, and an interrupt is the end of the run: see
//! [`crate::Dialect::hears_once`]. Nothing here knows a program.

use crate::spec::{self, BRIEF, unsupported};
use crate::{Launch, LaunchError, RunnerError, Say, Utterance};
use orcha_exec::InputLine;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What a reader cannot take from the program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Brief {
    /// The key of the prompt.
    pub(crate) key: String,
    /// Whether the conversation was there before.
    pub(crate) resumed: bool,
}

/// The prompt of a launch: its lines, and the brief of its reader.
pub(crate) struct Prompt {
    pub(crate) input: Vec<InputLine>,
    pub(crate) brief: (String, String),
}

/// Takes the prompt of a launch, below the rules of the role.
pub(crate) fn prompt(launch: &Launch) -> Result<Prompt, LaunchError> {
    let opening = spec::opening(launch)?.ok_or_else(|| unsupported("a single turn needs its prompt at the start"))?;
    let text = match launch.rules.as_str() {
        "" => opening.text,
        rules => format!("{rules}\n\n{}", opening.text),
    };
    let line = |(at, line): (usize, &str)| InputLine { key: format!("{}:{at}", opening.key), text: line.to_owned() };
    let input = text.lines().enumerate().map(line).collect();
    let brief = Brief { key: opening.key.clone(), resumed: launch.resume.is_some() };
    Ok(Prompt { input, brief: (BRIEF.to_owned(), json!(brief).to_string()) })
}

/// Says why a run that has its prompt cannot be told anything.
pub(crate) fn refuse(say: &Say) -> Result<Utterance, RunnerError> {
    let reason = match say {
        Say::Prompt { .. } => "it takes one prompt; the next one is a new run that resumes",
        Say::Interrupt { .. } => "it is interrupted by ending its run",
        Say::Permission { .. } => "it asks nothing",
    };
    Err(RunnerError::Unsupported { reason: reason.to_owned() })
}
