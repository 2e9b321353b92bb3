//! The hosted runner over a host in memory: lines however they arrive, replies, restarts, and the end.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use async_trait::async_trait;
use orcha_agent::claude::Claude;
use orcha_agent::{Batch, Cursor, Ended, Entry, Event, HostedRunner, Runner, Said, Say, Source};
use orcha_exec::{
    Chunk, Command, CommandError, ExitStatus, Grace, Host, InputLine, Isolation, Output, RunError, RunLabel, RunReport,
    RunSpec, RunState, Seen, Sent, Started, Stopped, Stream,
};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// One run in memory.
#[derive(Debug)]
struct Memory {
    state: watch::Sender<Run>,
    sent: Mutex<Vec<InputLine>>,
    /// How many bytes a reading returns at most.
    chunk: usize,
}

#[derive(Clone, Debug, Default)]
struct Run {
    output: Vec<u8>,
    error: Vec<u8>,
    ended: Option<ExitStatus>,
}

impl Memory {
    fn new(chunk: usize) -> Arc<Self> {
        Arc::new(Self { state: watch::Sender::default(), sent: Mutex::default(), chunk })
    }

    fn print(&self, text: impl AsRef<[u8]>) {
        self.state.send_modify(|run| run.output.extend_from_slice(text.as_ref()));
    }

    fn complain(&self, text: &str) {
        self.state.send_modify(|run| run.error.extend_from_slice(text.as_bytes()));
    }

    fn end(&self) {
        self.state.send_modify(|run| run.ended = Some(ExitStatus::Code(0)));
    }
}

#[async_trait]
impl Host for Memory {
    fn work_root(&self) -> &Path {
        Path::new("/")
    }
    async fn run(&self, _: &Command) -> Result<Output, CommandError> {
        unreachable!("agents are runs")
    }
    async fn start(&self, _: &RunSpec) -> Result<Started, RunError> {
        Ok(Started { pid: 1, fresh: true, isolation: Isolation::Subreaper, confinement: None })
    }
    async fn look(&self, _: &RunLabel) -> Result<RunState, RunError> {
        Ok(match self.state.borrow().ended {
            Some(status) => RunState::Ended(status),
            None => {
                RunState::Running(Started { pid: 1, fresh: false, isolation: Isolation::Subreaper, confinement: None })
            }
        })
    }
    async fn runs(&self) -> Result<Vec<RunReport>, RunError> {
        Ok(Vec::new())
    }
    async fn read(&self, _: &RunLabel, stream: Stream, from: u64, max: usize) -> Result<Chunk, RunError> {
        let run = self.state.borrow();
        let bytes = match stream {
            Stream::Output => &run.output,
            Stream::Error => &run.error,
        };
        let at = usize::try_from(from).unwrap().min(bytes.len());
        let upto = bytes.len().min(at + max.min(self.chunk));
        Ok(Chunk { from, bytes: bytes[at..upto].to_vec() })
    }
    async fn changed(&self, _: &RunLabel, seen: Seen) -> Result<(), RunError> {
        let news = |run: &Run| {
            run.ended.is_some() || run.output.len() as u64 > seen.output || run.error.len() as u64 > seen.error
        };
        self.state.subscribe().wait_for(news).await.unwrap();
        Ok(())
    }
    async fn consumed(&self, _: &RunLabel, _: u64) -> Result<(), RunError> {
        Ok(())
    }
    async fn send(&self, label: &RunLabel, lines: &[InputLine]) -> Result<Sent, RunError> {
        if self.state.borrow().ended.is_some() {
            return Err(RunError::Over { label: label.clone() });
        }
        let mut sent = self.sent.lock().unwrap();
        let new: Vec<_> = lines.iter().filter(|it| sent.iter().all(|known| known.key != it.key)).cloned().collect();
        let nothing = new.is_empty();
        sent.extend(new);
        Ok(if nothing { Sent::AlreadyThere } else { Sent::Appended })
    }
    async fn close_input(&self, _: &RunLabel) -> Result<(), RunError> {
        Ok(())
    }
    async fn stop(&self, _: &RunLabel, _: Grace) -> Result<Stopped, RunError> {
        self.end();
        Ok(Stopped { exit: None, strays: 0 })
    }
    async fn forget(&self, _: &RunLabel) -> Result<(), RunError> {
        Ok(())
    }
}

fn runner(host: &Arc<Memory>) -> HostedRunner {
    let claude = Claude { program: vec!["claude".to_owned()], base_env: Vec::new() };
    HostedRunner::new(Arc::clone(host) as Arc<dyn Host>, Arc::new(claude))
}

fn label() -> RunLabel {
    RunLabel::new("s-1").unwrap()
}

fn raw(source: Source, text: &str, truncated: bool) -> Entry {
    Entry { source, event: Event::Raw { text: text.to_owned(), truncated } }
}

/// Reads to the end, each batch by a runner that knows nothing but the cursor.
async fn read_all(host: &Arc<Memory>) -> (Vec<Entry>, Ended) {
    let (mut cursor, mut entries) = (Cursor::default(), Vec::new());
    loop {
        let stored = serde_json::from_str(&serde_json::to_string(&cursor).unwrap()).unwrap();
        let Batch { entries: new, cursor: next, ended, .. } = runner(host).read(&label(), &stored).await.unwrap();
        entries.extend(new);
        cursor = next;
        if let Some(ended) = ended {
            return (entries, ended);
        }
    }
}

