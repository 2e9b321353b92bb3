//! Promise 1: work is never lost. What an agent can do to its checkout so that a careless look would miss
//! commits or files, and what of it a reclaim must keep.

use super::{RealScene, Scene, TestHost, fresh, git, label, push_of, somebody, try_git};
use crate::{Checkouts, Expected, Kept, Operation, PushSource, Reclaim, RestoreInto, WorkspaceError, Workspaces};
use orcha_base::Sha;
use orcha_exec::git::{Git, GitSettings};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

async fn prepared() -> RealScene {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it
}

async fn commit(it: &RealScene, text: &str) -> Sha {
    it.write("one", "new", Some(text)).await;
    it.commit("one").await
}

/// Reclaims the checkout, and checks that its last snapshot holds these commits.
async fn reclaim_holds(it: &RealScene, commits: &[&Sha]) {
    let done = it.workspaces.reclaim(&label("one")).await.unwrap();
    let Reclaim::Reclaimed(Some(last)) = done else { panic!("{done:?}") };
    for commit in commits {
        assert_eq!(it.mirror(&["merge-base", commit.as_str(), last.sha.as_str()]), commit.as_str());
    }
    assert_eq!(it.mirror(&["for-each-ref", "refs/orcha/ws/one"]), "");
    assert_eq!(it.mirror(&["fsck", "--connectivity-only", "--no-dangling"]), "");
    assert!(!it.dir("one").exists());
}

#[tokio::test]
async fn commits_that_only_a_reflog_knows_are_in_the_last_snapshot() {
    let it = prepared().await;
    let dropped = commit(&it, "dropped\n").await;
    it.agent("one", &["reset", "-q", "--hard", "HEAD~1"]);
    let before = commit(&it, "before\n").await;
    it.agent("one", &["commit", "-q", "--amend", "-m", "amended"]);
    it.agent("one", &["checkout", "-q", "--detach"]);
    let detached = commit(&it, "detached\n").await;
    it.agent("one", &["checkout", "-q", "-b", "side"]);
    let side = commit(&it, "side\n").await;
    it.agent("one", &["checkout", "-q", "orcha/one"]);
    it.agent("one", &["branch", "-q", "-D", "side"]);
    reclaim_holds(&it, &[&dropped, &before, &detached, &side]).await;
}

#[tokio::test]
async fn every_stash_and_every_other_ref_is_in_the_last_snapshot() {
    let it = prepared().await;
    let mut stashes = Vec::new();
    for n in 0..3 {
        it.write("one", "readme", Some(&format!("{n}\n"))).await;
        it.agent("one", &["stash"]);
        stashes.push(it.agent("one", &["rev-parse", "refs/stash"]).parse::<Sha>().unwrap());
    }
    it.agent("one", &["notes", "add", "-m", "a thought"]);
    let note: Sha = it.agent("one", &["rev-parse", "refs/notes/commits"]).parse().unwrap();
    let tagged = commit(&it, "tagged\n").await;
    it.agent("one", &["tag", "mine"]);
    it.agent("one", &["reset", "-q", "--hard", "HEAD~1"]);
    it.agent("one", &["reflog", "expire", "--expire=now", "refs/heads/orcha/one", "HEAD"]);
    reclaim_holds(&it, &[&stashes[0], &stashes[1], &stashes[2], &note, &tagged]).await;
}

#[tokio::test]
async fn what_another_remote_of_the_checkout_has_is_left_there() {
    let it = prepared().await;
    let other = it.root().join("other");
    git(&it.root(), &it.root(), &["init", "-q", "-b", "far", other.to_str().unwrap()]);
    git(&it.root(), &other, &["commit", "-q", "--allow-empty", "-m", "far away"]);
    it.agent("one", &["fetch", "-q", other.to_str().unwrap(), "+refs/heads/*:refs/remotes/upstream/*"]);
    let far = it.agent("one", &["rev-parse", "refs/remotes/upstream/far"]);
    reclaim_holds(&it, &[]).await;
    assert!(!try_git(&it.root(), &it.mirror_dir(), &["cat-file", "-e", &far]).status.success());
}

