//! The output of a process, read as lines of bounded length: it breaks where one is longer.
//!
//! Whoever reads lines could otherwise only keep all of it, or leave it out and let its asker wait for an answer that has come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// A stream that breaks at the first line with more bytes than it may have.
#[derive(Debug)]
pub(crate) struct Bounded<R> {
    stream: R,
    most: usize,
    line: usize,
    excess: Excess,
}

/// Whether a stream broke because of a line that is too long.
#[derive(Clone, Debug, Default)]
pub(crate) struct Excess(Arc<AtomicBool>);

impl Excess {
    pub(crate) fn is_there(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl<R> Bounded<R> {
    /// Takes a stream whose lines have so many bytes at the most.
    pub(crate) fn new(stream: R, most: usize) -> (Self, Excess) {
        let excess = Excess::default();
        (Self { stream, most, line: 0, excess: excess.clone() }, excess)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Bounded<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        for piece in buf.filled()[before..].split_inclusive(|it| *it == b'\n') {
            self.line += piece.len();
            if self.line > self.most {
                self.excess.0.store(true, Ordering::Release);
                buf.set_filled(before);
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            if piece.ends_with(b"\n") {
                self.line = 0;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

    #[tokio::test]
    async fn lines_pass_whatever_they_come_to_together_and_a_longer_one_breaks_the_stream() {
        let (bounded, excess) = Bounded::new(&b"123\n1234\n\n12345678\n"[..], 5);
        let mut lines = BufReader::with_capacity(3, bounded).lines();
        for line in ["123", "1234", ""] {
            assert_eq!(lines.next_line().await.unwrap().as_deref(), Some(line));
        }
        assert!(!excess.is_there());
        assert_eq!(lines.next_line().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(excess.is_there());
    }

    #[tokio::test]
    async fn a_line_without_an_end_breaks_it_too() {
        let (mut bounded, excess) = Bounded::new(tokio::io::repeat(b'x'), 1 << 10);
        assert!(bounded.read_to_end(&mut Vec::new()).await.is_err() && excess.is_there());
    }
}
