//! What every code host must do alike. Each thought runs over the fake and over the local forge.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may its helpers")]

mod common;

use common::{FakeStage, LocalStage, Stage, at, branch, key, merge, open, post, review};
use orcha_base::{Retry, Sha};
use orcha_forge::{
    Author, Check, CheckState, Checks, CommentId, CommentKind, Cursor, Edit, Filter, Forge, ForgeError, MAX_BODY,
    Mergeable, Method, Opened, Place, Pr, PrNumber, PrStatus, ReviewState, Trust, Verdict, Which,
};
use std::collections::BTreeSet;
use std::sync::Arc;

macro_rules! conformance {
    ($($name:ident)*) => {
        mod fake {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::FakeStage::new().await).await;
            })*
        }
        mod local {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::LocalStage::new().await).await;
            })*
        }
    };
}

conformance! {
    a_repository_is_there_or_not
    an_opened_pull_request_reads_back
    opening_twice_is_opening_once
    concurrent_openings_under_one_key_make_one_pull_request
    concurrent_openings_get_distinct_numbers
    an_opening_that_cannot_be_is_refused
    hostile_texts_are_refused_or_kept_as_they_are
    the_head_follows_its_branch_and_outlives_it
    comments_page_to_the_end_and_continue
    an_edited_comment_appears_again
    a_line_that_is_talked_about_is_in_a_file_of_the_pull_request
    own_comments_are_known_by_the_authors_marker_only
    a_comment_under_a_used_key_is_not_written_again
    concurrent_changes_are_all_kept
    approvals_fade_with_new_commits
    a_request_for_changes_stands_until_the_same_reviewer_approves
    checks_count_for_the_head_only
    edits_change_what_they_name
    a_draft_is_not_merged
    closing_and_reopening
    a_reopening_and_an_opening_do_not_both_win
    a_closed_head_is_frozen
    a_merge_brings_the_files_in
    a_squash_brings_the_files_in
    a_rebase_brings_the_files_in
    a_merge_after_the_base_moved
    a_merge_is_made_once
    a_moved_head_is_not_merged
    a_conflict_is_seen_and_refused
    a_merged_record_stays_as_it_is
    a_merge_made_by_hand_is_noticed
    a_branch_that_was_reset_is_not_taken_for_merged
    racing_merges_make_one
    a_branch_is_deleted_only_when_nothing_needs_it
    lists_are_newest_first_and_filtered
    the_token_changes_with_every_change
}

async fn opened(stage: &impl Stage, name: &str) -> Pr {
    stage.commit(name, &format!("{name}.txt"), name).await;
    stage.forge().open(&stage.repo(), &open(name)).await.unwrap().pr
}

async fn a_repository_is_there_or_not(stage: &impl Stage) {
    let forge = stage.forge();
    assert!(forge.repo_exists(&stage.repo()).await.unwrap());
    assert!(!forge.repo_exists(&stage.no_repo()).await.unwrap());
    assert_eq!(forge.default_branch(&stage.repo()).await.unwrap(), branch("main"));
    let missing = forge.list(&stage.no_repo(), &Filter::default()).await.unwrap_err();
    assert!(matches!(missing, ForgeError::RepoAbsent { .. }), "{missing}");
    let missing = forge.state(&stage.repo(), PrNumber(7)).await.unwrap_err();
    assert!(matches!(missing, ForgeError::PrAbsent { number: PrNumber(7), .. }), "{missing}");
}

async fn an_opened_pull_request_reads_back(stage: &impl Stage) {
    let head = stage.commit("feature", "a.txt", "a").await;
    let Opened { pr, fresh } = stage.forge().open(&stage.repo(), &open("feature")).await.unwrap();
    assert!(fresh);
    let state = stage.another().state(&stage.repo(), pr.number).await.unwrap();
    assert_eq!(state.pr, pr);
    assert_eq!((pr.number, pr.title.as_str(), state.body.as_str()), (PrNumber(1), "Merge feature", "Because."));
    assert_eq!((pr.head_branch, pr.base_branch, pr.head_sha), (branch("feature"), branch("main"), head));
    assert_eq!((pr.status, pr.checks, pr.review), (PrStatus::Open, Checks::Unknown, ReviewState::None));
    assert_eq!((pr.merged_sha, pr.key, pr.created_at), (None, Some(key("open:feature")), at(0)));
    assert_eq!(state.mergeable, Mergeable::Yes);
    let found = stage.forge().find_by_head(&stage.repo(), &branch("feature")).await.unwrap().unwrap();
    assert_eq!(found.number, pr.number);
    assert_eq!(stage.forge().find_by_head(&stage.repo(), &branch("other")).await.unwrap(), None);
}

