//! Texts that steer roles: what an installation adds to what each role is told anyway.
//!
//! A version never changes and is never deleted; a newer one takes its place. Scopes are paths: a run in `org/web` goes
//! by the texts of `global`, `org` and `org/web`, and the narrower one wins. Which of them a run goes by is said in
//! `plan::texts`.

use crate::policy;
use crate::workflow::Phase;
use crate::{Note, NoteKind, Refusal, Role};
use orcha_base::{ProposalId, Revision, ScopeId, TenantId, TextId, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use strum::{Display, EnumIter, EnumString, IntoEnumIterator, IntoStaticStr};

/// How long a text may be, in bytes.
pub const LONGEST: usize = 32 * 1024;
/// How long what a tool server says of its tools may be, in bytes.
const LONGEST_OF_A_SERVER: usize = 256 * 1024;
/// How many texts of one scope may be in use.
pub const MOST_OF_A_SCOPE: usize = 40;
/// How many names a scope may be made of.
pub const DEEPEST: usize = 6;

/// The kind of a text.
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
pub enum Kind {
    /// What one role is told besides its task. Its name is the role.
    RoleOverlay,
    /// What every role is told.
    PromptOverlay,
    /// Knowledge that is shown where it is relevant. Its text is a `SKILL.md`.
    Skill,
    /// What runs may do; no role is told it. Its text is a JSON object, its name `run`.
    Policy,
    /// What a person approved of a tool server's tools. Its name is the server; no role is told it as such.
    ToolServer,
}

/// One text, whatever its version: in JSON and SQL `skill/shell`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Surface {
    /// Its kind.
    pub kind: Kind,
    /// Its name: lower case letters, digits and dashes; that of a role for what one role is told.
    pub name: String,
}

/// One version of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// Its id.
    pub id: TextId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The scope whose runs go by it, with those below.
    pub scope: ScopeId,
    /// How often the row changed.
    pub revision: Revision,
    /// Which text it is a version of.
    pub surface: Surface,
    /// From 1, for each text of a scope.
    pub version: u32,
    /// The words.
    pub body: String,
    /// Who wrote it.
    pub author: Author,
    /// Whether runs go by it.
    pub state: State,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it came into use or went out of it.
    pub updated_at: Timestamp,
}

/// Who wrote a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Author {
    /// A person.
    Person {
        /// The name of the credential.
        name: String,
    },
    /// It was proposed.
    Proposal {
        /// Which.
        proposal: ProposalId,
    },
}

/// Whether runs go by a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// Those on the new side of its trial.
    Trial,
    /// All of its scope.
    Active,
    /// None.
    Retired,
}

/// Which version of a text a run goes by. The version does not change, so this is all that has to be kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextUse {
    /// The version.
    pub text: TextId,
    /// Which text it is a version of.
    pub surface: Surface,
    /// Where it comes from.
    pub scope: ScopeId,
    /// Its number.
    pub version: u32,
}

impl Text {
    /// Returns the proposal that it came from.
    pub const fn proposal(&self) -> Option<ProposalId> {
        match &self.author {
            Author::Proposal { proposal } => Some(*proposal),
            Author::Person { .. } => None,
        }
    }

    /// Returns how a run names it.
    pub fn used(&self) -> TextUse {
        TextUse { text: self.id, surface: self.surface.clone(), scope: self.scope.clone(), version: self.version }
    }
}

impl Surface {
    /// Takes a name for a text of a kind. Blanks and underscores become dashes.
    pub fn new(kind: Kind, name: &str) -> Result<Self, WrongText> {
        let name = name.trim().to_lowercase().replace([' ', '_'], "-");
        let mut letters = name.chars();
        let begins = letters.next().is_some_and(|it| it.is_ascii_lowercase());
        let plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
        if !begins || name.len() > 64 || !letters.all(plain) {
            return Err(WrongText::Name { name });
        }
        let surface = Self { kind, name };
        if kind == Kind::Policy && surface.name != policy::NAME {
            return Err(WrongText::PolicyName);
        }
        if kind == Kind::RoleOverlay && surface.role().is_none() {
            return Err(WrongText::Role { name: surface.name });
        }
        Ok(surface)
    }

    /// Returns the role that alone is told it.
    pub fn role(&self) -> Option<Role> {
        roles().find(|it| self.kind == Kind::RoleOverlay && it.name().replace('_', "-") == self.name)
    }
}

