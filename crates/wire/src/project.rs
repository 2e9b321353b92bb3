//! Projects: repositories with their settings.

use crate::names::names;
use orcha_base::{BranchName, ProjectId, RepoUrl, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

names! {
    /// What becomes of a request of an agent that no rule settles.
    PermissionMode, "permission mode":
    Auto = "auto",
    Ask = "ask",
    Deny = "deny",
}

names! {
    /// By what agents are to be confined.
    SandboxChoice, "sandbox level":
    None = "none",
    Auto = "auto",
    Landlock = "landlock",
    Bubblewrap = "bubblewrap",
}

/// What is said of the requests of agents that work on a project; it adds to what the daemon's settings say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PermissionRules {
    /// `auto`: what a rule allows is allowed, the rest is asked; `ask`: everything is asked; `deny`: what no rule allows
    /// is denied. Where the role has a mode as well, the stricter counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<PermissionMode>,
    /// What is allowed.
    #[schemars(length(max = 200))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<PermissionRule>,
    /// What is denied, whatever else allows it.
    #[schemars(length(max = 200))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<PermissionRule>,
    /// By what the agents are confined.
    #[serde(skip_serializing_if = "SandboxRules::is_empty")]
    pub sandbox: SandboxRules,
}

/// By what the agents that work on a project are confined; what is left out is said by the daemon's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxRules {
    /// By what. `auto`: whatever the target has. Where the role has a level as well, the stricter counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<SandboxChoice>,
    /// Whether they are never started otherwise. What the settings or the role say is not taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

impl SandboxRules {
    /// Tells whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One rule: all that it names must fit, and it names at least one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PermissionRule {
    /// The tool as the agent names it; `*` stands for any letters.
    #[schemars(length(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The words that one plain command begins with.
    #[schemars(length(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// A file or folder, from the checkout on or absolute, or a pattern of files.
    #[schemars(length(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

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
    /// What is said of the requests of agents that work on it.
    #[serde(default)]
    pub permissions: PermissionRules,
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
    /// What is said of the requests of agents that work on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<PermissionRules>,
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
    /// What is said of the requests of agents that work on it, in place of what was said before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<PermissionRules>,
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
