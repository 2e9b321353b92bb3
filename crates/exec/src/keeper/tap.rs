//! One output stream on its way from the pipe to its file.
//!
//! Memory is bounded: one fixed buffer, whatever the length of a line. What could not be written because
//! the disk is full is kept and written first; until then nothing more is read.

use crate::record::is_full;
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What stands at the place where a line was cut; its line break follows.
pub const CUT_MARK: &str = " …[orcha: line cut]";

/// What stands at the end of an error file that has reached its cap.
const FULL_MARK: &str = "\n…[orcha: standard error cut here]\n";

const BUFFER: usize = 64 << 10;
/// No pipe is larger without privileges; a survivor that keeps on writing must not hold up the end.
const DRAIN: usize = 1 << 20;

pub(super) struct Tap {
    pipe: Option<OwnedFd>,
    file: File,
    cutter: Cutter,
    buffer: Box<[u8]>,
    pending: Vec<u8>,
    done: usize,
    written: u64,
    /// Beyond this many bytes the stream is read and dropped.
    room: Option<u64>,
}

impl Tap {
    /// Taps standard output, which is held back rather than cut as a whole.
    pub(super) fn output(pipe: OwnedFd, file: File, line_cap: u64) -> io::Result<Self> {
        Self::new(pipe, file, line_cap, None)
    }

    /// Taps standard error: nobody acknowledges it, so it ends at `room` bytes instead.
    pub(super) fn error(pipe: OwnedFd, file: File, line_cap: u64, room: u64) -> io::Result<Self> {
        Self::new(pipe, file, line_cap, Some(room))
    }

    fn new(pipe: OwnedFd, file: File, line_cap: u64, room: Option<u64>) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self {
            pipe: Some(pipe),
            written: file.metadata()?.len(),
            file,
            cutter: Cutter { cap: line_cap, line: Line::Short(0) },
            buffer: vec![0; BUFFER].into_boxed_slice(),
            pending: Vec::with_capacity(BUFFER),
            done: 0,
            room,
        })
    }

    /// Returns how long the file is.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Returns the pipe if there is something to wait for: it is open and nothing is stuck before it.
    pub(super) fn wants(&self) -> Option<BorrowedFd<'_>> {
        if self.is_stuck() { None } else { self.pipe.as_ref().map(AsFd::as_fd) }
    }

    /// Tells whether bytes wait for space on the disk.
    pub(super) fn is_stuck(&self) -> bool {
        self.done < self.pending.len()
    }

    /// Copies what is there, one buffer at most.
    pub(super) fn pump(&mut self) -> io::Result<()> {
        if self.write_pending()? {
            self.copy_once()?;
        }
        Ok(())
    }

    /// Copies what is left in the pipe of a process that is over, and closes it.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        let mut copied = 0;
        while copied < DRAIN {
            while !self.write_pending()? {
                std::thread::sleep(super::FULL_DISK_PAUSE);
            }
            match self.copy_once()? {
                0 => break,
                n => copied += n,
            }
        }
        while !self.write_pending()? {
            std::thread::sleep(super::FULL_DISK_PAUSE);
        }
        self.pipe = None;
        Ok(())
    }

    /// Brings the file to the disk.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.written == 0 { Ok(()) } else { self.file.sync_all() }
    }

    /// Reads once and writes what came; 0 when there is nothing to read.
    fn copy_once(&mut self) -> io::Result<usize> {
        let Some(pipe) = &self.pipe else { return Ok(0) };
        let n = match rustix::io::read(pipe, &mut *self.buffer) {
            Ok(0) => {
                self.pipe = None;
                return Ok(0);
            }
            Ok(n) => n,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        self.pending.clear();
        self.done = 0;
        self.cutter.cut(&self.buffer[..n], &mut self.pending);
        if let Some(room) = self.room {
            let left = usize::try_from(room.saturating_sub(self.written)).unwrap_or(usize::MAX);
            if self.written > room {
                self.pending.clear();
            } else if self.pending.len() > left {
                self.pending.truncate(left);
                self.pending.extend_from_slice(FULL_MARK.as_bytes());
            }
        }
        self.write_pending()?;
        Ok(n)
    }

    /// Writes what is pending; `false` when the disk is full.
    fn write_pending(&mut self) -> io::Result<bool> {
        while self.done < self.pending.len() {
            match self.file.write(&self.pending[self.done..]) {
                Ok(n) => {
                    self.done += n;
                    self.written += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_full(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Cuts lines that are too long, without ever holding one.
struct Cutter {
    cap: u64,
    line: Line,
}

/// The line that the stream is in.
#[derive(Clone, Copy)]
enum Line {
    /// So many bytes of it have passed.
    Short(u64),
    /// It has reached the cap; the rest is dropped up to its line break.
    Cut,
}

impl Cutter {
    /// Appends to `kept` what of `bytes` is to be kept.
    fn cut(&mut self, bytes: &[u8], kept: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.line {
                // No line in here can reach the cap, wherever its breaks are.
                Line::Short(passed) if passed + rest.len() as u64 <= self.cap => {
                    kept.extend_from_slice(rest);
                    self.line = match rest.iter().rposition(|byte| *byte == b'\n') {
                        Some(at) => Line::Short((rest.len() - at - 1) as u64),
                        None => Line::Short(passed + rest.len() as u64),
                    };
                    return;
                }
                Line::Short(passed) => {
                    let room = usize::try_from(self.cap - passed).unwrap_or(usize::MAX).min(rest.len());
                    // A line of exactly the cap is whole: look at one byte more for its break.
                    let window = &rest[..rest.len().min(room + 1)];
                    if let Some(at) = window.iter().position(|byte| *byte == b'\n') {
                        kept.extend_from_slice(&rest[..=at]);
                        rest = &rest[at + 1..];
                        self.line = Line::Short(0);
                    } else {
                        kept.extend_from_slice(&rest[..room]);
                        rest = &rest[room..];
                        if rest.is_empty() {
                            self.line = Line::Short(self.cap);
                        } else {
                            kept.extend_from_slice(CUT_MARK.as_bytes());
                            self.line = Line::Cut;
                        }
                    }
                }
                Line::Cut => match rest.iter().position(|byte| *byte == b'\n') {
                    Some(at) => {
                        kept.push(b'\n');
                        rest = &rest[at + 1..];
                        self.line = Line::Short(0);
                    }
                    None => return,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts `text` at 4 bytes a line, fed in pieces of every size: the pieces must not matter.
    fn check(text: &[u8], expected: &str) {
        for piece in 1..=text.len().max(1) {
            let mut cutter = Cutter { cap: 4, line: Line::Short(0) };
            let mut kept = Vec::new();
            for bytes in text.chunks(piece) {
                cutter.cut(bytes, &mut kept);
            }
            assert_eq!(String::from_utf8_lossy(&kept), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn short_lines_pass() {
        check(b"a\nbb\n\nccc", "a\nbb\n\nccc");
    }

    #[test]
    fn a_line_of_exactly_the_cap_passes() {
        check(b"abcd\nabcd", "abcd\nabcd");
    }

    #[test]
    fn a_longer_line_is_cut_marked_and_ended() {
        check(b"abcdefgh\nok\nabcde", "abcd …[orcha: line cut]\nok\nabcd …[orcha: line cut]");
    }

    #[test]
    fn nothing_stays_nothing() {
        check(b"", "");
    }
}