async fn opening_twice_is_opening_once(stage: &impl Stage) {
    let first = opened(stage, "feature").await;
    let again = stage.another().open(&stage.repo(), &open("feature")).await.unwrap();
    assert_eq!((again.pr.number, again.fresh), (first.number, false));
    let mut other_key = open("feature");
    other_key.key = key("somebody:else");
    let same_head = stage.forge().open(&stage.repo(), &other_key).await.unwrap();
    assert_eq!((same_head.pr.number, same_head.fresh), (first.number, false));
    stage.forge().close(&stage.repo(), first.number, at(1)).await.unwrap();
    let same_key = stage.forge().open(&stage.repo(), &open("feature")).await.unwrap();
    assert_eq!((same_key.pr.status, same_key.fresh), (PrStatus::Closed, false));
    let next = stage.forge().open(&stage.repo(), &other_key).await.unwrap();
    assert_eq!((next.pr.number, next.fresh), (PrNumber(2), true));
    let found = stage.forge().find_by_head(&stage.repo(), &branch("feature")).await.unwrap().unwrap();
    assert_eq!(found.number, PrNumber(2));
}

async fn concurrent_openings_under_one_key_make_one_pull_request(stage: &impl Stage) {
    stage.commit("feature", "a.txt", "a").await;
    let results = at_once(stage, 4, |forge, repo, _| async move { forge.open(&repo, &open("feature")).await }).await;
    let fresh = results.iter().filter(|result| result.as_ref().unwrap().fresh).count();
    let numbers: BTreeSet<PrNumber> = results.iter().map(|result| result.as_ref().unwrap().pr.number).collect();
    assert_eq!((fresh, numbers.len()), (1, 1));
}

