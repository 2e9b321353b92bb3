//! What an agent, or the author of a repository, plants in a checkout must not run when we look at it.
//!
//! Each trap leaves a mark when it is sprung. The traps are proven to work: the agent's own git springs them.

use super::{RealScene, Scene, fresh, label, push_of, somebody};
use crate::{Checkouts, Expected, Kept, PushSource, Reclaim, RestoreInto, WorkspaceError};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Every operation that looks at a checkout, with something to find.
async fn look_everywhere(it: &RealScene) {
    let one = label("one");
    let all = &it.workspaces;
    all.status(&one).await.unwrap();
    all.diff(&one, None, 100_000).await.unwrap();
    let first = all.snapshot(&one, "first").await.unwrap();
    all.commit_leftovers(&one, "left", &somebody()).await.unwrap();
    it.write("one", "another", Some("x\n")).await;
    let push = push_of(&it.repo(), PushSource::Workspace(one.clone()), "orcha/one", Expected::New);
    all.push(&push).await.unwrap();
    all.restore(&one, first.number, &RestoreInto::Workspace).await.unwrap();
    all.restore(&one, first.number, &RestoreInto::Folder(it.root().join("elsewhere"))).await.unwrap();
    all.status(&one).await.unwrap();
    let Reclaim::Reclaimed(Some(last)) = all.reclaim(&one).await.unwrap() else { panic!("kept") };
    all.restore(&one, last.number, &RestoreInto::Workspace).await.unwrap();
}

struct Trap {
    mark: PathBuf,
    program: PathBuf,
}

impl Trap {
    fn new(it: &RealScene) -> Self {
        let (mark, program) = (it.root().join("sprung"), it.root().join("trap"));
        std::fs::write(&program, format!("#!/bin/sh\necho \"$0 $*\" >> {}\nexec cat\n", mark.display())).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { mark, program }
    }

    fn sprung(&self) -> bool {
        self.mark.exists()
    }

    fn reset(&self) {
        std::fs::remove_file(&self.mark).unwrap();
    }
}

async fn prepared(it: &RealScene) -> Trap {
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "readme", Some("changed\n")).await;
    it.write("one", "new", Some("new\n")).await;
    Trap::new(it)
}

fn plant_hooks(dir: &Path, trap: &Trap) {
    std::fs::create_dir_all(dir).unwrap();
    for hook in [
        "pre-commit",
        "post-commit",
        "post-checkout",
        "post-merge",
        "pre-push",
        "reference-transaction",
        "post-index-change",
        "fsmonitor-watchman",
        "pre-receive",
        "update",
        "post-update",
        "post-rewrite",
        "pre-auto-gc",
        "prepare-commit-msg",
    ] {
        symlink(&trap.program, dir.join(hook)).unwrap();
    }
}

#[tokio::test]
async fn configuration_that_names_programs_is_not_in_force() {
    let it = RealScene::new().await;
    let trap = prepared(&it).await;
    let program = trap.program.to_str().unwrap();
    it.write("one", ".gitattributes", Some("* filter=evil diff=evil merge=evil\n")).await;
    for key in [
        "core.fsmonitor",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "merge.evil.driver",
        "core.sshCommand",
        "credential.helper",
        "uploadpack.packObjectsHook",
        "core.alternateRefsCommand",
        "core.pager",
        "core.editor",
        "core.askPass",
        "gpg.program",
        "remote.origin.uploadpack",
        "remote.origin.receivepack",
        "sequence.editor",
        "interactive.diffFilter",
    ] {
        it.agent("one", &["config", key, program]);
    }
    for (key, value) in [("commit.gpgSign", "true"), ("alias.status", "!trap"), ("alias.update-ref", "!trap")] {
        it.agent("one", &["config", key, value]);
    }
    plant_hooks(&it.dir("one").join(".git/hooks"), &trap);
    plant_hooks(&it.root().join("more-hooks"), &trap);
    it.agent("one", &["config", "core.hooksPath", it.root().join("more-hooks").to_str().unwrap()]);
    trap_works(&it, &trap);

    look_everywhere(&it).await;
    assert!(!trap.sprung(), "{}", std::fs::read_to_string(&trap.mark).unwrap());
}

/// The traps are real: plain git springs them.
fn trap_works(it: &RealScene, trap: &Trap) {
    let status = super::try_git(&it.root(), &it.dir("one"), &["status"]);
    assert!(trap.sprung(), "the trap does not work: {}", String::from_utf8_lossy(&status.stderr));
    trap.reset();
}

#[tokio::test]
async fn an_included_configuration_is_not_in_force() {
    let it = RealScene::new().await;
    let trap = prepared(&it).await;
    let included = it.root().join("included");
    std::fs::write(&included, format!("[core]\n\tfsmonitor = {}\n", trap.program.display())).unwrap();
    it.agent("one", &["config", "include.path", included.to_str().unwrap()]);
    trap_works(&it, &trap);
    look_everywhere(&it).await;
    assert!(!trap.sprung());
}

