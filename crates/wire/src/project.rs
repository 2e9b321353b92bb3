//! Projects: repositories with their settings.

use orcha_base::{BranchName, ProjectId, RepoUrl, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A repository with its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Its name for people.
    pub name: String,
    /// Where it is cloned from; unique.
    pub repo: RepoUrl,
    /// The base branch, if it is not the repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<BranchName>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Registers a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// A name for people, in one line; the repository's own if there is none.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"\S"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is cloned from.
    pub repo: RepoUrl,
    /// The base branch, if it is not the repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<BranchName>,
}

/// Changes a project; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EditProject {
    /// A new name, in one line.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"\S"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Another place to clone from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoUrl>,
    /// Another base branch; an empty text goes back to the repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<String>,
}

/// The answer to a deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    /// Always `deleted`.
    pub status: String,
}

impl Default for Deleted {
    fn default() -> Self {
        Self { status: "deleted".to_owned() }
    }
}
