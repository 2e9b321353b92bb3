//! What the agent remembers of a conversation, so that a later process can go on with it.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One conversation. Written before every step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Conversation {
    pub(crate) id: String,
    /// The play that it follows; none before the first input.
    pub(crate) play: Option<String>,
    /// The rules and the opening, by which the play was chosen.
    pub(crate) variables: Map<String, Value>,
    /// What it was told, oldest first; the last fifty.
    pub(crate) told: Vec<String>,
    /// How often each turn was begun.
    pub(crate) begun: BTreeMap<usize, u32>,
    /// Where it is: the turn that a crash cut off goes on here.
    pub(crate) at: Option<Place>,
    /// Where it waits for an input, and what that must contain.
    pub(crate) waits: Option<(Place, Option<String>)>,
    /// Money in millionths of a dollar, and tokens read and written.
    pub(crate) spent: u64,
    pub(crate) input: u64,
    pub(crate) output: u64,
}

/// A step of a turn of the play.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) turn: usize,
    pub(crate) step: usize,
}

/// The folder of conversations.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// Takes the folder that Claude Code would take, with a name of our own in it.
    pub(crate) fn of(env: &BTreeMap<String, String>, dir: &Path) -> Self {
        let config = env.get("CLAUDE_CONFIG_DIR").map(PathBuf::from);
        let home = env.get("HOME").map(|it| Path::new(it).join(".claude"));
        Self { folder: config.or(home).unwrap_or_else(|| dir.join(".claude")).join("scripted") }
    }

    /// Returns a conversation, if there is one of that id.
    pub(crate) fn find(&self, id: &str) -> Result<Option<Conversation>> {
        let path = self.path(id);
        match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).with_context(|| format!("{} is damaged", path.display()))
            }
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(fault).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Keeps a conversation; a crash leaves the old or the new one.
    pub(crate) fn keep(&self, conversation: &Conversation) -> Result<()> {
        let path = self.path(&conversation.id);
        let new = path.with_extension("new");
        let write = || {
            std::fs::create_dir_all(&self.folder)?;
            std::fs::write(&new, serde_json::to_vec(conversation)?)?;
            std::fs::rename(&new, &path)
        };
        write().with_context(|| format!("writing {}", path.display()))
    }

    fn path(&self, id: &str) -> PathBuf {
        // An id from the arguments must not become a path.
        let name: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(80).collect();
        self.folder.join(format!("{name}.json"))
    }
}