#[tokio::test]
async fn a_repository_inside_the_checkout_is_not_entered_and_keeps_it_alive() {
    let it = RealScene::new().await;
    let trap = prepared(&it).await;
    let inner = it.dir("one").join("inner");
    super::git(&it.root(), &it.root(), &["init", "-q", inner.to_str().unwrap()]);
    std::fs::write(inner.join("file"), "x").unwrap();
    super::git(&it.root(), &inner, &["add", "-A"]);
    super::git(&it.root(), &inner, &["commit", "-q", "-m", "inner"]);
    super::git(&it.root(), &inner, &["config", "core.fsmonitor", trap.program.to_str().unwrap()]);
    let bare = it.dir("one").join("bare");
    super::git(&it.root(), &it.root(), &["init", "-q", "--bare", bare.to_str().unwrap()]);
    super::git(&it.root(), &bare, &["config", "core.fsmonitor", trap.program.to_str().unwrap()]);
    plant_hooks(&bare.join("hooks"), &trap);

    let one = label("one");
    let status = it.workspaces.status(&one).await.unwrap();
    assert_eq!(status.changed, 1);
    it.workspaces.commit_leftovers(&one, "left", &somebody()).await.unwrap();
    assert_eq!(
        it.workspaces.reclaim(&one).await.unwrap(),
        Reclaim::Kept(Kept::NestedRepositories(vec!["inner/".to_owned()]))
    );
    assert!(!trap.sprung(), "{}", std::fs::read_to_string(&trap.mark).unwrap());
    assert!(inner.join("file").exists());
}

#[tokio::test]
async fn a_committed_gitlink_is_not_entered() {
    let it = RealScene::new().await;
    let trap = prepared(&it).await;
    let inner = it.dir("one").join("inner");
    super::git(&it.root(), &it.root(), &["init", "-q", inner.to_str().unwrap()]);
    super::git(&it.root(), &inner, &["commit", "-q", "--allow-empty", "-m", "inner"]);
    it.agent("one", &["add", "-A"]);
    it.agent("one", &["commit", "-q", "-m", "with a gitlink"]);
    std::fs::write(inner.join("file"), "x").unwrap();
    super::git(&it.root(), &inner, &["config", "core.fsmonitor", trap.program.to_str().unwrap()]);
    it.write("one", "readme", Some("changed again\n")).await;
    let one = label("one");
    let status = it.workspaces.status(&one).await.unwrap();
    assert_eq!((status.changed, status.untracked), (1, 0));
    it.workspaces.commit_leftovers(&one, "left", &somebody()).await.unwrap();
    assert!(matches!(it.workspaces.reclaim(&one).await.unwrap(), Reclaim::Kept(_)));
    assert!(!trap.sprung(), "{}", std::fs::read_to_string(&trap.mark).unwrap());
}

#[tokio::test]
async fn a_git_folder_that_was_replaced_is_refused_and_kept() {
    for (name, plant) in [
        ("link", (|git, other| symlink(other, git).unwrap()) as fn(&Path, &Path)),
        ("file", |git, other| std::fs::write(git, format!("gitdir: {}\n", other.display())).unwrap()),
    ] {
        let it = RealScene::new().await;
        it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
        it.workspaces.prepare(&fresh(&it.repo(), "victim")).await.unwrap();
        let git = it.dir("one").join(".git");
        std::fs::rename(&git, it.root().join("old-git")).unwrap();
        plant(&git, &it.dir("victim").join(".git"));
        let one = label("one");
        for error in [
            it.workspaces.status(&one).await.unwrap_err(),
            it.workspaces.snapshot(&one, "x").await.unwrap_err(),
            it.workspaces.commit_leftovers(&one, "x", &somebody()).await.unwrap_err(),
        ] {
            assert!(matches!(error, WorkspaceError::Foreign { .. }), "{name}: {error}");
        }
        assert!(matches!(it.workspaces.reclaim(&one).await.unwrap(), Reclaim::Kept(Kept::Foreign(_))));
        assert!(it.dir("one").join("readme").exists());
    }
}

#[tokio::test]
async fn a_borrowed_common_folder_is_refused() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.workspaces.prepare(&fresh(&it.repo(), "victim")).await.unwrap();
    std::fs::write(it.dir("one").join(".git/commondir"), it.dir("victim").join(".git").to_str().unwrap()).unwrap();
    let error = it.workspaces.status(&label("one")).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn a_checkout_that_was_replaced_by_a_link_is_not_followed() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.workspaces.prepare(&fresh(&it.repo(), "victim")).await.unwrap();
    std::fs::rename(it.dir("one"), it.root().join("moved")).unwrap();
    symlink(it.dir("victim"), it.dir("one")).unwrap();
    let one = label("one");
    assert!(matches!(it.workspaces.status(&one).await, Err(WorkspaceError::Foreign { .. })));
    assert!(matches!(it.workspaces.reclaim(&one).await.unwrap(), Reclaim::Kept(Kept::Foreign(_))));
    assert!(it.dir("victim").join("readme").exists());
}