impl fmt::Display for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl From<Surface> for String {
    fn from(it: Surface) -> Self {
        it.to_string()
    }
}

impl FromStr for Surface {
    type Err = WrongText;
    fn from_str(text: &str) -> Result<Self, WrongText> {
        let wrong = || WrongText::Name { name: text.chars().take(80).collect() };
        let (kind, name) = text.split_once('/').ok_or_else(wrong)?;
        Self::new(kind.parse().map_err(|_| wrong())?, name)
    }
}

impl TryFrom<String> for Surface {
    type Error = WrongText;
    fn try_from(text: String) -> Result<Self, WrongText> {
        text.parse()
    }
}

/// Why something cannot be a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongText {
    /// Its name is not one.
    #[error("`{name}` is no name: lower case letters, digits and dashes, at most 64, beginning with a letter")]
    Name {
        /// The name.
        name: String,
    },
    /// It names no role of the pipeline.
    #[error("`{name}` is no role of the pipeline")]
    Role {
        /// The name.
        name: String,
    },
    /// It is a policy, and not called like one.
    #[error("a policy is called `run`")]
    PolicyName,
    /// It is no policy.
    #[error("it is no policy: {rule}")]
    Policy {
        /// Why.
        rule: String,
    },
    /// The words cannot be used.
    #[error("its text cannot be used: {rule}")]
    Body {
        /// Why.
        rule: &'static str,
    },
}

impl From<WrongText> for Refusal {
    fn from(it: WrongText) -> Self {
        match it {
            WrongText::Name { .. } => Self::Invalid {
                field: "name",
                rule: "must be lower case letters, digits and dashes, at most 64, beginning with a letter".into(),
            },
            WrongText::Role { .. } => Self::Invalid {
                field: "name",
                rule: format!(
                    "must be a role of the pipeline: {}",
                    roles().map(Role::name).collect::<Vec<_>>().join(", ")
                ),
            },
            WrongText::PolicyName => Self::Invalid { field: "name", rule: "must be `run` for a policy".into() },
            WrongText::Policy { rule } => Self::Invalid { field: "body", rule: format!("is no policy: {rule}") },
            WrongText::Body { rule } => Self::Invalid { field: "body", rule: format!("cannot be used: {rule}") },
        }
    }
}

/// The roles of the pipeline: only they are told texts.
fn roles() -> impl Iterator<Item = Role> {
    Role::iter().filter(|role| Phase::iter().any(|it| it.role() == Some(*role)))
}

/// Looks whether words can be used for a kind.
pub fn usable(kind: Kind, body: &str) -> Result<(), WrongText> {
    let (longest, too_long) = match kind {
        Kind::RoleOverlay | Kind::PromptOverlay | Kind::Skill | Kind::Policy => (LONGEST, "it is longer than 32 KiB"),
        Kind::ToolServer => (LONGEST_OF_A_SERVER, "it is longer than 256 KiB"),
    };
    let rule = if body.trim().is_empty() {
        "it is empty"
    } else if body.len() > longest {
        too_long
    } else if body.chars().any(|it| it.is_control() && it != '\n' && it != '\t') {
        "it has control characters"
    } else if kind == Kind::Skill && front_matter(body).is_none() {
        "a skill begins with front matter that names it: `---`, `name: …`, `description: …`, `---`"
    } else if kind == Kind::Policy {
        return policy::read(body).map(drop).map_err(|rule| WrongText::Policy { rule });
    } else {
        return Ok(());
    };
    Err(WrongText::Body { rule })
}

/// A version that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of a text")]
pub struct NewText {
    pub id: TextId,
    pub tenant: TenantId,
    pub scope: ScopeId,
    pub surface: Surface,
    pub body: String,
    pub author: Author,
}

