//! What every implementation of `Checkouts` promises: each case runs over real git and over the fake.

use super::{FakeScene, RealScene, Scene, branch, continuing, fresh, label, push_of, somebody};
use crate::{Exact, Expected, Prepare, PushSource, Reclaim, RestoreInto, Start, WorkspaceError};
use orcha_base::Sha;

macro_rules! suite {
    ($($case:ident)*) => {
        mod real {
            use super::*;
            $(#[tokio::test] async fn $case() { super::$case(&RealScene::new().await).await; })*
        }
        mod fake {
            use super::*;
            $(#[tokio::test] async fn $case() { super::$case(&FakeScene::new().await).await; })*
        }
    };
}

suite! {
    a_fresh_checkout_starts_at_the_default_branch_as_it_is_now
    preparing_twice_is_once
    a_base_that_is_missing_is_named_with_what_exists
    a_name_is_not_taken_twice
    a_successor_continues_where_its_predecessor_ended
    several_predecessors_are_merged
    a_conflict_stops_the_merge_and_is_reported
    work_on_a_pull_request_starts_at_its_branch
    an_unknown_predecessor_is_refused
    status_counts_what_is_not_committed
    an_unchanged_checkout_has_one_snapshot
    leftovers_are_committed_once
    a_push_moves_the_branch_and_twice_is_once
    a_push_to_a_branch_that_moved_is_refused
    a_push_that_drops_commits_needs_force
    a_diff_holds_committed_and_other_changes
    a_long_patch_is_cut
    a_snapshot_comes_back_into_its_workspace
    reclaimed_work_comes_back_whole
    reclaiming_what_is_gone_is_done
    what_is_absent_is_said_to_be_absent
    an_exact_checkout_holds_its_commit_and_nothing_else
    an_exact_checkout_is_made_once_and_two_do_not_meet
    an_exact_checkout_of_a_snapshot_holds_what_was_not_committed
    an_exact_checkout_of_an_unknown_commit_is_refused
}

async fn a_fresh_checkout_starts_at_the_default_branch_as_it_is_now(it: &dyn Scene) {
    it.checkouts().prepare(&fresh(&it.repo(), "one")).await.unwrap();
    let newer = it.origin_commit("trunk", "news", "yes\n").await;
    let ready = it.checkouts().prepare(&fresh(&it.repo(), "two")).await.unwrap();
    assert_eq!((&ready.base_sha, &ready.head_sha, ready.base_branch), (&newer, &newer, branch("trunk")));
    assert_eq!(ready.conflict, None);
    assert_eq!(it.read("two", "news").await.unwrap(), "yes\n");
    assert_eq!(it.read("one", "news").await, None);
}

async fn preparing_twice_is_once(it: &dyn Scene) {
    let prepare = fresh(&it.repo(), "one");
    let first = it.checkouts().prepare(&prepare).await.unwrap();
    it.write("one", "readme", Some("mine\n")).await;
    it.origin_commit("trunk", "news", "yes\n").await;
    assert_eq!(it.checkouts().prepare(&prepare).await.unwrap(), first);
    assert_eq!(it.read("one", "readme").await.unwrap(), "mine\n");
}

async fn a_base_that_is_missing_is_named_with_what_exists(it: &dyn Scene) {
    it.origin_commit("other", "x", "x\n").await;
    let prepare = Prepare { base: Some(branch("nowhere")), ..fresh(&it.repo(), "one") };
    match it.checkouts().prepare(&prepare).await.unwrap_err() {
        WorkspaceError::MissingBase { wanted, exist, .. } => {
            assert_eq!((wanted.as_str(), exist), ("nowhere", vec!["other".to_owned(), "trunk".to_owned()]));
        }
        other => panic!("{other}"),
    }
    let prepare = Prepare { base: Some(branch("other")), ..fresh(&it.repo(), "one") };
    assert_eq!(it.checkouts().prepare(&prepare).await.unwrap().base_branch, branch("other"));
}

async fn a_name_is_not_taken_twice(it: &dyn Scene) {
    it.checkouts().prepare(&fresh(&it.repo(), "one")).await.unwrap();
    let other = Prepare { branch: branch("something"), ..fresh(&it.repo(), "one") };
    let error = it.checkouts().prepare(&other).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Taken { .. }), "{error}");
}

