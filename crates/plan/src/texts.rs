//! Which texts a run goes by, and what of them each role is told.
//!
//! The narrower scope wins for each text. What is told is the words of the installation: rules, no data.

use crate::World;
use crate::prompt::head;
use orcha_base::{ProposalId, ScopeId};
use orcha_model::finished::Side;
use orcha_model::policy::{self, Policy};
use orcha_model::text::{self, Kind, State, Surface, Text, TextUse, front_matter};
use orcha_model::{Refusal, Role, Session};
use std::collections::{BTreeMap, BTreeSet};

/// How many skills one session is shown at the most, and how much they take up, in bytes.
const SKILLS: usize = 5;
const SKILL_BYTES: usize = 24 * 1024;
/// How much what is told besides takes up, in bytes.
const OVERLAY_BYTES: usize = 48 * 1024;

/// The texts of a run, and what it tells about proposals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chosen {
    /// The texts that it goes by.
    pub texts: Vec<Text>,
    /// The proposals that it tells something about, and from which side.
    pub tried: BTreeMap<ProposalId, Side>,
    /// What it may do.
    pub policy: Box<Policy>,
}

impl Chosen {
    /// Returns how the run keeps them.
    pub fn uses(&self) -> Vec<TextUse> {
        self.texts.iter().map(Text::used).collect()
    }
}

/// Chooses the texts of a run: those in use, the narrowest of each, and what is on trial where the run is on its new
/// side. A trial whose text a narrower one hides is none of the run's business.
///
/// A policy that cannot be read lets nothing begin: nobody goes by half of what was said.
pub fn choose(scope: &ScopeId, all: &[Text], side: impl Fn(ProposalId) -> Side) -> Result<Chosen, Refusal> {
    let chain = text::chain(scope);
    let with_all = narrowest(&chain, all, |_| true);
    let mut tried = BTreeMap::new();
    for it in &with_all {
        if let (State::Trial, Some(proposal)) = (it.state, it.proposal()) {
            tried.insert(proposal, side(proposal));
        }
    }
    let chosen = narrowest(&chain, all, |proposal| tried.get(&proposal) == Some(&Side::New));
    // Whoever goes by what was adopted tells whether that was right.
    let adopted = chosen.iter().filter(|it| it.state == State::Active).filter_map(|it| it.proposal());
    tried.extend(adopted.map(|it| (it, Side::Since)).collect::<Vec<_>>());
    Ok(Chosen { texts: chosen.into_iter().cloned().collect(), tried, policy: Box::new(policy_of(&chain, all)?) })
}

/// Puts together what the policies of some scopes say, the widest first.
pub fn policy_of(chain: &[ScopeId], all: &[Text]) -> Result<Policy, Refusal> {
    let mut said = Vec::new();
    for scope in chain {
        let of = |it: &&Text| it.scope == *scope && it.surface.kind == Kind::Policy && it.state == State::Active;
        for it in all.iter().filter(of) {
            let rule = |rule| format!("of {scope} (version {}) cannot be read: {rule}", it.version);
            let read = policy::read(&it.body).map_err(|it| Refusal::Invalid { field: "policy", rule: rule(it) })?;
            said.push((scope, it.version, read));
        }
    }
    Ok(policy::resolve(said.iter().map(|(scope, version, said)| (*scope, *version, said))))
}

/// The narrowest version of each text, among those that are in use or tried here.
fn narrowest<'t>(chain: &[ScopeId], all: &'t [Text], is_tried: impl Fn(ProposalId) -> bool) -> Vec<&'t Text> {
    let mut best: BTreeMap<&Surface, (usize, bool, &Text)> = BTreeMap::new();
    // What was approved of tool servers is looked up where they are lent.
    for it in all.iter().filter(|it| !matches!(it.surface.kind, Kind::Policy | Kind::ToolServer)) {
        let tried = match it.state {
            State::Active => false,
            State::Trial if it.proposal().is_some_and(&is_tried) => true,
            State::Trial | State::Retired => continue,
        };
        let Some(depth) = chain.iter().position(|scope| *scope == it.scope) else { continue };
        let known = best.get(&it.surface).map(|known| (known.0, known.1));
        if known.is_none_or(|known| known < (depth, tried)) {
            best.insert(&it.surface, (depth, tried, it));
        }
    }
    best.into_values().map(|(_, _, it)| it).collect()
}