async fn concurrent_openings_get_distinct_numbers(stage: &impl Stage) {
    for n in 0..6 {
        stage.commit(&format!("feature-{n}"), "a.txt", &n.to_string()).await;
    }
    let results =
        at_once(stage, 6, |forge, repo, n| async move { forge.open(&repo, &open(&format!("feature-{n}"))).await })
            .await;
    let numbers: BTreeSet<u64> = results.into_iter().map(|result| result.unwrap().pr.number.0).collect();
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

async fn an_opening_that_cannot_be_is_refused(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let refused = forge.open(&repo, &open("missing")).await.unwrap_err();
    assert!(matches!(refused, ForgeError::BranchAbsent { .. }), "{refused}");
    let main = stage.tip("main").await.unwrap();
    stage.push("empty", &main).await;
    let refused = forge.open(&repo, &open("empty")).await.unwrap_err();
    assert!(matches!(refused, ForgeError::NothingToMerge { .. }), "{refused}");
    let refused = forge.open(&repo, &open("main")).await.unwrap_err();
    assert!(matches!(refused, ForgeError::Invalid { field: "head", .. }), "{refused}");
    stage.commit("feature", "a.txt", "a").await;
    let mut nowhere = open("feature");
    nowhere.base = branch("gone");
    let refused = forge.open(&repo, &nowhere).await.unwrap_err();
    assert!(matches!(refused, ForgeError::BranchAbsent { .. }), "{refused}");
    assert_eq!(refused.retry(), Retry::Never);
    assert!(forge.list(&repo, &Filter { which: Which::All, ..Filter::default() }).await.unwrap().is_empty());
}

async fn hostile_texts_are_refused_or_kept_as_they_are(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    stage.commit("feature", "a.txt", "a").await;
    for title in ["", "  ", "two\nlines", "nul\0", "esc\u{1b}[31m", &"x".repeat(257)] {
        let hostile = orcha_forge::Open { title: title.to_owned(), ..open("feature") };
        let refused = forge.open(&repo, &hostile).await.unwrap_err();
        assert!(matches!(refused, ForgeError::Invalid { field: "title", .. }), "{title:?}: {refused}");
    }
    for body in ["nul\0", &"x".repeat(1 << 20)] {
        let hostile = orcha_forge::Open { body: body.to_owned(), ..open("feature") };
        let refused = forge.open(&repo, &hostile).await.unwrap_err();
        assert!(matches!(refused, ForgeError::Invalid { field: "body", .. }), "{refused}");
    }
    let title = "--upload-pack=touch pwn `id` $(id) <script> Größe 🦀";
    let body = format!("--x\n\"\\ \u{1}\r\n{}", "ä🦀\n".repeat(MAX_BODY / 8));
    let odd = orcha_forge::Open { title: title.to_owned(), body: body.clone(), ..open("feature") };
    let pr = forge.open(&repo, &odd).await.unwrap().pr;
    let state = forge.state(&repo, pr.number).await.unwrap();
    assert_eq!((state.pr.title.as_str(), state.body.trim_end()), (title, body.trim_end()));

    for author in ["", "a\nb", "a\0b", &"x".repeat(501)] {
        let hostile = orcha_forge::Post { author: Author::new(author, Trust::Outside), ..post("x") };
        let refused = forge.comment(&repo, pr.number, &hostile).await.unwrap_err();
        assert!(matches!(refused, ForgeError::Invalid { field: "author", .. }), "{refused}");
    }
    for text in ["", " \n", "nul\0", &"x".repeat(1 << 20)] {
        let refused = forge.comment(&repo, pr.number, &post(text)).await.unwrap_err();
        assert!(matches!(refused, ForgeError::Invalid { field: "body", .. }), "{refused}");
    }
    let odd = orcha_forge::Post { author: Author::new("--x <é> 🦀", Trust::Outside), ..post(&body) };
    forge.comment(&repo, pr.number, &odd).await.unwrap();
    let page = forge.comments(&repo, pr.number, None).await.unwrap();
    assert_eq!((page.comments[0].author.name.as_str(), page.comments[0].body.as_str()), ("--x <é> 🦀", body.as_str()));
    let mut bad = merge(Method::Merge, &pr.head_sha);
    bad.identity.name = "x> 0 +0000\ncommitter evil <e".to_owned();
    let refused = forge.merge(&repo, pr.number, &bad).await.unwrap_err();
    assert!(matches!(refused, ForgeError::Invalid { field: "identity.name", .. }), "{refused}");
    let script =
        Check { url: Some("javascript:alert(1)".to_owned()), ..check("build", CheckState::Passing, &pr.head_sha) };
    let refused = forge.set_check(&repo, pr.number, &script).await.unwrap_err();
    assert!(matches!(refused, ForgeError::Invalid { field: "check.url", .. }), "{refused}");
}

async fn the_head_follows_its_branch_and_outlives_it(stage: &impl Stage) {
    let pr = opened(stage, "feature").await;
    let second = stage.commit("feature", "b.txt", "b").await;
    assert_eq!(stage.forge().state(&stage.repo(), pr.number).await.unwrap().pr.head_sha, second);
    stage.remove_branch("feature").await;
    let state = stage.another().state(&stage.repo(), pr.number).await.unwrap();
    assert_eq!((state.pr.head_sha, state.pr.status, state.mergeable), (second.clone(), PrStatus::Open, Mergeable::Yes));
    stage.forge().merge(&stage.repo(), pr.number, &merge(Method::Merge, &second)).await.unwrap();
    assert_eq!(stage.file("main", "b.txt").await.as_deref(), Some("b"));
}

async fn comments_page_to_the_end_and_continue(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let number = opened(stage, "feature").await.number;
    for n in 0..53 {
        let it = orcha_forge::Post { key: key(&format!("k:{n}")), ..post(&format!("Number {n}")) };
        forge.comment(&repo, number, &it).await.unwrap();
    }
    let mut bodies = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = stage.another().comments(&repo, number, after.as_ref()).await.unwrap();
        bodies.extend(page.comments.into_iter().map(|it| it.body));
        after = Some(page.next);
        if !page.more {
            break;
        }
    }
    assert_eq!(bodies, (0..53).map(|n| format!("Number {n}")).collect::<Vec<_>>());
    let end = after.unwrap();
    assert!(forge.comments(&repo, number, Some(&end)).await.unwrap().comments.is_empty());
    forge.comment(&repo, number, &post("one more")).await.unwrap();
    let page = forge.comments(&repo, number, Some(&end)).await.unwrap();
    assert_eq!(page.comments.iter().map(|it| it.body.as_str()).collect::<Vec<_>>(), ["one more"]);
    let refused = forge.comments(&repo, number, Some(&Cursor("--x".to_owned()))).await.unwrap_err();
    assert!(matches!(refused, ForgeError::Invalid { field: "after", .. }), "{refused}");
}

async fn an_edited_comment_appears_again(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let number = opened(stage, "feature").await.number;
    stage.commit("feature", "src/a b.rs", "text").await;
    let at_line = Place::Line { path: "src/a b.rs".to_owned(), line: 7 };
    let posted = forge.comment(&repo, number, &orcha_forge::Post { place: at_line, ..post("first") }).await.unwrap();
    let read = forge.comments(&repo, number, None).await.unwrap();
    for (text, seconds) in [("second", 50), ("third", 60), ("third", 70)] {
        stage.another().edit_comment(&repo, number, &posted.id, text, at(seconds)).await.unwrap();
    }
    let page = forge.comments(&repo, number, Some(&read.next)).await.unwrap();
    let seen: Vec<_> =
        page.comments.iter().map(|it| (it.id.clone(), it.revision, it.body.as_str(), it.updated_at)).collect();
    assert_eq!(seen, [(posted.id.clone(), 2, "second", at(50)), (posted.id, 3, "third", at(60))]);
    assert!(page.comments.iter().all(|it| it.ours() && it.created_at == at(10)));
    assert_eq!(page.comments[0].kind, CommentKind::Inline { path: "src/a b.rs".to_owned(), line: 7 });
    let absent = forge.edit_comment(&repo, number, &CommentId("99".to_owned()), "x", at(80)).await.unwrap_err();
    assert!(matches!(absent, ForgeError::CommentAbsent { .. }), "{absent}");
}