async fn work(it: &dyn Scene, name: &str, path: &str, text: &str) -> Sha {
    it.checkouts().prepare(&fresh(&it.repo(), name)).await.unwrap();
    it.write(name, path, Some(text)).await;
    let head = it.commit(name).await;
    it.checkouts().snapshot(&label(name), "the session ended").await.unwrap();
    head
}

async fn a_successor_continues_where_its_predecessor_ended(it: &dyn Scene) {
    let head = work(it, "one", "one", "1\n").await;
    it.checkouts().reclaim(&label("one")).await.unwrap();
    let ready = it.checkouts().prepare(&continuing(&it.repo(), "two", &[("one", &head)])).await.unwrap();
    assert_eq!((ready.head_sha, ready.conflict), (head, None));
    assert_eq!(it.read("two", "one").await.unwrap(), "1\n");
    assert_eq!(it.checkouts().status(&label("two")).await.unwrap().ahead, 1);
}

async fn several_predecessors_are_merged(it: &dyn Scene) {
    let one = work(it, "one", "one", "1\n").await;
    let two = work(it, "two", "two", "2\n").await;
    let three = work(it, "three", "three", "3\n").await;
    let after = continuing(&it.repo(), "four", &[("one", &one), ("two", &two), ("three", &three), ("one", &one)]);
    let ready = it.checkouts().prepare(&after).await.unwrap();
    assert_eq!(ready.conflict, None);
    for (path, text) in [("one", "1\n"), ("two", "2\n"), ("three", "3\n"), ("readme", "hello\n")] {
        assert_eq!(it.read("four", path).await.unwrap(), text);
    }
    let status = it.checkouts().status(&label("four")).await.unwrap();
    assert_eq!((status.ahead, status.dirty(), status.branch), (5, false, Some(branch("orcha/four"))));
}

async fn a_conflict_stops_the_merge_and_is_reported(it: &dyn Scene) {
    let one = work(it, "one", "readme", "one says\n").await;
    let two = work(it, "two", "readme", "two says\n").await;
    let three = work(it, "three", "three", "3\n").await;
    let after = continuing(&it.repo(), "four", &[("one", &one), ("two", &two), ("three", &three)]);
    let ready = it.checkouts().prepare(&after).await.unwrap();
    let conflict = ready.conflict.unwrap();
    assert_eq!((conflict.with.head, conflict.files), (two, vec!["readme".to_owned()]));
    assert_eq!(conflict.name, "predecessor/two");
    assert_eq!(conflict.left.iter().map(|it| &it.head).collect::<Vec<_>>(), [&three]);
    assert_eq!(ready.head_sha, one);
    assert_eq!(it.read("four", "readme").await.unwrap(), "one says\n");
}

async fn work_on_a_pull_request_starts_at_its_branch(it: &dyn Scene) {
    let head = it.origin_commit("feature", "x", "x\n").await;
    let prepare = Prepare { branch: branch("feature"), start: Start::PrBranch, ..fresh(&it.repo(), "one") };
    let ready = it.checkouts().prepare(&prepare).await.unwrap();
    assert_eq!((ready.head_sha, ready.base_branch), (head, branch("trunk")));
    let gone = Prepare { branch: branch("gone"), start: Start::PrBranch, ..fresh(&it.repo(), "two") };
    assert!(matches!(it.checkouts().prepare(&gone).await, Err(WorkspaceError::MissingBase { .. })));
}

async fn an_unknown_predecessor_is_refused(it: &dyn Scene) {
    let nobody: Sha = "0123456789012345678901234567890123456789".parse().unwrap();
    let error = it.checkouts().prepare(&continuing(&it.repo(), "two", &[("one", &nobody)])).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::MissingPredecessor { .. }), "{error}");
}

async fn status_counts_what_is_not_committed(it: &dyn Scene) {
    it.checkouts().prepare(&fresh(&it.repo(), "one")).await.unwrap();
    let status = it.checkouts().status(&label("one")).await.unwrap();
    assert_eq!((status.ahead, status.changed, status.untracked, status.unfinished), (0, 0, 0, None));
    it.write("one", "readme", Some("changed\n")).await;
    it.write("one", "src/lib", None).await;
    it.write("one", "deep/down/new", Some("new\n")).await;
    let status = it.checkouts().status(&label("one")).await.unwrap();
    assert_eq!((status.ahead, status.changed, status.untracked), (0, 2, 1));
    let head = it.commit("one").await;
    let status = it.checkouts().status(&label("one")).await.unwrap();
    assert_eq!((status.head, status.ahead, status.changed, status.untracked), (head, 1, 0, 0));
}

