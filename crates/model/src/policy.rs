//! What a scope lets its runs do: bounds that somebody set once, for everything below.
//!
//! Pure. A policy is a text like all others of a scope (`policy/run`, a JSON object), so it has versions, a difference
//! and a way back. For each rule the narrower scope wins; where a wider one says that its rule is locked, a narrower one
//! may only tighten it. A run keeps what held when it was made.

use crate::Refusal;
use crate::delivery::Action;
use crate::guard::Limits;
use crate::session::AgentChoice;
use crate::workflow::Wish;
use orcha_base::ScopeId;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::{self, Display};

/// The one name of a policy among the texts of a scope.
pub const NAME: &str = "run";

/// A value that one rule may have, and which of two is tighter.
pub trait Bound: Clone + PartialEq {
    /// What it is, for whoever wrote something else.
    const IS: &'static str;
    /// Returns what satisfies both.
    #[must_use]
    fn meet(&self, other: &Self) -> Self;
    /// Returns the rule that the value breaks by itself.
    fn flaw(&self) -> Option<&'static str>;
}

/// At most so often; zero is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Most(pub u32);

/// At most so much. Zero is nothing that can be asked for: as a limit it means that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cap(pub u64);

/// Whether a person has to be asked: asking is tighter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Required(pub bool);

/// Whether something may be done at all: no is tighter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Allowed(pub bool);

/// One of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Among<T: Ord>(pub BTreeSet<T>);

impl Bound for Most {
    const IS: &'static str = "a whole number";
    fn meet(&self, other: &Self) -> Self {
        Self(self.0.min(other.0))
    }
    fn flaw(&self) -> Option<&'static str> {
        None
    }
}

impl Bound for Cap {
    const IS: &'static str = "a whole number";
    fn meet(&self, other: &Self) -> Self {
        Self(self.0.min(other.0))
    }
    fn flaw(&self) -> Option<&'static str> {
        (self.0 == 0).then_some("must be at least 1: as a limit, zero means that there is none")
    }
}

impl Bound for Required {
    const IS: &'static str = "`true` or `false`";
    fn meet(&self, other: &Self) -> Self {
        Self(self.0 || other.0)
    }
    fn flaw(&self) -> Option<&'static str> {
        None
    }
}

impl Bound for Allowed {
    const IS: &'static str = "`true` or `false`";
    fn meet(&self, other: &Self) -> Self {
        Self(self.0 && other.0)
    }
    fn flaw(&self) -> Option<&'static str> {
        None
    }
}

impl<T: Ord + Clone> Bound for Among<T> {
    const IS: &'static str = "a list of names";
    fn meet(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }
    fn flaw(&self) -> Option<&'static str> {
        self.0.is_empty().then_some("must name at least one")
    }
}

/// What one text says of one rule: the value alone, or `{"value": …, "locked": true}`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry<T> {
    value: T,
    locked: bool,
}

/// One rule as it holds, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held<T> {
    /// What holds.
    pub value: T,
    /// The scope whose policy said so last.
    pub scope: ScopeId,
    /// The version of that policy.
    pub version: u32,
    /// The scopes that locked it, the widest first, with what they locked it at.
    pub locks: Vec<(ScopeId, T)>,
}

