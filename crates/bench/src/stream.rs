//! A thousand readers of the event stream: how late events reach them, how many a second, and what that holds in memory.
//!
//! The floor is a server of a few lines in a process of its own, which hands a text of the same size to as many readers. The
//! same readers listen to both.

use crate::daemon::{Daemon, memory};
use crate::figure::{Aim, Figure, Times};
use crate::http::{Http, Told, told};
use crate::scale::Size;
use anyhow::{Context, Result, bail, ensure};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use orcha_base::Timestamp;
use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often an event comes at the steady pace.
const PACE: Duration = Duration::from_millis(10);
/// How many connections publish at full speed.
const PUBLISHERS: usize = 16;
/// How long the last events are waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many events of the floor a reader may be behind: enough for all of a burst.
const BEHIND: usize = 16_384;

/// Measures the daemon and the floor by turns.
pub async fn run(root: &Path, program: &Path, size: &Size) -> Result<Vec<Figure>> {
    raise_limit(size.readers)?;
    let (mut ours, mut floor) = (Side::default(), Side::default());
    // Two rounds: the readers are connected anew for each.
    for _ in 0..size.rounds.min(2) {
        floor.add(by_hand(size).await.context("the floor")?);
        let folder = tempfile::tempdir_in(root)?;
        ours.add(daemon(program, folder.path(), size).await.context("the daemon")?);
    }
    let readers = size.readers;
    let server = "an axum server of a few lines that sends texts of the same size";
    let paced = |name: &str, title: &str, ours: &[f64], floor: &[f64]| {
        Figure::new(name, &format!("{title}, {readers} readers, 100 events/s"), "ms", ours).over(server, floor, ours)
    };
    Ok(vec![
        paced("sse_paced_p50", "event decided to event read, median", &ours.p50, &floor.p50),
        paced("sse_paced_p99", "event decided to event read, p99", &ours.p99, &floor.p99)
            .aim(Aim::ValueAtMost { number: 100.0 }, size.judged),
        Figure::new("sse_burst", &format!("events delivered to {readers} readers at full speed"), "1/s", &ours.rate)
            .over(server, &floor.rate, &ours.rate)
            .aim(Aim::ValueAtLeast { number: 300_000.0 }, size.judged)
            .detail("events_published_per_second", &ours.published)
            .detail("floor_events_published_per_second", &floor.published),
        Figure::new("sse_rss", &format!("daemon's memory with {readers} readers, after the burst"), "MB", &ours.memory)
            .over("the same server's memory", &floor.memory, &ours.memory)
            .aim(Aim::ValueAtMost { number: 80.0 }, size.judged)
            .detail("connected_mb", &ours.connected)
            .detail("idle_mb", &ours.idle),
    ])
}

/// The rounds of one server.
#[derive(Default)]
struct Side {
    p50: Vec<f64>,
    p99: Vec<f64>,
    rate: Vec<f64>,
    published: Vec<f64>,
    idle: Vec<f64>,
    connected: Vec<f64>,
    memory: Vec<f64>,
}

/// One round.
struct Round {
    late: Times,
    rate: f64,
    published: f64,
    idle: f64,
    connected: f64,
    memory: f64,
}

impl Side {
    fn add(&mut self, round: Round) {
        self.p50.push(round.late.at(0.5));
        self.p99.push(round.late.at(0.99));
        self.rate.push(round.rate);
        self.published.push(round.published);
        self.idle.push(round.idle);
        self.connected.push(round.connected);
        self.memory.push(round.memory);
    }
}

/// How an event is published.
#[derive(Clone)]
struct Publish {
    url: String,
    token: String,
    method: &'static str,
    path: String,
}

