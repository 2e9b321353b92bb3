//! The next step of a workflow, from the snapshot alone.
//!
//! Level-triggered like every pass: each step is proposed until it is there. A step is played by sessions that carry
//! it as their part; what an earlier round or a canceled session left is of no account. Nothing passes because a
//! model says so: the gate judges, and an attempt that hands in nothing has failed.

use crate::prompt::head;
use crate::{NewPublication, NewQuestion, OfWorkflow, Play, Settings, Stimulus, World, brief, delivery};
use orcha_base::{HandInId, SessionId, TaskId};
use orcha_model::casting;
use orcha_model::contract::{CheckCommand, Output, PlannedTask};
use orcha_model::delivery::{PullRequestSettings, Settings as DeliverySettings, Standing};
use orcha_model::effect::MergeMethod;
use orcha_model::gate::{GateFacts, judge};
use orcha_model::pull_request::{self, ClosedDecision};
use orcha_model::question::{About, Gate};
use orcha_model::task::{self, NewTask, Source};
use orcha_model::workflow::{Action, Delivered, Input, Phase};
use orcha_model::{Session, Task, Workflow, check, objective, question, session};
use std::collections::BTreeSet;

pub(super) fn pipeline(world: &World, settings: &Settings) -> Vec<Stimulus> {
    let Some(workflow) = &world.workflow else { return Vec::new() };
    let live = match world.objective.state {
        objective::State::Active | objective::State::WaitingUser => world.objective.tripped.is_none(),
        objective::State::Paused => false,
        objective::State::Succeeded | objective::State::Failed { .. } | objective::State::Canceled { .. } => {
            return unwanted_checks(world, None);
        }
    };
    let left_over = left_over(world, workflow);
    if !left_over.is_empty() {
        return left_over;
    }
    if live { step(world, workflow, settings) } else { Vec::new() }
}

/// Tells whether a workflow stands where it needs a person for this.
pub(super) fn waits_at(world: &World, gate: &Gate) -> bool {
    let Some(workflow) = &world.workflow else { return false };
    match gate {
        Gate::Plan => workflow.phase == Phase::ApprovePlan,
        Gate::Delivery => workflow.phase == Phase::ApproveDelivery,
        Gate::NoChecks { run } | Gate::CheckFault { run } => {
            workflow.phase == Phase::Check && workflow.left.check == Some(*run)
        }
        Gate::DeliveryFault { order } => {
            workflow.phase == Phase::Deliver && workflow.left.order.as_ref().is_some_and(|it| it.number == *order)
        }
    }
}

/// What a person's answer at a gate leads to.
pub(super) fn answered(world: &World, gate: &Gate, answer: &str) -> Vec<Stimulus> {
    let words = answer.trim().to_ascii_lowercase();
    if words == "cancel" {
        let reason = "the user said so when asked".to_owned();
        return vec![Stimulus::Objective(objective::Input::Cancel { reason })];
    }
    if !waits_at(world, gate) {
        return Vec::new();
    }
    let agreed = matches!(words.as_str(), "approve" | "approved" | "yes" | "y" | "ok" | "continue" | "go on");
    vec![it(match gate {
        Gate::Plan | Gate::Delivery if agreed => Input::Approved,
        Gate::Plan => Input::Back { to: Phase::Design, words: Some(answer.trim().to_owned()) },
        Gate::Delivery => Input::Rejected { words: answer.trim().to_owned() },
        Gate::NoChecks { .. } if agreed || words == "without" => {
            if world.objective.policy.allows_unchecked() {
                Input::Excused
            } else {
                // It is asked again: somebody has to name a command.
                Input::CheckAgain { with: None }
            }
        }
        Gate::NoChecks { .. } => {
            let command: Vec<String> = answer.split_whitespace().map(str::to_owned).collect();
            Input::CheckAgain { with: Some(CheckCommand { name: command.join(" "), command }) }
        }
        Gate::CheckFault { .. } => Input::CheckAgain { with: None },
        Gate::DeliveryFault { order } => Input::DeliverAgain { order: *order },
    })]
}

