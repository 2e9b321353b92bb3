//! The server as a test holds it: started by a call, stopped when it is dropped.
//!
//! It runs in a thread of its own with a clock of its own, so that a test may hold its own time still, and may be
//! synchronous.

use crate::server::http;
use crate::server::record::{Record, State};
use crate::server::scenario::Scenario;
use crate::server::stage::Stage;
use axum::serve::ListenerExt;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens: on loopback; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Values for `{{name}}` in the scenario.
    pub vars: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), vars: BTreeMap::new() }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is not of this machine's loopback.
    #[error("{0} is not on loopback; a scripted model is for this machine only")]
    NotLoopback(SocketAddr),
    /// The address could not be had.
    #[error("could not listen on {listen}")]
    Listen {
        /// Which address.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The thread or its runtime could not be made.
    #[error("could not start the server's thread")]
    Thread(#[source] std::io::Error),
}

/// A running model server.
pub struct ScriptedModel {
    stage: Arc<Stage>,
    addr: SocketAddr,
    url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ScriptedModel {
    /// Starts a server; it listens when this returns.
    pub fn start(scenario: Scenario, options: Options) -> Result<Self, StartError> {
        let Options { listen, vars } = options;
        if !listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(listen));
        }
        let bind = || {
            let listener = std::net::TcpListener::bind(listen)?;
            listener.set_nonblocking(true)?;
            let addr = listener.local_addr()?;
            Ok((listener, addr))
        };
        let (listener, addr) = bind().map_err(|source| StartError::Listen { listen, source })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(StartError::Thread)?
        };
        let stage = Arc::new(Stage::new(scenario, vars));
        let router = http::router(Arc::clone(&stage));
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            // Pieces of a stream are small, and their order in time is what tests look at.
            let listener = listener.tap_io(|stream| {
                if let Err(fault) = stream.set_nodelay(true) {
                    eprintln!("orcha-scripted-model: a connection stays slow: {fault}");
                }
            });
            tokio::select! {
                ended = axum::serve(listener, router) => {
                    if let Err(fault) = ended {
                        eprintln!("orcha-scripted-model: serving ended: {fault}");
                    }
                }
                // By a word or by the end of its sender: both mean stop.
                _ = stopped => {}
            }
        };
        let thread = std::thread::Builder::new().name("scripted-model".to_owned());
        // With the runtime end all connections, also those that are held.
        let thread = thread.spawn(move || runtime.block_on(serve)).map_err(StartError::Thread)?;
        Ok(Self { stage, addr, url: format!("http://{addr}"), stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the address on which it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the base URL, without a slash at its end; the OpenAI dialects are at `/v1` below it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns what was asked so far, the oldest first.
    pub fn requests(&self) -> Vec<Record> {
        self.stage.records()
    }

    /// Returns how far the scenario is.
    pub fn state(&self) -> State {
        self.stage.state()
    }

    /// Waits until the state is as wanted; whoever calls sets a limit in time.
    pub async fn until(&self, wanted: impl Fn(&State) -> bool) -> State {
        self.stage.until_state(wanted).await
    }

    /// Lets replies that are held at a gate go on, now and later.
    pub fn release(&self, gate: &str) {
        self.stage.release(gate);
    }

    /// Begins another scenario; counts begin again, and what was recorded stays.
    pub fn play(&self, scenario: Scenario) {
        self.stage.play(scenario);
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        // Its end is the word to stop.
        self.stop.take();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("orcha-scripted-model: the server's thread panicked");
        }
    }
}