async fn an_unchanged_checkout_has_one_snapshot(it: &dyn Scene) {
    let one = label("one");
    it.checkouts().prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "new", Some("1\n")).await;
    let first = it.checkouts().snapshot(&one, "before something").await.unwrap();
    assert_eq!(it.checkouts().snapshot(&one, "again").await.unwrap(), first);
    it.write("one", "new", Some("2\n")).await;
    let second = it.checkouts().snapshot(&one, "again").await.unwrap();
    assert_eq!((first.number, second.number, second.why.as_str()), (1, 2, "again"));
    assert_eq!(it.checkouts().snapshots(&one).await.unwrap(), [first, second]);
    assert!(it.checkouts().snapshots(&label("nobody")).await.unwrap().is_empty());
}

async fn leftovers_are_committed_once(it: &dyn Scene) {
    let one = label("one");
    it.checkouts().prepare(&fresh(&it.repo(), "one")).await.unwrap();
    let untouched = it.checkouts().commit_leftovers(&one, "left", &somebody()).await.unwrap();
    assert!(!untouched.committed);
    it.write("one", "new", Some("1\n")).await;
    it.write("one", "readme", None).await;
    let done = it.checkouts().commit_leftovers(&one, "left", &somebody()).await.unwrap();
    assert!(done.committed && done.head != untouched.head);
    let status = it.checkouts().status(&one).await.unwrap();
    assert_eq!((&status.head, status.ahead, status.dirty()), (&done.head, 1, false));
    let again = it.checkouts().commit_leftovers(&one, "left", &somebody()).await.unwrap();
    assert_eq!((again.head, again.committed), (done.head, false));
}

async fn a_push_moves_the_branch_and_twice_is_once(it: &dyn Scene) {
    let head = work(it, "one", "one", "1\n").await;
    let push = push_of(&it.repo(), PushSource::Workspace(label("one")), "orcha/one", Expected::New);
    let pushed = it.checkouts().push(&push).await.unwrap();
    assert_eq!((&pushed.sha, pushed.already), (&head, false));
    assert_eq!(it.origin_at("orcha/one").await.as_ref(), Some(&head));
    assert!(it.checkouts().push(&push).await.unwrap().already);
    it.write("one", "one", Some("2\n")).await;
    let newer = it.commit("one").await;
    let push = push_of(&it.repo(), PushSource::Workspace(label("one")), "orcha/one", Expected::At(head));
    assert_eq!(it.checkouts().push(&push).await.unwrap().sha, newer);
    assert_eq!(it.origin_at("orcha/one").await, Some(newer));
}

async fn a_push_to_a_branch_that_moved_is_refused(it: &dyn Scene) {
    let head = work(it, "one", "one", "1\n").await;
    let theirs = it.origin_commit("orcha/one", "x", "x\n").await;
    for expected in [Expected::New, Expected::At(head.clone())] {
        let mut push = push_of(&it.repo(), PushSource::Commit(head.clone()), "orcha/one", expected);
        push.force = true;
        match it.checkouts().push(&push).await.unwrap_err() {
            WorkspaceError::RemoteMoved { actual, .. } => assert_eq!(actual.as_ref(), Some(&theirs)),
            other => panic!("{other}"),
        }
    }
    let gone = push_of(&it.repo(), PushSource::Commit(head.clone()), "gone", Expected::At(head));
    assert!(matches!(it.checkouts().push(&gone).await, Err(WorkspaceError::RemoteMoved { actual: None, .. })));
    assert_eq!(it.origin_at("orcha/one").await, Some(theirs));
}

async fn a_push_that_drops_commits_needs_force(it: &dyn Scene) {
    let head = work(it, "one", "one", "1\n").await;
    let theirs = it.origin_commit("feature", "x", "x\n").await;
    let mut push = push_of(&it.repo(), PushSource::Commit(head.clone()), "feature", Expected::At(theirs.clone()));
    assert!(matches!(it.checkouts().push(&push).await, Err(WorkspaceError::NotFastForward { .. })));
    assert_eq!(it.origin_at("feature").await, Some(theirs));
    push.force = true;
    it.checkouts().push(&push).await.unwrap();
    assert_eq!(it.origin_at("feature").await, Some(head));
}