async fn a_line_that_is_talked_about_is_in_a_file_of_the_pull_request(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    stage.commit("main", "src/old.rs", "old").await;
    stage.commit("feature", "src/new.rs", "new").await;
    let number = forge.open(&repo, &open("feature")).await.unwrap().pr.number;
    // What the base got meanwhile is not the pull request's.
    stage.commit("main", "src/later.rs", "later").await;
    let beside = |path: &str| orcha_forge::Post {
        key: key("beside"),
        place: Place::Line { path: path.to_owned(), line: 1 },
        ..post("look")
    };
    for path in ["src/old.rs", "src/later.rs", "src", "src/", "nowhere.rs", "*", ":(glob)**", "../src/new.rs"] {
        let refused = forge.comment(&repo, number, &beside(path)).await.unwrap_err();
        assert!(matches!(refused, ForgeError::Invalid { field: "path", .. }), "{path}: {refused}");
    }
    assert!(forge.comment(&repo, number, &beside("src/new.rs")).await.unwrap().fresh);
    assert!(!forge.comment(&repo, number, &beside("src/new.rs")).await.unwrap().fresh);
    assert_eq!(forge.comments(&repo, number, None).await.unwrap().comments.len(), 1);
}

async fn own_comments_are_known_by_the_authors_marker_only(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let number = opened(stage, "feature").await.number;
    let quoted = "Fixed.\n\n<!-- orcha:somebody:elses -->";
    forge.comment(&repo, number, &orcha_forge::Post { key: key("mine"), ..post(quoted) }).await.unwrap();
    let outsider = Author::new("mallory", Trust::Outside);
    forge
        .comment(&repo, number, &orcha_forge::Post { key: key("his"), author: outsider, ..post(quoted) })
        .await
        .unwrap();
    let page = forge.comments(&repo, number, None).await.unwrap();
    let seen: Vec<_> = page.comments.iter().map(|it| (it.key.clone(), it.ours(), it.body.as_str())).collect();
    assert_eq!(seen, [(Some(key("mine")), true, "Fixed."), (None, false, "Fixed.")]);
}

async fn a_comment_under_a_used_key_is_not_written_again(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let number = opened(stage, "feature").await.number;
    let results =
        at_once(stage, 4, move |forge, repo, _| async move { forge.comment(&repo, number, &post("once")).await }).await;
    let ids: BTreeSet<CommentId> = results.iter().map(|result| result.as_ref().unwrap().id.clone()).collect();
    let fresh = results.iter().filter(|result| result.as_ref().unwrap().fresh).count();
    assert_eq!((ids.len(), fresh), (1, 1));
    assert_eq!(forge.comments(&repo, number, None).await.unwrap().comments.len(), 1);
}

async fn concurrent_changes_are_all_kept(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(stage, "feature").await;
    let (number, head) = (pr.number, pr.head_sha);
    let results = at_once(stage, 6, |forge, repo, n| {
        let head = head.clone();
        async move {
            let name = format!("writer-{n}");
            match n % 2 {
                0 => forge.set_check(&repo, number, &check(&name, CheckState::Passing, &head)).await,
                _ => forge.review(&repo, number, &review(&name, Verdict::Approve, &head)).await.map(drop),
            }
        }
    })
    .await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let state = forge.state(&repo, number).await.unwrap();
    assert_eq!((state.check_runs.len(), state.reviews.len()), (3, 3));
    assert_eq!(forge.comments(&repo, number, None).await.unwrap().comments.len(), 3);
}

async fn approvals_fade_with_new_commits(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(stage, "feature").await;
    let approval = review("rita", Verdict::Approve, &pr.head_sha);
    assert!(forge.review(&repo, pr.number, &approval).await.unwrap().fresh);
    assert!(!forge.review(&repo, pr.number, &approval).await.unwrap().fresh);
    assert_eq!(forge.state(&repo, pr.number).await.unwrap().pr.review, ReviewState::Approved);
    stage.commit("feature", "b.txt", "b").await;
    let state = forge.state(&repo, pr.number).await.unwrap();
    assert_eq!(state.pr.review, ReviewState::None);
    assert!(state.reviews[0].stale && state.reviews[0].sha == pr.head_sha);
    let page = forge.comments(&repo, pr.number, None).await.unwrap();
    assert_eq!(page.comments[0].kind, CommentKind::Review { verdict: Verdict::Approve, sha: pr.head_sha });
}