#[tokio::test]
async fn links_in_a_checkout_are_kept_as_links_and_never_written_through() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    let one = label("one");
    it.write("one", "folder/file", Some("inside\n")).await;
    let first = it.workspaces.snapshot(&one, "first").await.unwrap();
    let outside = it.root().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "outside\n").unwrap();
    std::fs::remove_dir_all(it.dir("one").join("folder")).unwrap();
    symlink(&outside, it.dir("one").join("folder")).unwrap();
    symlink("/etc/passwd", it.dir("one").join("secret")).unwrap();
    let second = it.workspaces.snapshot(&one, "second").await.unwrap();
    let listed = it.mirror(&["ls-tree", "-r", "--format=%(objectmode) %(path)", second.sha.as_str()]);
    assert!(listed.contains("120000 folder\n") && listed.contains("120000 secret"), "{listed}");
    it.workspaces.restore(&one, first.number, &RestoreInto::Workspace).await.unwrap();
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "outside\n");
    assert_eq!(it.read("one", "folder/file").await.unwrap(), "inside\n");
}

#[tokio::test]
async fn branches_with_hostile_names_are_kept_too() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "new", Some("x\n")).await;
    it.commit("one").await;
    let tip = it.agent("one", &["rev-parse", "HEAD"]);
    it.agent("one", &["update-ref", "refs/heads/-x", &tip]);
    it.agent("one", &["update-ref", "refs/heads/;id", &tip]);
    it.agent("one", &["reset", "-q", "--hard", "origin/trunk"]);
    let Reclaim::Reclaimed(Some(last)) = it.workspaces.reclaim(&label("one")).await.unwrap() else { panic!("kept") };
    assert_eq!(it.mirror(&["merge-base", &tip, last.sha.as_str()]), tip);
}

#[tokio::test]
async fn c11_an_exact_checkout_has_no_remote_and_nothing_that_an_agent_configured() {
    let it = RealScene::new().await;
    let trap = prepared(&it).await;
    plant_hooks(&it.dir("one").join(".git/hooks"), &trap);
    let program = trap.program.display().to_string();
    it.agent("one", &["config", "filter.trap.smudge", &program]);
    it.agent("one", &["config", "filter.trap.clean", "cat"]);
    it.agent("one", &["config", "core.fsmonitor", &program]);
    it.write("one", ".gitattributes", Some("* filter=trap\n")).await;
    it.write("one", ".gitignore", Some("built\n")).await;
    it.write("one", "built", Some("built\n")).await;
    let snapshot = it.workspaces.snapshot(&label("one"), "look").await.unwrap();
    let exact =
        crate::Exact { key: label("e"), repo: it.repo(), from: Some(label("one")), commit: snapshot.sha.clone() };
    let ready = it.workspaces.exact(&exact).await.unwrap();
    assert!(!trap.sprung());
    assert!(!ready.dir.join("built").exists());
    assert_eq!(std::fs::read_to_string(ready.dir.join("readme")).unwrap(), "changed\n");
    let git = |args: &[&str]| super::git(&it.root(), &ready.dir, args);
    assert_eq!((git(&["remote"]).as_str(), git(&["status", "--porcelain"]).as_str()), ("", ""));
    assert_eq!(git(&["rev-parse", "HEAD"]), snapshot.sha.as_str());
    assert_eq!(git(&["rev-parse", "HEAD^{tree}"]), ready.tree.as_str());
    // Build tools leave folders that nobody may write to.
    std::fs::create_dir(ready.dir.join("locked")).unwrap();
    std::fs::write(ready.dir.join("locked/file"), "x").unwrap();
    std::fs::set_permissions(ready.dir.join("locked"), std::fs::Permissions::from_mode(0o555)).unwrap();
    it.workspaces.discard_exact(&label("e")).await.unwrap();
    assert!(!ready.dir.exists());
    // What a crash left half-made is no obstacle, and what has no record is not deleted.
    std::fs::create_dir_all(it.root().join("w/.orcha/making/e.exact/.git")).unwrap();
    std::fs::create_dir_all(ready.dir.join("precious")).unwrap();
    assert!(it.workspaces.exact(&exact).await.unwrap().fresh);
    assert!(std::fs::read_dir(it.root().join("w/.orcha/kept")).unwrap().next().is_some());
}