async fn a_diff_holds_committed_and_other_changes(it: &dyn Scene) {
    let one = label("one");
    it.checkouts().prepare(&fresh(&it.repo(), "one")).await.unwrap();
    assert!(it.checkouts().diff(&one, None, 10_000).await.unwrap().is_empty());
    it.write("one", "committed", Some("1\n")).await;
    it.commit("one").await;
    it.write("one", "untracked", Some("2\n")).await;
    it.origin_commit("trunk", "theirs", "not mine\n").await;
    let diff = it.checkouts().diff(&one, None, 10_000).await.unwrap();
    let paths: Vec<&str> = diff.files.iter().map(|it| it.path.as_str()).collect();
    assert_eq!((paths, diff.commits, diff.truncated), (vec!["committed", "untracked"], 1, false));
    assert!(diff.patch.contains("untracked"));
}

async fn a_long_patch_is_cut(it: &dyn Scene) {
    it.checkouts().prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "long", Some(&"a line\n".repeat(1000))).await;
    let diff = it.checkouts().diff(&label("one"), None, 500).await.unwrap();
    assert!(diff.truncated && diff.patch.len() <= 500 && diff.patch.ends_with('\n'), "{diff:?}");
    assert_eq!(diff.files[0].lines, Some((1000, 0)));
}

async fn a_snapshot_comes_back_into_its_workspace(it: &dyn Scene) {
    let one = label("one");
    let ready = it.checkouts().prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "readme", Some("uncommitted\n")).await;
    it.write("one", "new", Some("untracked\n")).await;
    let first = it.checkouts().snapshot(&one, "first").await.unwrap();
    it.write("one", "new", None).await;
    it.write("one", "later", Some("later\n")).await;
    it.commit("one").await;
    let restored = it.checkouts().restore(&one, first.number, &RestoreInto::Workspace).await.unwrap();
    assert_eq!(restored.head, ready.head_sha);
    assert_eq!(it.read("one", "readme").await.unwrap(), "uncommitted\n");
    assert_eq!(it.read("one", "new").await.unwrap(), "untracked\n");
    assert_eq!(it.read("one", "later").await, None);
    let status = it.checkouts().status(&one).await.unwrap();
    assert_eq!((status.head, status.changed, status.untracked), (ready.head_sha, 1, 1));
    let back = restored.before.unwrap();
    it.checkouts().restore(&one, back.number, &RestoreInto::Workspace).await.unwrap();
    assert_eq!(it.read("one", "later").await.unwrap(), "later\n");
    assert_eq!(it.checkouts().status(&one).await.unwrap().ahead, 1);
    let error = it.checkouts().restore(&one, 99, &RestoreInto::Workspace).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::MissingSnapshot { number: 99, .. }), "{error}");
}

async fn reclaimed_work_comes_back_whole(it: &dyn Scene) {
    let one = label("one");
    it.checkouts().prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "committed", Some("1\n")).await;
    let head = it.commit("one").await;
    it.write("one", "untracked", Some("2\n")).await;
    let Reclaim::Reclaimed(Some(last)) = it.checkouts().reclaim(&one).await.unwrap() else { panic!("kept") };
    assert!(matches!(it.checkouts().status(&one).await, Err(WorkspaceError::Absent { .. })));
    let listed = it.checkouts().list().await.unwrap();
    assert_eq!((listed.len(), listed[0].present, &listed[0].workspace), (1, false, &one));
    it.checkouts().restore(&one, last.number, &RestoreInto::Workspace).await.unwrap();
    assert_eq!(it.read("one", "committed").await.unwrap(), "1\n");
    assert_eq!(it.read("one", "untracked").await.unwrap(), "2\n");
    let status = it.checkouts().status(&one).await.unwrap();
    assert_eq!((status.head, status.ahead, status.untracked), (head, 1, 1));
    assert!(it.checkouts().list().await.unwrap()[0].present);
    assert!(it.checkouts().disk(&one).await.unwrap() > 0);
}

async fn reclaiming_what_is_gone_is_done(it: &dyn Scene) {
    assert_eq!(it.checkouts().reclaim(&label("one")).await.unwrap(), Reclaim::Reclaimed(None));
    it.checkouts().prepare(&fresh(&it.repo(), "one")).await.unwrap();
    assert!(matches!(it.checkouts().reclaim(&label("one")).await.unwrap(), Reclaim::Reclaimed(Some(_))));
    assert_eq!(it.checkouts().reclaim(&label("one")).await.unwrap(), Reclaim::Reclaimed(None));
}