/// One rule for people and programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its name.
    pub name: &'static str,
    /// What holds.
    pub value: serde_json::Value,
    /// The scope whose policy said so last.
    pub scope: ScopeId,
    /// The version of that policy.
    pub version: u32,
    /// The scope that locked it last.
    pub locked_by: Option<ScopeId>,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)+) => {
        /// What one policy says, as it is written.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Said {$(
            $(#[$doc])*
            $name: Option<Entry<$type>>,
        )+}

        /// What holds for a run.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Policy {$(
            $(#[$doc])*
            #[serde(skip_serializing_if = "Option::is_none")]
            pub $name: Option<Held<$type>>,
        )+}

        const RULES: &[&str] = &[$(stringify!($name),)+];

        impl Said {
            /// Takes in what is said of one rule.
            fn take(&mut self, name: &str, value: Value) -> Result<(), String> {
                match name {
                    $(stringify!($name) => put(&mut self.$name, value).map_err(|rule| format!("`{name}` {rule}")),)+
                    _ => Err(format!("`{name}` is no rule; there are {}", RULES.join(", "))),
                }
            }
        }

        impl Policy {
            /// Lets a narrower scope say what it has to say.
            fn narrow(&mut self, said: &Said, scope: &ScopeId, version: u32) {
                $(narrow(&mut self.$name, said.$name.as_ref(), scope, version);)+
            }

            /// Returns what of a narrower policy would not be heard, because a wider one locked it.
            pub fn deaf_to(&self, said: &Said) -> Vec<String> {
                let mut unheard = Vec::new();
                $(unheard.extend(deaf(stringify!($name), self.$name.as_ref(), said.$name.as_ref()));)+
                unheard
            }

            /// Returns the rules that hold.
            pub fn rules(&self) -> Vec<Shown> {
                let mut all = Vec::new();
                $(all.extend(self.$name.as_ref().map(|it| shown(stringify!($name), it)));)+
                all
            }
        }
    };
}
rules! {
    /// How often a result is repaired at most.
    max_qa_retries: Most,
    /// Whether a person looks at the plan.
    approve_plan: Required,
    /// Whether a person looks at the result.
    approve_delivery: Required,
    /// Whether a pull request may be merged without asking anybody.
    merge: Allowed,
    /// Whether work may be called good although nothing checks it.
    without_checks: Allowed,
    /// How results may be delivered.
    deliveries: Among<Action>,
    /// The kinds of agents that may play.
    agents: Among<String>,
    /// Tokens of one session.
    session_tokens: Cap,
    /// Money of one session in millionths of a US dollar.
    session_micro_usd: Cap,
    /// Tokens of one objective.
    objective_tokens: Cap,
    /// Money of one objective in millionths of a US dollar.
    objective_micro_usd: Cap,
    /// Seconds from the making of one objective to its end.
    deadline_secs: Cap,
}

/// Reads what is said of one rule.
fn put<T: Bound + DeserializeOwned>(slot: &mut Option<Entry<T>>, said: Value) -> Result<(), String> {
    if slot.is_some() {
        return Err("is said twice".into());
    }
    let (value, locked) = match said {
        Value::Object(mut parts) => {
            let value = parts.remove("value").ok_or("has no `value`")?;
            let Some(Value::Bool(locked)) = parts.remove("locked") else {
                return Err("has no `locked`, which must be `true` or `false`".into());
            };
            if let Some(other) = parts.keys().next() {
                return Err(format!("has `{other}`, which is neither `value` nor `locked`"));
            }
            (value, locked)
        }
        value => (value, false),
    };
    let value: T = serde_json::from_value(value).map_err(|fault| format!("must be {}: {fault}", T::IS))?;
    match value.flaw() {
        Some(flaw) => Err(flaw.into()),
        None => {
            *slot = Some(Entry { value, locked });
            Ok(())
        }
    }
}

fn narrow<T: Bound>(slot: &mut Option<Held<T>>, said: Option<&Entry<T>>, scope: &ScopeId, version: u32) {
    let Some(entry) = said else { return };
    let mut locks = slot.as_ref().map(|it| it.locks.clone()).unwrap_or_default();
    let value = locks.iter().fold(entry.value.clone(), |value, (_, lock)| value.meet(lock));
    if entry.locked {
        locks.push((scope.clone(), value.clone()));
    }
    *slot = Some(Held { value, scope: scope.clone(), version, locks });
}

fn deaf<T: Bound>(name: &str, held: Option<&Held<T>>, said: Option<&Entry<T>>) -> Option<String> {
    let (held, value) = (held?, &said?.value);
    let (scope, _) = held.locks.iter().find(|(_, lock)| value.meet(lock) != *value)?;
    Some(format!("`{name}` is locked by {scope} and may only be tightened"))
}

fn shown<T: Serialize>(name: &'static str, it: &Held<T>) -> Shown {
    Shown {
        name,
        // These are numbers, flags and lists of names: they can be written.
        value: serde_json::to_value(&it.value).unwrap_or_default(),
        scope: it.scope.clone(),
        version: it.version,
        locked_by: it.locks.last().map(|(scope, _)| scope.clone()),
    }
}