#[tokio::test]
async fn a_push_that_went_elsewhere_is_no_proof() {
    let it = prepared().await;
    let elsewhere = it.root().join("elsewhere.git");
    git(&it.root(), &it.root(), &["init", "-q", "--bare", elsewhere.to_str().unwrap()]);
    it.agent("one", &["remote", "set-url", "origin", elsewhere.to_str().unwrap()]);
    let work = commit(&it, "work\n").await;
    it.agent("one", &["push", "-q", "origin", "HEAD:gone"]);
    it.agent("one", &["reset", "-q", "--hard", "HEAD~1"]);
    it.agent("one", &["reflog", "expire", "--expire=now", "--all"]);
    // Ours goes where the record says, whatever the checkout's configuration says now.
    let push = push_of(&it.repo(), PushSource::Workspace(label("one")), "orcha/one", Expected::New);
    it.workspaces.push(&push).await.unwrap();
    assert!(it.origin_at("orcha/one").await.is_some());
    assert_eq!(git(&it.root(), &elsewhere, &["for-each-ref", "--format=%(refname)"]), "refs/heads/gone");
    reclaim_holds(&it, &[&work]).await;
}

#[tokio::test]
async fn a_shallow_fetch_by_the_agent_hides_nothing() {
    let it = prepared().await;
    for n in 0..3 {
        it.origin_commit("trunk", "x", &format!("{n}\n")).await;
    }
    let origin = format!("file://{}", it.root().join("origin.git").display());
    it.agent("one", &["fetch", "-q", "--depth=1", &origin, "+trunk:refs/remotes/origin/trunk"]);
    assert!(it.dir("one").join(".git/shallow").exists(), "the trap works");
    it.agent("one", &["reset", "-q", "--hard", "origin/trunk"]);
    let work = commit(&it, "on a shallow base\n").await;
    let status = it.workspaces.status(&label("one")).await.unwrap();
    assert_eq!((&status.head, status.ahead), (&work, 4));
    let snapshot = it.workspaces.snapshot(&label("one"), "x").await.unwrap();
    assert_eq!(snapshot.head, work);
    let push = push_of(&it.repo(), PushSource::Workspace(label("one")), "orcha/one", Expected::New);
    it.workspaces.push(&push).await.unwrap();
    assert_eq!(it.origin_at("orcha/one").await.unwrap(), work);
    reclaim_holds(&it, &[&work]).await;
}

#[tokio::test]
async fn configuration_grafts_and_replacements_hide_nothing() {
    let it = prepared().await;
    it.agent("one", &["checkout", "-q", "-b", "secret"]);
    let secret = commit(&it, "secret\n").await;
    it.agent("one", &["checkout", "-q", "orcha/one"]);
    let first = commit(&it, "first\n").await;
    let second = commit(&it, "second\n").await;
    it.agent("one", &["config", "transfer.hideRefs", "refs/heads/secret"]);
    it.agent("one", &["config", "uploadpack.hideRefs", "refs/heads"]);
    it.agent("one", &["config", "core.alternateRefsCommand", "exit 1"]);
    it.agent("one", &["replace", first.as_str(), "origin/trunk"]);
    std::fs::write(it.dir("one").join(".git/info/grafts"), format!("{second}\n")).unwrap();
    assert_eq!(it.workspaces.status(&label("one")).await.unwrap().ahead, 2);
    reclaim_holds(&it, &[&secret, &first, &second]).await;
}

#[tokio::test]
async fn a_branch_without_a_commit_keeps_its_files_and_the_last_head() {
    let it = prepared().await;
    let work = commit(&it, "work\n").await;
    it.workspaces.status(&label("one")).await.unwrap();
    it.agent("one", &["checkout", "-q", "--orphan", "empty"]);
    it.write("one", "fresh", Some("x\n")).await;
    let one = label("one");
    let status = it.workspaces.status(&one).await.unwrap();
    assert_eq!((status.unfinished, status.untracked, &status.head), (Some(Operation::Unborn), 1, &work));
    let error = it.workspaces.commit_leftovers(&one, "x", &somebody()).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Unfinished { operation: Operation::Unborn, .. }), "{error}");
    let kept = it.workspaces.snapshot(&one, "x").await.unwrap();
    assert_eq!(it.mirror(&["show", &format!("{}:fresh", kept.sha)]), "x");
    reclaim_holds(&it, &[&work]).await;
}

#[tokio::test]
async fn a_repository_with_a_name_that_is_no_text_keeps_the_checkout() {
    let it = prepared().await;
    let inner = it.dir("one").join(std::ffi::OsStr::from_bytes(b"in\xffner"));
    std::fs::create_dir(&inner).unwrap();
    git(&it.root(), &inner, &["init", "-q"]);
    git(&it.root(), &inner, &["commit", "-q", "--allow-empty", "-m", "inner"]);
    it.agent("one", &["add", "-A"]);
    it.agent("one", &["commit", "-q", "-m", "a gitlink"]);
    let kept = it.workspaces.reclaim(&label("one")).await.unwrap();
    assert!(matches!(&kept, Reclaim::Kept(Kept::NestedRepositories(_))), "{kept:?}");
    assert!(inner.exists());
}

