//! The states and inputs of what a workflow is made of.

use super::Table;
use super::lists::{NOW, every, with};
use orcha_base::{CheckRunId, HandInId, ObjectiveId, Revision, ScopeId, SessionId, TaskId, TenantId, WorkspaceId};
use orcha_model::contract::{CheckCommand, Issue, Severity};
use orcha_model::delivery::{Action, Delivered, Ordered, Standing};
use orcha_model::gate::Judgement;
use orcha_model::workflow::{Failing, Input, Mode, Phase, Wish};
use orcha_model::{CheckRun, Role, Task, Workflow, check, task, workflow};
use orcha_testkit::make::{self, at};

fn at_step(phase: Phase) -> Workflow {
    let mut it = Workflow::new(&make::objective(), Wish::default(), at(0));
    it.phase = phase;
    it.action = Some(Action::BlogDraft);
    it.left.direction = Some(HandInId::fixed(1));
    it.left.charter = Some(HandInId::fixed(2));
    it.left.design = Some(HandInId::fixed(3));
    if phase == Phase::Deliver {
        it.deliveries = 1;
        it.left.order = Some(Ordered { number: 1, standing: Standing::UnderWay });
    }
    it
}

fn judgement(blocking: bool) -> Judgement {
    let issue = Issue {
        severity: Severity::Blocking,
        component: "code".into(),
        description: "it is red".into(),
        recommendation: "mend it".into(),
    };
    let failing = if blocking { Failing::from(["test".to_owned()]) } else { Failing::new() };
    Judgement { blocking: if blocking { vec![issue] } else { Vec::new() }, failing, warnings: Vec::new() }
}

pub(super) fn workflow() {
    let states = every!(Phase;
        Phase::Digest => [("digest", Phase::Digest)],
        Phase::Direct => [("direct", Phase::Direct)],
        Phase::Charter => [("charter", Phase::Charter)],
        Phase::Design => [("design", Phase::Design)],
        Phase::ApprovePlan => [("approve_plan", Phase::ApprovePlan)],
        Phase::Implement => [("implement", Phase::Implement)],
        Phase::Check => [("check", Phase::Check)],
        Phase::Verify => [("verify", Phase::Verify)],
        Phase::Repair => [("repair", Phase::Repair)],
        Phase::Finalize => [("finalize", Phase::Finalize)],
        Phase::ApproveDelivery => [("approve_delivery", Phase::ApproveDelivery)],
        Phase::Deliver => [("deliver", Phase::Deliver)],
        Phase::Refine => [("refine", Phase::Refine)],
        Phase::Done => [("done", Phase::Done)],
        Phase::Exhausted => [("exhausted", Phase::Exhausted)],
        Phase::Stagnated => [("stagnated", Phase::Stagnated)],
    );
    let hand_in = HandInId::fixed(9);
    let judged = |blocking| Input::Judged { hand_in, judgement: judgement(blocking) };
    let command = CheckCommand { name: "test".into(), command: vec!["make".into()] };
    let back = |to| Input::Back { to, words: Some("otherwise".into()) };
    let faulted = |lasting| Input::DeliveryFaulted { order: 1, detail: "the server says no".into(), lasting };
    let inputs = every!(Input;
        Input::Digested { .. } => [("digested", Input::Digested { hand_in })],
        Input::Directed { .. } => [
            ("directed", Input::Directed {
                hand_in,
                mode: Mode::Software,
                action: Action::PullRequest,
                cast: [(Role::Qa, make::agent())].into(),
                substitutions: Vec::new(),
            }),
        ],
        Input::Chartered { .. } => [("chartered", Input::Chartered { hand_in })],
        Input::Designed { .. } => [("designed", Input::Designed { hand_in })],
        Input::Approved => [("approved", Input::Approved)],
        Input::Implemented { .. } => [("implemented", Input::Implemented { result: Some(SessionId::fixed(1)) })],
        Input::CheckOrdered { .. } => [("check ordered", Input::CheckOrdered { run: CheckRunId::fixed(1) })],
        Input::Checked { .. } => [("checked", Input::Checked { sha: Some(make::sha(1)) })],
        Input::Judged { .. } => [("nothing blocks", judged(false)), ("something blocks", judged(true))],
        Input::RepairPlanned { .. } => [("repair planned", Input::RepairPlanned { hand_in })],
        Input::Excused => [("excused", Input::Excused)],
        Input::Finalized { .. } => [("finalized", Input::Finalized { hand_in })],
        Input::Rejected { .. } => [("rejected", Input::Rejected { words: "too long".into() })],
        Input::CheckAgain { .. } => [
            ("check again", Input::CheckAgain { with: None }),
            ("check again with a command", Input::CheckAgain { with: Some(command) }),
        ],
        Input::Merging { .. } => [("merging", Input::Merging { head: make::sha(1) })],
        Input::DeliveryOrdered => [("delivery ordered", Input::DeliveryOrdered)],
        Input::Delivered { .. } => [
            ("delivered by a code host, or as an answer", Input::Delivered { order: None, delivered: Delivered::Answer }),
            ("delivered", Input::Delivered { order: Some(1), delivered: Delivered::Answer }),
            ("delivered, of another order", Input::Delivered { order: Some(7), delivered: Delivered::Answer }),
        ],
        Input::DeliveryFaulted { .. } => [
            ("not delivered, a person may help", faulted(false)),
            ("not delivered, and never will be", faulted(true)),
        ],
        Input::DeliverAgain { .. } => [("deliver again", Input::DeliverAgain { order: 1 })],
        Input::Reflected { .. } => [("reflected", Input::Reflected { hand_in: None })],
        Input::Violated { .. } => [("violated", Input::Violated { things: 1 })],
        Input::Back { .. } => [
            ("back to the design", back(Phase::Design)),
            ("back to implement", back(Phase::Implement)),
            ("back to the delivery", back(Phase::Deliver)),
            ("back to an approval", back(Phase::ApprovePlan)),
        ],
        Input::Edited { .. } => [
            ("charter edited", Input::Edited { phase: Phase::Charter, hand_in }),
            ("design edited", Input::Edited { phase: Phase::Design, hand_in }),
        ],
        Input::TaskAdded => [("task added", Input::TaskAdded)],
    );
    Table {
        noun: "workflow",
        intro: "The pipeline run of one objective. Whether it is paused, canceled or over is the objective's business; \
                here is the step that it stands at. The example has been directed, chartered and designed; at `deliver` its \
                first delivery is under way. A fact about a step that it does not stand at is ignored.",
        states: with(states, at_step),
        inputs,
        name: &|it| it.phase.name().into(),
        decide: &|it, input| workflow::decide(it, input, at(NOW)),
    }
    .check();
}

