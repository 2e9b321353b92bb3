//! Who plays which role of a workflow: what its Director chooses, held against what there is.
//!
//! A person's choice goes first and is not touched. What cannot be had is replaced by the usual agent, and said. It asks
//! nobody: which agents and models there are is told to it.

use crate::Role;
use crate::session::AgentChoice;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A model that an agent can be played by, as its provider says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferedModel {
    /// Its name.
    pub id: String,
    /// Whether it calls tools; `None` when nobody says.
    pub tools: Option<bool>,
    /// What else is known of it, in a few words: its size, its price.
    pub about: String,
}

/// The models of each kind of agent whose provider says which it has.
pub type Catalog = BTreeMap<String, Vec<OfferedModel>>;

/// What a Director wants for a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Casting {
    /// The role.
    pub role: Role,
    /// The kind of agent; none: the usual one.
    pub agent: Option<String>,
    /// The model; none: the usual one of that agent.
    pub model: Option<String>,
}

/// What was wanted and could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Substitution {
    /// The role.
    pub role: Role,
    /// What was wanted.
    pub wanted: String,
    /// Who plays it instead.
    pub given: String,
    /// Why.
    pub reason: String,
}

/// What a choice is held against.
#[derive(Clone, Copy, Debug)]
pub struct Stock<'a> {
    /// The agent that plays what nobody chose another one for.
    pub usual: &'a AgentChoice,
    /// What the user chose.
    pub fixed: &'a BTreeMap<Role, AgentChoice>,
    /// The kinds of agents that can be started at all; whether their programs are there is not known by that.
    pub kinds: &'a BTreeSet<String>,
    /// The models of those whose provider has answered.
    pub catalog: &'a Catalog,
}

impl<'a> Stock<'a> {
    /// Returns the agents that can be had: the usual one, and those whose provider has answered.
    pub fn agents(&self) -> impl Iterator<Item = &'a str> {
        let (usual, catalog) = (self.usual.kind.as_str(), self.catalog);
        let there = move |it: &&str| *it == usual || catalog.contains_key(*it);
        let listed = self.kinds.contains(usual);
        self.kinds.iter().map(String::as_str).chain((!listed).then_some(usual)).filter(there)
    }
}

/// The roles that somebody can be chosen for: those after the Director.
pub const ROLES: [Role; 6] =
    [Role::ProjectManager, Role::Architect, Role::Implementer, Role::Qa, Role::Finalizer, Role::Refiner];

/// Holds what a Director wants against what there is. Of two wishes for a role the first counts.
pub fn cast(wanted: &[Casting], stock: Stock<'_>) -> (BTreeMap<Role, AgentChoice>, Vec<Substitution>) {
    let (mut cast, mut substitutions) = (BTreeMap::new(), Vec::new());
    let mut heard = BTreeSet::new();
    for wish in wanted {
        if !ROLES.contains(&wish.role) || !heard.insert(wish.role) {
            continue;
        }
        let (given, reason) = match stock.fixed.get(&wish.role) {
            Some(fixed) => (fixed.clone(), differs(wish, fixed).then(|| "the user chose another one".to_owned())),
            None => {
                let (given, reason) = stock.given(wish);
                if given != *stock.usual {
                    cast.insert(wish.role, given.clone());
                }
                (given, reason)
            }
        };
        if let Some(reason) = reason {
            let wanted = said(wish.agent.as_deref(), wish.model.as_deref());
            let given = said(Some(&given.kind), given.model.as_deref());
            substitutions.push(Substitution { role: wish.role, wanted, given, reason });
        }
    }
    (cast, substitutions)
}

impl Stock<'_> {
    /// Returns who plays it, and why it is not who was wanted.
    fn given(&self, wish: &Casting) -> (AgentChoice, Option<String>) {
        let kind = wish.agent.as_deref().unwrap_or(&self.usual.kind);
        let agent = if kind == self.usual.kind {
            self.usual.clone()
        } else if self.agents().any(|it| it == kind) {
            AgentChoice::of(kind)
        } else {
            return (self.usual.clone(), Some(format!("there is no agent `{kind}` whose provider answers")));
        };
        let Some(model) = wish.model.as_ref().filter(|it| agent.model.as_ref() != Some(*it)) else {
            return (agent, None);
        };
        let reason = match self.catalog.get(kind) {
            None => format!("nobody says which models `{kind}` has"),
            Some(models) => match models.iter().find(|it| it.id.eq_ignore_ascii_case(model)) {
                None => format!("`{kind}` has no model `{model}`"),
                Some(it) if it.tools == Some(false) => format!("the model `{}` does not call tools", it.id),
                Some(it) => return (AgentChoice { model: Some(it.id.clone()), ..agent }, None),
            },
        };
        (agent, Some(reason))
    }
}

fn differs(wish: &Casting, fixed: &AgentChoice) -> bool {
    wish.agent.as_ref().is_some_and(|it| *it != fixed.kind)
        || wish.model.is_some() && wish.model.as_ref() != fixed.model.as_ref()
}

