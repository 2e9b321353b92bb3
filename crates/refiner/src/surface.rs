//! What the refiner may touch, and which drafts become proposals.
//!
//! Texts that steer roles, and nothing else: never code, never settings, never a path of anybody's choice.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The kind of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What one role is told besides its task. Its name is the role.
    RoleOverlay,
    /// What every role is told.
    PromptOverlay,
    /// Knowledge that is shown where it is relevant. Its text is a `SKILL.md`.
    Skill,
}

/// One text that may be changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Surface {
    /// Its kind.
    pub kind: Kind,
    /// Its name: lower case letters, digits and dashes; or a role.
    pub name: String,
}

impl fmt::Display for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::RoleOverlay => "role overlay",
            Kind::PromptOverlay => "prompt overlay",
            Kind::Skill => "skill",
        };
        write!(f, "{kind} `{}`", self.name)
    }
}

/// What a draft wants to do to a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Make it.
    Create,
    /// Replace it.
    Update,
    /// Nothing: it is advice for people.
    Advisory,
}

/// How urgent a draft is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// It can wait.
    Low,
    /// It should be done.
    Medium,
    /// It costs something every time.
    High,
}

/// A proposal as a model or the search over many runs drafts it: words, nothing of it is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What kind of text, in the drafter's words: `persona`, `role`, `prompt`, `skill`, …
    pub component_type: String,
    /// Its name.
    pub component_name: String,
    /// What is wrong.
    pub problem: String,
    /// What would be better.
    pub proposed_fix: String,
    /// `create`, `update` or `advisory`.
    pub change_type: String,
    /// `high`, `medium` or `low`.
    pub priority: String,
    /// The complete new text; none for advice.
    pub text: Option<String>,
}

/// A draft that may become a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// What it is about.
    pub surface: Surface,
    /// What is wrong.
    pub problem: String,
    /// What would be better.
    pub proposed_fix: String,
    /// What it wants to do.
    pub change: Change,
    /// How urgent it is.
    pub priority: Priority,
    /// The complete new text; none for advice.
    pub text: Option<String>,
}

/// Why a draft was dropped, for the journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// A field says nothing.
    #[error("`{field}` says nothing")]
    Blank {
        /// Which.
        field: &'static str,
    },
    /// A field has a value that is not known.
    #[error("`{field}` is `{value}`; it must be {rule}")]
    Unknown {
        /// Which.
        field: &'static str,
        /// The value.
        value: String,
        /// What would be right.
        rule: &'static str,
    },
    /// It is about something that nobody may change this way.
    #[error("{what} is not changed by proposals: only texts for roles, prompts and skills are")]
    OutOfBounds {
        /// What.
        what: String,
    },
    /// Its name is not one.
    #[error("`{name}` is no name: lower case letters, digits and dashes, at most 64, beginning with a letter")]
    Name {
        /// The name.
        name: String,
    },
    /// Its text cannot be used.
    #[error("its text cannot be used: {rule}")]
    Text {
        /// Why.
        rule: &'static str,
    },
    /// Another draft of the same pass is about the same text and at least as urgent.
    #[error("another draft is about {surface}")]
    Twice {
        /// The text.
        surface: Surface,
    },
}

/// How long a text may be, in bytes.
const LONGEST: usize = 32 * 1024;
/// How many drafts of one pass are looked at.
const MOST: usize = 50;
const NOTHING: [&str; 6] = ["n/a", "na", "none", "unknown", "placeholder", "tbd"];

