//! What the refiner may touch, and which drafts become proposals.
//!
//! Texts that steer roles, and nothing else: never code, never settings, never a path of anybody's choice.

use orcha_model::contract::Improvement;
use orcha_model::proposal::{Change, Priority};
use orcha_model::text::{Kind, Surface, WrongText, usable};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

impl From<&Improvement> for Draft {
    /// The first file is the new text. Where it would lie is not asked: that is decided by kind and name.
    fn from(it: &Improvement) -> Self {
        Self {
            component_type: it.component_type.clone(),
            component_name: it.component_name.clone(),
            problem: it.problem.clone(),
            proposed_fix: it.proposed_fix.clone(),
            change_type: it.change_type.to_string(),
            priority: it.priority.to_string(),
            text: it.files.first().map(|it| it.content.clone()),
        }
    }
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
    /// Its name or its text is none.
    #[error(transparent)]
    Wrong(#[from] WrongText),
    /// There are more drafts than one pass looks at.
    #[error("there are more than {MOST} drafts")]
    TooMany,
    /// Another draft of the same pass is about the same text and at least as urgent.
    #[error("another draft is about {surface}")]
    Twice {
        /// The text.
        surface: Surface,
    },
}

/// How many drafts of one pass are looked at.
const MOST: usize = 50;
const NOTHING: [&str; 6] = ["n/a", "na", "none", "unknown", "placeholder", "tbd"];

/// Says which drafts of one pass become proposals, the most urgent first; of several about one text the most urgent.
pub fn admit(drafts: Vec<Draft>) -> (Vec<Admitted>, Vec<(Draft, Dropped)>) {
    let mut best: BTreeMap<Surface, (Admitted, Draft)> = BTreeMap::new();
    let mut dropped = Vec::new();
    for (n, draft) in drafts.into_iter().enumerate() {
        if n >= MOST {
            dropped.push((draft, Dropped::TooMany));
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
    let name = said("component_name", &draft.component_name)?;
    let problem = said("problem", &draft.problem)?;
    let proposed_fix = said("proposed_fix", &draft.proposed_fix)?;
    let kind = match component.as_str() {
        "persona" | "role" | "role_overlay" => Kind::RoleOverlay,
        "prompt" | "prompt_overlay" => Kind::PromptOverlay,
        "skill" => Kind::Skill,
        _ => return Err(Dropped::OutOfBounds { what: format!("`{component}`") }),
    };
    let surface = Surface::new(kind, &name)?;
    let unknown = |field, value: &str, rule| Dropped::Unknown { field, value: value.to_owned(), rule };
    let priority: Priority = (draft.priority.trim().to_lowercase().parse())
        .map_err(|_| unknown("priority", &draft.priority, "`high`, `medium` or `low`"))?;
    let wanted: Change = (draft.change_type.trim().to_lowercase().parse())
        .map_err(|_| unknown("change_type", &draft.change_type, "`create`, `update` or `advisory`"))?;
    let (change, text) = match (wanted, &draft.text) {
        (Change::Advisory, _) | (_, None) => (Change::Advisory, None),
        (change, Some(text)) => {
            usable(kind, text)?;
            (change, Some(text.clone()))
        }
    };
    Ok(Admitted { surface, problem, proposed_fix, change, priority, text })
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
        for component in ["policy", "agent", "workflow", "code", "crate", "binary", "settings", "persona\0"] {
            let why = dropped(|it| it.component_type = component.into());
            assert!(matches!(why, Dropped::OutOfBounds { .. }), "{component}: {why:?}");
        }
        for name in ["../qa", "/etc/passwd", "go.mod", "README.md", "a/b", "-x", "ünder", "x;y"] {
            let why = dropped(|it| it.component_name = name.into());
            assert!(matches!(why, Dropped::Wrong(WrongText::Name { .. })), "{name}: {why:?}");
        }
        for name in ["manager", "boss"] {
            let why = dropped(|it| it.component_name = name.into());
            assert!(matches!(why, Dropped::Wrong(WrongText::Role { .. })), "{name}: {why:?}");
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
        assert!(matches!(dropped(|it| it.text = Some(" ".into())), Dropped::Wrong(WrongText::Body { .. })));
        assert!(matches!(
            dropped(|it| it.text = Some("x".repeat(orcha_model::text::LONGEST + 1))),
            Dropped::Wrong(WrongText::Body { .. })
        ));
        assert!(matches!(dropped(|it| it.text = Some("a\u{1b}[2J".into())), Dropped::Wrong(WrongText::Body { .. })));
        let skill = |text: &str| Draft { component_type: "skill".into(), text: Some(text.into()), ..draft() };
        assert!(matches!(admit(vec![skill("no front matter")]).1[0].1, Dropped::Wrong(WrongText::Body { .. })));
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
