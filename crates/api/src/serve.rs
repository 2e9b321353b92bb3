//! Connections: accepted up to a number, given a time for what they say, and cut off when they take nothing.
//!
//! What is served is not known here.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// How many connections are open at once; more wait to be accepted.
const CONNECTIONS: usize = 8192;
/// How long a client may take to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a client may take nothing of what is written to it.
const STALL: Duration = Duration::from_secs(30);
/// How long requests may go on once the daemon stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// Serves until it is told to stop, and then until what is under way has ended or its time is up.
pub async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
    let graceful = GracefulShutdown::new();
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(fault) => {
                // Either that one client is gone, or there are no more file descriptors and some will be free soon.
                debug!(error = %fault, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Err(fault) = stream.set_nodelay(true) {
            debug!(error = %fault, "a connection was gone at once");
            continue;
        }
        let io = TokioIo::new(Watched { stream, limit: STALL, stalled: None });
        let service = TowerToHyperService::new(app.clone());
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).serve_connection(io, service);
        let (connection, cut) = (graceful.watch(connection), cut.clone());
        tasks.spawn(async move {
            tokio::select! {
                ended = connection => {
                    if let Err(fault) = ended {
                        debug!(error = %fault, "a connection broke off");
                    }
                }
                () = cut.cancelled() => {}
            }
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(FAREWELL, graceful.shutdown()).await.is_err() {
        warn!(connections = tasks.len(), "connections were still open and are cut");
    }
    cut.cancel();
    tasks.wait().await;
}

/// A connection that breaks when the other side takes nothing for too long.
struct Watched {
    stream: TcpStream,
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_reader_that_takes_nothing_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut watched = Watched { stream, limit: Duration::from_millis(50), stalled: None };
        let block = vec![0; 1 << 20];
        let fault = loop {
            if let Err(fault) = watched.write_all(&block).await {
                break fault;
            }
        };
        assert_eq!(fault.kind(), io::ErrorKind::TimedOut);
        drop(reader);
    }
}