/// What belongs to a step that the workflow does not stand at any more.
fn left_over(world: &World, workflow: &Workflow) -> Vec<Stimulus> {
    let mut proposals = unwanted_checks(world, workflow.left.check.filter(|_| workflow.phase == Phase::Check));
    let reason = |session: &Session| {
        let part = session.part.as_ref()?;
        let task = part.task.and_then(|id| world.tasks.get(&id));
        if !workflow.is_current(part) {
            Some("its workflow stands at another step")
        } else if task.is_some_and(|it| it.state.is_over()) {
            Some("its task is not wanted any more")
        } else {
            None
        }
    };
    let live = world.sessions.values().filter(|it| !it.is_over());
    proposals.extend(live.filter_map(|it| {
        let input = session::Input::Cancel { reason: reason(it)?.to_owned() };
        Some(Stimulus::Session(it.id, input))
    }));
    let old = world.tasks.values().filter(|it| it.round != workflow.round && !it.state.is_over());
    proposals.extend(old.map(|it| {
        let reason = "the workflow was sent back, and the work is planned anew".to_owned();
        of(OfWorkflow::Task(it.id, task::Input::Skip { reason }))
    }));
    proposals
}

fn unwanted_checks(world: &World, wanted: Option<orcha_base::CheckRunId>) -> Vec<Stimulus> {
    let running = world.check_runs.values().filter(|it| it.state == check::State::Running && Some(it.id) != wanted);
    running.map(|it| of(OfWorkflow::CheckRun(it.id, check::Input::Cancel))).collect()
}

/// How far the sessions that play a step have come.
enum Played<'w> {
    /// Somebody is at it.
    Live,
    /// It is done.
    Done { hand_in: HandInId },
    /// Nobody is at it; the last one, if there was one, did not get it done.
    Missing { last: Option<&'w Session> },
    /// So many did not get it done that nobody is sent any more.
    Lost { last: &'w Session },
}

fn played<'w>(world: &'w World, workflow: &Workflow, task: Option<TaskId>, settings: &Settings) -> Played<'w> {
    let plays = |it: &&Session| it.part.as_ref().is_some_and(|part| workflow.is_current(part) && part.task == task);
    let mut sessions: Vec<&Session> = world.sessions.values().filter(plays).collect();
    sessions.sort_by_key(|it| (it.created_at, it.id));
    if sessions.iter().any(|it| !it.is_over()) {
        return Played::Live;
    }
    let done = sessions.iter().copied().find_map(|it| {
        let hand_in = it.part.as_ref()?.hand_in?;
        matches!(it.state, session::State::Succeeded { .. }).then_some(Played::Done { hand_in })
    });
    if let Some(done) = done {
        return done;
    }
    match sessions.last() {
        Some(last) if sessions.len() >= settings.step_tries => Played::Lost { last },
        last => Played::Missing { last: last.copied() },
    }
}

fn step(world: &World, workflow: &Workflow, settings: &Settings) -> Vec<Stimulus> {
    match workflow.phase {
        Phase::Digest => play(world, workflow, settings, "Read what came with it", || brief::digest(world)),
        Phase::Direct => play(world, workflow, settings, "Direct", || brief::direct(world, workflow)),
        Phase::Charter => play(world, workflow, settings, "Write the charter", || brief::charter_of(world, workflow)),
        Phase::Design => {
            play(world, workflow, settings, "Design", || brief::design_of(world, workflow, settings.most_tasks))
        }
        Phase::ApprovePlan => gate(world, Gate::Plan, || {
            let text = format!("The plan of \"{}\" is ready. Shall it be worked off?", world.objective.title);
            (text, Some(brief::plan_for_people(world)), vec!["approve".into(), "cancel".into()])
        }),
        Phase::Implement => implement(world, workflow, settings),
        Phase::Check => checks(world, workflow),
        Phase::Verify => play(world, workflow, settings, "Judge the result", || {
            brief::verify(world, workflow, brief::outcome(world, workflow))
        }),
        Phase::Repair => play(world, workflow, settings, "Plan a repair", || brief::repair(world, workflow)),
        Phase::Finalize => play(world, workflow, settings, "Write the delivery", || brief::finalize(world, workflow)),
        Phase::ApproveDelivery => gate(world, Gate::Delivery, || {
            let text = format!("The result of \"{}\" is ready. Shall it be delivered?", world.objective.title);
            (text, Some(brief::result_for_people(world)), vec!["approve".into(), "cancel".into()])
        }),
        Phase::Deliver => deliver(world, workflow),
        Phase::Refine => play(world, workflow, settings, "Look back", || brief::refine(world, workflow)),
        Phase::Done => vec![Stimulus::Objective(objective::Input::Done { summary: brief::came_of_it(world) })],
        Phase::Exhausted | Phase::Stagnated => vec![fail(brief::what_stands(world, workflow))],
    }
}

