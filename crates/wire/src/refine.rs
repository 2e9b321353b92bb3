//! Texts that steer roles, proposals to change them, and how finished runs went.

use crate::Persona;
use crate::names::names;
use orcha_base::{ObjectiveId, ProposalId, TextId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

names! {
    /// What kind of text it is.
    CustomizationKind, "kind of customization":
    RoleOverlay = "role_overlay",
    PromptOverlay = "prompt_overlay",
    Skill = "skill",
    Policy = "policy",
    ToolServer = "tool_server",
}

names! {
    /// Whether runs go by a version of a text: those on the new side of its trial, all, or none.
    CustomizationStatus, "status of a customization":
    Trial = "trial",
    Active = "active",
    Retired = "retired",
}

names! {
    /// Where a proposal stands.
    ProposalStatus, "status of a proposal":
    Proposed = "proposed",
    OnTrial = "on_trial",
    Adopted = "adopted",
    Declined = "declined",
    Reverted = "reverted",
}

/// One version of a text that steers roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Customization {
    /// The id of the version.
    pub id: TextId,
    /// The scope whose runs go by it, with those below.
    pub scope: String,
    /// What kind of text it is.
    pub kind: CustomizationKind,
    /// Its name; that of the role for what one role is told.
    pub name: String,
    /// From 1, for each text of a scope.
    pub version: u32,
    /// Whether runs go by it.
    pub status: CustomizationStatus,
    /// Who wrote it: the name of a credential, or `proposal`.
    pub author: String,
    /// The proposal that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal_id: Option<ProposalId>,
    /// How long it is.
    pub bytes: u64,
    /// What a skill says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The words; lists leave them out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it came into use or went out of it.
    pub updated_at: Timestamp,
}

/// Writes a version of a text, in the scope that the header `x-scope-id` names or else in `global`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCustomization {
    /// What kind of text it is.
    pub kind: CustomizationKind,
    /// Its name; a role for what one role is told.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// The words. A skill is a `SKILL.md`: front matter with `name` and `description` comes first.
    #[schemars(length(min = 1, max = 32768), regex(pattern = r"\S"))]
    pub body: String,
}

/// What a run of a scope would go by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResolvedCustomizations {
    /// The scope.
    pub scope: String,
    /// The scopes whose texts count, the widest first; of each text the narrowest wins.
    pub chain: Vec<String>,
    /// The texts, each with its words.
    pub customizations: Vec<Customization>,
    /// What the run may do.
    pub policy: Vec<PolicyRule>,
    /// What the role that was asked for would be told, word by word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
}

/// What a run of a scope would go by now, in the published shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScopeCustomizations {
    /// The scope.
    pub scope_id: String,
    /// Knowledge that is shown where it is relevant.
    pub skills: Vec<CustomizationSource>,
    /// What one role each is told; the name is that of the role.
    pub agents: Vec<CustomizationSource>,
    /// What every role is told.
    pub prompts: Vec<CustomizationSource>,
    /// What the run may do.
    pub policy: Vec<PolicyRule>,
}

/// A text that counts, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CustomizationSource {
    /// Its name.
    pub name: String,
    /// The scope that it comes from: the narrowest that has one of this name.
    pub source: String,
    /// Where its words can be read: the path of its version here.
    pub path: String,
    /// The version.
    pub version: u32,
}

/// One rule of what runs may do, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyRule {
    /// Its name.
    pub rule: String,
    /// What holds: a number, a flag, or names.
    pub value: serde_json::Value,
    /// The scope whose policy said so last.
    pub scope: String,
    /// The version of that policy.
    pub version: u32,
    /// The scope that locked it last: narrower ones may only tighten it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_by: Option<String>,
}

