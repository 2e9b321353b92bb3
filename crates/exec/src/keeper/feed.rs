//! Standard input of the process, fed from the input log.
//!
//! Only complete records are forwarded: bytes behind the last line break of the log may be torn, and may
//! be replaced by the daemon, so they are read again each time and never remembered.

use crate::record;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

const READ_AHEAD: usize = 64 << 10;

pub(super) struct Feed {
    pipe: Option<OwnedFd>,
    log: File,
    /// Where the first record begins that has not been taken from the log.
    at: u64,
    /// Whether the log may hold more than was last seen.
    more: bool,
    /// Whether the pipe is closed behind the last record.
    ends: bool,
    pending: Vec<u8>,
    done: usize,
}

impl Feed {
    pub(super) fn new(pipe: OwnedFd, log: File) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self { pipe: Some(pipe), log, at: 0, more: true, ends: false, pending: Vec::new(), done: 0 })
    }

    /// Says that the log may have grown.
    pub(super) fn more(&mut self) {
        self.more = true;
    }

    /// Says that the pipe is to be closed behind the last record.
    pub(super) fn end(&mut self) {
        self.ends = true;
    }

    /// Closes the pipe at once.
    pub(super) fn close(&mut self) {
        self.pipe = None;
        self.pending = Vec::new();
        self.done = 0;
    }

    /// Returns the pipe if bytes wait for it.
    pub(super) fn wants(&self) -> Option<BorrowedFd<'_>> {
        if self.done < self.pending.len() { self.pipe.as_ref().map(AsFd::as_fd) } else { None }
    }

    /// Forwards as much as the process takes now.
    pub(super) fn pump(&mut self) -> io::Result<()> {
        while let Some(pipe) = &self.pipe {
            if self.done < self.pending.len() {
                match rustix::io::write(pipe, &self.pending[self.done..]) {
                    Ok(n) => self.done += n,
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(Errno::INTR) => {}
                    // It has closed its standard input: nothing sent from now on can reach it.
                    Err(Errno::PIPE) => self.close(),
                    Err(error) => return Err(error.into()),
                }
            } else if self.more {
                self.fill()?;
            } else {
                if self.ends {
                    self.close();
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes the next complete records from the log: about one buffer full, at least one.
    fn fill(&mut self) -> io::Result<()> {
        self.pending.clear();
        self.pending.shrink_to(READ_AHEAD);
        self.done = 0;
        let mut read = Vec::new();
        let whole = loop {
            let from = read.len();
            read.resize(from + READ_AHEAD, 0);
            let n = self.log.read_at(&mut read[from..], self.at + from as u64)?;
            read.truncate(from + n);
            if n == 0 {
                self.more = false;
                return Ok(());
            }
            if let Some(at) = read[from..].iter().rposition(|byte| *byte == b'\n') {
                break from + at + 1;
            }
        };
        for record in read[..whole].split(|byte| *byte == b'\n').filter(|record| !record.is_empty()) {
            for line in record::parse_input(record)? {
                self.pending.extend_from_slice(line.text.as_bytes());
                self.pending.push(b'\n');
            }
        }
        self.at += whole as u64;
        Ok(())
    }
}