/// A step that one session plays: it is sent, and what it hands in is taken.
fn play(
    world: &World,
    workflow: &Workflow,
    settings: &Settings,
    title: &str,
    goal: impl FnOnce() -> String,
) -> Vec<Stimulus> {
    match played(world, workflow, None, settings) {
        Played::Live => Vec::new(),
        Played::Done { hand_in } => taken(world, workflow, hand_in),
        Played::Missing { last } => {
            let depends_on = match workflow.phase {
                // Who looks at the result stands in a checkout of it.
                Phase::Verify | Phase::Repair | Phase::Finalize => workflow.left.result.into_iter().collect(),
                _ => Vec::new(),
            };
            let title = match workflow.cycle {
                0 => title.to_owned(),
                n => format!("{title} (repair {n})"),
            };
            let retries = last.map(|it| it.id);
            vec![of(OfWorkflow::Play(Play { task: None, title, goal: goal(), depends_on, retries }))]
        }
        // The result is delivered: that nobody looks back at it does not undo it.
        Played::Lost { .. } if workflow.phase == Phase::Refine => vec![it(Input::Reflected { hand_in: None })],
        Played::Lost { last } => {
            let role = workflow.phase.role().map_or("nobody", |it| it.name());
            vec![fail(format!(
                "{role} did not get it done in {} tries; the last one {}",
                settings.step_tries,
                how(last)
            ))]
        }
    }
}

/// A document becomes the next step.
fn taken(world: &World, workflow: &Workflow, hand_in: HandInId) -> Vec<Stimulus> {
    let Some(output) = brief::output(world, Some(hand_in)) else { return Vec::new() };
    match (workflow.phase, output) {
        (Phase::Digest, Output::Digest(_)) => vec![it(Input::Digested { hand_in })],
        (Phase::Direct, Output::Direction(said)) => {
            let has_repo = world.objective.repo.is_some();
            let usual = if has_repo { Action::PullRequest } else { Action::Answer };
            let policy = &world.objective.policy;
            let possible = |it: &Action| (has_repo || !it.needs_repository()) && policy.allows_delivery(*it);
            let mode = workflow.wish.mode.unwrap_or(said.mode);
            // Changed code is delivered as such unless the user wants something else.
            let chosen = said.delivery.filter(|_| !(has_repo && mode.needs_checks()));
            // What passes people by is nobody's choice but a person's.
            let first = || policy.deliveries().find(|it| it.is_for_models() && possible(it));
            let wanted = workflow.wish.action.or(chosen).filter(possible);
            let Some(action) = wanted.or(Some(usual).filter(possible)).or_else(first) else {
                let why = policy.delivery("delivery", usual).err().map_or_else(String::new, |it| it.to_string());
                return vec![fail(format!(
                    "nobody said how its result is delivered, and what is usual is barred: {why}"
                ))];
            };
            let kinds = world.kinds();
            let (cast, mut substitutions) = casting::cast(&said.agents, world.stock(workflow, &kinds));
            for it in &mut substitutions {
                let wanted =
                    said.agents.iter().find(|wish| wish.role == it.role).and_then(|wish| wish.agent.as_deref());
                if let Some(Err(barred)) = wanted.map(|kind| policy.agent("agent", kind)) {
                    it.reason = barred.to_string();
                }
            }
            let mut proposals = vec![it(Input::Directed { hand_in, mode, action, cast, substitutions })];
            if !workflow.wish.titled {
                let title = Some(head(&said.title, 120).to_owned());
                let edit = objective::Edit { title, ..objective::Edit::default() };
                proposals.push(Stimulus::Objective(objective::Input::Edit(Box::new(edit))));
            }
            proposals
        }
        (Phase::Charter, Output::Charter(_)) => vec![it(Input::Chartered { hand_in })],
        (Phase::Design, Output::Design(_)) => vec![it(Input::Designed { hand_in })],
        (Phase::Verify, Output::Verdict(verdict)) => {
            let facts = GateFacts {
                checks: brief::outcome(world, workflow),
                verdict,
                needs_checks: needs_checks(world, workflow) && world.objective.repo.is_some(),
                excused: workflow.wish.without_checks,
                asked: &asked_by_people(world),
            };
            vec![it(Input::Judged { hand_in, judgement: judge(&facts) })]
        }
        (Phase::Repair, Output::Repair(_)) => vec![it(Input::RepairPlanned { hand_in })],
        (Phase::Finalize, Output::Finish(_)) => vec![it(Input::Finalized { hand_in })],
        (Phase::Refine, Output::Retrospective(_)) => vec![it(Input::Reflected { hand_in: Some(hand_in) })],
        _ => Vec::new(),
    }
}

