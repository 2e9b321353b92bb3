//! One check from its start to its end, or from wherever it is.

use crate::ChecksError;
use orcha_exec::{ExitStatus, Grace, Host, RunError, RunLabel, RunSpec, RunState, Seen, Stream};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is kept of the end of the output.
const TAIL: usize = 32 << 10;

/// What is kept besides, to be read for names of tests.
const READ: usize = 512 << 10;

/// A check that prints more has run away.
const MOST: u64 = 512 << 20;

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exited(ExitStatus),
    TimedOut,
    /// It printed without end.
    Flood,
    /// It vanished, with the process that kept it.
    Lost,
    /// It could not be started.
    NotStarted(String),
}

/// What a check said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) end: End,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) tail: String,
    /// The last part, for reading.
    pub(crate) text: String,
    pub(crate) took: Duration,
}

/// Starts a run, or finds it, and follows it to its end.
pub(crate) async fn follow(host: &dyn Host, spec: &RunSpec, limit: Duration) -> Result<Said, ChecksError> {
    let began = Instant::now();
    let label = &spec.label;
    match host.look(label).await? {
        RunState::Ended(_) | RunState::Running(_) | RunState::Lost => {}
        RunState::Absent => match host.start(spec).await {
            Ok(_) => {}
            Err(RunError::Spawn { detail, .. }) => {
                return Ok(Heard::default().said(End::NotStarted(detail), began.elapsed()));
            }
            Err(error) => return Err(error.into()),
        },
    }
    // Whoever asks a question gets no answer.
    match host.close_input(label).await {
        Ok(()) | Err(RunError::Over { .. } | RunError::Absent { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut heard = Heard::default();
    let end = match tokio::time::timeout(limit, heard.listen(host, label)).await {
        Ok(end) => end?,
        Err(_) => End::TimedOut,
    };
    if matches!(end, End::TimedOut | End::Flood | End::Lost) {
        host.stop(label, Grace::QUICK).await?;
        heard.read_all(host, label).await?;
    }
    Ok(heard.said(end, began.elapsed()))
}

#[derive(Default)]
struct Heard {
    hash: Sha256,
    text: VecDeque<u8>,
    bytes: u64,
}

impl Heard {
    async fn listen(&mut self, host: &dyn Host, label: &RunLabel) -> Result<End, ChecksError> {
        loop {
            // In this order: what was printed before the end is read after it is known.
            let state = host.look(label).await?;
            if self.read_all(host, label).await? {
                return Ok(End::Flood);
            }
            match state {
                RunState::Ended(status) => return Ok(End::Exited(status)),
                RunState::Lost | RunState::Absent => return Ok(End::Lost),
                RunState::Running(_) => {
                    let seen = Seen { output: self.bytes, ..Seen::default() };
                    // Standard error goes where output goes, so that its file stays as it is.
                    host.changed(label, seen).await?;
                }
            }
        }
    }

    /// Reads what there is; tells whether it is too much.
    async fn read_all(&mut self, host: &dyn Host, label: &RunLabel) -> Result<bool, ChecksError> {
        loop {
            let chunk = match host.read(label, Stream::Output, self.bytes, 256 << 10).await {
                Ok(chunk) => chunk,
                Err(RunError::Absent { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            if chunk.bytes.is_empty() {
                return Ok(false);
            }
            self.hash.update(&chunk.bytes);
            self.bytes += chunk.bytes.len() as u64;
            self.text.extend(&chunk.bytes);
            let over = self.text.len().saturating_sub(READ);
            self.text.drain(..over);
            host.consumed(label, self.bytes).await?;
            if self.bytes > MOST {
                return Ok(true);
            }
        }
    }

    fn said(self, end: End, took: Duration) -> Said {
        let text = crate::reading::plain(&String::from_utf8_lossy(&Vec::from(self.text)));
        let mut from = text.len().saturating_sub(TAIL);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        let sha256 = data_encoding::HEXLOWER.encode(&self.hash.finalize());
        Said { end, bytes: self.bytes, sha256, tail: text[from..].to_owned(), text, took }
    }
}
