//! What becomes of a result: how that is wished for, how far it has come, and what there is of it in the end.
//!
//! How an archive is made, what a server answers and what a push does is not known here.

use orcha_base::{BranchName, PullRequestId, RepoUrl, Sha};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strum::{Display, EnumIter, EnumString, IntoEnumIterator, IntoStaticStr};

/// How a result is delivered.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Action {
    /// A pull request with the checked commit.
    PullRequest,
    /// The checked commit on a branch, without a pull request. Never by force.
    DirectCommit,
    /// A ZIP archive of everything.
    ArtifactBundle,
    /// One Markdown file of everything.
    MarkdownExport,
    /// A post that somebody still has to publish.
    BlogDraft,
    /// A page of documentation that somebody still has to publish.
    DocDraft,
    /// A signed call to somebody's server.
    Webhook,
    /// Nothing leaves the house: the result stands in the workflow.
    Answer,
}

impl Action {
    /// Reads an action in the words that clients and models use for it.
    pub fn said(words: &str) -> Option<Self> {
        match words.trim().to_lowercase().replace(['-', ' '], "_").as_str() {
            "pull_request" | "github_pr" | "pr" => Some(Self::PullRequest),
            "direct_commit" | "repo_commit_only" | "commit" => Some(Self::DirectCommit),
            "artifact_bundle" | "bundle" | "archive" => Some(Self::ArtifactBundle),
            "markdown_export" | "markdown" => Some(Self::MarkdownExport),
            "blog_draft" => Some(Self::BlogDraft),
            "doc_draft" => Some(Self::DocDraft),
            "webhook" | "webhook_dispatch" => Some(Self::Webhook),
            "answer" | "api_response" | "none" => Some(Self::Answer),
            _ => None,
        }
    }

    /// Returns the name by which published clients know it.
    pub const fn published(self) -> &'static str {
        match self {
            Self::PullRequest => "github-pr",
            Self::DirectCommit => "repo-commit-only",
            Self::ArtifactBundle => "artifact-bundle",
            Self::MarkdownExport => "markdown-export",
            Self::BlogDraft => "blog-draft",
            Self::DocDraft => "doc-draft",
            Self::Webhook => "webhook-dispatch",
            Self::Answer => "api-response",
        }
    }

    /// Tells whether there has to be a repository for it.
    pub const fn needs_repository(self) -> bool {
        matches!(self, Self::PullRequest | Self::DirectCommit)
    }

    /// Tells whether a model may choose it: not what reaches others without anybody's look, and not what takes an
    /// address.
    pub const fn is_for_models(self) -> bool {
        !matches!(self, Self::DirectCommit | Self::Webhook)
    }

    /// Returns all names, for people.
    pub fn names() -> String {
        Self::iter().map(|it| it.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Returns the names of those that a model may choose.
    pub fn names_for_models() -> Vec<&'static str> {
        Self::iter().filter(|it| it.is_for_models()).map(Into::into).collect()
    }
}

/// What was said of a delivery besides its action.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Settings {
    /// Nothing.
    #[default]
    Nothing,
    /// How the pull request is opened.
    PullRequest(PullRequestSettings),
    /// Where the commit goes.
    DirectCommit {
        /// The branch; the one that the work is based on without it.
        branch: Option<BranchName>,
    },
    /// How an archive or a document is called, or who is called: read, and checked when it was wished for, by whoever
    /// makes it. A secret in it is a reference.
    Made {
        /// It.
        config: Map<String, Value>,
    },
}

/// How a pull request is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequestSettings {
    /// Its title; the Finalizer's without it.
    pub title: Option<String>,
    /// Its text; the Finalizer's without it.
    pub body: Option<String>,
    /// The branch that it comes from; that of the checkout without it.
    pub head: Option<BranchName>,
    /// Whether it is opened as a draft.
    pub draft: bool,
}

/// A delivery that was ordered and is not made yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// Which of all that were ordered for the workflow, from 1.
    pub number: u32,
    /// How far it has come.
    pub standing: Standing,
}