pub(super) fn task() {
    use task::{Input, Source, State};
    let session = SessionId::fixed(1);
    let hand_in = HandInId::fixed(1);
    let states = every!(State;
        State::Pending => [("pending", State::Pending)],
        State::Running { .. } => [("running", State::Running { session })],
        State::Completed { .. } => [("completed", State::Completed { session, hand_in })],
        State::Failed { .. } => [("failed", State::Failed { reason: "no way".into() })],
        State::Skipped { .. } => [("skipped", State::Skipped { reason: "not needed".into() })],
    );
    let inputs = every!(Input;
        Input::Started { .. } => [("started", Input::Started { session })],
        Input::Completed { .. } => [("completed", Input::Completed { hand_in })],
        Input::Lost { .. } => [("lost", Input::Lost { reason: "it crashed".into() })],
        Input::Fail { .. } => [("fail", Input::Fail { reason: "no way".into() })],
        Input::Skip { .. } => [("skip", Input::Skip { reason: "not needed".into() })],
    );
    let made = |state| Task {
        id: TaskId::fixed(1),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(1),
        number: 1,
        round: 0,
        cycle: 0,
        source: Source::Plan,
        title: "Write it".into(),
        description: "Write it.".into(),
        specialty: None,
        depends_on: Vec::new(),
        tries: 1,
        state,
        created_at: at(0),
        updated_at: at(0),
        completed_at: None,
    };
    Table {
        noun: "task",
        intro: "One piece of a workflow's work, for one Implementer at a time. `completed`, `failed` and `skipped` have \
                no way out.",
        states: with(states, made),
        inputs,
        name: &|it: &Task| it.state.name().into(),
        decide: &|it, input| task::decide(it, input, at(NOW)),
    }
    .check();
}

pub(super) fn check_run() {
    use check::{Input, Outcome, State};
    let outcome = || Outcome {
        sha: make::sha(1),
        receipts: Vec::new(),
        tampering: Vec::new(),
        files: Vec::new(),
        changed: Vec::new(),
    };
    let states = every!(State;
        State::Running => [("running", State::Running)],
        State::Done { .. } => [("done", State::Done { outcome: outcome() })],
        State::Faulted { .. } => [("faulted", State::Faulted { detail: "no space".into() })],
        State::Canceled => [("canceled", State::Canceled)],
    );
    let inputs = every!(Input;
        Input::Ran { .. } => [("ran", Input::Ran { outcome: outcome() })],
        Input::Faulted { .. } => [("faulted", Input::Faulted { detail: "no space".into() })],
        Input::Cancel => [("cancel", Input::Cancel)],
    );
    let made = |state| CheckRun {
        id: CheckRunId::fixed(1),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(1),
        round: 0,
        cycle: 0,
        session: SessionId::fixed(1),
        workspace: WorkspaceId::fixed(1),
        target: make::target_id(),
        repo: make::repo(),
        asked: Vec::new(),
        state,
        created_at: at(0),
        updated_at: at(0),
    };
    Table {
        noun: "check_run",
        intro: "One run of all checks on one exact commit. A fault of the machine is no verdict on the work. `done`, \
                `faulted` and `canceled` have no way out.",
        states: with(states, made),
        inputs,
        name: &|it: &CheckRun| it.state.name().into(),
        decide: &|it, input| Ok(check::decide(it, input, at(NOW))),
    }
    .check();
}