async fn a_request_for_changes_stands_until_the_same_reviewer_approves(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(stage, "feature").await;
    forge.review(&repo, pr.number, &review("rita", Verdict::RequestChanges, &pr.head_sha)).await.unwrap();
    forge.review(&repo, pr.number, &review("otto", Verdict::Approve, &pr.head_sha)).await.unwrap();
    let head = stage.commit("feature", "b.txt", "b").await;
    let review_state = async || forge.state(&repo, pr.number).await.unwrap().pr.review;
    assert_eq!(review_state().await, ReviewState::ChangesRequested);
    forge.review(&repo, pr.number, &review("rita", Verdict::Comment, &head)).await.unwrap();
    assert_eq!(review_state().await, ReviewState::ChangesRequested);
    forge.review(&repo, pr.number, &review("rita", Verdict::Approve, &head)).await.unwrap();
    assert_eq!(review_state().await, ReviewState::Approved);
}

fn check(name: &str, state: CheckState, sha: &Sha) -> Check {
    Check { name: name.to_owned(), sha: sha.clone(), state, url: None, at: at(5) }
}

async fn checks_count_for_the_head_only(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(stage, "feature").await;
    let says = async |name: &str, state: CheckState, sha: &Sha| {
        forge.set_check(&repo, pr.number, &check(name, state, sha)).await.unwrap();
        forge.state(&repo, pr.number).await.unwrap().pr.checks
    };
    assert_eq!(says("build", CheckState::Pending, &pr.head_sha).await, Checks::Pending);
    assert_eq!(says("build", CheckState::Passing, &pr.head_sha).await, Checks::Passing);
    assert_eq!(says("test --all", CheckState::Canceled, &pr.head_sha).await, Checks::Failing);
    let head = stage.commit("feature", "b.txt", "b").await;
    assert_eq!(forge.state(&repo, pr.number).await.unwrap().pr.checks, Checks::Unknown);
    assert_eq!(says("build", CheckState::Passing, &head).await, Checks::Passing);
    // The report on the old head comes late.
    assert_eq!(says("build", CheckState::Failing, &pr.head_sha).await, Checks::Passing);
    let state = forge.state(&repo, pr.number).await.unwrap();
    assert_eq!(state.check_runs, [check("build", CheckState::Passing, &head)]);
}

async fn edits_change_what_they_name(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let number = opened(stage, "feature").await.number;
    let title = Edit { title: Some("Another title".to_owned()), at: at(1), ..Edit::default() };
    forge.edit(&repo, number, &title).await.unwrap();
    let body = Edit { body: Some("Another body".to_owned()), at: at(2), ..Edit::default() };
    forge.edit(&repo, number, &body).await.unwrap();
    let state = forge.state(&repo, number).await.unwrap();
    assert_eq!((state.pr.title.as_str(), state.body.as_str()), ("Another title", "Another body"));
    assert_eq!((state.pr.created_at, state.pr.updated_at), (at(0), at(2)));
    let bad = Edit { title: Some("a\nb".to_owned()), ..Edit::default() };
    let refused = forge.edit(&repo, number, &bad).await.unwrap_err();
    assert!(matches!(refused, ForgeError::Invalid { field: "title", .. }), "{refused}");
}

async fn a_draft_is_not_merged(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let head = stage.commit("feature", "a.txt", "a").await;
    let draft = orcha_forge::Open { draft: true, ..open("feature") };
    let number = forge.open(&repo, &draft).await.unwrap().pr.number;
    let refused = forge.merge(&repo, number, &merge(Method::Merge, &head)).await.unwrap_err();
    assert!(matches!(refused, ForgeError::NotNow { status: PrStatus::Draft, .. }), "{refused}");
    forge.close(&repo, number, at(1)).await.unwrap();
    forge.reopen(&repo, number, at(2)).await.unwrap();
    assert_eq!(forge.state(&repo, number).await.unwrap().pr.status, PrStatus::Draft);
    forge.edit(&repo, number, &Edit { draft: Some(false), at: at(3), ..Edit::default() }).await.unwrap();
    assert!(forge.merge(&repo, number, &merge(Method::Merge, &head)).await.unwrap().fresh);
}

