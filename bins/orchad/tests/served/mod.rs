//! The real daemon in a home of its own, as a person starts it: for tests that need no sample and no demo.

use orcha_base::Redacted;
use orcha_client::Client;
use orcha_wire::StreamEvents;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The real daemon; it ends with the test, however that goes.
pub struct Daemon {
    pub child: Child,
    pub client: Client,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Starts it with further arguments, and waits until it says where it serves.
pub fn serve(home: &Path, more: &[&str]) -> Daemon {
    let data = home.join("data");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut child = Command::new(env!("CARGO_BIN_EXE_orchad"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .args(more)
        .env_clear()
        .envs([("PATH", path), ("HOME", home.into()), ("GIT_CONFIG_GLOBAL", "/dev/null".into())])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::options().create(true).append(true).open(home.join("log")).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("orchad serves on ").unwrap();
    let token = fs::read_to_string(data.join("token")).unwrap();
    let client = Client::new(url, Redacted::new(token.trim().to_owned())).unwrap();
    Daemon { child, client }
}

/// Waits until something holds, looking again with each thing that happens.
pub async fn until<T>(client: &Client, look: impl AsyncFn() -> Option<T>) -> T {
    use futures::StreamExt;
    // From the beginning: what happens between a look and the first word of the stream must not be missed.
    let mut events = client.follow_events(StreamEvents { after: Some(0), ..StreamEvents::default() });
    let waited = async {
        loop {
            if let Some(it) = look().await {
                return it;
            }
            events.next().await.unwrap().unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap()
}