/// The words of people: what roles say to each other excuses nothing.
fn asked_by_people(world: &World) -> String {
    let mut text = world.objective.prompt.clone();
    for it in world.tasks.values().filter(|it| it.source == Source::Person) {
        text.push('\n');
        text.push_str(&it.title);
        text.push('\n');
        text.push_str(&it.description);
    }
    text
}

/// Tasks are worked off side by side where they do not build on each other; in the end there is one result.
fn implement(world: &World, workflow: &Workflow, settings: &Settings) -> Vec<Stimulus> {
    let of_now = |it: &&Task| it.round == workflow.round && it.cycle == workflow.cycle;
    let mut tasks: Vec<&Task> = world.tasks.values().filter(of_now).collect();
    tasks.sort_by_key(|it| it.number);
    if tasks.is_empty() {
        return vec![of(OfWorkflow::NewTasks { tasks: planned(world, workflow) })];
    }
    let settled: Vec<Stimulus> = tasks.iter().flat_map(|it| settle(world, workflow, it, settings)).collect();
    if !settled.is_empty() {
        return settled;
    }
    if let Some((bad, reason)) = tasks.iter().find_map(|it| match &it.state {
        task::State::Failed { reason } => Some((it, reason)),
        _ => None,
    }) {
        return vec![fail(format!("task {} \"{}\" failed: {reason}", bad.number, bad.title))];
    }
    let at_work = tasks.iter().filter(|it| matches!(it.state, task::State::Running { .. })).count();
    let ready = tasks.iter().filter(|it| it.state == task::State::Pending && is_ready(world, it));
    let next: Vec<Stimulus> = ready
        .take(settings.parallel_tasks.max(1).saturating_sub(at_work))
        .map(|it| {
            of(OfWorkflow::Play(Play {
                task: Some(it.id),
                title: it.title.clone(),
                goal: brief::implement(world, workflow, it),
                depends_on: sources(world, workflow, it).into_iter().collect(),
                retries: match played(world, workflow, Some(it.id), settings) {
                    Played::Missing { last } => last.map(|it| it.id),
                    Played::Live | Played::Done { .. } | Played::Lost { .. } => None,
                },
            }))
        })
        .collect();
    if !next.is_empty() || tasks.iter().any(|it| !it.state.is_over()) {
        return next;
    }
    result(world, workflow, &tasks)
}