/// Reads a policy as a person wrote it. What it complains of names the rule.
pub fn read(body: &str) -> Result<Said, String> {
    let Pairs(pairs) =
        serde_json::from_str(body).map_err(|fault| format!("it must be a JSON object of rules: {fault}"))?;
    let mut said = Said::default();
    for (name, value) in pairs {
        said.take(&name, value)?;
    }
    if said.deadline_secs.as_ref().is_some_and(|it| it.value.0 > Limits::LONGEST) {
        return Err(format!("`deadline_secs` must be at most {}", Limits::LONGEST));
    }
    Ok(said)
}

/// The fields of a JSON object, those that stand there twice included: which of the two was meant, nobody knows.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(Fields)
    }
}

/// Puts together what the scopes of a run say, the widest first.
pub fn resolve<'a>(said: impl IntoIterator<Item = (&'a ScopeId, u32, &'a Said)>) -> Policy {
    let mut policy = Policy::default();
    for (scope, version, said) in said {
        policy.narrow(said, scope, version);
    }
    policy
}

impl Policy {
    /// Tells whether a kind of agent may play.
    pub fn allows_agent(&self, kind: &str) -> bool {
        self.agents.as_ref().is_none_or(|it| it.value.0.contains(kind))
    }

    /// Tells whether a result may be delivered so.
    pub fn allows_delivery(&self, action: Action) -> bool {
        self.deliveries.as_ref().is_none_or(|it| it.value.0.contains(&action))
    }

    /// Tells whether work may be called good although nothing checks it.
    pub fn allows_unchecked(&self) -> bool {
        self.without_checks.as_ref().is_none_or(|it| it.value.0)
    }