/// Writes a version, given all versions of the text in its scope and how many texts are in use there. What a person
/// writes is in use at once; what was proposed is tried. Returns every row that changes, the new one first.
pub fn write(new: NewText, versions: &[Text], in_use: usize, now: Timestamp) -> Result<Vec<Text>, Refusal> {
    usable(new.surface.kind, &new.body)?;
    if let (Kind::Policy | Kind::ToolServer, Author::Proposal { .. }) = (new.surface.kind, &new.author) {
        let rule = format!("must not be {}: only a person writes one", new.surface.kind);
        return Err(Refusal::Invalid { field: "kind", rule });
    }
    if let Some(tried) = versions.iter().find(|it| it.state == State::Trial) {
        let rule = "it is being tried; decline its proposal before anything else is written there";
        return Err(Refusal::State { noun: "text", id: tried.surface.to_string(), state: "on trial", rule });
    }
    let before = versions.iter().find(|it| it.state == State::Active);
    if before.is_some_and(|it| it.body == new.body) {
        return Err(Refusal::Invalid { field: "body", rule: "must differ from the version that is in use".into() });
    }
    if before.is_none() && in_use >= MOST_OF_A_SCOPE {
        let rule = format!("is one too many: {MOST_OF_A_SCOPE} texts of a scope may be in use");
        return Err(Refusal::Invalid { field: "name", rule });
    }
    let (state, retired) = match new.author {
        Author::Person { .. } => (State::Active, before),
        Author::Proposal { .. } => (State::Trial, None),
    };
    let NewText { id, tenant, scope, surface, body, author } = new;
    let version = versions.iter().map(|it| it.version).max().unwrap_or(0).saturating_add(1);
    let revision = Revision(1);
    let new =
        Text { id, tenant, scope, revision, surface, version, body, author, state, created_at: now, updated_at: now };
    Ok(std::iter::once(new).chain(retired.map(|it| it.turned(State::Retired, now))).collect())
}

/// Takes a version out of use; nothing takes its place.
pub fn retire(text: &Text, now: Timestamp) -> Result<Text, Refusal> {
    let refuse =
        |rule| Err(Refusal::State { noun: "text", id: text.surface.to_string(), state: text.state.into(), rule });
    match text.state {
        State::Active => Ok(text.turned(State::Retired, now)),
        State::Trial => refuse("it is being tried; decline its proposal"),
        State::Retired => refuse("it is out of use already"),
    }
}

impl Text {
    /// Returns it as it comes into use or goes out of it.
    #[must_use]
    pub fn turned(&self, state: State, now: Timestamp) -> Self {
        Self { state, revision: self.revision.next(), updated_at: now, ..self.clone() }
    }

    /// Says in the journal what became of it.
    pub fn note(&self, by: &str) -> Note {
        let how = match self.state {
            State::Trial => "is tried",
            State::Active => "is in use",
            State::Retired => "is out of use",
        };
        Note::new(NoteKind::TextChanged, format!("{} version {} {how} in {}", self.surface, self.version, self.scope))
            .with("text_id", self.id)
            .with("surface", &self.surface)
            .with("version", self.version)
            .with("state", self.state)
            .with("by", by)
    }
}

/// What a skill says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontMatter<'a> {
    /// Its name for people.
    pub name: &'a str,
    /// When it helps.
    pub description: &'a str,
    /// What it teaches.
    pub rest: &'a str,
}

/// Reads the front matter of a skill.
pub fn front_matter(body: &str) -> Option<FrontMatter<'_>> {
    let (front, rest) = body.strip_prefix("---\n")?.split_once("\n---")?;
    let said = |key: &str| {
        let found = front.lines().find_map(|line| line.strip_prefix(key)).map(|it| it.trim().trim_matches('"'));
        found.filter(|it| !it.is_empty())
    };
    Some(FrontMatter { name: said("name:")?, description: said("description:")?, rest: rest.trim_start() })
}