#[tokio::test]
async fn a_line_is_read_when_it_is_whole_and_the_last_one_when_it_is_over() {
    let host = Memory::new(5);
    host.print("first\nhalf");
    let first = runner(&host).read(&label(), &Cursor::default()).await.unwrap();
    assert_eq!(first.entries, [raw(Source::Agent, "first", false)]);
    assert_eq!((first.cursor.output, first.ended), (6, None));

    let (runner, label) = (runner(&host), label());
    let mut waiting = Box::pin(runner.read(&label, &first.cursor));
    assert!(poll_once(&mut waiting).is_none(), "half a line is no line");
    host.print("-whole\nrest");
    let second = waiting.await.unwrap();
    assert_eq!(second.entries, [raw(Source::Agent, "half-whole", false)]);

    host.end();
    let third = runner.read(&label, &second.cursor).await.unwrap();
    assert_eq!(third.entries, [raw(Source::Agent, "rest", false)]);
    for _ in 0..2 {
        let end = runner.read(&label, &third.cursor).await.unwrap();
        assert_eq!((end.entries.len(), end.ended), (0, Some(Ended::Exited(ExitStatus::Code(0)))));
    }
}

/// Polls once.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(done) => Some(done),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn however_the_bytes_arrive_the_entries_are_the_same() {
    let text = "{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"c\"}\n\nwörds\nmore";
    let mut seen = Vec::new();
    for chunk in [1, 2, 7, 1000] {
        let host = Memory::new(chunk);
        host.print(text);
        host.complain("oh\nno");
        host.end();
        seen.push(read_all(&host).await);
    }
    assert_eq!(seen[0].0.len(), 5, "{seen:?}");
    let of = |entries: &[Entry], source| -> Vec<Entry> {
        entries.iter().filter(|it| it.source == source).cloned().collect()
    };
    for (entries, _) in &seen {
        for source in [Source::Agent, Source::Stderr] {
            assert_eq!(of(entries, source), of(&seen[0].0, source));
        }
    }
}

#[tokio::test]
async fn a_cut_line_says_that_it_was_cut() {
    let host = Memory::new(1000);
    host.print(format!("{{\"type\":\"ass{}\nnext\n", orcha_exec::keeper::CUT_MARK));
    host.end();
    let (entries, _) = read_all(&host).await;
    assert_eq!(entries, [raw(Source::Agent, "{\"type\":\"ass", true), raw(Source::Agent, "next", false)]);
}

#[tokio::test]
async fn a_line_without_end_comes_in_pieces() {
    let host = Memory::new(usize::MAX);
    let long = 17 << 20;
    host.print(vec![b'x'; long]);
    host.complain(&"e".repeat(150_000));
    host.end();
    let (entries, _) = read_all(&host).await;
    let length = |source| -> Vec<usize> {
        let texts = entries.iter().filter(|it| it.source == source).map(|it| match &it.event {
            Event::Raw { text, .. } => text.len(),
            other => panic!("{other:?}"),
        });
        texts.collect()
    };
    let (output, error) = (length(Source::Agent), length(Source::Stderr));
    assert_eq!((output.len(), output.iter().sum::<usize>()), (2, long));
    assert_eq!(error, [65_536, 65_536, 18_928]);
}

#[tokio::test]
async fn a_batch_ends_near_a_mebibyte() {
    let host = Memory::new(100_000);
    let line = format!("{}\n", "z".repeat(999));
    host.print(line.repeat(3000));
    host.end();
    let batch = runner(&host).read(&label(), &Cursor::default()).await.unwrap();
    assert!((1 << 20..(1 << 20) + 200_000).contains(&batch.cursor.output), "{}", batch.cursor.output);
    assert_eq!(read_all(&host).await.0.len(), 3000);
}

#[tokio::test]
async fn a_reply_is_sent_before_the_batch_is_seen_and_once_over_repetitions() {
    let host = Memory::new(1000);
    host.print("{\"type\":\"control_request\",\"request_id\":\"r1\",\"request\":{\"subtype\":\"hook_callback\"}}\n");
    for _ in 0..2 {
        runner(&host).read(&label(), &Cursor::default()).await.unwrap();
        let keys: Vec<String> = host.sent.lock().unwrap().iter().map(|it| it.key.clone()).collect();
        assert_eq!(keys, ["answer:r1"]);
    }
    host.end();
    assert_eq!(read_all(&host).await.0, []);
}

#[tokio::test]
async fn the_same_key_is_said_once() {
    let host = Memory::new(1000);
    let say = Say::Interrupt { key: "i1".to_owned() };
    assert_eq!(runner(&host).say(&label(), &say).await.unwrap(), Said::Now);
    assert_eq!(runner(&host).say(&label(), &say).await.unwrap(), Said::Before);
    runner(&host).stop(&label(), Grace::QUICK).await.unwrap();
    assert!(!runner(&host).alive(&label()).await.unwrap());
}
