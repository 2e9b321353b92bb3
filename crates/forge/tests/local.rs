//! What only a forge inside a git repository can get wrong.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may its helpers")]

mod common;

use common::{LocalStage, Stage, at, branch, key, merge, open, post};
use expect_test::expect;
use orcha_base::Retry;
use orcha_forge::local::parse_pr_url;
use orcha_forge::{Filter, ForgeError, Method, PrNumber, PrStatus, WatchPoint, Which};
use std::path::Path;

async fn opened(stage: &LocalStage, name: &str) -> orcha_forge::Pr {
    stage.commit(name, &format!("{name}.txt"), name).await;
    stage.forge().open(&stage.repo(), &open(name)).await.unwrap().pr
}

fn plant(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn nothing_that_a_repository_brings_along_is_executed() {
    let stage = LocalStage::new().await;
    stage.commit("main", ".gitattributes", "* merge=evil diff=evil filter=evil").await;
    stage.commit("feature", "a.txt", "one").await;
    stage.commit("feature", "README", "theirs").await;
    stage.commit("clean", "c.txt", "c").await;
    stage.commit("main", "README", "ours").await;

    let fired = stage.folder.path().join("fired");
    let evil = stage.folder.path().join("evil.sh");
    plant(&evil, &format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\nexit 0\n", fired.display()));
    for hook in ["reference-transaction", "update", "post-update", "pre-receive", "post-receive", "pre-auto-gc"] {
        for folder in ["hooks", "evil-hooks"] {
            plant(&stage.path().join(folder).join(hook), &std::fs::read_to_string(&evil).unwrap());
        }
    }
    plant(&stage.path().join("info/attributes"), "* merge=evil diff=evil filter=evil\n");
    let evil = evil.display().to_string();
    let evil_hooks = stage.path().join("evil-hooks").display().to_string();
    for (name, value) in [
        ("core.hooksPath", evil_hooks.as_str()),
        ("core.fsmonitor", &evil),
        ("core.sshCommand", &evil),
        ("core.pager", &evil),
        ("core.editor", &evil),
        ("core.alternateRefsCommand", &evil),
        ("merge.evil.driver", &evil),
        ("merge.default", "evil"),
        ("diff.evil.command", &evil),
        ("diff.evil.textconv", &evil),
        ("diff.external", &evil),
        ("filter.evil.clean", &evil),
        ("filter.evil.smudge", &evil),
        ("gpg.program", &evil),
        ("log.showSignature", "true"),
        ("commit.gpgSign", "true"),
        ("alias.update-ref", &format!("!{evil}")),
    ] {
        stage.git(&["config", name, value], b"");
    }

    let (forge, repo) = (stage.forge(), stage.repo());
    for name in ["feature", "clean"] {
        let pr = forge.open(&repo, &open(name)).await.unwrap().pr;
        forge.comment(&repo, pr.number, &post("x")).await.unwrap();
        forge.comments(&repo, pr.number, None).await.unwrap();
        forge.state(&repo, pr.number).await.unwrap();
        for method in [Method::Squash, Method::Rebase] {
            match forge.merge(&repo, pr.number, &merge(method, &pr.head_sha)).await {
                Ok(_) => assert_eq!(name, "clean"),
                Err(refused) => assert!(matches!(refused, ForgeError::Conflict { .. }), "{refused}"),
            }
        }
    }
    forge.delete_branch(&repo, PrNumber(2)).await.unwrap();
    forge.changes_token(&repo).await.unwrap();
    assert_eq!(forge.default_branch(&repo).await.unwrap(), branch("main"));
    assert!(!fired.exists(), "fired: {}", std::fs::read_to_string(&fired).unwrap());

    // The traps are real: plain git walks into both kinds.
    stage.try_git(&["merge-tree", "--write-tree", "main", "feature"], b"");
    assert!(fired.exists(), "the merge driver of this test does not fire at all");
    std::fs::remove_file(&fired).unwrap();
    stage.git(&["update-ref", "refs/heads/other", "main"], b"");
    assert!(fired.exists(), "the hooks of this test do not fire at all");
}

#[tokio::test]
async fn one_of_many_is_read_as_cheaply_as_one_of_few() {
    let stage = LocalStage::new().await;
    let (forge, repo) = (stage.forge(), stage.repo());
    let first = opened(&stage, "feature").await;
    let record = stage.git(&["show", "refs/orcha/pr/1/meta:pr.json"], b"");
    let mut stream = String::new();
    for n in 2..=500 {
        let record = record
            .replace("\"number\": 1,", &format!("\"number\": {n},"))
            .replace("open:feature", &format!("open:{n}"));
        let record = record.replace("\"head\": \"feature\"", &format!("\"head\": \"branch-{n}\""));
        stream.push_str(&format!("commit refs/orcha/pr/{n}/meta\ncommitter o <o> 1 +0000\ndata 0\n"));
        stream.push_str(&format!("M 100644 inline pr.json\ndata {}\n{record}\n", record.len()));
        stream.push_str(
            "M 100644 inline index.json\ndata 22\n{\"keys\":{},\"edits\":{}}\nM 100644 inline body.md\ndata 4\nbody\n",
        );
        stream.push_str(&format!("reset refs/orcha/pr/{n}/head\nfrom {}\n\n", first.head_sha));
    }
    stage.git(&["fast-import", "--quiet"], stream.as_bytes());

    stage.host.count();
    let all = forge.list(&repo, &Filter { which: Which::All, head: None, limit: 1000 }).await.unwrap();
    assert_eq!((all.len(), stage.host.count()), (500, 2));
    let state = forge.state(&repo, PrNumber(250)).await.unwrap();
    assert_eq!((state.pr.head_branch, state.body.as_str(), stage.host.count()), (branch("branch-250"), "body", 2));
    forge.changes_token(&repo).await.unwrap();
    assert_eq!(stage.host.count(), 1);
    stage.commit("next", "n.txt", "n").await;
    assert_eq!(forge.open(&repo, &open("next")).await.unwrap().pr.number, PrNumber(501));
}

#[tokio::test]
async fn a_rebase_keeps_authors_and_drops_what_the_base_has() {
    let stage = LocalStage::new().await;
    let (forge, repo) = (stage.forge(), stage.repo());
    stage.import(&[
        ("feature", "Zoë Ångström <zoe@example.org>", "a.txt", "a"),
        ("feature", "Bob --amend <bob@example.org>", "b.txt", "b"),
        ("feature", "Bob --amend <bob@example.org>", "c.txt", "c"),
    ]);
    stage.import(&[("main", "Anna Author <anna@example.org>", "b.txt", "b")]);
    let base = stage.tip("main").await.unwrap();
    let pr = forge.open(&repo, &open("feature")).await.unwrap().pr;
    forge.merge(&repo, pr.number, &merge(Method::Rebase, &pr.head_sha)).await.unwrap();
    let log = stage
        .git(&["log", "--reverse", "--format=%an|%ad|%cn|%ct|%s|%b%P", "--date=raw", &format!("{base}..main")], b"");
    let log =
        log.lines().map(|line| line.trim_end_matches(|c: char| c.is_ascii_hexdigit())).collect::<Vec<_>>().join("\n");
    expect![[r#"
        Zoë Ångström|1600000001 +0100|Mia Merger|1700000030|Change a.txt|For a reason.

        Bob --amend|1600000003 +0100|Mia Merger|1700000030|Change c.txt|For a reason.
    "#]]
    .assert_eq(&format!("{}\n", log.trim_end()));
    stage.git(&["fsck", "--strict", "--no-dangling"], b"");
}

#[tokio::test]
async fn a_merge_commit_has_both_parents_and_the_given_names() {
    let stage = LocalStage::new().await;
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(&stage, "feature").await;
    let base = stage.tip("main").await.unwrap();
    let merged = forge.merge(&repo, pr.number, &merge(Method::Merge, &pr.head_sha)).await.unwrap();
    let shown = stage.git(&["show", "--no-patch", "--format=%P|%an <%ae>|%cn|%ct|%B", merged.sha.as_str()], b"");
    assert_eq!(shown, format!("{base} {}|Mia Merger <mia@example.org>|Mia Merger|1700000030|Bring it in", pr.head_sha));
    stage.git(&["fsck", "--strict", "--no-dangling"], b"");
}

#[tokio::test]
async fn a_clone_by_mirror_carries_everything() {
    let stage = LocalStage::new().await;
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(&stage, "feature").await;
    forge.comment(&repo, pr.number, &post("hello")).await.unwrap();
    let copy = stage.folder.path().join("copy.git");
    stage.git(&["clone", "--quiet", "--mirror", ".", &copy.display().to_string()], b"");
    let copied: orcha_base::RepoUrl = copy.display().to_string().parse().unwrap();
    let state = forge.state(&copied, pr.number).await.unwrap();
    assert_eq!((state.pr.title.as_str(), &state.pr.head_sha), ("Merge feature", &pr.head_sha));
    assert_eq!(parse_pr_url(&state.pr.url), Some((format!("file://{copied}").parse().unwrap(), pr.number)));
    assert_eq!(forge.comments(&copied, pr.number, None).await.unwrap().comments[0].body, "hello");
    stage.git(&["gc", "--quiet", "--prune=now"], b"");
    assert_eq!(forge.comments(&repo, pr.number, None).await.unwrap().comments.len(), 1);
}

#[tokio::test]
async fn other_formats_of_repositories_work_as_well() {
    for init in [&["--bare", "--object-format=sha256"], &["--bare", "--ref-format=reftable"]] {
        let stage = LocalStage::with(init).await;
        let (forge, repo) = (stage.forge(), stage.repo());
        let pr = opened(&stage, "feature").await;
        stage.commit("main", "b.txt", "b").await;
        let merged = forge.merge(&repo, pr.number, &merge(Method::Rebase, &pr.head_sha)).await.unwrap();
        assert_eq!(stage.tip("main").await, Some(merged.sha), "{init:?}");
        for point in forge.watch_points(&repo).await.unwrap() {
            let (WatchPoint::Folder(path) | WatchPoint::Tree(path)) = point;
            assert!(path.is_dir(), "{} of {init:?}", path.display());
        }
    }
}

#[tokio::test]
async fn a_branch_that_somebody_works_on_is_not_pulled_away() {
    let stage = LocalStage::with(&["--template="]).await;
    stage.git(&["reset", "--quiet", "--hard", "main"], b"");
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(&stage, "feature").await;
    let main = stage.tip("main").await;
    let refused = forge.merge(&repo, pr.number, &merge(Method::Merge, &pr.head_sha)).await.unwrap_err();
    assert!(matches!(&refused, ForgeError::CheckedOut { branch: base, .. } if *base == branch("main")), "{refused}");
    assert_eq!((refused.retry(), stage.tip("main").await), (Retry::AskHuman, main));
    stage.git(&["checkout", "--quiet", "--detach"], b"");
    assert!(forge.merge(&repo, pr.number, &merge(Method::Merge, &pr.head_sha)).await.unwrap().fresh);
}

#[tokio::test]
async fn a_lock_left_behind_is_reported_not_waited_for_for_ever() {
    let stage = LocalStage::new().await;
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(&stage, "feature").await;
    let lock = stage.path().join("refs/orcha/pr/1/meta.lock");
    std::fs::write(&lock, "").unwrap();
    let error = forge.comment(&repo, pr.number, &post("x")).await.unwrap_err();
    assert!(matches!(error, ForgeError::Git { .. }), "{error}");
    assert_eq!(error.retry(), Retry::Later);
    std::fs::remove_file(&lock).unwrap();
    assert!(forge.comment(&repo, pr.number, &post("x")).await.unwrap().fresh);
}

#[tokio::test]
async fn a_crash_between_objects_and_refs_leaves_nothing_half_done() {
    let stage = LocalStage::new().await;
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(&stage, "feature").await;
    let before = stage.git(&["for-each-ref"], b"");
    // A base that is locked stops the merge after all objects were made, as a crash would.
    let lock = stage.path().join("refs/heads/main.lock");
    std::fs::write(&lock, "").unwrap();
    forge.merge(&repo, pr.number, &merge(Method::Squash, &pr.head_sha)).await.unwrap_err();
    assert_eq!(stage.git(&["for-each-ref"], b""), before);
    std::fs::remove_file(&lock).unwrap();
    assert_eq!(forge.state(&repo, pr.number).await.unwrap().pr.status, PrStatus::Open);
    assert!(forge.merge(&repo, pr.number, &merge(Method::Squash, &pr.head_sha)).await.unwrap().fresh);
}

#[tokio::test]
async fn a_crash_between_base_and_record_merges_nothing_twice() {
    for method in [Method::Merge, Method::Squash, Method::Rebase] {
        let stage = LocalStage::new().await;
        let (forge, repo) = (stage.forge(), stage.repo());
        let pr = opened(&stage, "feature").await;
        stage.commit("main", "b.txt", "b").await;
        let record = stage.git(&["rev-parse", "refs/orcha/pr/1/meta"], b"");
        let merged = forge.merge(&repo, pr.number, &merge(method, &pr.head_sha)).await.unwrap();
        stage.git(&["update-ref", "refs/orcha/pr/1/meta", &record], b"");
        forge.merge(&repo, pr.number, &merge(method, &pr.head_sha)).await.unwrap();
        assert_eq!(stage.tip("main").await, Some(merged.sha), "{method:?}");
        assert_eq!(forge.state(&repo, pr.number).await.unwrap().pr.status, PrStatus::Merged);
    }
}

#[tokio::test]
async fn a_crash_while_opening_does_not_block_the_next_opening() {
    let stage = LocalStage::new().await;
    let head = stage.commit("feature", "a.txt", "a").await;
    stage.git(&["update-ref", "refs/orcha/pr/1/head", head.as_str()], b"");
    let opened = stage.forge().open(&stage.repo(), &open("feature")).await.unwrap();
    assert_eq!((opened.pr.number, opened.fresh), (PrNumber(2), true));
}

#[tokio::test]
async fn a_crash_while_making_the_bench_does_not_block_merges() {
    let stage = LocalStage::new().await;
    let half = stage.folder.path().join("work/.orcha/forge/bench-sha1.git");
    std::fs::create_dir_all(&half).unwrap();
    std::fs::write(half.join("config.lock"), "").unwrap();
    let pr = opened(&stage, "feature").await;
    stage.commit("main", "b.txt", "b").await;
    assert!(stage.forge().merge(&stage.repo(), pr.number, &merge(Method::Merge, &pr.head_sha)).await.unwrap().fresh);
}

#[tokio::test]
async fn damaged_records_are_named() {
    let stage = LocalStage::new().await;
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(&stage, "feature").await;
    let main = stage.tip("main").await.unwrap();
    stage.git(&["update-ref", "refs/orcha/pr/1/meta", main.as_str()], b"");
    let error = forge.state(&repo, pr.number).await.unwrap_err();
    assert!(matches!(error, ForgeError::Corrupt { number: PrNumber(1), what: "pr.json", .. }), "{error}");
    assert_eq!(error.retry(), Retry::AskHuman);
}

#[tokio::test]
async fn a_repository_that_vanishes_is_absent() {
    let stage = LocalStage::new().await;
    let (forge, repo) = (stage.forge(), stage.repo());
    opened(&stage, "feature").await;
    std::fs::rename(stage.path(), stage.folder.path().join("moved.git")).unwrap();
    let error = forge.list(&repo, &Filter::default()).await.unwrap_err();
    assert!(matches!(error, ForgeError::RepoAbsent { .. }), "{error}");
    assert!(!forge.repo_exists(&repo).await.unwrap());
    let foreign = forge.repo_exists(&"https://example.org/a/b.git".parse().unwrap()).await.unwrap_err();
    assert!(matches!(foreign, ForgeError::Foreign { .. }), "{foreign}");
}

#[tokio::test]
async fn a_fresh_repository_has_no_default_branch_and_a_wrong_head_is_looked_through() {
    let stage = LocalStage::new().await;
    let (forge, repo) = (stage.forge(), stage.repo());
    stage.git(&["symbolic-ref", "HEAD", "refs/heads/never-pushed"], b"");
    assert_eq!(forge.default_branch(&repo).await.unwrap(), branch("main"));
    stage.git(&["branch", "-m", "main", "trunk"], b"");
    assert_eq!(forge.default_branch(&repo).await.unwrap(), branch("trunk"));
    stage.git(&["update-ref", "-d", "refs/heads/trunk"], b"");
    let error = forge.default_branch(&repo).await.unwrap_err();
    assert!(matches!(error, ForgeError::NoDefaultBranch { .. }), "{error}");
}

#[tokio::test]
async fn hostile_branches_are_not_seen() {
    let stage = LocalStage::new().await;
    let main = stage.tip("main").await.unwrap();
    for name in ["-x", "--upload-pack=touch", "a;id", "é"] {
        stage.git(&["update-ref", &format!("refs/heads/{name}"), main.as_str()], b"");
    }
    let pr = opened(&stage, "feature").await;
    let state = stage.forge().state(&stage.repo(), pr.number).await.unwrap();
    assert_eq!(state.pr.head_branch, branch("feature"));
}

#[tokio::test]
async fn a_person_can_read_the_record_with_git() {
    let stage = LocalStage::new().await;
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(&stage, "feature").await;
    let it = orcha_forge::Post { key: key("k:1"), at: at(9), ..post("Nice.") };
    forge.comment(&repo, pr.number, &it).await.unwrap();
    let log = stage.git(&["log", "--format=%an %ct %B", "refs/orcha/pr/1/meta"], b"");
    let files = stage.git(&["ls-tree", "--name-only", "refs/orcha/pr/1/meta"], b"");
    expect![[r#"
        orcha 1700000009 pr 1: comment

        {"line":2,"entry":{"comment":{"id":2,"revision":1,"author":{"name":"orcha","trust":"system"},"on":{"kind":"issue"},"text":"Nice.\n\n<!-- orcha:k:1 -->","created_at":"2023-11-14T22:13:29.000000Z","updated_at":"2023-11-14T22:13:29.000000Z"}}}

        orcha 1700000000 pr 1: opened

        {"line":1,"entry":"opened"}
        body.md
        index.json
        pr.json
    "#]]
    .assert_eq(&format!("{log}\n{files}\n"));
}