async fn daemon(program: &Path, folder: &Path, size: &Size) -> Result<Round> {
    let daemon = Daemon::start(program, folder, 4).await?;
    // An agent that is silent for ever keeps its objective alive; then each edit is one event, and there are no others.
    let script = folder.join("script.json");
    std::fs::write(&script, r#"{"plays": [{"name": "worker", "turns": [{"on": "any", "steps": ["hang"]}]}]}"#)?;
    let agent = [program, Path::new("scripted-agent"), Path::new("--script"), &script];
    let wish = serde_json::json!({
        "prompt": "Stay as you are.", "strategy": "direct", "agent": "claude", "agent_program": agent,
    });
    let made = daemon.http().await?.expect("POST", "/api/objectives", Some(&wish.to_string())).await?;
    let made: orcha_wire::CreatedObjective = serde_json::from_slice(&made.body)?;
    settled(&daemon, &made).await?;
    let publish = Publish {
        url: daemon.url.clone(),
        token: daemon.token.clone(),
        method: "PATCH",
        path: format!("/api/objectives/{}", made.objective.id),
    };
    let round = round(&publish, "/api/stream", || daemon.memory().map(|it| it.now), size).await?;
    daemon.http().await?.expect("POST", &format!("{}/cancel", publish.path), None).await?;
    daemon.stop().await?;
    Ok(round)
}

/// Waits until the objective's session runs: from then on nothing happens by itself.
async fn settled(daemon: &Daemon, made: &orcha_wire::CreatedObjective) -> Result<()> {
    // From the beginning, so that nothing was missed.
    let mut events = daemon.http().await?.listen("/api/stream?after=0").await?.lines();
    let running = async {
        while let Some(line) = events.next_line().await? {
            let Some(event) = told(&line)? else { continue };
            if event.objective_id == Some(made.objective.id) && event.kind == "session_started" {
                return anyhow::Ok(());
            }
        }
        bail!("the stream of events ended")
    };
    tokio::time::timeout(PATIENCE, running).await.context("the objective's session does not run")?
}

async fn by_hand(size: &Size) -> Result<Round> {
    let mut process = tokio::process::Command::new(std::env::current_exe()?)
        .arg("sse-floor")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let pid = process.id().context("the floor's server has ended")?;
    let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines();
    let url = lines.next_line().await?.context("the floor's server did not begin")?;
    let publish = Publish { url, token: String::new(), method: "POST", path: "/publish".into() };
    let round = round(&publish, "/stream", || memory(pid).map(|it| it.now), size).await?;
    process.kill().await?;
    Ok(round)
}

async fn round(publish: &Publish, stream: &str, memory: impl Fn() -> Result<f64>, size: &Size) -> Result<Round> {
    let idle = memory()?;
    let mut readers = Readers::connect(publish, stream, size.readers).await?;
    let mut http = Http::connect(&publish.url, &publish.token).await?;
    // Everybody hears one event before anything is measured.
    publish.one(&mut http, 1).await?;
    readers.heard_at_least(1).await?;
    let connected = memory()?;

    let begin = tokio::time::Instant::now();
    let mut ticks = tokio::time::interval(PACE);
    let mut sent = 1;
    while begin.elapsed() < size.paced {
        ticks.tick().await;
        sent += 1;
        publish.one(&mut http, sent).await?;
    }
    readers.heard_at_least(sent).await?;
    readers.note.store(false, Ordering::Relaxed);

    let begin = Instant::now();
    let each = size.burst.div_ceil(PUBLISHERS) as u64;
    let mut tasks = JoinSet::new();
    for at in 0..PUBLISHERS as u64 {
        let publish = publish.clone();
        tasks.spawn(async move {
            let mut http = Http::connect(&publish.url, &publish.token).await?;
            for n in 0..each {
                publish.one(&mut http, sent + 1 + at * each + n).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let published = begin.elapsed();
    let burst = each * PUBLISHERS as u64;
    readers.heard_at_least(sent + burst).await?;
    let took = begin.elapsed();
    let memory = memory()?;
    let late = readers.late().await?;
    Ok(Round {
        late,
        rate: burst as f64 * size.readers as f64 / took.as_secs_f64(),
        published: burst as f64 / published.as_secs_f64(),
        idle,
        connected,
        memory,
    })
}

impl Publish {
    async fn one(&self, http: &mut Http, n: u64) -> Result<()> {
        let body = serde_json::json!({"priority": n}).to_string();
        http.expect(self.method, &self.path, Some(&body)).await.map(drop)
    }
}

/// Everybody who listens.
struct Readers {
    tasks: JoinSet<Result<Vec<(u64, Timestamp)>>>,
    /// How many events each reader has read.
    heard: Vec<Arc<AtomicU64>>,
    news: watch::Receiver<()>,
    /// Whether it is kept when each event was read.
    note: Arc<std::sync::atomic::AtomicBool>,
    /// When each event was decided, as the first reader read it.
    decided: Arc<std::sync::Mutex<HashMap<u64, Timestamp>>>,
    stop: watch::Sender<bool>,
}

impl Readers {
    async fn connect(publish: &Publish, path: &str, readers: usize) -> Result<Self> {
        let (tell, news) = watch::channel(());
        let (stop, stopped) = watch::channel(false);
        let tell = Arc::new(tell);
        let mut all = Self {
            tasks: JoinSet::new(),
            heard: Vec::new(),
            news,
            note: Arc::new(std::sync::atomic::AtomicBool::new(true)),
            decided: Arc::default(),
            stop,
        };
        for n in 0..readers {
            let stream = Http::connect(&publish.url, &publish.token).await?.listen(path).await?;
            let heard = Arc::new(AtomicU64::new(0));
            all.heard.push(Arc::clone(&heard));
            let reader = Reader {
                stream,
                heard,
                tell: Arc::clone(&tell),
                note: Arc::clone(&all.note),
                decided: (n == 0).then(|| Arc::clone(&all.decided)),
                stopped: stopped.clone(),
            };
            all.tasks.spawn(reader.read());
        }
        Ok(all)
    }

    /// Waits until everybody has read so many events.
    async fn heard_at_least(&mut self, events: u64) -> Result<()> {
        let mut news = self.news.clone();
        let all = || self.heard.iter().filter(|it| it.load(Ordering::Relaxed) < events).count();
        let heard = async {
            while all() > 0 {
                if news.changed().await.is_err() {
                    break;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, heard).await.is_err() || all() > 0 {
            while let Some(ended) = self.tasks.try_join_next() {
                ended?.context("a reader failed")?;
            }
            bail!("{} of {} readers did not hear all {events} events", all(), self.heard.len());
        }
        Ok(())
    }

    /// Ends them and returns how late each event came to each reader.
    async fn late(mut self) -> Result<Times> {
        self.stop.send_replace(true);
        let mut read = Vec::new();
        while let Some(done) = self.tasks.join_next().await {
            read.push(done??);
        }
        let decided = self.decided.lock().map_err(|_| anyhow::anyhow!("a reader panicked"))?;
        let mut times = Times::default();
        for (id, at) in read.into_iter().flatten() {
            let decided = decided.get(&id).with_context(|| format!("event {id} has no instant"))?;
            times.add(at.since(*decided));
        }
        ensure!(times.len() > 0, "no event was read");
        Ok(times)
    }
}

/// One reader. It finds the numbers of events in what comes, and little more.
struct Reader {
    stream: BufReader<TcpStream>,
    heard: Arc<AtomicU64>,
    tell: Arc<watch::Sender<()>>,
    note: Arc<std::sync::atomic::AtomicBool>,
    decided: Option<Arc<std::sync::Mutex<HashMap<u64, Timestamp>>>>,
    stopped: watch::Receiver<bool>,
}

impl Reader {
    async fn read(mut self) -> Result<Vec<(u64, Timestamp)>> {
        let mut read = Vec::new();
        let mut buffer = vec![0_u8; 16 * 1024];
        let mut kept = 0;
        let id = memchr::memmem::Finder::new(b"id: ");
        loop {
            let got = tokio::select! {
                got = self.stream.read(&mut buffer[kept..]) => got?,
                _ = self.stopped.changed() => return Ok(read),
            };
            if got == 0 {
                bail!("a reader was cut off");
            }
            let now = Timestamp::from(SystemTime::now());
            let filled = kept + got;
            // Events end with an empty line; what comes behind the last one waits for more.
            let whole = memchr::memmem::rfind(&buffer[..filled], b"\n\n").map_or(0, |at| at + 2);
            let mut count = 0;
            let note = self.note.load(Ordering::Relaxed);
            for at in id.find_iter(&buffer[..whole]) {
                // Only at the beginning of a line: a text may hold the same letters.
                if at > 0 && buffer[at - 1] != b'\n' {
                    continue;
                }
                count += 1;
                if note {
                    let line = &buffer[at + 4..whole];
                    let end = memchr::memchr(b'\n', line).unwrap_or(line.len());
                    let number: u64 = std::str::from_utf8(&line[..end])?.trim().parse()?;
                    read.push((number, now));
                    if let Some(decided) = &self.decided {
                        let data = &line[end..];
                        let data = &data[..memchr::memmem::find(data, b"\n\n").unwrap_or(data.len())];
                        let Some(Told { created_at: Some(at), .. }) = told(std::str::from_utf8(data)?.trim())? else {
                            bail!("event {number} has no instant");
                        };
                        let mut decided = decided.lock().map_err(|_| anyhow::anyhow!("a reader panicked"))?;
                        decided.insert(number, at);
                    }
                }
            }
            buffer.copy_within(whole..filled, 0);
            kept = filled - whole;
            if kept == buffer.len() {
                buffer.resize(kept * 2, 0);
            }
            if count > 0 {
                self.heard.fetch_add(count, Ordering::Relaxed);
                self.tell.send_replace(());
            }
        }
    }
}

/// Serves as the floor: `POST /publish` is heard by everybody at `GET /stream`.
pub async fn serve_floor() -> Result<()> {
    let events = broadcast::Sender::<Bytes>::new(BEHIND);
    let count = Arc::new(AtomicU64::new(0));
    let app =
        axum::Router::new().route("/stream", get(listen)).route("/publish", post(publish)).with_state((events, count));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |it| drop(it.set_nodelay(true))), app).await?;
    Ok(())
}

type Floor = (broadcast::Sender<Bytes>, Arc<AtomicU64>);

async fn publish(State((events, count)): State<Floor>) -> String {
    let id = count.fetch_add(1, Ordering::Relaxed) + 1;
    let at = Timestamp::from(SystemTime::now());
    // As long as the daemon's event of an edited objective.
    let text = format!(
        "id: {id}\ndata: {{\"id\":{id},\"objective_id\":\"{}\",\"type\":\"objective_changed\",\
         \"summary\":\"Stay as you are. was edited\",\"created_at\":\"{at}\"}}\n\n",
        uuid::Uuid::nil()
    );
    drop(events.send(Bytes::from(text)));
    id.to_string()
}

async fn listen(State((events, _)): State<Floor>) -> Response {
    let stream = futures::stream::unfold(events.subscribe(), |mut heard| async move {
        loop {
            match heard.recv().await {
                Ok(text) => return Some((Ok::<_, Infallible>(text), heard)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert("content-type", axum::http::HeaderValue::from_static("text/event-stream"));
    response
}

/// Lets this process, and what it starts, have a connection per reader.
fn raise_limit(readers: usize) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = readers as u64 + 200;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|it| it >= wanted) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|it| it < wanted) {
        bail!("{readers} readers need {wanted} open files, and this system allows {:?}", limit.maximum);
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })?;
    Ok(())
}
