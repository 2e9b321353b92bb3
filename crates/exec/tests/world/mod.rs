//! What every test of runs needs: a host with a work folder of its own, and questions to the machine.
#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot look has failed")]

use orcha_exec::{
    ExitStatus, Grace, Host, InputLine, Isolation, LocalHost, LocalSettings, RunLabel, RunSpec, RunState, Seen, Stream,
};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Long enough for a busy machine; a test that waits this long has failed.
pub const LIMIT: Duration = Duration::from_secs(20);

pub struct World {
    pub root: TempDir,
    pub settings: LocalSettings,
    pub host: LocalHost,
}

/// One world for each way in which this machine can keep descendants together.
pub fn worlds() -> Vec<World> {
    let mut worlds = vec![World::new(Isolation::Subreaper).unwrap()];
    match World::new(Isolation::Cgroup) {
        Some(world) => worlds.push(world),
        None => eprintln!("SKIPPED: this machine lets us make no cgroups; tried with the subreaper only"),
    }
    worlds
}

impl World {
    pub fn new(isolation: Isolation) -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let settings = settings(root.path(), isolation)?;
        let host = LocalHost::new(settings.clone()).unwrap();
        Some(Self { root, settings, host })
    }

    pub fn plain() -> Self {
        Self::new(Isolation::Subreaper).unwrap()
    }

    /// The host as a restarted daemon has it: nothing remembered.
    pub fn restarted(&self) -> LocalHost {
        LocalHost::new(self.settings.clone()).unwrap()
    }

    pub fn dir(&self, label: &RunLabel) -> PathBuf {
        run_dir(self.root.path(), label)
    }

    pub fn script(&self, label: &str, script: &str) -> RunSpec {
        script_in(self.root.path(), label, script)
    }

    pub fn mark(&self, label: &RunLabel) -> String {
        mark(&self.dir(label))
    }
}

/// A failed test leaves nothing running either.
impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let runs = std::fs::read_dir(self.root.path().join(".orcha/runs")).into_iter().flatten();
        for dir in runs.filter_map(|entry| Some(entry.ok()?.path())) {
            let keeper = format!("orcha-keeper\0{}\0", dir.display());
            let is_keeper = |pid: &i32| {
                std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(keeper.as_bytes()))
            };
            let marked = if dir.join("spec.json").exists() { marked(&mark(&dir)) } else { Vec::new() };
            // The keeper first: it would write down an end that was none.
            for pid in pids().filter(is_keeper).chain(marked).filter(|pid| alive(*pid)) {
                eprintln!("left over from the failed test, killed: {pid}");
                kill(pid);
            }
        }
    }
}

pub fn settings(root: &Path, isolation: Isolation) -> Option<LocalSettings> {
    let keeper = vec![env!("CARGO_BIN_EXE_orcha-keeper").to_owned()];
    let mut settings = LocalSettings::detect(root, keeper);
    match isolation {
        Isolation::Cgroup => settings.cgroup_parent.is_some().then_some(settings),
        Isolation::Subreaper => {
            settings.cgroup_parent = None;
            Some(settings)
        }
    }
}

pub fn run_dir(root: &Path, label: &RunLabel) -> PathBuf {
    root.join(".orcha/runs").join(label.as_str())
}

pub fn script_in(root: &Path, label: &str, script: &str) -> RunSpec {
    RunSpec {
        label: RunLabel::new(label).unwrap(),
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        dir: root.to_owned(),
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        files: Vec::new(),
        input: Vec::new(),
        line_cap: 16 << 20,
        backlog_cap: 64 << 20,
        sandbox: orcha_exec::Sandbox::default(),
    }
}

pub fn line(key: &str, text: &str) -> InputLine {
    InputLine { key: key.into(), text: text.into() }
}

pub fn grace(close: u64, term: u64) -> Grace {
    Grace { after_close: Duration::from_millis(close), after_term: Duration::from_millis(term) }
}

/// Fails the test instead of hanging it.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("not within the limit")
}

pub async fn all(host: &LocalHost, label: &RunLabel, stream: Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let chunk = host.read(label, stream, bytes.len() as u64, 64 << 10).await.unwrap();
        if chunk.bytes.is_empty() {
            return bytes;
        }
        bytes.extend(chunk.bytes);
    }
}

pub async fn text(host: &LocalHost, label: &RunLabel) -> String {
    String::from_utf8(all(host, label, Stream::Output).await).unwrap()
}

/// Waits until standard output holds `needle`, and returns it all.
pub async fn output_with(host: &LocalHost, label: &RunLabel, needle: &str) -> String {
    soon(async {
        loop {
            let text = text(host, label).await;
            if text.contains(needle) {
                return text;
            }
            let over = !matches!(host.look(label).await.unwrap(), RunState::Running(_));
            assert!(!over, "over without {needle:?}: {text:?}");
            host.changed(label, Seen { output: text.len() as u64, error: u64::MAX }).await.unwrap();
        }
    })
    .await
}

/// Waits until the run is over.
pub async fn over(host: &LocalHost, label: &RunLabel) -> RunState {
    soon(async {
        loop {
            let state = host.look(label).await.unwrap();
            if !matches!(state, RunState::Running(_)) {
                return state;
            }
            host.changed(label, Seen { output: u64::MAX, error: u64::MAX }).await.unwrap();
        }
    })
    .await
}

pub async fn exit(host: &LocalHost, label: &RunLabel) -> ExitStatus {
    match over(host, label).await {
        RunState::Ended(status) => status,
        other => panic!("{label} is {other:?}"),
    }
}

pub fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub fn mark(dir: &Path) -> String {
    json(&dir.join("spec.json"))["mark"].as_str().unwrap().to_owned()
}

/// The live processes that carry the mark of a run.
pub fn marked(mark: &str) -> Vec<i32> {
    let entry = format!("ORCHA_RUN={mark}");
    let carries = |pid: &i32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|it| it == entry.as_bytes()) && alive(*pid)
    };
    pids().filter(carries).collect()
}

pub fn pids() -> impl Iterator<Item = i32> {
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Tells whether a process is there and no zombie.
pub fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !matches!(stat.rsplit(") ").next().unwrap().chars().next(), Some('Z' | 'X')))
}

pub fn keeper_pid(dir: &Path) -> i32 {
    json(&dir.join("process"))["keeper"]["pid"].as_i64().unwrap().try_into().unwrap()
}

pub fn kill(pid: i32) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
}

/// Waits for something that no notice tells of.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + LIMIT;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The children of this process that are zombies.
pub fn zombies() -> usize {
    let me = std::process::id().to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path().join("stat")).ok())
        .filter(|stat| {
            let mut fields = stat.rsplit(") ").next().unwrap().split(' ');
            fields.next() == Some("Z") && fields.next() == Some(&me)
        })
        .count()
}
