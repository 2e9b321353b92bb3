//! What orcha asks of a code host.

use crate::{
    ChangesToken, Check, CommentId, CommentPage, Cursor, Edit, Filter, ForgeError, Merge, Merged, Open, Opened, Post,
    Posted, Pr, PrNumber, PrState, Review, WatchPoint,
};
use async_trait::async_trait;
use orcha_base::{BranchName, RepoUrl, Timestamp};
use std::fmt;

/// A code host. Every call may be repeated: what was done under a key, or is already so, is not done again.
///
/// A refusal changes nothing. After any other error the caller repeats the call to learn what became of it.
#[async_trait]
pub trait Forge: Send + Sync + fmt::Debug {
    /// Tells whether the repository exists. A failed question is an error, never a no.
    async fn repo_exists(&self, repo: &RepoUrl) -> Result<bool, ForgeError>;

    /// Returns the branch that pull requests go into unless they say otherwise.
    async fn default_branch(&self, repo: &RepoUrl) -> Result<BranchName, ForgeError>;

    /// Finds the pull request of a head branch: the open one, otherwise the newest.
    async fn find_by_head(&self, repo: &RepoUrl, head: &BranchName) -> Result<Option<Pr>, ForgeError>;

    /// Opens a pull request, or finds the one with the same key, or the open one of the same head branch.
    async fn open(&self, repo: &RepoUrl, open: &Open) -> Result<Opened, ForgeError>;

    /// Reads one pull request. Its head follows its branch, and a merge made elsewhere is noticed.
    async fn state(&self, repo: &RepoUrl, number: PrNumber) -> Result<PrState, ForgeError>;

    /// Lists pull requests, the newest first.
    async fn list(&self, repo: &RepoUrl, filter: &Filter) -> Result<Vec<Pr>, ForgeError>;

    /// Reads the revisions of comments after a cursor, from the first one on without.
    async fn comments(
        &self,
        repo: &RepoUrl,
        number: PrNumber,
        after: Option<&Cursor>,
    ) -> Result<CommentPage, ForgeError>;

    /// Writes a comment.
    async fn comment(&self, repo: &RepoUrl, number: PrNumber, post: &Post) -> Result<Posted, ForgeError>;

    /// Gives a comment another text, which makes a new revision unless nothing changes.
    async fn edit_comment(
        &self,
        repo: &RepoUrl,
        number: PrNumber,
        id: &CommentId,
        body: &str,
        at: Timestamp,
    ) -> Result<(), ForgeError>;

    /// Submits a review.
    async fn review(&self, repo: &RepoUrl, number: PrNumber, review: &Review) -> Result<Posted, ForgeError>;

    /// Records where a check stands. A late report on an older commit does not replace one on the head.
    async fn set_check(&self, repo: &RepoUrl, number: PrNumber, check: &Check) -> Result<(), ForgeError>;

    /// Changes title, description or draft state.
    async fn edit(&self, repo: &RepoUrl, number: PrNumber, edit: &Edit) -> Result<(), ForgeError>;

    /// Merges. A pull request that is merged already answers with the commit of that merge.
    async fn merge(&self, repo: &RepoUrl, number: PrNumber, merge: &Merge) -> Result<Merged, ForgeError>;

    /// Closes without a merge.
    async fn close(&self, repo: &RepoUrl, number: PrNumber, at: Timestamp) -> Result<(), ForgeError>;

    /// Opens a closed one again; refused while another one of the same head branch is open.
    async fn reopen(&self, repo: &RepoUrl, number: PrNumber, at: Timestamp) -> Result<(), ForgeError>;

    /// Deletes the head branch of a merged or closed pull request, if it still ends in the head that the pull
    /// request keeps and no open one needs it.
    async fn delete_branch(&self, repo: &RepoUrl, number: PrNumber) -> Result<(), ForgeError>;

    /// Returns a summary that stays the same as long as nothing has changed, by one cheap question.
    async fn changes_token(&self, repo: &RepoUrl) -> Result<ChangesToken, ForgeError>;

    /// Names the folders to watch for changes; none if the code host has to be asked instead.
    async fn watch_points(&self, repo: &RepoUrl) -> Result<Vec<WatchPoint>, ForgeError>;
}