/// The tasks of this cycle, as they were planned.
fn planned(world: &World, workflow: &Workflow) -> Vec<NewTask> {
    let document = if workflow.cycle == 0 { workflow.left.design } else { workflow.left.repair };
    let (source, tasks) = match brief::output(world, document) {
        Some(Output::Design(it)) => (Source::Plan, it.tasks.as_slice()),
        Some(Output::Repair(it)) => (Source::Repair, it.tasks.as_slice()),
        _ => (Source::Plan, &[] as &[PlannedTask]),
    };
    tasks.iter().map(|it| NewTask { source, planned: it.clone(), after: Vec::new() }).collect()
}

/// Takes in what became of whoever works on a task.
fn settle(world: &World, workflow: &Workflow, task: &Task, settings: &Settings) -> Option<Stimulus> {
    let task::State::Running { .. } = &task.state else { return None };
    let input = match played(world, workflow, Some(task.id), settings) {
        Played::Live => return None,
        Played::Done { hand_in } => task::Input::Completed { hand_in },
        Played::Missing { last } => task::Input::Lost { reason: last.map_or_else(String::new, how) },
        Played::Lost { last } => task::Input::Fail {
            reason: format!("nobody got it done in {} tries; the last one {}", settings.step_tries, how(last)),
        },
    };
    Some(of(OfWorkflow::Task(task.id, input)))
}

fn is_ready(world: &World, task: &Task) -> bool {
    let over = |id: &TaskId| {
        world
            .tasks
            .get(id)
            .is_none_or(|it| matches!(it.state, task::State::Completed { .. } | task::State::Skipped { .. }))
    };
    task.depends_on.iter().all(over)
}

/// The sessions whose work a task goes on with. What was skipped is passed through; what depends on nothing goes on
/// with the result that was there before.
fn sources(world: &World, workflow: &Workflow, task: &Task) -> BTreeSet<SessionId> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut ahead: Vec<TaskId> = task.depends_on.clone();
    while let Some(id) = ahead.pop() {
        let Some(before) = world.tasks.get(&id).filter(|_| seen.insert(id)) else { continue };
        match &before.state {
            task::State::Completed { session, .. } => {
                found.insert(*session);
            }
            task::State::Skipped { .. } => ahead.extend(&before.depends_on),
            task::State::Pending | task::State::Running { .. } | task::State::Failed { .. } => {}
        }
    }
    if found.is_empty() {
        found.extend(workflow.left.result);
    }
    found
}

/// All tasks are over: one of them holds everything, or somebody brings the parts together.
fn result(world: &World, workflow: &Workflow, tasks: &[&Task]) -> Vec<Stimulus> {
    let done: Vec<(&Task, SessionId)> = tasks
        .iter()
        .filter_map(|it| match &it.state {
            task::State::Completed { session, .. } => Some((*it, *session)),
            _ => None,
        })
        .collect();
    if done.is_empty() && workflow.left.result.is_none() {
        return vec![fail("every task was skipped, so there is no result".into())];
    }
    if world.objective.repo.is_none() {
        return vec![it(Input::Implemented { result: None })];
    }
    let built_on: BTreeSet<SessionId> = done.iter().flat_map(|(task, _)| sources(world, workflow, task)).collect();
    let leaves: Vec<&(&Task, SessionId)> = done.iter().filter(|(_, session)| !built_on.contains(session)).collect();
    match leaves.as_slice() {
        [] => vec![it(Input::Implemented { result: workflow.left.result })],
        [(_, only)] => vec![it(Input::Implemented { result: Some(*only) })],
        many => {
            let titles: Vec<String> = many.iter().map(|(it, _)| format!("- {}", it.title)).collect();
            let planned = PlannedTask {
                title: "Bring the parts together".into(),
                description: format!(
                    "These tasks were done side by side, each in its own checkout:\n{}\nYour checkout has them merged as far \
                     as that went by itself. Solve what conflicts, see that the parts work with each other, and commit. If \
                     there is nothing to do, change nothing.",
                    titles.join("\n")
                ),
                depends_on: Vec::new(),
                specialty: None,
            };
            let after = many.iter().map(|(it, _)| it.id).collect();
            vec![of(OfWorkflow::NewTasks { tasks: vec![NewTask { source: Source::Join, planned, after }] })]
        }
    }
}