#[tokio::test]
async fn an_ignored_repository_keeps_the_checkout_if_it_has_commits_of_its_own() {
    let it = prepared().await;
    it.write("one", ".gitignore", Some("vendor/\n")).await;
    let clone = it.dir("one").join("vendor/deep/tool");
    std::fs::create_dir_all(&clone).unwrap();
    git(&it.root(), &clone, &["clone", "-q", it.repo().as_str(), "."]);
    git(&it.root(), &clone, &["commit", "-q", "--allow-empty", "-m", "only here"]);
    let kept = it.workspaces.reclaim(&label("one")).await.unwrap();
    assert_eq!(kept, Reclaim::Kept(Kept::NestedRepositories(vec!["vendor/deep/tool/".to_owned()])));
    git(&it.root(), &clone, &["push", "-q", "origin", "HEAD:elsewhere"]);
    reclaim_holds(&it, &[]).await;
}

#[tokio::test]
async fn without_its_git_folder_a_checkout_stays() {
    let it = prepared().await;
    let work = commit(&it, "work\n").await;
    it.workspaces.snapshot(&label("one"), "x").await.unwrap();
    std::fs::remove_dir_all(it.dir("one").join(".git")).unwrap();
    let error = it.workspaces.status(&label("one")).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Foreign { .. }), "{error}");
    let kept = it.workspaces.reclaim(&label("one")).await.unwrap();
    assert!(matches!(kept, Reclaim::Kept(Kept::Foreign(_))), "{kept:?}");
    assert!(it.dir("one").join("new").exists());
    it.workspaces.restore(&label("one"), 1, &RestoreInto::Folder(it.root().join("back"))).await.unwrap();
    assert_eq!(it.mirror(&["rev-parse", "refs/orcha/snapshots/one/1^"]), work.as_str());
}

