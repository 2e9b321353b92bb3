//! What only real git can show: odd files, the agent's own view, mirrors, many at once.

use super::{RealScene, Scene, branch, continuing, fresh, git, label, open, push_of, somebody, try_git};
use crate::mirror::Clutter;
use crate::{Checkouts, Expected, Kept, Operation, Prepare, PushSource, Reclaim, RestoreInto, Start, WorkspaceError};
use orcha_base::RepoUrl;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

#[tokio::test]
async fn odd_files_survive_a_snapshot() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    let dir = it.dir("one");
    let script = dir.join("run me.sh");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("nowhere", dir.join("dangling")).unwrap();
    let names: [&[u8]; 5] = [b"-rf", b"a\nb", b"tab\there", "gr\u{fc}n".as_bytes(), b"\xff\xfe"];
    for name in names {
        std::fs::write(dir.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    let big: Vec<u8> = (0..8_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(dir.join("big"), &big).unwrap();
    std::fs::write(dir.join(".gitignore"), "target/\n*.forced\n").unwrap();
    std::fs::create_dir(dir.join("target")).unwrap();
    std::fs::write(dir.join("target/built"), "x").unwrap();
    std::fs::write(dir.join("staged.forced"), "on purpose").unwrap();
    it.agent("one", &["add", "-f", "staged.forced"]);

    let snapshot = it.workspaces.snapshot(&label("one"), "odd\nfiles").await.unwrap();
    assert_eq!(snapshot.why, "odd files");
    let there = it.root().join("there");
    it.workspaces.restore(&label("one"), 1, &RestoreInto::Folder(there.clone())).await.unwrap();
    for name in names {
        assert_eq!(std::fs::read(there.join(std::ffi::OsStr::from_bytes(name))).unwrap(), name);
    }
    assert_eq!(std::fs::read(there.join("big")).unwrap(), big);
    assert_eq!(std::fs::metadata(there.join("run me.sh")).unwrap().permissions().mode() & 0o111, 0o111);
    assert_eq!(std::fs::read_link(there.join("dangling")).unwrap().to_str().unwrap(), "nowhere");
    assert_eq!(std::fs::read_to_string(there.join("staged.forced")).unwrap(), "on purpose");
    assert!(!there.join("target").exists());
    let error = it.workspaces.restore(&label("one"), 1, &RestoreInto::Folder(there)).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Occupied { .. }), "{error}");
}

#[tokio::test]
async fn the_agent_sees_an_ordinary_checkout_of_its_own() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    assert_eq!(it.agent("one", &["status", "--porcelain"]), "");
    assert_eq!(it.agent("one", &["branch", "--show-current"]), "orcha/one");
    assert_eq!(it.agent("one", &["remote", "get-url", "origin"]), it.repo().as_str());
    assert_eq!(it.agent("one", &["config", "user.name"]), "Some \"Q\" Body");
    assert_eq!(it.agent("one", &["rev-parse", "--abbrev-ref", "origin/HEAD"]), "origin/trunk");
    it.agent("one", &["fetch", "-q", "origin"]);
    assert_eq!(it.agent("one", &["for-each-ref", "--format=%(refname)", "refs/orcha"]), "");
}

#[tokio::test]
async fn leftovers_leave_the_agent_with_a_clean_view() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "new", Some("x\n")).await;
    it.write("one", "readme", None).await;
    let done = it.workspaces.commit_leftovers(&label("one"), "left over", &somebody()).await.unwrap();
    assert_eq!(it.agent("one", &["status", "--porcelain"]), "");
    assert_eq!(it.agent("one", &["rev-parse", "orcha/one"]), done.head.as_str());
    assert_eq!(it.agent("one", &["log", "-1", "--format=%an <%ae> %s"]), "Some \"Q\" Body <some@body> left over");
    assert_eq!(it.agent("one", &["fsck", "--connectivity-only", "--no-dangling"]), "");
}