/// What a session of a workflow is told besides the rules of its role.
pub fn told(world: &World, session: &Session) -> String {
    let task = session.part.as_ref().and_then(|it| world.tasks.get(&it.task?));
    let about = [&world.objective.title, &world.objective.prompt, &session.title];
    let about: Vec<&str> = about.iter().map(|it| it.as_str()).chain(task.map(|it| it.description.as_str())).collect();
    said(&world.texts, session.role, &about.join("\n"))
}

/// What a role is told: overlays for everybody, then those for it alone, then the skills that fit what it is about.
pub fn said(texts: &[Text], role: Role, about: &str) -> String {
    let mut overlays = String::new();
    for kind in [Kind::PromptOverlay, Kind::RoleOverlay] {
        let mine =
            |it: &&Text| it.surface.kind == kind && (kind == Kind::PromptOverlay || it.surface.role() == Some(role));
        for it in texts.iter().filter(mine) {
            let left = OVERLAY_BYTES.saturating_sub(overlays.len());
            overlays.push_str(head(it.body.trim_end(), left));
            overlays.push('\n');
        }
    }
    let mut said = String::new();
    if !overlays.trim().is_empty() {
        said.push_str("\n\n## Rules of this installation\n");
        said.push_str(&overlays);
    }
    let skills = skills(texts, role, about);
    if !skills.is_empty() {
        said.push_str("\n\n## What helps here\n");
        for it in skills {
            let Some(front) = front_matter(&it.body) else { continue };
            said.push_str(&format!("### {}\n{}\n", front.name, front.rest.trim_end()));
        }
    }
    said
}

/// Chooses the skills that have words in common with what a session is about, the most first.
pub fn skills<'t>(texts: &'t [Text], role: Role, about: &str) -> Vec<&'t Text> {
    let mut wanted = words(about);
    wanted.extend(words(role.name()));
    let mut fitting: Vec<(usize, &Text)> = texts
        .iter()
        .filter(|it| it.surface.kind == Kind::Skill)
        .filter_map(|it| {
            let front = front_matter(&it.body)?;
            let own = words(&format!("{} {} {}", it.surface.name, front.name, front.description));
            let shared = own.intersection(&wanted).count();
            (shared > 0).then_some((shared, it))
        })
        .collect();
    fitting.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.surface.cmp(&b.1.surface)));
    let mut left = SKILL_BYTES;
    let fits = |(_, it): &(usize, &Text)| {
        let fits = it.body.len() <= left;
        left -= if fits { it.body.len() } else { 0 };
        fits
    };
    fitting.into_iter().filter(fits).map(|(_, it)| it).take(SKILLS).collect()
}

