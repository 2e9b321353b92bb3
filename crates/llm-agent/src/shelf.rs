//! The conversation as it is kept: a file of lines beside the runs, so that another process can go on with it.
//!
//! An answer of a model is written here, and is on the disk, before anything is done with it: a process that is killed
//! does not pay for it again. What an answer cost is said on standard output; whether that had been done is looked up
//! in the output of the run that did it, so that it is not counted twice. One process at a time holds the file.

use crate::conversation::{Given, Message, Said};
use crate::voice;
use orcha_agent::Usage;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Record {
    /// A run began; its output lies there.
    Run { output: PathBuf },
    /// The user said something; `key` is `None` when the agent said it on its own.
    User { key: Option<String>, text: String },
    /// The model said something, and it cost something.
    Answer { call: String, said: Said, usage: Usage },
    /// What a call cost was said.
    Told { call: String },
    /// A tool gave something.
    Tool(Given),
}

/// Why a conversation cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShelfError {
    #[error("there is no conversation `{name}`")]
    Missing { name: String },
    #[error("another process holds the conversation `{name}`")]
    Held { name: String },
    #[error("line {line} of {} is not understood", path.display())]
    Line {
        path: PathBuf,
        line: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error("{} could not be used", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// A conversation and its file.
#[derive(Debug)]
pub(crate) struct Shelf {
    path: PathBuf,
    file: File,
    messages: Vec<Message>,
    keys: Vec<String>,
    calls: usize,
    /// What was paid for by a process that may not have said so: the call, its cost, and the output to look into.
    untold: Vec<(String, Usage, PathBuf)>,
}

impl Shelf {
    /// Opens a conversation, or begins it; one that is gone on with must be there. `output` is where what this
    /// process says is kept.
    pub(crate) fn open(folder: &Path, name: &str, must_exist: bool, output: &Path) -> Result<Self, ShelfError> {
        // A folder of its own: in a sandbox it is all of the conversations that can be reached.
        let own = folder.join(name);
        let path = own.join("conversation.ndjson");
        let fault = |source| ShelfError::File { path: path.clone(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&own).map_err(fault)?;
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(!must_exist).mode(0o600).open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => {
                return Err(ShelfError::Missing { name: name.to_owned() });
            }
            Err(other) => return Err(fault(other)),
        };
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(ShelfError::Held { name: name.to_owned() }),
            Err(other) => return Err(fault(other.into())),
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(fault)?;
        // A line without its end was cut off by a crash: nobody acted upon it.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64).map_err(fault)?;
        file.seek(SeekFrom::End(0)).map_err(fault)?;
        let mut shelf =
            Self { path: path.clone(), file, messages: Vec::new(), keys: Vec::new(), calls: 0, untold: Vec::new() };
        let mut run = PathBuf::new();
        for (at, line) in text[..whole].split(|byte| *byte == b'\n').enumerate().filter(|(_, it)| !it.is_empty()) {
            let record = serde_json::from_slice(line).map_err(|source| ShelfError::Line {
                path: path.clone(),
                line: at + 1,
                source,
            })?;
            if let Record::Run { output } = &record {
                run.clone_from(output);
            }
            shelf.take(record, &run);
        }
        shelf.write(Record::Run { output: output.to_owned() }, output)?;
        Ok(shelf)
    }

    /// Returns what was said so far.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Tells whether a prompt was taken up.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.keys.iter().any(|it| it == key)
    }

    /// Returns what was paid for and never said. What cannot be looked up any more was read long ago.
    pub(crate) fn untold(&self) -> Vec<(String, Usage)> {
        let told = |call: &str, output: &Path| match std::fs::read_to_string(output) {
            Ok(text) => text.contains(&voice::mark(call)),
            Err(_) => true,
        };
        let untold = self.untold.iter().filter(|(call, _, output)| !told(call, output));
        untold.map(|(call, usage, _)| (call.clone(), *usage)).collect()
    }

    /// Keeps what the user said.
    pub(crate) fn user(&mut self, key: Option<&str>, text: &str) -> Result<(), ShelfError> {
        self.put(Record::User { key: key.map(str::to_owned), text: text.to_owned() })
    }

    /// Keeps an answer, and returns the name of its call.
    pub(crate) fn answer(&mut self, said: Said, usage: Usage) -> Result<String, ShelfError> {
        let call = format!("{}-{}", self.name(), self.calls + 1);
        self.put(Record::Answer { call: call.clone(), said, usage })?;
        self.file.sync_data().map_err(|source| ShelfError::File { path: self.path.clone(), source })?;
        Ok(call)
    }

    /// Notes that the cost of a call was said.
    pub(crate) fn told(&mut self, call: &str) -> Result<(), ShelfError> {
        self.put(Record::Told { call: call.to_owned() })
    }

    /// Keeps what a tool gave.
    pub(crate) fn tool(&mut self, given: Given) -> Result<(), ShelfError> {
        self.put(Record::Tool(given))
    }

    fn name(&self) -> &str {
        self.path.file_stem().and_then(|it| it.to_str()).unwrap_or("call")
    }

    fn put(&mut self, record: Record) -> Result<(), ShelfError> {
        self.write(record, Path::new(""))
    }

    fn write(&mut self, record: Record, run: &Path) -> Result<(), ShelfError> {
        let fault = |source| ShelfError::File { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(&record).map_err(|it| fault(it.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(fault)?;
        self.take(record, run);
        Ok(())
    }

    fn take(&mut self, record: Record, run: &Path) {
        match record {
            Record::Run { .. } => {}
            Record::User { key, text } => {
                self.keys.extend(key);
                self.messages.push(Message::User { text });
            }
            Record::Answer { call, said, usage } => {
                self.calls += 1;
                self.untold.push((call, usage, run.to_owned()));
                self.messages.push(Message::Model(said));
            }
            Record::Told { call } => self.untold.retain(|(it, ..)| *it != call),
            Record::Tool(given) => self.messages.push(Message::Tool(given)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64) -> Usage {
        Usage { input, ..Usage::default() }
    }

    #[test]
    fn another_process_goes_on_and_what_was_cut_off_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let open = |must| Shelf::open(dir.path(), "c", must, &dir.path().join("output"));
        assert!(matches!(open(true), Err(ShelfError::Missing { .. })));
        let mut shelf = open(false).unwrap();
        assert!(matches!(open(false), Err(ShelfError::Held { .. })));
        shelf.user(Some("k"), "hello").unwrap();
        shelf.answer(Said { text: "hi".into(), ..Said::default() }, usage(1)).unwrap();
        let before = shelf.messages().to_vec();
        shelf.file.write_all(b"{\"line\":\"user\",\"te").unwrap();
        drop(shelf);
        let shelf = open(true).unwrap();
        assert_eq!(shelf.messages(), before);
        assert!(shelf.knows("k") && !shelf.knows("l"));
    }

    #[test]
    fn money_that_was_not_said_is_found_and_what_was_said_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("output");
        let open = || Shelf::open(dir.path(), "c", false, &output).unwrap();
        let mut shelf = open();
        let first = shelf.answer(Said::default(), usage(1)).unwrap();
        shelf.told(&first).unwrap();
        let second = shelf.answer(Said::default(), usage(2)).unwrap();
        let third = shelf.answer(Said::default(), usage(3)).unwrap();
        // Killed: the second was said, and only the note is missing; the third was not.
        drop(shelf);
        std::fs::write(&output, format!("{{\"kind\":\"usage\",{}}}\n", voice::mark(&second))).unwrap();
        assert_eq!(open().untold(), [(third, usage(3))]);
        // When the output is gone, all of it was read.
        std::fs::remove_file(&output).unwrap();
        assert!(open().untold().is_empty());
    }
}