#[tokio::test]
async fn a_conflict_can_be_merged_by_the_agent_and_its_leftovers_are_the_merge() {
    let it = RealScene::new().await;
    let mut heads = Vec::new();
    for name in ["one", "two"] {
        it.workspaces.prepare(&fresh(&it.repo(), name)).await.unwrap();
        it.write(name, "readme", Some(&format!("{name}\n"))).await;
        heads.push(it.commit(name).await);
        it.workspaces.snapshot(&label(name), "end").await.unwrap();
    }
    let after = continuing(&it.repo(), "three", &[("one", &heads[0]), ("two", &heads[1])]);
    let conflict = it.workspaces.prepare(&after).await.unwrap().conflict.unwrap();
    let merge = try_git(&it.root(), &it.dir("three"), &["merge", &conflict.name]);
    assert!(!merge.status.success());
    let three = label("three");
    let status = it.workspaces.status(&three).await.unwrap();
    assert_eq!(status.unfinished, Some(Operation::Conflicts));
    let error = it.workspaces.commit_leftovers(&three, "x", &somebody()).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Unfinished { operation: Operation::Conflicts, .. }), "{error}");

    it.write("three", "readme", Some("both\n")).await;
    it.agent("three", &["add", "readme"]);
    assert_eq!(it.workspaces.status(&three).await.unwrap().unfinished, Some(Operation::Merge));
    let done = it.workspaces.commit_leftovers(&three, "merged", &somebody()).await.unwrap();
    assert_eq!(it.agent("three", &["log", "-1", "--format=%P"]), format!("{} {}", heads[0], heads[1]));
    assert_eq!(it.agent("three", &["status"]).lines().last().unwrap(), "nothing to commit, working tree clean");
    assert_eq!(it.workspaces.status(&three).await.unwrap().head, done.head);
}

#[tokio::test]
async fn what_the_agent_marked_as_unchanged_is_looked_at_all_the_same() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.agent("one", &["update-index", "--assume-unchanged", "readme"]);
    it.write("one", "readme", Some("hidden work\n")).await;
    assert_eq!(it.workspaces.status(&label("one")).await.unwrap().changed, 1);
}

#[tokio::test]
async fn a_sparse_checkout_has_not_deleted_what_it_does_not_show() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.agent("one", &["sparse-checkout", "set", "--no-cone", "/readme"]);
    assert!(!it.dir("one").join("src").exists());
    let status = it.workspaces.status(&label("one")).await.unwrap();
    assert_eq!((status.changed, status.untracked), (0, 0));
}

#[tokio::test]
async fn a_file_that_became_a_folder_and_the_other_way_round_are_captured() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "readme", None).await;
    it.write("one", "readme/inside", Some("x\n")).await;
    std::fs::remove_dir_all(it.dir("one").join("src")).unwrap();
    it.write("one", "src", Some("a file now\n")).await;
    it.workspaces.commit_leftovers(&label("one"), "swapped", &somebody()).await.unwrap();
    assert_eq!(it.agent("one", &["ls-tree", "-r", "--name-only", "HEAD"]), "readme/inside\nsrc");
}

