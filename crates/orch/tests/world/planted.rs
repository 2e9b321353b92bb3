//! Planted proposals: twenty make runs better, twenty make them worse, twenty change nothing, and nobody but the test
//! knows which are which.
//!
//! Runs ask a scripted model, over HTTP, with the very words that they are told. The model knows some advice that helps
//! it and some that leads it astray; how hard a ticket is follows from a seed. Whether a run was good is seen from what
//! the model wrote, and what becomes of a proposal is decided by the real store and the real learning.

use crate::pipeline::{Script, Thinker, begin_in, ends, hands, open_with, succeeds, writes};
use crate::stage::Stage;
use futures::future::join_all;
use orcha_base::{ObjectiveId, Revision, ScopeId, TenantId};
use orcha_model::delivery::Action;
use orcha_model::finished::{End, Run};
use orcha_model::objective::{State as ObjectiveState, Strategy};
use orcha_model::proposal::{Proposal, State};
use orcha_model::text::{Surface, chain};
use orcha_model::workflow::Wish;
use orcha_model::{Objective, Role};
use orcha_orch::{Actor, NewObjective, Settings};
use orcha_plan::{brief, texts};
use orcha_refiner::arm;
use orcha_scripted_model::{Options, Scenario, ScriptedModel};
use orcha_store::{Change, Commit, Page, Row, Viewer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

/// In each scope one of each kind is tried, all three at the same time.
const SCOPES: usize = 20;
/// How many runs a scope begins before the first of them is learned from.
const AT_ONCE: usize = 12;

/// What a text does to whoever goes by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Good,
    Bad,
    Nothing,
}

const HELPS: [&str; 4] = [
    "Read the failing case before you write anything.",
    "Write down what must come out, then the code.",
    "Run every check before you hand in.",
    "Look at how the neighbours of a function do it.",
];
const HARMS: [&str; 4] = [
    "Checks cost time; leave them out.",
    "Hand in the first thing that comes to your mind.",
    "Take the title of a ticket for all of it.",
    "Rewrite what you do not understand.",
];
const IDLES: [&str; 4] = [
    "Write in short sentences.",
    "Be polite in commit messages.",
    "Prefer the present tense.",
    "Leave an empty line at the end of what you say.",
];

/// A model that gets tickets right up to some hardness: below 45 of 100 by itself; with advice that helps it, below 90;
/// with advice that leads it astray, below 10; with both, below 55.
fn model() -> ScriptedModel {
    let any = |of: &[&str]| format!("(?:{})", of.join("|").replace('.', r"\."));
    let (helps, harms) = (any(&HELPS), any(&HARMS));
    let both = format!("{helps}.*{harms}|{harms}.*{helps}");
    let reply = |told: Option<&str>, hardness: Option<&str>| {
        let mut when = serde_json::Map::new();
        when.extend(told.map(|it| ("system".to_owned(), json!(it))));
        when.extend(hardness.map(|it| ("user".to_owned(), json!(format!("of hardness {it}\\.")))));
        let code = if hardness.is_some() { "good" } else { "bad" };
        json!({"when": when, "repeat": "forever", "json": {"code": code}})
    };
    let mut replies = Vec::new();
    for (told, right) in [
        (Some(both.as_str()), "(?:[0-4][0-9]|5[0-4])"),
        (Some(helps.as_str()), "[0-8][0-9]"),
        (Some(harms.as_str()), "0[0-9]"),
        (None, "(?:[0-3][0-9]|4[0-4])"),
    ] {
        replies.extend([reply(told, Some(right)), reply(told, None)]);
    }
    let scenario = json!({"main": "all", "replies": replies});
    ScriptedModel::start(Scenario::parse(&scenario.to_string()).unwrap(), Options::default()).unwrap()
}