/// The words that say something, in lower case and without what differs by number alone.
fn words(text: &str) -> BTreeSet<String> {
    const IDLE: [&str; 22] = [
        "the", "and", "for", "with", "that", "this", "from", "into", "how", "when", "what", "which", "use", "using",
        "are", "its", "not", "you", "your", "all", "any", "has",
    ];
    let split = text.split(|it: char| !it.is_alphanumeric());
    let lower = split.map(str::to_lowercase).filter(|it| it.chars().count() > 2 && !IDLE.contains(&it.as_str()));
    lower.map(|it| it.strip_suffix('s').filter(|it| it.len() > 3).map_or(it.clone(), ToOwned::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use orcha_base::{Revision, TenantId, TextId, Timestamp};
    use orcha_model::text::Author;

    fn text(n: u64, scope: &str, surface: &str, body: &str) -> Text {
        Text {
            id: TextId::fixed(n),
            tenant: TenantId::default(),
            scope: ScopeId::new(scope),
            revision: Revision(1),
            surface: surface.parse().unwrap_or_else(|it| panic!("{it}")),
            version: 1,
            body: body.into(),
            author: Author::Person { name: "operator".into() },
            state: State::Active,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
        }
    }

    fn trial(n: u64, scope: &str, surface: &str, proposal: u64) -> Text {
        let author = Author::Proposal { proposal: ProposalId::fixed(proposal) };
        Text { author, state: State::Trial, ..text(n, scope, surface, "tried") }
    }

    fn chosen(scope: &str, all: &[Text], side: Side) -> (Vec<u64>, Vec<Side>) {
        let it = choose(&ScopeId::new(scope), all, |_| side).unwrap();
        (it.texts.iter().map(|it| it.id.uuid().as_u64_pair().1).collect(), it.tried.into_values().collect())
    }

    #[test]
    fn c15_the_narrower_scope_wins_and_no_other_branch_is_heard() {
        let all = [
            text(1, "global", "role_overlay/qa", "wide"),
            text(2, "org/acme", "role_overlay/qa", "narrow"),
            text(3, "org/globex", "role_overlay/qa", "foreign"),
            text(4, "global", "prompt_overlay/style", "everywhere"),
            Text { state: State::Retired, ..text(5, "org/acme", "prompt_overlay/style", "gone") },
        ];
        assert_eq!(chosen("global", &all, Side::Old).0, [1, 4]);
        assert_eq!(chosen("org/acme/team/web", &all, Side::Old).0, [2, 4]);
        assert_eq!(chosen("org/globex", &all, Side::Old).0, [3, 4]);
    }

    #[test]
    fn a_trial_reaches_its_new_side_only_and_those_whom_it_concerns() {
        let all = [text(1, "global", "role_overlay/qa", "old"), trial(2, "global", "role_overlay/qa", 7)];
        assert_eq!(chosen("global", &all, Side::New), (vec![2], vec![Side::New]));
        assert_eq!(chosen("global", &all, Side::Old), (vec![1], vec![Side::Old]));
        // Where a narrower text hides it, nothing is tried.
        let hidden = [all.to_vec(), vec![text(3, "web", "role_overlay/qa", "own")]].concat();
        assert_eq!(chosen("web", &hidden, Side::New), (vec![3], vec![]));
        let adopted = Text { state: State::Active, ..trial(2, "global", "role_overlay/qa", 7) };
        assert_eq!(chosen("global", &[adopted], Side::Old), (vec![2], vec![Side::Since]));
    }

    #[test]
    fn c15_an_overlay_reaches_its_role_only_and_skills_come_by_what_they_are_about() {
        let skill =
            |name: &str, about: &str| format!("---\nname: {name}\ndescription: {about}\n---\nTeaches {name}.\n");
        let all = [
            text(1, "global", "role_overlay/qa", "Look twice."),
            text(2, "global", "prompt_overlay/style", "Be brief."),
            text(3, "global", "skill/shell", &skill("shell", "writing plain shell scripts")),
            text(4, "global", "skill/sql", &skill("sql", "migrations of databases")),
        ];
        let qa = said(&all, Role::Qa, "Mend the shell script");
        assert!(qa.contains("Look twice.") && qa.contains("Be brief.") && qa.contains("Teaches shell."), "{qa}");
        assert!(!qa.contains("Teaches sql."), "{qa}");
        let architect = said(&all, Role::Architect, "A migration of the database");
        assert!(!architect.contains("Look twice.") && architect.contains("Teaches sql."), "{architect}");
        assert!(!architect.contains("Teaches shell."), "{architect}");
        assert_eq!(said(&[], Role::Qa, "anything"), "");
    }

    #[test]
    fn c27_skills_are_few_and_short() {
        let skill = |n: u64, long: usize| {
            let body = format!("---\nname: s{n}\ndescription: tables\n---\n{}\n", "x".repeat(long));
            text(n, "global", &format!("skill/s{n}"), &body)
        };
        let many: Vec<Text> = (10..30).map(|n| skill(n, 100)).collect();
        assert_eq!(skills(&many, Role::Qa, "a table").len(), SKILLS);
        let long: Vec<Text> = (10..30).map(|n| skill(n, 10 * 1024)).collect();
        assert_eq!(skills(&long, Role::Qa, "a table").len(), 2);
    }
}