/// Says which drafts of one pass become proposals, the most urgent first; of several about one text the most urgent.
pub fn admit(drafts: Vec<Draft>) -> (Vec<Admitted>, Vec<(Draft, Dropped)>) {
    let mut best: BTreeMap<Surface, (Admitted, Draft)> = BTreeMap::new();
    let mut dropped = Vec::new();
    for (n, draft) in drafts.into_iter().enumerate() {
        if n >= MOST {
            dropped.push((draft, Dropped::Text { rule: "there are more than 50 drafts" }));
            continue;
        }
        match look(&draft) {
            Err(why) => dropped.push((draft, why)),
            Ok(it) => {
                let surface = it.surface.clone();
                match best.remove(&surface) {
                    Some((before, older)) if before.priority >= it.priority => {
                        best.insert(surface.clone(), (before, older));
                        dropped.push((draft, Dropped::Twice { surface }));
                    }
                    Some((_, older)) => {
                        dropped.push((older, Dropped::Twice { surface: surface.clone() }));
                        best.insert(surface, (it, draft));
                    }
                    None => {
                        best.insert(surface, (it, draft));
                    }
                }
            }
        }
    }
    let mut admitted: Vec<Admitted> = best.into_values().map(|(it, _)| it).collect();
    admitted.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.surface.cmp(&b.surface)));
    (admitted, dropped)
}

fn look(draft: &Draft) -> Result<Admitted, Dropped> {
    let said = |field: &'static str, text: &str| {
        let text = text.trim();
        if text.is_empty() || NOTHING.contains(&text.to_lowercase().as_str()) {
            return Err(Dropped::Blank { field });
        }
        Ok(text.to_owned())
    };
    let component = said("component_type", &draft.component_type)?.to_lowercase();
    let name = said("component_name", &draft.component_name)?.to_lowercase().replace([' ', '_'], "-");
    let problem = said("problem", &draft.problem)?;
    let proposed_fix = said("proposed_fix", &draft.proposed_fix)?;
    let kind = match component.as_str() {
        "persona" | "role" | "role_overlay" => Kind::RoleOverlay,
        "prompt" | "prompt_overlay" => Kind::PromptOverlay,
        "skill" => Kind::Skill,
        _ => return Err(Dropped::OutOfBounds { what: format!("`{component}`") }),
    };
    let mut letters = name.chars();
    let begins = letters.next().is_some_and(|it| it.is_ascii_lowercase());
    if !begins || name.len() > 64 || !letters.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-') {
        return Err(Dropped::Name { name });
    }
    let priority = match draft.priority.trim().to_lowercase().as_str() {
        "high" => Priority::High,
        "medium" => Priority::Medium,
        "low" => Priority::Low,
        other => {
            return Err(Dropped::Unknown {
                field: "priority",
                value: other.to_owned(),
                rule: "`high`, `medium` or `low`",
            });
        }
    };
    let wanted = match draft.change_type.trim().to_lowercase().as_str() {
        "create" => Change::Create,
        "update" => Change::Update,
        "advisory" => Change::Advisory,
        other => {
            return Err(Dropped::Unknown {
                field: "change_type",
                value: other.to_owned(),
                rule: "`create`, `update` or `advisory`",
            });
        }
    };
    let (change, text) = match (wanted, &draft.text) {
        (Change::Advisory, _) | (_, None) => (Change::Advisory, None),
        (change, Some(text)) => (change, Some(usable(kind, text)?)),
    };
    Ok(Admitted { surface: Surface { kind, name }, problem, proposed_fix, change, priority, text })
}

/// Looks whether a text can be used for its kind.
fn usable(kind: Kind, text: &str) -> Result<String, Dropped> {
    let refuse = |rule| Err(Dropped::Text { rule });
    if text.trim().is_empty() {
        return refuse("it is empty");
    }
    if text.len() > LONGEST {
        return refuse("it is longer than 32 KiB");
    }
    if text.chars().any(|it| it.is_control() && it != '\n' && it != '\t') {
        return refuse("it has control characters");
    }
    if kind == Kind::Skill && !has_front_matter(text) {
        return refuse("a skill begins with front matter that has `name` and `description`");
    }
    Ok(text.to_owned())
}

