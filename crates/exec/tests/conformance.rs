//! What every host promises, checked over the real one and the fake alike.
//!
//! The process of each run repeats its input lines on standard output until it is stopped.

#![allow(clippy::unwrap_used, reason = "a test that cannot look has failed")]

mod world;

use orcha_exec::fake::FakeHost;
use orcha_exec::{Host, RunError, RunLabel, RunReport, RunSpec, RunState, Seen, Sent, Stream};
use std::sync::Arc;
use world::{World, grace, line, soon};

struct Rig {
    host: Arc<dyn Host>,
    spec: RunSpec,
    _world: World,
}

fn rigs() -> Vec<Rig> {
    let echo = "while read -r x; do printf '%s\\n' \"$x\"; done; exec sleep 1000";
    let fake = FakeHost::new("/work");
    fake.on_line(|host, label, line| host.say(label, &line.text));
    let local = World::plain();
    let idle = World::plain();
    vec![
        Rig { host: Arc::new(local.host.clone()), spec: local.script("a-1", echo), _world: local },
        Rig { host: Arc::new(fake), spec: idle.script("a-1", echo), _world: idle },
    ]
}

impl Rig {
    fn label(&self) -> &RunLabel {
        &self.spec.label
    }

    /// Reads standard output until it is `expected`.
    async fn says(&self, expected: &str) {
        soon(async {
            let mut said = Vec::new();
            while said.len() < expected.len() {
                let seen = Seen { output: said.len() as u64, error: 0 };
                self.host.changed(self.label(), seen).await.unwrap();
                // In small bites, so that offsets matter.
                let chunk = self.host.read(self.label(), Stream::Output, said.len() as u64, 3).await.unwrap();
                assert_eq!(chunk.from, said.len() as u64);
                said.extend(chunk.bytes);
            }
            assert_eq!(String::from_utf8(said).unwrap(), expected);
        })
        .await;
    }
}

#[tokio::test]
async fn the_same_label_is_started_once() {
    for mut rig in rigs() {
        rig.spec.input = vec![line("1", "one")];
        let first = rig.host.start(&rig.spec).await.unwrap();
        let second = rig.host.start(&rig.spec).await.unwrap();
        assert_eq!((first.fresh, second.fresh, first.pid), (true, false, second.pid));
        rig.says("one\n").await;
        let report = RunReport { label: rig.label().clone(), state: RunState::Running(second) };
        assert_eq!(rig.host.runs().await.unwrap(), [report]);
        rig.host.stop(rig.label(), grace(0, 0)).await.unwrap();
        assert!(!rig.host.start(&rig.spec).await.unwrap().fresh);
    }
}

#[tokio::test]
async fn a_key_is_sent_once() {
    for rig in rigs() {
        rig.host.start(&rig.spec).await.unwrap();
        let send = async |lines: &[_]| rig.host.send(rig.label(), lines).await.unwrap();
        assert_eq!(send(&[line("1", "one"), line("2", "two"), line("1", "again")]).await, Sent::Appended);
        assert_eq!(send(&[line("2", "two")]).await, Sent::AlreadyThere);
        assert_eq!(send(&[line("2", "two"), line("3", "three")]).await, Sent::Appended);
        assert_eq!(send(&[]).await, Sent::AlreadyThere);
        rig.says("one\ntwo\nthree\n").await;
        let refused = rig.host.send(rig.label(), &[line("4", "four\n")]).await;
        assert!(matches!(refused, Err(RunError::Refused { .. })));
        rig.host.close_input(rig.label()).await.unwrap();
        rig.host.close_input(rig.label()).await.unwrap();
        let late = rig.host.send(rig.label(), &[line("5", "five")]).await;
        assert!(matches!(late, Err(RunError::Over { .. })));
        assert_eq!(send(&[line("3", "three")]).await, Sent::AlreadyThere);
        rig.host.stop(rig.label(), grace(0, 0)).await.unwrap();
    }
}

#[tokio::test]
async fn a_stopped_run_is_over_for_good() {
    for rig in rigs() {
        rig.host.start(&rig.spec).await.unwrap();
        assert!(matches!(rig.host.forget(rig.label()).await, Err(RunError::Alive { .. })));
        let stopped = soon(rig.host.stop(rig.label(), grace(0, 5000))).await.unwrap();
        assert_eq!(rig.host.look(rig.label()).await.unwrap(), RunState::Ended(stopped.exit.unwrap()));
        assert_eq!(rig.host.stop(rig.label(), grace(0, 0)).await.unwrap().exit, stopped.exit);
        soon(rig.host.changed(rig.label(), Seen::default())).await.unwrap();
        assert!(matches!(rig.host.send(rig.label(), &[line("1", "x")]).await, Err(RunError::Over { .. })));
        rig.host.close_input(rig.label()).await.unwrap();
        rig.host.forget(rig.label()).await.unwrap();
        rig.host.forget(rig.label()).await.unwrap();
        assert_eq!(rig.host.look(rig.label()).await.unwrap(), RunState::Absent);
    }
}

#[tokio::test]
async fn nobody_is_absent_to_every_question() {
    for rig in rigs() {
        let (host, label) = (&rig.host, rig.label());
        assert_eq!(host.look(label).await.unwrap(), RunState::Absent);
        assert!(host.runs().await.unwrap().is_empty());
        assert!(matches!(host.read(label, Stream::Output, 0, 1).await, Err(RunError::Absent { .. })));
        assert!(matches!(host.changed(label, Seen::default()).await, Err(RunError::Absent { .. })));
        assert!(matches!(host.send(label, &[line("1", "x")]).await, Err(RunError::Absent { .. })));
        assert!(matches!(host.consumed(label, 1).await, Err(RunError::Absent { .. })));
        assert!(matches!(host.close_input(label).await, Err(RunError::Absent { .. })));
        assert_eq!(host.stop(label, grace(0, 0)).await.unwrap().exit, None);
        host.forget(label).await.unwrap();
    }
}