/// How far an ordered delivery has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// Somebody is at it.
    UnderWay,
    /// It was not made, and a person may do something about it.
    Faulted {
        /// Why, for people.
        detail: String,
    },
    /// It cannot be made.
    Refused {
        /// Why, for people.
        detail: String,
    },
}

/// What a result was delivered as. Only what was seen to be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case")]
pub enum Delivered {
    /// The texts stand in the workflow.
    Answer,
    /// A pull request was merged.
    PullRequest {
        /// Which.
        pull_request: PullRequestId,
        /// Where it can be seen.
        url: Option<String>,
    },
    /// A branch of the origin is at the commit.
    Commit {
        /// The origin.
        repo: RepoUrl,
        /// The branch.
        branch: BranchName,
        /// The commit.
        commit: Sha,
    },
    /// An archive or a document was made, or a server has confirmed a call.
    Made {
        /// What there is now.
        links: Vec<Link>,
        /// What was done, in a sentence.
        summary: String,
    },
}

impl Delivered {
    /// Says it in a sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Answer => "The result stands in the workflow.".to_owned(),
            Self::PullRequest { url: Some(url), .. } => format!("The pull request {url} was merged."),
            Self::PullRequest { url: None, .. } => "The pull request was merged.".to_owned(),
            Self::Commit { repo, branch, commit } => {
                format!("Branch `{branch}` of {repo} is at {}.", commit.short())
            }
            Self::Made { links, summary } => {
                let at: Vec<&str> = links.iter().map(|it| it.target.as_str()).collect();
                format!("Delivered: {summary} ({}).", at.join(", "))
            }
        }
    }
}

/// Something that exists because of a delivery, and was looked at after it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What it is.
    pub kind: LinkKind,
    /// Where: a path on the daemon's machine, or the server that was called, without what may be secret.
    pub target: String,
    /// How many bytes it has, if it is a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The SHA-256 of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum LinkKind {
    /// A file.
    File,
    /// A server that has confirmed a call.
    Webhook,
}

/// A text that belongs to a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Its path, relative and with forward slashes.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl Document {
    /// Tells whether a path is that of a text in Markdown.
    pub fn is_markdown(path: &str) -> bool {
        let ending = path.rsplit('/').next().and_then(|it| it.rsplit_once('.')).map(|(_, ending)| ending);
        ending.is_some_and(|it| ["md", "markdown", "mdx"].contains(&it.to_ascii_lowercase().as_str()))
    }
}

/// Returns the text that a draft is made of: the longest one in Markdown, or the longest of all.
pub fn main_text(documents: &[Document]) -> Option<&Document> {
    let longest = |markdown: bool| {
        let of_kind = documents.iter().filter(|it| !markdown || Document::is_markdown(&it.path));
        of_kind.filter(|it| !it.text.trim().is_empty()).max_by_key(|it| it.text.len())
    };
    longest(true).or_else(|| longest(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_known_by_its_own_name_and_by_the_published_one() {
        for it in Action::iter() {
            assert_eq!((Action::said(&it.to_string()), Action::said(it.published())), (Some(it), Some(it)));
        }
        assert_eq!(Action::said("fax"), None);
        assert!(!Action::names_for_models().contains(&"webhook"));
        assert!(!Action::names_for_models().contains(&"direct_commit"));
    }

    #[test]
    fn a_draft_is_made_of_the_longest_text_in_markdown() {
        let text = |path: &str, text: &str| Document { path: path.into(), text: text.into() };
        let all = [text("notes.txt", "very long notes"), text("a/post.MD", "the post"), text("short.md", "x")];
        assert_eq!(main_text(&all).map(|it| it.path.as_str()), Some("a/post.MD"));
        assert_eq!(main_text(&all[..1]).map(|it| it.path.as_str()), Some("notes.txt"));
        assert_eq!(main_text(&[text("empty.md", " \n")]), None);
    }
}