async fn what_is_absent_is_said_to_be_absent(it: &dyn Scene) {
    let one = label("one");
    let absent = |error: WorkspaceError| assert!(matches!(error, WorkspaceError::Absent { .. }), "{error}");
    absent(it.checkouts().status(&one).await.unwrap_err());
    absent(it.checkouts().snapshot(&one, "x").await.unwrap_err());
    absent(it.checkouts().diff(&one, None, 1).await.unwrap_err());
    absent(it.checkouts().disk(&one).await.unwrap_err());
    absent(it.checkouts().commit_leftovers(&one, "x", &somebody()).await.unwrap_err());
    let push = push_of(&it.repo(), PushSource::Workspace(one), "x", Expected::New);
    absent(it.checkouts().push(&push).await.unwrap_err());
}

fn exact(it: &dyn Scene, key: &str, commit: &Sha) -> Exact {
    Exact { key: label(key), repo: it.repo(), from: Some(label("one")), commit: commit.clone() }
}

async fn an_exact_checkout_holds_its_commit_and_nothing_else(it: &dyn Scene) {
    it.checkouts().prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "readme", Some("committed\n")).await;
    let commit = it.commit("one").await;
    it.write("one", "readme", Some("not committed\n")).await;
    it.write("one", "junk", Some("junk\n")).await;
    let ready = it.checkouts().exact(&exact(it, "e1", &commit)).await.unwrap();
    assert_eq!((&ready.commit, ready.fresh), (&commit, true));
    assert_eq!(it.checkouts().list_exact().await.unwrap(), [label("e1")]);
    assert_eq!(it.read_exact("e1", "readme").await.as_deref(), Some("committed\n"));
    assert_eq!(it.read_exact("e1", "src/lib").await.as_deref(), Some("one\ntwo\nthree\n"));
    assert_eq!(it.read_exact("e1", "junk").await, None);
    assert_eq!(it.read("one", "junk").await.as_deref(), Some("junk\n"));
    it.checkouts().discard_exact(&label("e1")).await.unwrap();
    assert_eq!(it.read_exact("e1", "readme").await, None);
    it.checkouts().discard_exact(&label("e1")).await.unwrap();
    assert_eq!(it.checkouts().list_exact().await.unwrap(), []);
}

async fn an_exact_checkout_is_made_once_and_two_do_not_meet(it: &dyn Scene) {
    let ready = it.checkouts().prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "readme", Some("mine\n")).await;
    let commit = it.commit("one").await;
    let (now, before) = (exact(it, "now", &commit), exact(it, "before", &ready.base_sha));
    let (a, b, c) = tokio::join!(it.checkouts().exact(&now), it.checkouts().exact(&before), it.checkouts().exact(&now));
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    assert_eq!((&a.dir, a.fresh != c.fresh), (&c.dir, true));
    assert_ne!(a.dir, b.dir);
    assert_eq!(it.read_exact("now", "readme").await.as_deref(), Some("mine\n"));
    assert_eq!(it.read_exact("before", "readme").await.as_deref(), Some("hello\n"));
    let other = it.checkouts().exact(&exact(it, "now", &ready.base_sha)).await.unwrap_err();
    assert!(matches!(&other, WorkspaceError::ExactTaken { commit: at, .. } if *at == commit), "{other}");
    it.checkouts().discard_exact(&label("now")).await.unwrap();
    it.checkouts().exact(&exact(it, "now", &ready.base_sha)).await.unwrap();
    assert_eq!(it.read_exact("now", "readme").await.as_deref(), Some("hello\n"));
}

async fn an_exact_checkout_of_a_snapshot_holds_what_was_not_committed(it: &dyn Scene) {
    it.checkouts().prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "new", Some("not committed\n")).await;
    let snapshot = it.checkouts().snapshot(&label("one"), "look").await.unwrap();
    it.checkouts().exact(&Exact { from: None, ..exact(it, "e", &snapshot.sha) }).await.unwrap();
    assert_eq!(it.read_exact("e", "new").await.as_deref(), Some("not committed\n"));
}

async fn an_exact_checkout_of_an_unknown_commit_is_refused(it: &dyn Scene) {
    let unknown: Sha = "0123456789012345678901234567890123456789".parse().unwrap();
    let error = it.checkouts().exact(&exact(it, "e", &unknown)).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::MissingCommit { .. }), "{error}");
    assert_eq!(it.read_exact("e", "readme").await, None);
}
