//! The least of an HTTP client that puts load on a server: one connection, one request after another.
//!
//! It speaks to our own servers on loopback only, and knows as much of HTTP/1.1 as they say.

use anyhow::{Context, Result, bail};
use orcha_base::{ObjectiveId, Timestamp};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// One connection.
#[derive(Debug)]
pub struct Http {
    stream: BufReader<TcpStream>,
    address: String,
    token: String,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Where a list goes on.
    pub next: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// The head of an answer.
struct Head {
    status: u16,
    next: Option<String>,
    length: Option<usize>,
    chunked: bool,
}

/// A line of the journal, as much of it as is needed here. What is told without being stored has no instant.
#[derive(Debug, serde::Deserialize)]
pub struct Told {
    /// The objective that it is about.
    pub objective_id: Option<ObjectiveId>,
    /// What kind of thing happened.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// When it was decided.
    pub created_at: Option<Timestamp>,
}

/// Returns what a line of a stream tells, if it tells anything.
pub fn told(line: &str) -> Result<Option<Told>> {
    line.strip_prefix("data: ").map(|it| serde_json::from_str(it).context("an event that is none")).transpose()
}

impl Http {
    /// Connects to a server at `http://HOST:PORT`.
    pub async fn connect(url: &str, token: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").context("not an address of ours")?.to_owned();
        let stream = TcpStream::connect(&address).await.with_context(|| format!("{url} does not answer"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::with_capacity(64 * 1024, stream), address, token: token.to_owned() })
    }

    /// Asks for something and takes the whole answer.
    pub async fn ask(&mut self, method: &str, path: &str, body: Option<&str>) -> Result<Answer> {
        self.send(method, path, body).await?;
        let head = self.head().await?;
        let mut body = Vec::new();
        if head.chunked {
            let mut line = String::new();
            loop {
                line.clear();
                self.stream.read_line(&mut line).await?;
                let size = usize::from_str_radix(line.trim(), 16).context("a chunk without a size")?;
                let from = body.len();
                body.resize(from + size, 0);
                self.stream.read_exact(&mut body[from..]).await?;
                line.clear();
                self.stream.read_line(&mut line).await?;
                if size == 0 {
                    break;
                }
            }
        } else {
            body.resize(head.length.unwrap_or(0), 0);
            self.stream.read_exact(&mut body).await?;
        }
        Ok(Answer { status: head.status, next: head.next, body })
    }

    /// Asks for something that must go well.
    pub async fn expect(&mut self, method: &str, path: &str, body: Option<&str>) -> Result<Answer> {
        let answer = self.ask(method, path, body).await?;
        if !(200..300).contains(&answer.status) {
            bail!("{method} {path} was answered with {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        Ok(answer)
    }

    /// Opens a stream of events and returns the connection, behind the head.
    pub async fn listen(mut self, path: &str) -> Result<BufReader<TcpStream>> {
        self.send("GET", path, None).await?;
        let head = self.head().await?;
        if head.status != 200 {
            bail!("{path} was answered with {}", head.status);
        }
        Ok(self.stream)
    }

    async fn send(&mut self, method: &str, path: &str, body: Option<&str>) -> Result<()> {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n", self.address, self.token);
        if let Some(body) = body {
            request.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body.unwrap_or_default());
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        Ok(())
    }

    async fn head(&mut self) -> Result<Head> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let status = line.split(' ').nth(1).and_then(|it| it.parse().ok()).context("an answer without a status")?;
        let mut head = Head { status, next: None, length: None, chunked: false };
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await? == 0 {
                bail!("the server closed the connection in the middle of an answer");
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else { return Ok(head) };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.parse().ok(),
                "transfer-encoding" => head.chunked = value == "chunked",
                orcha_wire::NEXT_CURSOR => head.next = Some(value.to_owned()),
                _ => {}
            }
        }
    }
}