async fn closing_and_reopening(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(stage, "feature").await;
    forge.close(&repo, pr.number, at(1)).await.unwrap();
    forge.close(&repo, pr.number, at(2)).await.unwrap();
    assert_eq!(forge.state(&repo, pr.number).await.unwrap().pr.status, PrStatus::Closed);
    let refused = forge.merge(&repo, pr.number, &merge(Method::Merge, &pr.head_sha)).await.unwrap_err();
    assert!(matches!(refused, ForgeError::NotNow { status: PrStatus::Closed, .. }), "{refused}");
    let refused = forge.review(&repo, pr.number, &review("rita", Verdict::Approve, &pr.head_sha)).await.unwrap_err();
    assert!(matches!(refused, ForgeError::NotNow { .. }), "{refused}");
    let second = forge.open(&repo, &orcha_forge::Open { key: key("second"), ..open("feature") }).await.unwrap().pr;
    let refused = forge.reopen(&repo, pr.number, at(3)).await.unwrap_err();
    assert!(matches!(refused, ForgeError::BranchInUse { by, .. } if by == second.number), "{refused}");
    forge.close(&repo, second.number, at(4)).await.unwrap();
    forge.reopen(&repo, pr.number, at(5)).await.unwrap();
    forge.reopen(&repo, pr.number, at(6)).await.unwrap();
    assert_eq!(forge.state(&repo, pr.number).await.unwrap().pr.status, PrStatus::Open);
}

async fn a_reopening_and_an_opening_do_not_both_win(stage: &impl Stage) {
    let number = opened(stage, "feature").await.number;
    stage.forge().close(&stage.repo(), number, at(1)).await.unwrap();
    let results = at_once(stage, 4, |forge, repo, n| async move {
        match n % 2 {
            0 => forge.reopen(&repo, number, at(2)).await,
            _ => forge.open(&repo, &orcha_forge::Open { key: key("second"), ..open("feature") }).await.map(drop),
        }
    })
    .await;
    for result in results {
        assert!(matches!(result, Ok(()) | Err(ForgeError::BranchInUse { .. })), "{result:?}");
    }
    let left = stage.forge().list(&stage.repo(), &Filter { head: Some(branch("feature")), ..Filter::default() }).await;
    assert_eq!(left.unwrap().len(), 1);
}

async fn a_closed_head_is_frozen(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let number = opened(stage, "feature").await.number;
    let second = stage.commit("feature", "b.txt", "b").await;
    // Nobody has read the state since the second commit.
    forge.close(&repo, number, at(1)).await.unwrap();
    let third = stage.commit("feature", "c.txt", "c").await;
    assert_eq!(forge.state(&repo, number).await.unwrap().pr.head_sha, second);
    forge.reopen(&repo, number, at(2)).await.unwrap();
    assert_eq!(forge.state(&repo, number).await.unwrap().pr.head_sha, third);
}

async fn merged_by(stage: &impl Stage, method: Method) {
    let (forge, repo) = (stage.forge(), stage.repo());
    stage.commit("feature", "a.txt", "a").await;
    let head = stage.commit("feature", "b.txt", "b").await;
    let number = forge.open(&repo, &open("feature")).await.unwrap().pr.number;
    stage.commit("main", "c.txt", "c").await;
    let merged = forge.merge(&repo, number, &merge(method, &head)).await.unwrap();
    assert_eq!((merged.fresh, &merged.head), (true, &head));
    assert_eq!(stage.tip("main").await.unwrap(), merged.sha);
    for (path, text) in [("README", "hello"), ("a.txt", "a"), ("b.txt", "b"), ("c.txt", "c")] {
        assert_eq!(stage.file("main", path).await.as_deref(), Some(text), "{path}");
    }
    let state = stage.another().state(&repo, number).await.unwrap();
    assert_eq!(
        (state.pr.status, state.pr.merged_sha, state.mergeable),
        (PrStatus::Merged, Some(merged.sha), Mergeable::Unknown)
    );
    assert_eq!((state.pr.head_sha, state.pr.updated_at), (head, at(30)));
}

async fn a_merge_brings_the_files_in(stage: &impl Stage) {
    merged_by(stage, Method::Merge).await;
}

async fn a_squash_brings_the_files_in(stage: &impl Stage) {
    merged_by(stage, Method::Squash).await;
}

async fn a_rebase_brings_the_files_in(stage: &impl Stage) {
    merged_by(stage, Method::Rebase).await;
}

async fn a_merge_after_the_base_moved(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let (one, two) = (opened(stage, "one").await, opened(stage, "two").await);
    let first = forge.merge(&repo, one.number, &merge(Method::Squash, &one.head_sha)).await.unwrap();
    let second = forge.merge(&repo, two.number, &merge(Method::Rebase, &two.head_sha)).await.unwrap();
    assert_ne!(first.sha, second.sha);
    assert_eq!(stage.file("main", "one.txt").await.as_deref(), Some("one"));
    assert_eq!(stage.file("main", "two.txt").await.as_deref(), Some("two"));
}