fn said(kind: Option<&str>, model: Option<&str>) -> String {
    match (kind, model) {
        (Some(kind), Some(model)) => format!("{kind} with {model}"),
        (Some(kind), None) => kind.to_owned(),
        (None, Some(model)) => model.to_owned(),
        (None, None) => "the usual agent".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(role: Role, agent: &str, model: &str) -> Casting {
        let some = |it: &str| (!it.is_empty()).then(|| it.to_owned());
        Casting { role, agent: some(agent), model: some(model) }
    }

    fn judged(wanted: &[Casting], fixed: &BTreeMap<Role, AgentChoice>) -> (BTreeMap<Role, AgentChoice>, Vec<String>) {
        let usual = AgentChoice { model: Some("big".into()), ..AgentChoice::of("openai") };
        let kinds = ["openai", "ollama", "codex"].map(str::to_owned).into();
        let model = |id: &str, tools| OfferedModel { id: id.into(), tools, ..OfferedModel::default() };
        let catalog = [
            ("openai".to_owned(), vec![model("big", None), model("small", Some(true))]),
            ("ollama".to_owned(), vec![model("Qwen3:8b", Some(true)), model("mute", Some(false))]),
        ];
        let catalog = catalog.into();
        let (cast, substitutions) = cast(wanted, Stock { usual: &usual, fixed, kinds: &kinds, catalog: &catalog });
        let said = |it: Substitution| format!("{}: {} -> {}: {}", it.role, it.wanted, it.given, it.reason);
        (cast, substitutions.into_iter().map(said).collect())
    }

    #[test]
    fn what_is_there_is_taken_by_the_name_that_its_provider_gives_it() {
        let wanted = [
            wish(Role::Architect, "", "small"),
            wish(Role::Qa, "ollama", "qwen3:8B"),
            wish(Role::Implementer, "ollama", ""),
            wish(Role::Finalizer, "openai", "big"),
        ];
        let (cast, substitutions) = judged(&wanted, &BTreeMap::new());
        let with = |kind: &str, model: &str| AgentChoice { model: Some(model.into()), ..AgentChoice::of(kind) };
        let expected = [
            (Role::Architect, with("openai", "small")),
            (Role::Qa, with("ollama", "Qwen3:8b")),
            (Role::Implementer, AgentChoice::of("ollama")),
        ];
        assert_eq!((cast, substitutions), (expected.into(), vec![]));
    }

    #[test]
    fn what_cannot_be_had_is_replaced_and_said() {
        let wanted = [
            wish(Role::Architect, "openai", "huge"),
            wish(Role::Qa, "ollama", "mute"),
            wish(Role::Implementer, "codex", "gpt"),
            wish(Role::Finalizer, "nobody", "big"),
        ];
        let (cast, substitutions) = judged(&wanted, &BTreeMap::new());
        assert_eq!(cast, [(Role::Qa, AgentChoice::of("ollama"))].into());
        assert_eq!(
            substitutions,
            [
                "architect: openai with huge -> openai with big: `openai` has no model `huge`",
                "qa: ollama with mute -> ollama: the model `mute` does not call tools",
                "implementer: codex with gpt -> openai with big: there is no agent `codex` whose provider answers",
                "finalizer: nobody with big -> openai with big: there is no agent `nobody` whose provider answers",
            ]
        );
    }

    #[test]
    fn a_program_that_may_not_be_there_is_offered_to_nobody_unless_it_is_the_usual_one() {
        let (usual, fixed) = (AgentChoice::of("codex"), BTreeMap::new());
        let kinds = ["codex", "gemini", "ollama"].map(str::to_owned).into();
        let catalog = [("ollama".to_owned(), Vec::new()), ("elsewhere".to_owned(), Vec::new())].into();
        let stock = Stock { usual: &usual, fixed: &fixed, kinds: &kinds, catalog: &catalog };
        assert_eq!(stock.agents().collect::<Vec<_>>(), ["codex", "ollama"]);
        let (cast, substitutions) = cast(&[wish(Role::Qa, "", "gpt")], stock);
        assert_eq!((cast.len(), substitutions[0].reason.as_str()), (0, "nobody says which models `codex` has"));
    }

    #[test]
    fn the_users_choice_goes_first_and_the_first_wish_of_a_role_counts() {
        let fixed = [(Role::Qa, AgentChoice::of("codex"))].into();
        let wanted = [
            wish(Role::Qa, "ollama", ""),
            wish(Role::Director, "ollama", ""),
            wish(Role::Architect, "ollama", ""),
            wish(Role::Architect, "openai", "small"),
        ];
        let (cast, substitutions) = judged(&wanted, &fixed);
        assert_eq!(cast, [(Role::Architect, AgentChoice::of("ollama"))].into());
        assert_eq!(substitutions, ["qa: ollama -> codex: the user chose another one"]);
    }
}