/// A proposal to change a text, with what its trial says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Proposal {
    /// Its id.
    pub id: ProposalId,
    /// The scope whose runs it is for.
    pub scope: String,
    /// Where it stands.
    pub status: ProposalStatus,
    /// Why, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The kind of the text that it is about.
    pub kind: CustomizationKind,
    /// The name of that text.
    pub name: String,
    /// `create`, `update`, or `advisory` for what has no text.
    pub change: String,
    /// `high`, `medium` or `low`.
    pub priority: String,
    /// Who makes it: `retrospective` of a run, or `search` over many.
    pub source: String,
    /// What is wrong.
    pub problem: String,
    /// What would be better.
    pub proposed_fix: String,
    /// The complete new text; lists leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How often it came up.
    pub seen: u32,
    /// The workflows that show what is wrong, the newest first.
    pub evidence: Vec<ObjectiveId>,
    /// What is or was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<ProposalTrial>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The trial of a proposal, as far as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProposalTrial {
    /// The version that is tried, while it may be in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customization_id: Option<TextId>,
    /// Runs as before.
    pub old: TrialSide,
    /// Runs with the new text.
    pub new: TrialSide,
    /// How likely such a difference is by chance, where one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
}

/// One side of a trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrialSide {
    /// How many runs said something.
    pub runs: u32,
    /// How many of them delivered.
    pub completed: u32,
    /// Their score on average: 1 is delivered without a repair, 0 is failed.
    pub score: f64,
    /// What the one in the middle cost, in millionths of a US dollar.
    pub micro_usd: u64,
}

/// Says why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhyNot {
    /// Why, for people.
    #[schemars(length(min = 1, max = 2000), regex(pattern = r"\S"))]
    pub reason: String,
}

/// How a finished workflow went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// The workflow.
    pub workflow_id: ObjectiveId,
    /// Where it belongs.
    pub scope: String,
    /// Its title.
    pub title: String,
    /// `completed`, `failed` or `canceled`.
    pub end: String,
    /// 1 is delivered without a repair, 0 is failed.
    pub score: f64,
    /// What its Refiner said, from 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_score: Option<u8>,
    /// How many rounds of repair it took.
    pub repairs: u32,
    /// How many tokens it used.
    pub tokens: u64,
    /// What it cost, in millionths of a US dollar.
    pub micro_usd: u64,
    /// What went wrong on the way.
    pub troubles: Vec<RunTrouble>,
    /// The version of each text that it went by, by kind and name.
    pub customizations: BTreeMap<String, u32>,
    /// The proposals that it tells something about, and from which side: `old`, `new` or `since`.
    pub trials: BTreeMap<String, String>,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// Something that went wrong in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunTrouble {
    /// The role that it happened to.
    pub role: String,
    /// Its class, such as `check_failed`.
    pub class: String,
    /// What exactly, without what differs from run to run.
    pub what: String,
}

/// The answer to a search over many runs: what is proposed now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Searched {
    /// The open proposals.
    pub proposals: Vec<Proposal>,
}

macro_rules! queries {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )+
        }
    )+};
}

queries! {
    /// Which versions of texts, newest first.
    ListCustomizations {
        /// Only those of this kind; together with `name`.
        kind: CustomizationKind,
        /// Only those of this name; together with `kind`.
        name: String,
        /// Those that are out of use as well.
        all: bool,
        /// The cursor of the page before.
        #[schemars(regex(pattern = "^-?[0-9]{1,19}~.{1,64}$"))]
        after: String,
        /// At most so many.
        #[schemars(range(min = 1, max = 1000))]
        limit: u32,
    }
    /// For whom texts are resolved.
    ResolveCustomizations {
        /// The role; then the answer says what it would be told.
        role: Persona,
        /// What it is about: skills are chosen by that.
        #[schemars(length(max = 4096))]
        about: String,
    }
    /// Which proposals, newest first.
    ListProposals {
        /// Only those that stand here.
        status: ProposalStatus,
        /// The cursor of the page before.
        #[schemars(regex(pattern = "^-?[0-9]{1,19}~.{1,64}$"))]
        after: String,
        /// At most so many.
        #[schemars(range(min = 1, max = 1000))]
        limit: u32,
    }
    /// Which finished runs, newest first.
    ListRuns {
        /// The cursor of the page before.
        #[schemars(regex(pattern = "^-?[0-9]{1,19}~.{1,64}$"))]
        after: String,
        /// At most so many.
        #[schemars(range(min = 1, max = 1000))]
        limit: u32,
    }
}