async fn a_merge_is_made_once(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(stage, "feature").await;
    let first = forge.merge(&repo, pr.number, &merge(Method::Merge, &pr.head_sha)).await.unwrap();
    let again = stage.another().merge(&repo, pr.number, &merge(Method::Squash, &pr.head_sha)).await.unwrap();
    assert_eq!((again.sha, again.fresh), (first.sha.clone(), false));
    assert_eq!(stage.tip("main").await, Some(first.sha));
    for refused in [
        forge.close(&repo, pr.number, at(40)).await.unwrap_err(),
        forge.reopen(&repo, pr.number, at(40)).await.unwrap_err(),
    ] {
        assert!(matches!(refused, ForgeError::NotNow { status: PrStatus::Merged, .. }), "{refused}");
    }
}

async fn a_moved_head_is_not_merged(stage: &impl Stage) {
    let pr = opened(stage, "feature").await;
    let main = stage.tip("main").await;
    let second = stage.commit("feature", "b.txt", "b").await;
    let refused = stage.forge().merge(&stage.repo(), pr.number, &merge(Method::Merge, &pr.head_sha)).await.unwrap_err();
    assert!(matches!(&refused, ForgeError::HeadMoved { found, .. } if *found == second), "{refused}");
    assert_eq!(stage.tip("main").await, main);
}

async fn a_conflict_is_seen_and_refused(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    stage.commit("feature", "ok.txt", "ok").await;
    let head = stage.commit("feature", "README", "theirs").await;
    let number = forge.open(&repo, &open("feature")).await.unwrap().pr.number;
    assert_eq!(forge.state(&repo, number).await.unwrap().mergeable, Mergeable::Yes);
    let main = stage.commit("main", "README", "ours").await;
    let state = forge.state(&repo, number).await.unwrap();
    assert_eq!((state.mergeable, state.conflicts), (Mergeable::Conflicting, vec!["README".to_owned()]));
    for method in [Method::Merge, Method::Squash, Method::Rebase] {
        let refused = forge.merge(&repo, number, &merge(method, &head)).await.unwrap_err();
        assert!(
            matches!(&refused, ForgeError::Conflict { files, .. } if *files == ["README"]),
            "{method:?}: {refused}"
        );
    }
    assert_eq!(stage.tip("main").await, Some(main));
    assert_eq!(forge.state(&repo, number).await.unwrap().pr.status, PrStatus::Open);
}

async fn a_merged_record_stays_as_it_is(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(stage, "feature").await;
    forge.merge(&repo, pr.number, &merge(Method::Merge, &pr.head_sha)).await.unwrap();
    let before = forge.state(&repo, pr.number).await.unwrap();
    stage.commit("feature", "late.txt", "late").await;
    assert_eq!(stage.another().state(&repo, pr.number).await.unwrap(), before);
    forge.comment(&repo, pr.number, &post("Thank you.")).await.unwrap();
    assert_eq!(forge.comments(&repo, pr.number, None).await.unwrap().comments.len(), 1);
}

async fn a_merge_made_by_hand_is_noticed(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(stage, "feature").await;
    stage.push("main", &pr.head_sha).await;
    let state = forge.state(&repo, pr.number).await.unwrap();
    assert_eq!((state.pr.status, state.pr.merged_sha), (PrStatus::Merged, Some(pr.head_sha.clone())));
    let merged = forge.merge(&repo, pr.number, &merge(Method::Merge, &pr.head_sha)).await.unwrap();
    assert_eq!((merged.sha, merged.fresh), (pr.head_sha, false));
}

async fn a_branch_that_was_reset_is_not_taken_for_merged(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(stage, "feature").await;
    let main = stage.tip("main").await.unwrap();
    stage.push("feature", &main).await;
    for _ in 0..2 {
        let state = forge.state(&repo, pr.number).await.unwrap();
        assert_eq!((state.pr.status, &state.pr.head_sha), (PrStatus::Open, &main));
    }
    stage.push("feature", &pr.head_sha).await;
    assert_eq!(forge.state(&repo, pr.number).await.unwrap().pr, pr);
}

async fn racing_merges_make_one(stage: &impl Stage) {
    let pr = opened(stage, "feature").await;
    stage.commit("main", "c.txt", "c").await;
    let (number, head) = (pr.number, pr.head_sha);
    let results = at_once(stage, 4, |forge, repo, n| {
        let head = head.clone();
        let method = [Method::Merge, Method::Squash, Method::Rebase][n % 3];
        async move { forge.merge(&repo, number, &merge(method, &head)).await }
    })
    .await;
    let merged: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(merged.iter().filter(|it| it.fresh).count(), 1);
    let tip = stage.tip("main").await.unwrap();
    assert!(merged.iter().all(|it| it.sha == tip), "{merged:?}");
}