#[tokio::test]
async fn sixteen_prepares_at_once_share_one_mirror() {
    let it = Arc::new(RealScene::new().await);
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let it = it.clone();
            tokio::spawn(async move { it.workspaces.prepare(&fresh(&it.repo(), &format!("ws{n}"))).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let mirrors = std::fs::read_dir(it.root().join("w/.orcha/mirrors")).unwrap();
    assert_eq!(mirrors.filter(|it| it.as_ref().unwrap().path().extension().unwrap() == "git").count(), 1);
    assert_eq!(it.workspaces.list().await.unwrap().iter().filter(|it| it.present).count(), 16);
}

#[tokio::test]
async fn the_same_workspace_prepared_by_two_at_once_is_made_once() {
    let it = RealScene::new().await;
    let prepare = fresh(&it.repo(), "one");
    let (a, b) = tokio::join!(it.workspaces.prepare(&prepare), it.workspaces.prepare(&prepare));
    assert_eq!(a.unwrap(), b.unwrap());
}

#[tokio::test]
async fn two_daemons_on_one_work_root_do_not_break_each_other() {
    let it = RealScene::new().await;
    let other = open(&it.root()).await;
    let (one, two) = (fresh(&it.repo(), "one"), fresh(&it.repo(), "two"));
    let (a, b) = tokio::join!(it.workspaces.prepare(&one), other.prepare(&two));
    // Racing for the first mirror one of them may have to come again, which is all that is asked.
    for (result, prepare) in [(a, &one), (b, &two)] {
        if let Err(error) = result {
            assert_eq!(error.retry(), orcha_base::Retry::Later, "{error}");
            it.workspaces.prepare(prepare).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_mirror_takes_branches_and_tags_and_nothing_hidden() {
    let it = RealScene::new().await;
    it.somebody_else(&["tag", "v1"]);
    it.somebody_else(&["push", "-q", "origin", "v1", "HEAD:refs/pull/1/head"]);
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.workspaces.snapshot(&label("one"), "x").await.unwrap();
    it.origin_commit("trunk", "x", "x").await;
    it.workspaces.prepare(&fresh(&it.repo(), "two")).await.unwrap();
    let refs = it.mirror(&["for-each-ref", "--format=%(refname)"]);
    let refs: Vec<&str> = refs.lines().filter(|it| !it.starts_with("refs/orcha/ws/")).collect();
    assert_eq!(refs, ["refs/orcha/snapshots/one/1", "refs/remotes/origin/trunk", "refs/tags/v1"]);
    assert_eq!(it.agent("two", &["tag"]), "v1");
}

#[tokio::test]
async fn a_branch_that_gave_way_to_a_folder_of_branches_is_followed() {
    let it = RealScene::new().await;
    it.origin_commit("topic", "x", "x\n").await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.somebody_else(&["push", "-q", "origin", ":topic", "trunk:refs/heads/topic/one"]);
    let prepare = Prepare { base: Some(branch("topic/one")), ..fresh(&it.repo(), "two") };
    it.workspaces.prepare(&prepare).await.unwrap();
}

#[tokio::test]
async fn an_origin_without_commits_or_without_answer_is_told_apart() {
    let it = RealScene::new().await;
    git(&it.root(), &it.root(), &["init", "-q", "--bare", "-b", "main", "empty.git"]);
    let at = |name: &str| -> RepoUrl { it.root().join(name).to_str().unwrap().parse().unwrap() };
    let error = it.workspaces.prepare(&fresh(&at("empty.git"), "one")).await.unwrap_err();
    assert!(matches!(&error, WorkspaceError::MissingBase { exist, .. } if exist.is_empty()), "{error}");
    let error = it.workspaces.prepare(&fresh(&at("nowhere.git"), "one")).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Unreachable { .. }), "{error}");
    // Somebody pushes the first commit, to another branch than `HEAD` names.
    it.somebody_else(&["push", "-q", at("empty.git").as_str(), "trunk:develop"]);
    let ready = it.workspaces.prepare(&fresh(&at("empty.git"), "one")).await.unwrap();
    assert_eq!(ready.base_branch, branch("develop"));
}

#[tokio::test]
async fn a_sha_256_repository_works_too() {
    let it = RealScene::new().await;
    let root = it.root();
    git(&root, &root, &["init", "-q", "--bare", "-b", "main", "--object-format=sha256", "long.git"]);
    git(&root, &root, &["init", "-q", "-b", "main", "--object-format=sha256", "long"]);
    git(&root, &root.join("long"), &["commit", "-q", "--allow-empty", "-m", "first"]);
    git(&root, &root.join("long"), &["push", "-q", root.join("long.git").to_str().unwrap(), "main"]);
    let repo: RepoUrl = root.join("long.git").to_str().unwrap().parse().unwrap();
    it.workspaces.prepare(&fresh(&repo, "one")).await.unwrap();
    it.write("one", "new", Some("x")).await;
    let done = it.workspaces.commit_leftovers(&label("one"), "x", &somebody()).await.unwrap();
    assert_eq!(done.head.as_str().len(), 64);
    let push = push_of(&repo, PushSource::Commit(done.head), "orcha/one", Expected::New);
    it.workspaces.push(&push).await.unwrap();
}

#[tokio::test]
async fn a_push_that_the_origin_refuses_says_so() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    let hook = it.root().join("origin.git/hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho protected branch >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let push = push_of(&it.repo(), PushSource::Workspace(label("one")), "orcha/one", Expected::New);
    match it.workspaces.push(&push).await.unwrap_err() {
        WorkspaceError::Refused { complaint, .. } => assert!(complaint.contains("protected branch"), "{complaint}"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn other_branches_and_a_stash_are_in_the_last_snapshot() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "readme", Some("stashed\n")).await;
    it.agent("one", &["stash"]);
    let stash = it.agent("one", &["rev-parse", "refs/stash"]);
    it.agent("one", &["checkout", "-q", "-b", "side"]);
    it.write("one", "side", Some("x\n")).await;
    let side = it.commit("one").await;
    it.agent("one", &["tag", "-a", "-m", "mine", "mine"]);
    it.agent("one", &["checkout", "-q", "orcha/one"]);
    let Reclaim::Reclaimed(Some(last)) = it.workspaces.reclaim(&label("one")).await.unwrap() else { panic!("kept") };
    for tip in [stash.as_str(), side.as_str()] {
        assert_eq!(it.mirror(&["merge-base", tip, last.sha.as_str()]), tip);
    }
    assert_eq!(it.mirror(&["for-each-ref", "refs/orcha/ws"]), "");
}

#[tokio::test]
async fn what_a_snapshot_cannot_hold_keeps_the_checkout() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.agent("one", &["worktree", "add", "-q", it.root().join("tree").to_str().unwrap()]);
    assert_eq!(it.workspaces.reclaim(&label("one")).await.unwrap(), Reclaim::Kept(Kept::LinkedWorktrees));
    std::fs::create_dir(it.root().join("w/checkouts/stranger")).unwrap();
    assert_eq!(it.workspaces.reclaim(&label("stranger")).await.unwrap(), Reclaim::Kept(Kept::Unknown));
    assert!(it.dir("one").exists() && it.dir("stranger").exists());
}

#[tokio::test]
async fn two_sessions_on_one_pull_request_have_a_checkout_each() {
    let it = RealScene::new().await;
    it.origin_commit("feature", "x", "x\n").await;
    for name in ["one", "two"] {
        let prepare = Prepare { branch: branch("feature"), start: Start::PrBranch, ..fresh(&it.repo(), name) };
        it.workspaces.prepare(&prepare).await.unwrap();
    }
    it.write("one", "x", Some("mine\n")).await;
    assert_eq!(it.read("two", "x").await.unwrap(), "x\n");
}

#[tokio::test]
async fn work_on_a_detached_head_or_another_branch_is_committed_where_it_is() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.agent("one", &["checkout", "-q", "--detach"]);
    it.write("one", "new", Some("x\n")).await;
    let done = it.workspaces.commit_leftovers(&label("one"), "x", &somebody()).await.unwrap();
    assert_eq!(it.agent("one", &["rev-parse", "HEAD"]), done.head.as_str());
    let status = it.workspaces.status(&label("one")).await.unwrap();
    assert_eq!((&status.branch, status.ahead, status.dirty()), (&None, 1, false));
}

#[tokio::test]
async fn packing_a_mirror_bounds_its_files_and_loses_no_object() {
    let it = RealScene::new().await;
    let one = label("one");
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    let bearable = Clutter { loose: 20, packs: 3 };
    let mirror = it.workspaces.mirror(&it.repo());
    assert!(!mirror.tidy(bearable).await.unwrap());
    std::fs::write(it.root().join("nobody-names-me"), "dangling\n").unwrap();
    let path = it.root().join("nobody-names-me");
    let dangling = it.mirror(&["hash-object", "-w", path.to_str().unwrap()]);
    let mut snapshots = Vec::new();
    for n in 0..12 {
        it.write("one", &format!("file-{n}"), Some(&format!("{n}\n"))).await;
        snapshots.push(it.workspaces.snapshot(&one, "x").await.unwrap());
        mirror.tidy(bearable).await.unwrap();
    }
    let counted = it.mirror(&["count-objects", "-v"]);
    let count =
        |what: &str| -> u64 { counted.lines().find_map(|line| line.strip_prefix(what)).unwrap().parse().unwrap() };
    assert!(count("count: ") <= 20 && count("packs: ") <= 3 && count("packs: ") > 0, "{counted}");
    assert_eq!(it.mirror(&["cat-file", "-p", &dangling]), "dangling");
    assert_eq!(it.workspaces.snapshots(&one).await.unwrap(), snapshots);
    assert_eq!(it.mirror(&["fsck", "--connectivity-only", "--no-dangling"]), "");
    assert_eq!(it.agent("one", &["fsck", "--connectivity-only", "--no-dangling"]), "");
    it.workspaces.restore(&one, 3, &RestoreInto::Workspace).await.unwrap();
    assert_eq!(it.read("one", "file-2").await.unwrap(), "2\n");
    assert!(it.read("one", "file-3").await.is_none());
}
