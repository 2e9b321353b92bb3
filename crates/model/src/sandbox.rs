//! By what a session is confined: what is said of it, and one verdict over what its target has.
//!
//! How a process is confined, and what of a machine it may touch then, is not known here.

use crate::Role;
use crate::permission::{Permissions, Rules};
use orcha_base::SandboxLevel;
use serde::{Deserialize, Serialize};

/// The level that is wanted. Ordered from the freest to the strictest: where a role and a project both name one, the
/// stricter counts.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Wanted {
    /// None at all.
    #[default]
    None,
    /// Whatever the target has.
    Auto,
    /// Landlock; where that is missing, what there is.
    Landlock,
    /// Bubblewrap; where that is missing, what there is.
    Bubblewrap,
}

/// What a role or a project says; what it leaves out is said by the daemon's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Demand {
    /// By what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Wanted>,
    /// Whether it is never started otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

impl Demand {
    /// Tells whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the daemon's settings say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sandboxes {
    /// By what, where neither the role nor the project says so.
    pub level: Wanted,
    /// Whether no session is started otherwise. A role or a project may say so too; none takes it back.
    pub strict: bool,
    /// Folders and files that every session may change besides its own: caches of tools. `~/` is the home folder.
    pub write: Vec<String>,
    /// Folders and files that no session sees, besides what is the daemon's and other sessions' own.
    pub hide: Vec<String>,
}

/// Where tools keep what they fetched: without it nothing could be built.
const WRITE: [&str; 8] = [
    "~/.cache",
    "~/.cargo/registry",
    "~/.cargo/git",
    "~/.npm",
    "~/.local/share/pnpm",
    "~/go/pkg",
    "~/.m2/repository",
    "~/.gradle",
];

/// Where people and programs keep credentials.
const HIDE: [&str; 11] = [
    "~/.ssh",
    "~/.gnupg",
    "~/.netrc",
    "~/.git-credentials",
    "~/.config/gh",
    "~/.config/gcloud",
    "~/.aws",
    "~/.azure",
    "~/.kube",
    "~/.docker",
    "~/.cargo/credentials.toml",
];

impl Default for Sandboxes {
    fn default() -> Self {
        let words = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect();
        Self { level: Wanted::default(), strict: false, write: words(&WRITE), hide: words(&HIDE) }
    }
}

/// Everything that is said of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confine {
    /// By what.
    pub level: Wanted,
    /// Whether it is never started otherwise.
    pub strict: bool,
}

impl Sandboxes {
    /// Returns the first path that would mean another place in each session.
    pub fn relative(&self) -> Option<&str> {
        let fixed = |it: &str| it.starts_with('/') || it.starts_with("~/");
        self.write.iter().chain(&self.hide).map(String::as_str).find(|it| !fixed(it))
    }
}

impl Permissions {
    /// Puts together what is said of a role in a project. Of two levels the stricter counts; what is strict stays so, and
    /// takes what there is where nobody names a level.
    pub fn confine(&self, role: Role, project: Option<&Rules>) -> Confine {
        let layers = || self.roles.get(&role).into_iter().chain(project).map(|it| it.sandbox);
        let strict = self.sandbox.strict || layers().any(|it| it.strict == Some(true));
        let usual = if strict { self.sandbox.level.max(Wanted::Auto) } else { self.sandbox.level };
        Confine { level: layers().filter_map(|it| it.level).max().unwrap_or(usual), strict }
    }
}

/// Says by what a session is confined on a machine that has these levels; the error says what is missing, and the way
/// out, for people.
pub fn sandbox_verdict(confine: Confine, has: &[SandboxLevel]) -> Result<SandboxLevel, String> {
    let first = |order: [SandboxLevel; 2]| order.into_iter().find(|it| has.contains(it));
    let any = || first([SandboxLevel::Landlock, SandboxLevel::Bubblewrap]);
    let (found, missing) = match (confine.level, confine.strict) {
        (Wanted::None, false) => return Ok(SandboxLevel::None),
        (Wanted::None, true) => {
            return Err("it may only run in a sandbox, and its level is `none`: name another `level`".to_owned());
        }
        (Wanted::Auto, _) => (any(), "sandbox"),
        (Wanted::Landlock, true) => (first([SandboxLevel::Landlock; 2]), "Landlock"),
        (Wanted::Bubblewrap, true) => (first([SandboxLevel::Bubblewrap; 2]), "bubblewrap"),
        (Wanted::Landlock, false) => (any(), "Landlock"),
        (Wanted::Bubblewrap, false) => (first([SandboxLevel::Bubblewrap, SandboxLevel::Landlock]), "bubblewrap"),
    };
    match found {
        Some(level) => Ok(level),
        None if confine.strict => Err(format!(
            "it has no {missing}, and the session is only run in one (`strict`); `orcha doctor` says how it gets one"
        )),
        None => Ok(SandboxLevel::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SandboxLevel as L;

    fn check(level: Wanted, strict: bool, has: &[L], expected: &str) {
        let said = match sandbox_verdict(Confine { level, strict }, has) {
            Ok(level) => level.to_string(),
            Err(why) => why,
        };
        assert!(said.starts_with(expected), "{level} {strict} {has:?}: {said}");
    }

    #[test]
    fn what_is_wanted_meets_what_there_is() {
        let (nothing, both): (&[L], &[L]) = (&[], &[L::Landlock, L::Bubblewrap]);
        for (level, with_both, with_nothing) in [
            (Wanted::None, "none", "none"),
            (Wanted::Auto, "landlock", "none"),
            (Wanted::Landlock, "landlock", "none"),
            (Wanted::Bubblewrap, "bubblewrap", "none"),
        ] {
            check(level, false, both, with_both);
            check(level, false, nothing, with_nothing);
        }
        check(Wanted::Bubblewrap, false, &[L::Landlock], "landlock");
        check(Wanted::Landlock, false, &[L::Bubblewrap], "bubblewrap");
    }

    #[test]
    fn strict_takes_what_was_named_and_nothing_instead() {
        check(Wanted::Auto, true, &[L::Bubblewrap], "bubblewrap");
        check(Wanted::Auto, true, &[], "it has no sandbox, and");
        check(Wanted::Landlock, true, &[L::Bubblewrap], "it has no Landlock, and");
        check(Wanted::Bubblewrap, true, &[L::Landlock], "it has no bubblewrap, and");
        check(Wanted::None, true, &[L::Landlock], "it may only run in a sandbox, and its level is `none`");
    }

    #[test]
    fn a_role_and_a_project_say_more_than_the_settings_and_take_no_strictness_back() {
        let demand = |level, strict| Rules { sandbox: Demand { level, strict }, ..Rules::default() };
        let mut all = Permissions::default();
        assert_eq!(all.confine(Role::Qa, None), Confine { level: Wanted::None, strict: false });
        all.roles.insert(Role::Qa, demand(Some(Wanted::Landlock), None));
        let project = demand(Some(Wanted::None), Some(true));
        assert_eq!(all.confine(Role::Qa, Some(&project)), Confine { level: Wanted::Landlock, strict: true });
        assert_eq!(all.confine(Role::Custom, Some(&project)), Confine { level: Wanted::None, strict: true });
        all.sandbox.strict = true;
        let lax = demand(None, Some(false));
        assert_eq!(all.confine(Role::Custom, Some(&lax)), Confine { level: Wanted::Auto, strict: true });
    }
}