/// Returns the scopes whose texts a run in a scope goes by, the widest first.
pub fn chain(scope: &ScopeId) -> Vec<ScopeId> {
    let global = ScopeId::default();
    let mut chain = vec![global.clone()];
    if *scope == global {
        return chain;
    }
    let path = scope.as_str();
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    chain.extend(ends.take(DEEPEST).map(|end| ScopeId::new(&path[..end])));
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_goes_by_those_above_it() {
        let names = |scope: &str| chain(&ScopeId::new(scope)).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names("global"), ["global"]);
        assert_eq!(names("web"), ["global", "web"]);
        assert_eq!(names("org/acme/team/web"), ["global", "org", "org/acme", "org/acme/team", "org/acme/team/web"]);
    }

    #[test]
    fn a_name_is_put_in_order_and_an_overlay_names_a_role() {
        let role = Surface::new(Kind::RoleOverlay, "Project Manager").unwrap();
        assert_eq!(
            (role.to_string().as_str(), role.role()),
            ("role_overlay/project-manager", Some(Role::ProjectManager))
        );
        assert_eq!(role.to_string().parse(), Ok(role));
        for (kind, name) in
            [(Kind::RoleOverlay, "manager"), (Kind::RoleOverlay, "boss"), (Kind::Skill, "../x"), (Kind::Skill, "")]
        {
            assert!(Surface::new(kind, name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_skill_says_when_it_helps() {
        let skill = "---\nname: Shell\ndescription: \"writing plain sh\"\n---\n\nQuote variables.\n";
        assert_eq!(usable(Kind::Skill, skill), Ok(()));
        let front = front_matter(skill).unwrap();
        assert_eq!((front.name, front.description, front.rest), ("Shell", "writing plain sh", "Quote variables.\n"));
        for wrong in ["Quote.", "---\nname: Shell\n---\nQuote.", "---\nname: \ndescription: x\n---\n"] {
            assert!(usable(Kind::Skill, wrong).is_err(), "{wrong}");
        }
        assert!(usable(Kind::PromptOverlay, "a\u{1b}[2J").is_err());
        assert!(usable(Kind::PromptOverlay, &"x".repeat(LONGEST + 1)).is_err());
    }

    #[test]
    fn a_policy_is_written_by_a_person_and_called_run_and_no_proposal_approves_of_tools() {
        let new = |author: Author, body: &str| NewText {
            id: TextId::fixed(1),
            tenant: TenantId::default(),
            scope: ScopeId::default(),
            surface: Surface::new(Kind::Policy, "run").unwrap(),
            body: body.into(),
            author,
        };
        let person = || Author::Person { name: "operator".into() };
        let at = Timestamp::from_secs(1);
        assert!(write(new(person(), r#"{"merge": false}"#), &[], 0, at).is_ok());
        let proposal = || Author::Proposal { proposal: ProposalId::fixed(1) };
        let refused = write(new(proposal(), r#"{"merge": true}"#), &[], 0, at).unwrap_err().to_string();
        assert!(refused.contains("must not be policy: only a person writes one"), "{refused}");
        let sly = NewText { surface: Surface::new(Kind::ToolServer, "tickets").unwrap(), ..new(proposal(), "[]") };
        let refused = write(sly, &[], 0, at).unwrap_err().to_string();
        assert!(refused.contains("must not be tool_server"), "{refused}");
        let refused = write(new(person(), r#"{"merges": true}"#), &[], 0, at).unwrap_err().to_string();
        assert!(refused.contains("`merges` is no rule"), "{refused}");
        assert_eq!(Surface::new(Kind::Policy, "other"), Err(WrongText::PolicyName));
    }

    #[test]
    fn a_version_takes_the_place_of_the_one_before_and_one_that_is_tried_does_not() {
        let new = |id: u64, body: &str, author: Author| NewText {
            id: TextId::fixed(id),
            tenant: TenantId::default(),
            scope: ScopeId::default(),
            surface: Surface { kind: Kind::RoleOverlay, name: "qa".into() },
            body: body.into(),
            author,
        };
        let person = || Author::Person { name: "operator".into() };
        let proposal = || Author::Proposal { proposal: ProposalId::fixed(1) };
        let at = Timestamp::from_secs;
        let first = write(new(1, "Look.", person()), &[], 0, at(1)).unwrap();
        let second = write(new(2, "Look twice.", person()), &first, 1, at(2)).unwrap();
        let states = |all: &[Text]| all.iter().map(|it| (it.version, it.state)).collect::<Vec<_>>();
        assert_eq!(states(&second), [(2, State::Active), (1, State::Retired)]);
        assert!(write(new(3, "Look twice.", person()), &second, 1, at(3)).is_err());
        let tried = write(new(3, "Look thrice.", proposal()), &second, 1, at(3)).unwrap();
        assert_eq!(states(&tried), [(3, State::Trial)]);
        let all = [tried, second].concat();
        let refused = write(new(4, "Else.", person()), &all, 1, at(4)).unwrap_err().to_string();
        assert!(refused.contains("on trial"), "{refused}");
        assert!(write(new(1, "Look.", person()), &[], MOST_OF_A_SCOPE, at(1)).is_err());
        assert!(retire(&all[0], at(5)).is_err());
        assert_eq!(retire(&all[1], at(5)).unwrap().state, State::Retired);
    }
}
