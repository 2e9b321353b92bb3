//! What a tool says when it does not do what was asked; and what keeps tools from being made.

use std::io;
use std::path::PathBuf;

/// Tools that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The root is no folder that can be opened.
    #[error("the folder {} cannot be opened", .path.display())]
    Root {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A tool of that name does not exist.
    #[error("there is no tool `{name}`; there are {}", crate::tools::NAMES.join(", "))]
    Tool {
        /// The name.
        name: String,
    },
}

/// A refusal or a failure, in words for the model.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("`{path}` does not exist")]
    Missing { path: String },
    #[error("`{path}` leads out of the working folder")]
    Outside { path: String },
    #[error("`{path}` is {found}, not a file")]
    NotAFile { path: String, found: &'static str },
    #[error("`{path}` is not a folder")]
    NotAFolder { path: String },
    #[error("`{path}` belongs to git; change it with git commands")]
    Git { path: String },
    #[error("`{path}` is binary ({bytes} bytes) and cannot be shown or edited as text")]
    Binary { path: String, bytes: u64 },
    #[error("`{path}` is not UTF-8; editing it as text would change other bytes")]
    NotUtf8 { path: String },
    #[error("`{path}` has {bytes} bytes; at most {most} can be handled at once")]
    TooLarge { path: String, bytes: u64, most: u64 },
    #[error("{field}: {rule}")]
    Argument { field: &'static str, rule: String },
    #[error("{0}")]
    Edit(#[from] crate::edit::EditError),
    #[error("{0}")]
    Patch(#[from] crate::patch::PatchError),
    #[error("`{path}`: {source}")]
    Io { path: String, source: io::Error },
    #[error("{0}")]
    Command(String),
    #[error("{0}")]
    Web(#[from] orcha_outbound::OutboundError),
    #[error("this was stopped before it was done")]
    Stopped,
}

impl Fault {
    pub(crate) fn argument(field: &'static str, rule: impl Into<String>) -> Self {
        Self::Argument { field, rule: rule.into() }
    }
}
