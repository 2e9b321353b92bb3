//! The planned faults of the fake: a caller that repeats ends with exactly one of everything.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may its helpers")]

mod common;

use common::{FakeStage, Stage, branch, merge, open, post};
use orcha_base::Retry;
use orcha_forge::fake::{Fault, Op};
use orcha_forge::{Filter, Method, PrStatus};

#[tokio::test]
async fn a_repeated_call_after_any_fault_happens_once() {
    for fault in [Fault::Before, Fault::After, Fault::TimeOutAfter] {
        let stage = FakeStage::new().await;
        let (forge, repo) = (stage.forge(), stage.repo());
        let head = stage.commit("feature", "a.txt", "a").await;
        for op in [Op::Open, Op::Comment, Op::Merge] {
            stage.forge.fail(op, fault);
        }
        let lost = forge.open(&repo, &open("feature")).await.unwrap_err();
        assert_eq!(lost.retry(), Retry::Later);
        let pr = forge.open(&repo, &open("feature")).await.unwrap();
        assert_eq!(pr.fresh, fault == Fault::Before);
        let number = pr.pr.number;
        forge.comment(&repo, number, &post("once")).await.unwrap_err();
        forge.comment(&repo, number, &post("once")).await.unwrap();
        forge.merge(&repo, number, &merge(Method::Squash, &head)).await.unwrap_err();
        let merged = forge.merge(&repo, number, &merge(Method::Squash, &head)).await.unwrap();
        assert_eq!((merged.fresh, stage.tip("main").await), (fault == Fault::Before, Some(merged.sha)));
        assert_eq!(forge.comments(&repo, number, None).await.unwrap().comments.len(), 1);
        assert_eq!(forge.state(&repo, number).await.unwrap().pr.status, PrStatus::Merged);
        assert_eq!(stage.forge.calls().iter().filter(|call| call.op == Op::Open).count(), 2);
    }
}

#[tokio::test]
async fn an_unknown_commit_can_be_pushed() {
    let stage = FakeStage::new().await;
    let (forge, repo) = (stage.forge(), stage.repo());
    let foreign: orcha_base::Sha = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    stage.forge.push(&repo, &branch("feature"), &foreign);
    let pr = forge.open(&repo, &open("feature")).await.unwrap().pr;
    assert_eq!((&pr.head_sha, pr.status), (&foreign, PrStatus::Open));
    assert_eq!(forge.list(&repo, &Filter::default()).await.unwrap(), [pr]);
}