/// Asks the model for the code of a ticket.
async fn code(client: reqwest::Client, url: String, told: String, ticket: String) -> String {
    let messages = json!([{"role": "system", "content": told}, {"role": "user", "content": ticket}]);
    let body = json!({"model": "scripted-model", "stream": false, "messages": messages});
    let answer = client.post(format!("{url}/v1/chat/completions")).json(&body).send().await.unwrap();
    let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
    let said: Value = serde_json::from_str(answer["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    said["code"].as_str().unwrap().to_owned()
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn ticket(hardness: u32) -> String {
    format!("Mend the code of this ticket. It is one of hardness {hardness:02}.")
}

/// What is planted in a scope: one text of each effect, and not always at the same place.
fn planted(scope: usize) -> BTreeMap<Surface, (Effect, String)> {
    let places = ["role_overlay/implementer", "prompt_overlay/habits", "skill/tickets"];
    let kinds = [(Effect::Good, HELPS), (Effect::Bad, HARMS), (Effect::Nothing, IDLES)];
    let of = |(at, (effect, advice)): (usize, (Effect, [&str; 4]))| {
        let place = places[(scope + at) % places.len()];
        let advice = advice[scope / places.len() % advice.len()];
        let front = "---\nname: tickets\ndescription: mending the code of a ticket\n---\n";
        let body = if place.starts_with("skill") { format!("{front}{advice}\n") } else { format!("{advice}\n") };
        (place.parse().unwrap(), (effect, body))
    };
    kinds.into_iter().enumerate().map(of).collect()
}

/// What the Refiner of a scope's first run hands in. Nothing in it says which is which.
fn retrospective(planted: &BTreeMap<Surface, (Effect, String)>) -> Value {
    let improvement = |(surface, (_, body)): (&Surface, &(Effect, String))| {
        let surface = surface.to_string();
        let (kind, name) = surface.split_once('/').unwrap();
        json!({
            "component_type": kind, "component_name": name, "problem": "It went wrong once.",
            "proposed_fix": "Say it.", "change_type": "create", "priority": "medium",
            "files": [{"path": "text.md", "content": body}],
        })
    };
    let improvements: Vec<Value> = planted.iter().map(improvement).collect();
    json!({"improvements": improvements, "health_score": 70, "overall_assessment": "well", "summary": "proposals"})
}

/// The settings are those that a person may make: nobody is asked, and three texts are tried at once.
fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.refiner.by_itself = true;
    settings.refiner.trial.at_once = 3;
    settings
}

/// Nothing is merged: each run begins where all others did. What is red is not repaired.
fn wish() -> Wish {
    Wish { action: Some(Action::Answer), max_repairs: 0, ..Wish::default() }
}

fn scope(n: usize) -> ScopeId {
    ScopeId::new(format!("scope{n}"))
}

async fn proposals(stage: &Stage) -> Vec<Proposal> {
    let viewer = Viewer { tenant: TenantId::default(), scope: None };
    stage.orch.store().proposals(&viewer, None, Page::first(500)).await.unwrap().items
}

/// Runs one more workflow, whose Refiner has an advice that nobody had before: when that is proposed, everything that
/// had ended by then was learned from.
async fn learned(stage: &Stage, script: &Script, round: usize) {
    let name = format!("round-{round}");
    let advice = json!({
        "component_type": "skill", "component_name": name, "problem": "A round is over.", "proposed_fix": "Go on.",
        "change_type": "advisory", "priority": "low", "files": [],
    });
    let document =
        json!({"improvements": [advice], "health_score": 70, "overall_assessment": "well", "summary": "one"});
    script.plays("refine", [hands(document)]);
    let mut journal = stage.orch.journal();
    let apart = Actor { scope: ScopeId::new("apart"), ..Actor::default() };
    let id = begin_in(stage, &apart, "Mend the code.", wish(), true).await;
    succeeds(stage, id).await;
    let viewer = Viewer { tenant: TenantId::default(), scope: Some(apart.scope) };
    let waited = async {
        let newest = || stage.orch.store().proposals(&viewer, None, Page::first(1));
        while !newest().await.unwrap().items.iter().any(|it| it.surface.to_string().ends_with(&name)) {
            drop(journal.recv().await);
        }
    };
    tokio::time::timeout(Duration::from_secs(300), waited).await.unwrap();
}

/// One run as it is left behind: it goes by what is in use and on trial in its scope, asks the model, and is judged by
/// what was written.
async fn run(stage: &Stage, model: &str, client: reqwest::Client, scope: ScopeId, hardness: u32) -> Run {
    let id = ObjectiveId::from_uuid(Uuid::now_v7());
    let tenant = TenantId::default();
    let in_use = stage.orch.store().texts_in_use(&tenant, chain(&scope)).await.unwrap();
    let chosen = texts::choose(&scope, &in_use, |proposal| arm(id, proposal.uuid())).unwrap();
    let ticket = ticket(hardness);
    let told = format!("{}{}", brief::rules(Role::Implementer), texts::said(&chosen.texts, Role::Implementer, &ticket));
    let is_good = code(client, model.to_owned(), told, ticket).await == "good";
    Run {
        id,
        tenant,
        scope,
        title: "Ticket".into(),
        ended_at: stage.orch.now(),
        end: if is_good { End::Completed } else { End::Failed },
        repairs: 0,
        micro_usd: 100,
        tokens: 1,
        health: None,
        retrospective: None,
        troubles: BTreeSet::new(),
        texts: chosen.uses().into_iter().map(|it| (it.surface, it.version)).collect(),
        tried: chosen.tried,
        providers: BTreeMap::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixty_planted_proposals_no_bad_one_is_adopted_and_four_of_five_good_ones_are() {
    let (script, model, client) = (Script::default(), model(), client());
    let stage = open_with(&script, settings()).await;
    for n in 0..SCOPES {
        script.plays("refine", [hands(retrospective(&planted(n)))]);
        let actor = Actor { scope: scope(n), ..Actor::default() };
        let id = begin_in(&stage, &actor, "Mend the code.", wish(), true).await;
        succeeds(&stage, id).await;
    }
    learned(&stage, &script, 0).await;
    let bare = NewObjective { strategy: Strategy::Direct, ..NewObjective::new("Nothing.") };
    let (bare, _) = stage.orch.create_objective(&Actor::default(), bare).await.unwrap();
    let mut chance = StdRng::seed_from_u64(0x0c4a);
    for round in 1.. {
        let undecided: BTreeSet<ScopeId> = proposals(&stage)
            .await
            .into_iter()
            .filter(|it| it.body.is_some() && matches!(it.state, State::Proposed | State::OnTrial { .. }))
            .map(|it| it.scope)
            .collect();
        if undecided.is_empty() {
            break;
        }
        assert!(round < 30, "trials do not end: {undecided:?}");
        stage.clock.advance(Duration::from_secs(60));
        let mut began = Vec::new();
        for scope in &undecided {
            for _ in 0..AT_ONCE {
                began.push(run(&stage, model.url(), client.clone(), scope.clone(), chance.random_range(0..100)));
            }
        }
        let mut commit = Commit::at(stage.orch.now());
        for run in join_all(began).await {
            let state = ObjectiveState::Succeeded;
            let row = Objective { id: run.id, scope: run.scope.clone(), state, revision: Revision(1), ..bare.clone() };
            commit.changes.push(Change { row: Row::Objective(row), expected: None });
            commit.runs.push(run);
        }
        stage.orch.store().commit(commit).await.unwrap();
        learned(&stage, &script, round).await;
    }
    let mut adopted: Vec<Effect> = Vec::new();
    let all = proposals(&stage).await;
    for (n, of) in (0..SCOPES).map(|n| (n, planted(n))) {
        for (surface, (effect, _)) in of {
            let it = all.iter().find(|it| it.scope == scope(n) && it.surface == surface).unwrap();
            match &it.state {
                State::Adopted { .. } => adopted.push(effect),
                State::Declined { .. } | State::Reverted { .. } => {}
                open => panic!("{surface} in {n} is {}", open.name()),
            }
        }
    }
    let count = |effect: Effect| adopted.iter().filter(|it| **it == effect).count();
    let (good, bad, nothing) = (count(Effect::Good), count(Effect::Bad), count(Effect::Nothing));
    eprintln!("adopted: {good} of 20 good ones, {bad} of 20 bad ones, {nothing} of 20 without effect");
    assert_eq!(bad, 0, "bad ones were adopted");
    assert!(good >= 16, "only {good} of 20 good ones were adopted");
    // One of forty is what the level allows for: more than five of twenty is no chance.
    assert!(nothing <= 5, "{nothing} of 20 without effect were adopted");
    assert_eq!(model.state().unknown, 0);
    stage.orch.shut_down().await;
}

/// The same with whole workflows: every role, every session, the project's check. Here half of all tickets are beyond the
/// model, none with advice that helps, and all with advice that leads it astray.
#[tokio::test(flavor = "multi_thread")]
async fn workflows_that_try_texts_adopt_what_helps_and_decline_what_harms() {
    let (script, model, client) = (Script::default(), model(), client());
    let url = model.url().to_owned();
    let thinks: Thinker = Box::new(move |told: String| {
        let (client, url) = (client.clone(), url.clone());
        // The ticket stands in what it is told, as everything does.
        let said = told.split("It is one of ").nth(1).unwrap_or("hardness 00.");
        let ticket = format!("It is one of {}", said.split_inclusive('.').next().unwrap_or_default());
        Box::pin(async move { writes("code", Some(&code(client, url, told, ticket).await)) })
    });
    assert!(script.thinker.set(thinks).is_ok());
    let stage = open_with(&script, settings()).await;
    script.plays("refine", [hands(retrospective(&planted(0)))]);
    let first = begin_in(&stage, &Actor::default(), &ticket(0), wish(), true).await;
    succeeds(&stage, first).await;
    learned(&stage, &script, 0).await;
    let alone = Wish { skip_refiner: true, ..wish() };
    let is = |all: &[Proposal], effect: Effect| {
        let of = |it: &&Proposal| planted(0).get(&it.surface).is_some_and(|planted| planted.0 == effect);
        all.iter().find(of).unwrap().state.name()
    };
    let mut chance = StdRng::seed_from_u64(7);
    for round in 1.. {
        let all = proposals(&stage).await;
        if is(&all, Effect::Good) == "adopted" && is(&all, Effect::Bad) == "declined" {
            break;
        }
        assert!(round < 50 && is(&all, Effect::Bad) != "adopted", "{all:#?}");
        let mut began = Vec::new();
        for _ in 0..4 {
            let hardness = if chance.random_bool(0.5) { 30 } else { 70 };
            began.push(begin_in(&stage, &Actor::default(), &ticket(hardness), alone.clone(), true).await);
        }
        for id in began {
            ends(&stage, id).await;
        }
        learned(&stage, &script, round).await;
    }
    // Whoever comes now is told what helps, and not what harms.
    let last = begin_in(&stage, &Actor::default(), &ticket(70), alone, true).await;
    succeeds(&stage, last).await;
    let heard = script.heard();
    let told = &heard.iter().rev().find(|it| it.0 == "implementer").unwrap().1;
    assert!(told.contains(HELPS[0]) && !told.contains(HARMS[0]), "{told}");
    stage.close().await;
}
