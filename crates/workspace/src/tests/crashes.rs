//! What a kill leaves behind is repaired by the next call, and nothing that was kept is lost.

use super::{RealScene, Scene, fresh, git, label, open, somebody};
use crate::{Checkouts, RestoreInto, WorkspaceError};
use std::path::Path;

fn lock_files(dir: &Path, names: &[&str]) {
    for name in names {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
}

#[tokio::test]
async fn a_half_made_checkout_is_made_again() {
    let it = RealScene::new().await;
    let making = it.root().join("w/.orcha/making/one");
    std::fs::create_dir_all(making.join(".git/refs")).unwrap();
    lock_files(&making, &[".git/index.lock", ".git/HEAD.lock"]);
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    assert_eq!(it.agent("one", &["status", "--porcelain"]), "");
    assert!(!making.exists());
}

#[tokio::test]
async fn a_record_without_its_checkout_is_no_checkout() {
    let it = RealScene::new().await;
    let prepare = fresh(&it.repo(), "one");
    it.workspaces.prepare(&prepare).await.unwrap();
    // As if it had been killed between the record and the rename.
    std::fs::rename(it.dir("one"), it.root().join("w/.orcha/making/one")).unwrap();
    let error = it.workspaces.status(&label("one")).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Absent { .. }), "{error}");
    it.workspaces.prepare(&prepare).await.unwrap();
    assert_eq!(it.read("one", "readme").await.unwrap(), "hello\n");
}

#[tokio::test]
async fn a_folder_without_a_record_is_moved_aside_and_kept() {
    let it = RealScene::new().await;
    let dir = it.dir("one");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("precious"), "work").unwrap();
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    assert!(!dir.join("precious").exists());
    let kept = std::fs::read_dir(it.root().join("w/.orcha/kept")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_to_string(kept.join("it/precious")).unwrap(), "work");
}

#[tokio::test]
async fn a_half_made_mirror_is_made_again() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    let mirror = it.mirror_dir();
    let making = it.root().join("w/.orcha/making").join(format!("mirror-{}", mirror.file_stem().unwrap().display()));
    std::fs::create_dir_all(making.join("objects/pack")).unwrap();
    lock_files(&making, &["config.lock", "objects/pack/tmp_pack_x"]);
    std::fs::remove_dir_all(&mirror).unwrap();
    let it2 = open(&it.root()).await;
    it2.prepare(&fresh(&it.repo(), "two")).await.unwrap();
    assert!(!making.exists() && mirror.join("HEAD").exists());
}

#[tokio::test]
async fn dead_lock_files_in_the_mirror_are_cleared() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.origin_commit("trunk", "x", "x\n").await;
    lock_files(&it.mirror_dir(), &["refs/remotes/origin/trunk.lock", "refs/orcha/snapshots/one/1.lock", "HEAD.lock"]);
    it.workspaces.snapshot(&label("one"), "x").await.unwrap();
    lock_files(&it.mirror_dir(), &["refs/remotes/origin/trunk.lock", "refs/orcha/ws/one/head.lock"]);
    it.workspaces.prepare(&fresh(&it.repo(), "two")).await.unwrap();
    assert_eq!(it.read("two", "x").await.unwrap(), "x\n");
}

#[tokio::test]
async fn dead_locks_of_our_index_are_cleared_and_the_agents_do_not_matter() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "new", Some("x\n")).await;
    lock_files(&it.root().join("w/.orcha/workspaces/one"), &["index.lock", "index.theirs.lock"]);
    lock_files(&it.dir("one"), &[".git/index.lock"]);
    assert_eq!(it.workspaces.status(&label("one")).await.unwrap().untracked, 1);
    assert!(it.workspaces.commit_leftovers(&label("one"), "x", &somebody()).await.unwrap().committed);
}

#[tokio::test]
async fn a_broken_index_hides_nothing() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "new", Some("x\n")).await;
    std::fs::write(it.dir("one").join(".git/index"), "garbage").unwrap();
    std::fs::write(it.root().join("w/.orcha/workspaces/one/index"), "garbage").unwrap();
    let status = it.workspaces.status(&label("one")).await.unwrap();
    assert_eq!((status.changed, status.untracked), (0, 1));
}