fn has_front_matter(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("---\n") else { return false };
    let Some((front, _)) = rest.split_once("\n---") else { return false };
    let has = |key: &str| front.lines().any(|line| line.strip_prefix(key).is_some_and(|it| !it.trim().is_empty()));
    has("name:") && has("description:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft {
            component_type: "persona".into(),
            component_name: "Architect".into(),
            problem: "It forgets the build file.".into(),
            proposed_fix: "Say that the first task makes it.".into(),
            change_type: "update".into(),
            priority: "medium".into(),
            text: Some("The first task makes the build file.".into()),
        }
    }

    #[track_caller]
    fn dropped(change: impl FnOnce(&mut Draft)) -> Dropped {
        let mut it = draft();
        change(&mut it);
        let (admitted, mut dropped) = admit(vec![it]);
        assert_eq!(admitted, []);
        dropped.remove(0).1
    }

    #[test]
    fn a_good_draft_is_admitted_and_its_words_are_put_in_order() {
        let (admitted, dropped) = admit(vec![draft()]);
        assert!(dropped.is_empty());
        assert_eq!(admitted[0].surface, Surface { kind: Kind::RoleOverlay, name: "architect".into() });
        assert_eq!((admitted[0].change, admitted[0].priority), (Change::Update, Priority::Medium));
    }

    #[test]
    fn what_the_system_is_made_of_is_out_of_bounds() {
        for component in ["agent", "workflow", "code", "crate", "binary", "settings", "persona\0"] {
            let why = dropped(|it| it.component_type = component.into());
            assert!(matches!(why, Dropped::OutOfBounds { .. }), "{component}: {why:?}");
        }
        for name in ["../qa", "/etc/passwd", "go.mod", "README.md", "a/b", "-x", "ünder", "x;y"] {
            let why = dropped(|it| it.component_name = name.into());
            assert!(matches!(why, Dropped::Name { .. }), "{name}: {why:?}");
        }
    }

    #[test]
    fn what_says_nothing_is_dropped() {
        for nothing in ["", "  ", "N/A", "tbd", "Placeholder"] {
            assert_eq!(dropped(|it| it.problem = nothing.into()), Dropped::Blank { field: "problem" });
            assert_eq!(dropped(|it| it.component_name = nothing.into()), Dropped::Blank { field: "component_name" });
        }
        assert!(matches!(dropped(|it| it.priority = "urgent".into()), Dropped::Unknown { field: "priority", .. }));
        assert!(matches!(
            dropped(|it| it.change_type = "delete".into()),
            Dropped::Unknown { field: "change_type", .. }
        ));
    }

    #[test]
    fn a_text_that_cannot_be_used_is_no_proposal_and_one_without_a_text_is_advice() {
        assert!(matches!(dropped(|it| it.text = Some(" ".into())), Dropped::Text { .. }));
        assert!(matches!(dropped(|it| it.text = Some("x".repeat(LONGEST + 1))), Dropped::Text { .. }));
        assert!(matches!(dropped(|it| it.text = Some("a\u{1b}[2J".into())), Dropped::Text { .. }));
        let skill = |text: &str| Draft { component_type: "skill".into(), text: Some(text.into()), ..draft() };
        assert!(matches!(admit(vec![skill("no front matter")]).1[0].1, Dropped::Text { .. }));
        assert_eq!(admit(vec![skill("---\nname: a\ndescription: b\n---\nText")]).0.len(), 1);
        let (advice, _) = admit(vec![Draft { text: None, ..draft() }]);
        assert_eq!(advice[0].change, Change::Advisory);
    }

    #[test]
    fn of_several_about_one_text_the_most_urgent_stays() {
        let with = |priority: &str| Draft { priority: priority.into(), ..draft() };
        let (admitted, dropped) = admit(vec![with("low"), with("high"), with("medium")]);
        assert_eq!(admitted.iter().map(|it| it.priority).collect::<Vec<_>>(), [Priority::High]);
        assert!(dropped.len() == 2 && dropped.iter().all(|(_, why)| matches!(why, Dropped::Twice { .. })));
    }
}