fn checks(world: &World, workflow: &Workflow) -> Vec<Stimulus> {
    if workflow.left.result.is_none() {
        return vec![it(Input::Checked { sha: None })];
    }
    let run = workflow.left.check.and_then(|id| world.check_runs.get(&id));
    match run.map(|it| (it.id, &it.state)) {
        None | Some((_, check::State::Canceled)) => vec![of(OfWorkflow::Check)],
        Some((_, check::State::Running)) => Vec::new(),
        Some((run, check::State::Faulted { detail })) => gate(world, Gate::CheckFault { run }, || {
            let text = format!("The checks could not be run: {}. Shall they be tried again?", head(detail, 600));
            (text, None, vec!["continue".into(), "cancel".into()])
        }),
        Some((run, check::State::Done { outcome })) => {
            if outcome.receipts.is_empty() && needs_checks(world, workflow) && !workflow.wish.without_checks {
                let excusable = world.objective.policy.allows_unchecked();
                return gate(world, Gate::NoChecks { run }, || {
                    let (and, or) = if excusable {
                        ("", ", with `without` to go on unchecked,")
                    } else {
                        (", and the policy of its scope wants one", "")
                    };
                    let text = format!(
                        "No command was found that checks this work{and}. Answer with one (`make test`){or} or with `cancel`."
                    );
                    let without = excusable.then(|| "without".to_owned());
                    (text, None, without.into_iter().chain(["cancel".to_owned()]).collect())
                });
            }
            vec![it(Input::Checked { sha: Some(outcome.sha.clone()) })]
        }
    }
}

/// Tells whether commands have to check the result: by the kind of work, or because its scope lets nothing pass unchecked,
/// whatever kind of work its Director calls it.
fn needs_checks(world: &World, workflow: &Workflow) -> bool {
    workflow.mode.is_none_or(|it| it.needs_checks()) || !world.objective.policy.allows_unchecked()
}

/// The result leaves the house, once.
fn deliver(world: &World, workflow: &Workflow) -> Vec<Stimulus> {
    let result = workflow.left.result;
    let session = match (workflow.action, result) {
        (Some(Action::PullRequest), Some(session)) => session,
        (Some(Action::PullRequest), None) => return vec![fail("there is no checkout to deliver".into())],
        (Some(Action::Answer) | None, _) => {
            return vec![it(Input::Delivered { order: None, delivered: Delivered::Answer })];
        }
        (
            Some(
                action @ (Action::DirectCommit
                | Action::ArtifactBundle
                | Action::MarkdownExport
                | Action::BlogDraft
                | Action::DocDraft
                | Action::Webhook),
            ),
            _,
        ) => return hand_over(world, workflow, action),
    };
    let Some(pr) = world.pull_request_of(workflow) else {
        let Some(Output::Finish(finish)) = brief::output(world, workflow.left.finish) else { return Vec::new() };
        let said = match &workflow.wish.delivery {
            DeliverySettings::PullRequest(said) => said.clone(),
            _ => PullRequestSettings::default(),
        };
        return vec![Stimulus::Publish(NewPublication {
            session,
            title: said.title.unwrap_or_else(|| head(&finish.title, 200).to_owned()),
            body: said.body.unwrap_or_else(|| brief::delivery_body(world, workflow, finish)),
            commit_message: None,
            head: said.head,
            draft: said.draft,
            replaces: None,
        })];
    };
    match &pr.state {
        pull_request::State::Merged { .. } => {
            let delivered = Delivered::PullRequest { pull_request: pr.id, url: pr.url.clone() };
            vec![it(Input::Delivered { order: None, delivered })]
        }
        pull_request::State::Closed { why } => {
            let reason = match (pr.number, pr.closing.decision) {
                (_, ClosedDecision::Empty) => format!("there is nothing to deliver: {why}"),
                (None, _) => format!("the pull request could not be opened: {why}"),
                (Some(_), _) => format!("pull request {} was {why}", pr.label()),
            };
            vec![fail(reason)]
        }
        pull_request::State::Open if workflow.wish.merge && pr.refusal.is_none() => {
            // Only what was checked is merged without a person.
            let checked = workflow.left.checked.is_some() && workflow.left.checked == pr.head;
            let ordered = workflow.left.merging == pr.head;
            let red = matches!(pr.checks, pull_request::Checks::Failing | pull_request::Checks::Pending);
            match &pr.head {
                Some(head) if checked && !ordered && !red && pr.mergeable != Some(false) => vec![
                    it(Input::Merging { head: head.clone() }),
                    Stimulus::PullRequest(pr.id, pull_request::Input::Merge { method: MergeMethod::Merge }),
                ],
                Some(_) | None => Vec::new(),
            }
        }
        pull_request::State::Opening { .. } | pull_request::State::Draft | pull_request::State::Open => Vec::new(),
    }
}