async fn a_branch_is_deleted_only_when_nothing_needs_it(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let pr = opened(stage, "feature").await;
    let refused = forge.delete_branch(&repo, pr.number).await.unwrap_err();
    assert!(matches!(refused, ForgeError::NotNow { .. }), "{refused}");
    stage.push("stacked", &pr.head_sha).await;
    stage.commit("stacked", "s.txt", "s").await;
    let stacked = orcha_forge::Open { base: branch("feature"), ..open("stacked") };
    let stacked = forge.open(&repo, &stacked).await.unwrap().pr;
    forge.merge(&repo, pr.number, &merge(Method::Merge, &pr.head_sha)).await.unwrap();
    let refused = forge.delete_branch(&repo, pr.number).await.unwrap_err();
    assert!(matches!(refused, ForgeError::BranchInUse { by, .. } if by == stacked.number), "{refused}");
    forge.close(&repo, stacked.number, at(50)).await.unwrap();
    let late = stage.commit("feature", "late.txt", "late").await;
    let refused = forge.delete_branch(&repo, pr.number).await.unwrap_err();
    assert!(matches!(&refused, ForgeError::HeadMoved { found, .. } if *found == late), "{refused}");
    stage.push("feature", &pr.head_sha).await;
    forge.delete_branch(&repo, pr.number).await.unwrap();
    forge.delete_branch(&repo, pr.number).await.unwrap();
    assert_eq!(stage.tip("feature").await, None);

    stage.push("release", &stage.tip("main").await.unwrap()).await;
    let next = stage.commit("main", "n.txt", "n").await;
    let back = orcha_forge::Open { base: branch("release"), ..open("main") };
    let back = forge.open(&repo, &back).await.unwrap().pr;
    forge.merge(&repo, back.number, &merge(Method::Rebase, &next)).await.unwrap();
    let refused = forge.delete_branch(&repo, back.number).await.unwrap_err();
    assert!(matches!(refused, ForgeError::DefaultBranch { .. }), "{refused}");

    assert_eq!(forge.state(&repo, pr.number).await.unwrap().pr.head_sha, pr.head_sha);
}

async fn lists_are_newest_first_and_filtered(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    for name in ["one", "two", "three"] {
        opened(stage, name).await;
    }
    forge.close(&repo, PrNumber(2), at(1)).await.unwrap();
    let numbers = async |filter: Filter| -> Vec<u64> {
        forge.list(&repo, &filter).await.unwrap().into_iter().map(|pr| pr.number.0).collect()
    };
    assert_eq!(numbers(Filter::default()).await, [3, 1]);
    assert_eq!(numbers(Filter { which: Which::All, limit: 2, ..Filter::default() }).await, [3, 2]);
    assert_eq!(numbers(Filter { which: Which::All, head: Some(branch("two")), ..Filter::default() }).await, [2]);
    let head = stage.commit("one", "more.txt", "more").await;
    let listed = forge.list(&repo, &Filter { head: Some(branch("one")), ..Filter::default() }).await.unwrap();
    assert_eq!(listed[0].head_sha, head);
}

async fn the_token_changes_with_every_change(stage: &impl Stage) {
    let (forge, repo) = (stage.forge(), stage.repo());
    let mut tokens = Vec::new();
    tokens.push(forge.changes_token(&repo).await.unwrap());
    let pr = opened(stage, "feature").await;
    tokens.push(forge.changes_token(&repo).await.unwrap());
    forge.comment(&repo, pr.number, &post("x")).await.unwrap();
    tokens.push(forge.changes_token(&repo).await.unwrap());
    stage.commit("feature", "b.txt", "b").await;
    tokens.push(forge.changes_token(&repo).await.unwrap());
    forge.close(&repo, pr.number, at(40)).await.unwrap();
    tokens.push(forge.changes_token(&repo).await.unwrap());
    let distinct: std::collections::HashSet<_> = tokens.iter().collect();
    assert_eq!(distinct.len(), tokens.len());
    assert_eq!(stage.another().changes_token(&repo).await.unwrap(), tokens[4]);
}

/// Does one thing several times at once, each as another process would.
async fn at_once<T, F>(
    stage: &impl Stage,
    times: usize,
    act: impl Fn(Arc<dyn Forge>, orcha_base::RepoUrl, usize) -> F,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..times).map(|n| tokio::spawn(act(stage.another(), stage.repo(), n))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}