#[tokio::test]
async fn a_file_with_a_name_that_git_refuses_hides_no_other() {
    let it = prepared().await;
    it.write("one", "good", Some("x\n")).await;
    it.write("one", "git~1", Some("x\n")).await;
    it.write("one", "deep/.GIT/config", Some("x\n")).await;
    let one = label("one");
    assert_eq!(it.workspaces.status(&one).await.unwrap().untracked, 1);
    let kept = it.workspaces.snapshot(&one, "x").await.unwrap();
    assert_eq!(it.mirror(&["ls-tree", "--name-only", kept.sha.as_str()]), "good\nreadme\nsrc");
    let said = it.mirror(&["log", "-1", "--format=%B", kept.sha.as_str()]);
    assert!(said.contains("git~1") && said.contains("deep/.GIT/config"), "{said}");
    let refused = vec!["deep/.GIT/config".to_owned(), "git~1".to_owned()];
    match it.workspaces.commit_leftovers(&one, "x", &somebody()).await.unwrap_err() {
        WorkspaceError::Unkeepable { paths, .. } => assert_eq!(paths, refused),
        other => panic!("{other}"),
    }
    assert_eq!(it.workspaces.reclaim(&one).await.unwrap(), Reclaim::Kept(Kept::Unkeepable(refused)));
    assert!(it.dir("one").join("git~1").exists());
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_file_ends_in_bounded_time() {
    let it = prepared().await;
    let mut settings = GitSettings::new(std::env::var("PATH").unwrap());
    settings.timeout = std::time::Duration::from_secs(2);
    settings.transfer_timeout = settings.timeout;
    let host = TestHost { root: it.root().join("w"), user: None };
    let workspaces = Workspaces::open(Arc::new(host), Git::new(settings)).await.unwrap();
    let pipe = it.dir("one").join(".gitignore");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    it.write("one", "new", Some("x\n")).await;
    let began = std::time::Instant::now();
    let looked = workspaces.status(&label("one")).await;
    assert!(began.elapsed() < std::time::Duration::from_secs(30));
    assert!(looked.is_err(), "git reads pipes: {looked:?}");
    assert!(workspaces.reclaim(&label("one")).await.is_err());
    std::fs::remove_file(pipe).unwrap();
    assert_eq!(workspaces.status(&label("one")).await.unwrap().untracked, 1);
}

/// A scene whose daemon is not root, so that permissions mean something.
async fn as_nobody(it: &RealScene) -> Option<(Workspaces, u32)> {
    let me = std::fs::metadata(it.temp.path()).unwrap().uid();
    let user = if me == 0 { 65534 } else { me };
    let given =
        std::process::Command::new("chown").args(["-R", &format!("{user}:{user}")]).arg(it.temp.path()).status();
    if me == 0 && !given.is_ok_and(|it| it.success()) {
        eprintln!("SKIPPED: files cannot be given to another user here");
        return None;
    }
    let host = TestHost { root: it.root().join("w"), user: (me == 0).then_some(user) };
    let settings = GitSettings::new(std::env::var("PATH").unwrap());
    Some((Workspaces::open(Arc::new(host), Git::new(settings)).await.unwrap(), user))
}

fn give(path: &Path, user: u32, mode: u32) {
    std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn an_unreadable_file_is_left_out_aloud_and_keeps_the_checkout() {
    let it = prepared().await;
    let Some((workspaces, user)) = as_nobody(&it).await else { return };
    let one = label("one");
    let dir = it.dir("one");
    for (name, mode) in [("a-good", 0o644), ("locked", 0o000), ("z-good", 0o600)] {
        std::fs::write(dir.join(name), "x\n").unwrap();
        give(&dir.join(name), user, mode);
    }
    assert_eq!(workspaces.status(&one).await.unwrap().untracked, 2);
    workspaces.snapshot(&one, "x").await.unwrap();
    let kept = workspaces.reclaim(&one).await.unwrap();
    assert_eq!(kept, Reclaim::Kept(Kept::Unkeepable(vec!["locked".to_owned()])));
    std::fs::remove_file(dir.join("locked")).unwrap();
    std::fs::create_dir(dir.join("closed")).unwrap();
    std::fs::write(dir.join("closed/work"), "x\n").unwrap();
    give(&dir.join("closed"), user, 0o000);
    let kept = workspaces.reclaim(&one).await.unwrap();
    assert!(matches!(kept, Reclaim::Kept(Kept::Unkeepable(_))), "{kept:?}");
    assert!(workspaces.disk(&one).await.unwrap() > 0);
    give(&dir.join("closed"), user, 0o700);
    give(&dir.join("closed/work"), user, 0o600);
    let done = workspaces.reclaim(&one).await.unwrap();
    assert!(matches!(done, Reclaim::Reclaimed(Some(_))), "{done:?}");
}

#[tokio::test]
async fn a_folder_that_its_owner_may_not_change_can_be_reclaimed() {
    let it = prepared().await;
    let Some((workspaces, user)) = as_nobody(&it).await else { return };
    let dir = it.dir("one");
    // As the module cache of a build tool is.
    std::fs::create_dir_all(dir.join("cache/mod")).unwrap();
    std::fs::write(dir.join("cache/mod/file"), "x\n").unwrap();
    for (path, mode) in [("cache/mod/file", 0o444), ("cache/mod", 0o555), ("cache", 0o555), ("", 0o555)] {
        give(&dir.join(path), user, mode);
    }
    let done = workspaces.reclaim(&label("one")).await.unwrap();
    assert!(matches!(done, Reclaim::Reclaimed(Some(_))), "{done:?}");
    assert!(!dir.exists());
    assert_eq!(std::fs::read_dir(it.root().join("w/.orcha/trash")).unwrap().count(), 0);
}

#[tokio::test]
async fn trash_that_cannot_be_deleted_does_not_keep_the_daemon_from_starting() {
    let it = prepared().await;
    let Some((_, user)) = as_nobody(&it).await else { return };
    if user != 65534 {
        eprintln!("SKIPPED: only root can make files of another user");
        return;
    }
    let bin = it.root().join("w/.orcha/trash/abcdefgh");
    std::fs::create_dir_all(bin.join("it")).unwrap();
    std::fs::write(bin.join("it/of-root"), "x\n").unwrap();
    assert!(as_nobody_again(&it, user).await.prepare(&fresh(&it.repo(), "one")).await.is_ok());
    assert!(bin.join("it/of-root").exists());
}

async fn as_nobody_again(it: &RealScene, user: u32) -> Workspaces {
    let host = TestHost { root: it.root().join("w"), user: Some(user) };
    Workspaces::open(Arc::new(host), Git::new(GitSettings::new(std::env::var("PATH").unwrap()))).await.unwrap()
}