    /// Refuses a kind of agent that may not play.
    pub fn agent(&self, field: &'static str, kind: &str) -> Result<(), Refusal> {
        match &self.agents {
            Some(it) if !it.value.0.contains(kind) => {
                Err(against(field, it, &format!("agents are {}", names(&it.value))))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses a way to deliver that is not allowed.
    pub fn delivery(&self, field: &'static str, action: Action) -> Result<(), Refusal> {
        match &self.deliveries {
            Some(it) if !it.value.0.contains(&action) => {
                Err(against(field, it, &format!("results are delivered as {}", names(&it.value))))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the ways to deliver that are allowed by name; none where every way is.
    pub fn deliveries(&self) -> impl Iterator<Item = Action> + '_ {
        self.deliveries.iter().flat_map(|it| it.value.0.iter().copied())
    }

    /// Refuses limits that are wider than it allows.
    pub fn limits(&self, limits: &Limits) -> Result<(), Refusal> {
        let mut limits = *limits;
        for (name, limit, held) in self.caps(&mut limits) {
            // Zero is no limit at all.
            if let Some(it) = held.filter(|it| *limit == 0 || *limit > it.value.0) {
                return Err(against("limits", it, &format!("{name} is at most {}", it.value.0)));
            }
        }
        Ok(())
    }

    /// Pairs the limits that have a cap with it.
    fn caps<'l>(&self, limits: &'l mut Limits) -> [(&'static str, &'l mut u64, Option<&Held<Cap>>); 5] {
        [
            ("session_tokens", &mut limits.session_tokens, self.session_tokens.as_ref()),
            ("session_micro_usd", &mut limits.session_micro_usd, self.session_micro_usd.as_ref()),
            ("objective_tokens", &mut limits.objective_tokens, self.objective_tokens.as_ref()),
            ("objective_micro_usd", &mut limits.objective_micro_usd, self.objective_micro_usd.as_ref()),
            ("deadline_secs", &mut limits.deadline_secs, self.deadline_secs.as_ref()),
        ]
    }

    /// Holds what is wanted of a run against it. What is not allowed is refused; of two figures the stricter counts; and
    /// whoever has to be asked is asked.
    pub fn admit(&self, wish: &mut Wish, agent: &AgentChoice, limits: &mut Limits) -> Result<(), Refusal> {
        let others = wish.agents.values().map(|it| ("personas", it));
        for (field, choice) in std::iter::once(("agent", agent)).chain(others) {
            self.agent(field, &choice.kind)?;
            for kind in choice.fallback.iter().flatten() {
                self.agent("fallback", kind)?;
            }
        }
        if let Some(action) = wish.action {
            self.delivery("delivery", action)?;
        }
        if let Some(it) = self.merge.as_ref().filter(|it| wish.merge && !it.value.0) {
            return Err(against("delivery.merge", it, "a person merges"));
        }
        if let Some(it) = self.without_checks.as_ref().filter(|it| wish.without_checks && !it.value.0) {
            return Err(against("without_checks", it, "something has to check the work"));
        }
        wish.approve_plan |= self.approve_plan.as_ref().is_some_and(|it| it.value.0);
        wish.approve_delivery |= self.approve_delivery.as_ref().is_some_and(|it| it.value.0);
        if let Some(it) = &self.max_qa_retries {
            wish.max_repairs = wish.max_repairs.min(it.value.0);
        }
        for (_, limit, held) in self.caps(limits) {
            if let Some(it) = held {
                // Zero is no limit at all.
                *limit = if *limit == 0 { it.value.0 } else { (*limit).min(it.value.0) };
            }
        }
        Ok(())
    }
}

fn against<T>(field: &'static str, held: &Held<T>, rule: &str) -> Refusal {
    Refusal::Invalid {
        field,
        rule: format!("is against the policy of {} (version {}): {rule}", held.scope, held.version),
    }
}

fn names<T: Ord + Display>(among: &Among<T>) -> String {
    match among.0.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice() {
        // What a scope says and what one above it locked have nothing in common.
        [] => "none at all, as its scopes contradict each other".into(),
        names => names.join(" or "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(all: &[(&str, &str)]) -> Policy {
        let said: Vec<(ScopeId, Said)> =
            all.iter().map(|(scope, body)| (ScopeId::new(*scope), read(body).unwrap())).collect();
        resolve(said.iter().map(|(scope, said)| (scope, 1, said)))
    }

    fn shown(all: &[(&str, &str)]) -> Vec<String> {
        let line = |it: Shown| {
            let lock = it.locked_by.map_or_else(String::new, |it| format!(" locked by {it}"));
            format!("{} {} from {}{lock}", it.name, it.value, it.scope)
        };
        held(all).rules().into_iter().map(line).collect()
    }

    #[test]
    fn the_narrower_scope_wins_unless_a_wider_one_locked_the_rule() {
        let wide = r#"{"max_qa_retries": 1, "approve_plan": true, "deliveries": ["answer", "pull_request"]}"#;
        let narrow = r#"{"max_qa_retries": 9, "approve_plan": false}"#;
        assert_eq!(
            shown(&[("global", wide), ("web", narrow)]),
            [
                "max_qa_retries 9 from web",
                "approve_plan false from web",
                r#"deliveries ["pull_request","answer"] from global"#
            ]
        );
        let locked = r#"{"max_qa_retries": {"value": 3, "locked": true}, "agents": {"value": ["claude", "codex"], "locked": true}}"#;
        let looser = r#"{"max_qa_retries": 9, "agents": ["codex", "gemini"]}"#;
        assert_eq!(
            shown(&[("global", locked), ("web", looser)]),
            ["max_qa_retries 3 from web locked by global", r#"agents ["codex"] from web locked by global"#]
        );
        // A lock further down tightens for those below it, and the first one still holds.
        let tighter = r#"{"max_qa_retries": {"value": 2, "locked": true}}"#;
        assert_eq!(
            shown(&[("global", locked), ("web", tighter), ("web/shop", looser)])[0],
            "max_qa_retries 2 from web/shop locked by web"
        );
    }

    #[test]
    fn who_loosens_what_is_locked_is_told_so() {
        let wide = held(&[(
            "global",
            r#"{"merge": {"value": false, "locked": true}, "approve_delivery": {"value": true, "locked": true}}"#,
        )]);
        let deaf = |body: &str| wide.deaf_to(&read(body).unwrap());
        assert_eq!(deaf(r#"{"merge": true}"#), ["`merge` is locked by global and may only be tightened"]);
        assert_eq!(deaf(r#"{"approve_delivery": false}"#).len(), 1);
        assert!(deaf(r#"{"merge": false, "approve_delivery": true, "max_qa_retries": 20}"#).is_empty());
    }

    #[test]
    fn what_is_no_policy_is_refused_and_the_rule_is_named() {
        for (body, complaint) in [
            ("", "must be a JSON object of rules: EOF while parsing"),
            ("[]", "must be a JSON object of rules: invalid type: sequence"),
            (r#"{"retries": 1}"#, "`retries` is no rule; there are max_qa_retries, approve_plan"),
            (r#"{"max_qa_retries": -1}"#, "`max_qa_retries` must be a whole number"),
            (r#"{"max_qa_retries": true}"#, "`max_qa_retries` must be a whole number"),
            (r#"{"max_qa_retries": 1, "max_qa_retries": 9}"#, "`max_qa_retries` is said twice"),
            (r#"{"objective_tokens": 0}"#, "`objective_tokens` must be at least 1"),
            (r#"{"deadline_secs": 1e9}"#, "`deadline_secs` must be a whole number"),
            (r#"{"deadline_secs": 31536001}"#, "`deadline_secs` must be at most 31536000"),
            (r#"{"agents": []}"#, "`agents` must name at least one"),
            (r#"{"deliveries": ["rocket"]}"#, "`deliveries` must be a list of names: unknown variant `rocket`"),
            (r#"{"approve_plan": "yes"}"#, "`approve_plan` must be `true` or `false`"),
            (r#"{"merge": {"value": false, "locked": true, "lock": true}}"#, "`merge` has `lock`"),
            (r#"{"merge": {"value": false, "locked": 1}}"#, "`merge` has no `locked`"),
            (r#"{"merge": {"locked": true}}"#, "`merge` has no `value`"),
        ] {
            let said = read(body).unwrap_err();
            assert!(said.contains(complaint), "{body}: {said}");
        }
        assert_eq!(read("{}"), Ok(Said::default()));
    }

    #[test]
    fn scopes_that_contradict_each_other_let_nobody_play() {
        let locked = r#"{"agents": {"value": ["claude"], "locked": true}}"#;
        let policy = held(&[("web", r#"{"agents": ["codex"]}"#)]);
        assert!(policy.allows_agent("codex"));
        // The lock came after the narrower policy was written.
        let policy = held(&[("global", locked), ("web", r#"{"agents": ["codex"]}"#)]);
        let said = policy.agent("agent", "codex").unwrap_err().to_string();
        assert!(said.contains("none at all") && policy.agent("agent", "claude").is_err(), "{said}");
    }

    #[test]
    fn a_run_is_held_against_it() {
        let policy = held(&[(
            "global",
            r#"{"max_qa_retries": 1, "approve_plan": true, "merge": false, "without_checks": false, "deliveries": ["answer"],
                "agents": ["claude"], "objective_tokens": 1000, "session_micro_usd": 5}"#,
        )]);
        let admit = |change: fn(&mut Wish, &mut AgentChoice, &mut Limits)| {
            let (mut wish, mut agent, mut limits) = (Wish::default(), AgentChoice::of("claude"), Limits::default());
            change(&mut wish, &mut agent, &mut limits);
            policy.admit(&mut wish, &agent, &mut limits).map(|()| (wish, limits)).map_err(|it| it.to_string())
        };
        let (wish, limits) = admit(|_, _, _| ()).unwrap();
        assert_eq!((wish.max_repairs, wish.approve_plan, wish.approve_delivery), (1, true, false));
        // What was no limit at all becomes one.
        assert_eq!((limits.objective_tokens, limits.session_micro_usd), (1000, 5));
        assert_eq!(admit(|_, _, it| it.objective_tokens = 10).unwrap().1.objective_tokens, 10);
        for (change, field) in [
            ((|_, it, _| it.kind = "codex".into()) as fn(&mut Wish, &mut AgentChoice, &mut Limits), "agent"),
            (|_, it, _| it.fallback = Some(vec!["codex".into()]), "fallback"),
            (|it, _, _| drop(it.agents.insert(crate::Role::Qa, AgentChoice::of("codex"))), "personas"),
            (|it, _, _| it.action = Some(Action::Webhook), "delivery"),
            (|it, _, _| it.merge = true, "delivery.merge"),
            (|it, _, _| it.without_checks = true, "without_checks"),
        ] {
            let said = admit(change).unwrap_err();
            assert!(said.contains(field) && said.contains("policy of global (version 1)"), "{said}");
        }
        assert!(policy.limits(&Limits { objective_tokens: 2000, ..limits }).is_err());
        assert!(policy.limits(&Limits { objective_tokens: 0, ..limits }).is_err());
        assert!(policy.limits(&limits).is_ok());
        let policy = Policy::default();
        assert_eq!(serde_json::from_str::<Policy>(&serde_json::to_string(&policy).unwrap()).unwrap(), policy);
    }
}