/// What no code host makes is ordered, and waited for.
fn hand_over(world: &World, workflow: &Workflow, action: Action) -> Vec<Stimulus> {
    match workflow.left.order.as_ref().map(|it| (it.number, &it.standing)) {
        None => match delivery::parcel(world, workflow, action) {
            Ok(_) => vec![of(OfWorkflow::Deliver)],
            Err(why) => vec![fail(brief::undelivered(world, workflow, &why))],
        },
        Some((_, Standing::UnderWay)) => Vec::new(),
        Some((order, Standing::Faulted { detail })) => gate(world, Gate::DeliveryFault { order }, || {
            let text = format!("The result could not be delivered: {}. Shall it be tried again?", head(detail, 600));
            let id = workflow.objective.short();
            let context = format!(
                "`continue` tries again, once what is in the way is mended. `orcha workflow retry {id} --from implement` does \
                 the work anew on what the repository has by then."
            );
            (text, Some(context), vec!["continue".into(), "cancel".into()])
        }),
        Some((_, Standing::Refused { detail })) => vec![fail(brief::undelivered(world, workflow, detail))],
    }
}

/// Asks a person once, and waits.
fn gate(world: &World, gate: Gate, words: impl FnOnce() -> (String, Option<String>, Vec<String>)) -> Vec<Stimulus> {
    let about = About::Workflow { gate };
    let asked = |it: &question::Question| {
        it.about == about && matches!(it.state, question::State::Open | question::State::Answered { .. })
    };
    if world.questions.values().any(asked) {
        return Vec::new();
    }
    let (text, context, options) = words();
    let cause = match &about {
        About::Workflow { gate: Gate::Plan } => "workflow:plan".to_owned(),
        About::Workflow { gate: Gate::Delivery } => "workflow:delivery".to_owned(),
        About::Workflow { gate: Gate::NoChecks { run } } => format!("workflow:no-checks:{run}"),
        About::Workflow { gate: Gate::CheckFault { run } } => format!("workflow:check-fault:{run}"),
        About::Workflow { gate: Gate::DeliveryFault { order } } => format!("workflow:delivery-fault:{order}"),
        _ => "workflow".to_owned(),
    };
    vec![Stimulus::NewQuestion(NewQuestion { session: None, cause, about, priority: 15, text, context, options })]
}

fn how(session: &Session) -> String {
    match &session.state {
        session::State::Failed { reason, .. } => format!("failed: {reason}"),
        session::State::Canceled { reason } => format!("was canceled: {reason}"),
        other => format!("is {}", other.name()),
    }
}

fn it(input: Input) -> Stimulus {
    of(OfWorkflow::It(input))
}

fn of(of: OfWorkflow) -> Stimulus {
    Stimulus::Workflow(Box::new(of))
}

fn fail(reason: String) -> Stimulus {
    Stimulus::Objective(objective::Input::Fail { reason })
}