#[tokio::test]
async fn a_broken_mirror_is_made_again_with_its_snapshots() {
    let it = RealScene::new().await;
    let one = label("one");
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    it.write("one", "new", Some("kept\n")).await;
    let before = it.workspaces.snapshot(&one, "before").await.unwrap();
    it.workspaces.reclaim(&one).await.unwrap();
    std::fs::remove_file(it.mirror_dir().join("HEAD")).unwrap();
    it.workspaces.prepare(&fresh(&it.repo(), "two")).await.unwrap();
    assert!(it.workspaces.snapshots(&one).await.unwrap().contains(&before));
    it.workspaces.restore(&one, before.number, &RestoreInto::Workspace).await.unwrap();
    assert_eq!(it.read("one", "new").await.unwrap(), "kept\n");
}

#[tokio::test]
async fn a_mirror_with_damaged_objects_is_made_again() {
    let it = RealScene::new().await;
    it.workspaces.prepare(&fresh(&it.repo(), "one")).await.unwrap();
    let blob = it.mirror(&["rev-parse", "refs/remotes/origin/trunk:readme"]);
    it.mirror(&["-c", "gc.pruneExpire=now", "fetch", "-q", "origin"]);
    damage(&it.mirror_dir(), &blob);
    it.workspaces.prepare(&fresh(&it.repo(), "two")).await.unwrap();
    assert_eq!(it.read("two", "readme").await.unwrap(), "hello\n");
    assert_eq!(it.agent("two", &["fsck", "--full"]), "");
}

/// Breaks one object of a repository, whether it is loose or in a pack.
fn damage(mirror: &Path, object: &str) {
    let loose = mirror.join("objects").join(&object[..2]).join(&object[2..]);
    if !loose.exists() {
        // Unpacking needs the packs elsewhere, or git would find everything present.
        for pack in std::fs::read_dir(mirror.join("objects/pack")).unwrap() {
            let pack = pack.unwrap().path();
            let away = mirror.join(pack.file_name().unwrap());
            std::fs::rename(&pack, &away).unwrap();
            if away.extension().is_some_and(|it| it == "pack") {
                let unpack = std::process::Command::new("git")
                    .args(["unpack-objects", "-q"])
                    .current_dir(mirror)
                    .stdin(std::fs::File::open(&away).unwrap())
                    .status();
                assert!(unpack.unwrap().success());
            }
        }
    }
    std::fs::remove_file(&loose).unwrap();
    std::fs::write(&loose, "broken").unwrap();
}

#[tokio::test]
async fn an_interrupted_deletion_is_ended_at_the_next_start() {
    let it = RealScene::new().await;
    let bin = it.root().join("w/.orcha/trash/abcdefgh/it");
    std::fs::create_dir_all(&bin).unwrap();
    open(&it.root()).await;
    assert!(!bin.exists());
}

#[tokio::test]
async fn a_daemon_killed_at_any_instant_of_a_preparation_finds_its_way() {
    let it = RealScene::new().await;
    // Dropping the call kills the command that runs and never starts the next one, as a kill does.
    for n in 0..40u32 {
        let name = format!("ws{}", n / 4);
        let prepare = fresh(&it.repo(), &name);
        let cut = std::time::Duration::from_millis(u64::from(n % 4) * 17 + u64::from(n / 4) * 3 + 1);
        let workspaces = open(&it.root()).await;
        if tokio::time::timeout(cut, workspaces.prepare(&prepare)).await.is_err() {
            continue;
        }
    }
    for n in 0..10 {
        let name = format!("ws{n}");
        it.workspaces.prepare(&fresh(&it.repo(), &name)).await.unwrap();
        assert_eq!(it.agent(&name, &["status", "--porcelain"]), "");
        assert_eq!(git(&it.root(), &it.dir(&name), &["fsck", "--connectivity-only"]), "");
    }
}
