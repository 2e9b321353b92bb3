//! The life of a workflow: the pipeline run of one objective, from the first role to the delivery.
//!
//! Whether it is paused, canceled or over is the objective's business alone; here it is only known which step it
//! stands at and what the steps before left. Who plays a step is a session that carries the step as its [`Part`].

use crate::casting::Substitution;
use crate::contract::{CheckCommand, Contract, Issue, Severity};
pub use crate::delivery::{Action, Delivered};
use crate::delivery::{Ordered, Settings, Standing};
use crate::finished::Side;
use crate::gate::Judgement;
use crate::session::AgentChoice;
use crate::text::TextUse;
use crate::{Decision, Note, NoteKind, Objective, Refusal, Role, objective};
use orcha_base::{
    CheckRunId, HandInId, ObjectiveId, ProposalId, Revision, ScopeId, SessionId, Sha, TaskId, TenantId, Timestamp,
    WorkflowId,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};

/// The pipeline run of one objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// Its id: the objective's, as another noun.
    pub id: WorkflowId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// How often the row changed.
    pub revision: Revision,
    /// The objective.
    pub objective: ObjectiveId,
    /// What was asked for besides the prompt.
    pub wish: Wish,
    /// What kind of work it is; the Director says so unless the user did.
    pub mode: Option<Mode>,
    /// How the result is delivered, once that is known.
    pub action: Option<Action>,
    /// Whom the Director chose for the roles after it, as far as they could be had.
    #[serde(default)]
    pub cast: BTreeMap<Role, AgentChoice>,
    /// The step that it stands at.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// Raised when a person sends it back: what sessions of an earlier round do is of no account.
    pub round: u32,
    /// The round since which work counts: what was made in one before was sent back with its tasks.
    #[serde(default)]
    pub work_since: u32,
    /// How many repairs were planned in this round.
    pub cycle: u32,
    /// What the steps before left.
    pub left: Left,
    /// What stood against the result at the last look.
    pub judged: Option<Judgement>,
    /// What a person said to the step when sending it back.
    pub words: Option<String>,
    /// How often a role handed in what it may not.
    pub violations: u32,
    /// How often a delivery was ordered, and by that the number of the newest.
    #[serde(default)]
    pub deliveries: u32,
    /// The texts that it goes by, from its first step to its last.
    #[serde(default)]
    pub texts: Vec<TextUse>,
    /// The proposals that it tells something about, and from which side.
    #[serde(default)]
    pub tried: BTreeMap<ProposalId, Side>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What the steps of a workflow left for those after them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Left {
    /// What is in the files that came with the request.
    pub digest: Option<HandInId>,
    /// The Director's document.
    pub direction: Option<HandInId>,
    /// The Project Manager's, or a person's in its place.
    pub charter: Option<HandInId>,
    /// The Architect's, or a person's in its place.
    pub design: Option<HandInId>,
    /// The session whose checkout holds the result; none where there is no repository.
    pub result: Option<SessionId>,
    /// The newest run of the checks.
    pub check: Option<CheckRunId>,
    /// The commit that was checked.
    pub checked: Option<Sha>,
    /// The Architect's newest plan of a repair.
    pub repair: Option<HandInId>,
    /// QA's newest document.
    pub verdict: Option<HandInId>,
    /// The Finalizer's document.
    pub finish: Option<HandInId>,
    /// The head of the pull request whose merge was ordered.
    pub merging: Option<Sha>,
    /// The delivery that is being made, unless a code host makes it.
    pub order: Option<Ordered>,
    /// What the result was delivered as.
    pub delivered: Option<Delivered>,
    /// The Refiner's document.
    pub retrospective: Option<HandInId>,
}

/// What was asked for besides the prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wish {
    /// What kind of work it is; the Director decides if that is not said.
    pub mode: Option<Mode>,
    /// How the result is delivered; the Director decides if that is not said.
    pub action: Option<Action>,
    /// What else was said of the delivery.
    pub delivery: Settings,
    /// Whether the pull request is merged without asking anybody.
    pub merge: bool,
    /// Whether a person looks at the plan before anything is written.
    pub approve_plan: bool,
    /// Whether a person looks at the result before it is delivered.
    pub approve_delivery: bool,
    /// Commands that check the work, besides those that the project has.
    pub checks: Vec<CheckCommand>,
    /// How often the result is repaired before the workflow gives up.
    pub max_repairs: u32,
    /// Whether the work may go on although nothing checks it.
    pub without_checks: bool,
    /// Other agents than the objective's, by role.
    pub agents: BTreeMap<Role, AgentChoice>,
    /// Whether the title is the user's own: then the Director does not change it.
    pub titled: bool,
    /// Whether it ends without looking back.
    pub skip_refiner: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            mode: None,
            action: None,
            delivery: Settings::Nothing,
            merge: false,
            approve_plan: false,
            approve_delivery: false,
            checks: Vec::new(),
            without_checks: false,
            max_repairs: 2,
            agents: BTreeMap::new(),
            titled: false,
            skip_refiner: false,
        }
    }
}

/// What kind of work it is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Display, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "each name says it")]
pub enum Mode {
    Software,
    Content,
    Docs,
    Research,
    Ops,
    Mixed,
}

impl Mode {
    /// Reads a mode in the words that clients and models use for it.
    pub fn said(words: &str) -> Option<Self> {
        match words.trim().to_lowercase().replace(['-', ' '], "_").as_str() {
            "software" | "software_creation" | "software_generation" | "code" | "coding" => Some(Self::Software),
            "content" | "content_creation" | "content_pipeline" | "blog" | "article" | "post" => Some(Self::Content),
            "docs" | "documentation" | "docs_generation" => Some(Self::Docs),
            "research" => Some(Self::Research),
            "ops" => Some(Self::Ops),
            "mixed" => Some(Self::Mixed),
            _ => None,
        }
    }

    /// Tells whether the result must be checked by commands before anybody may call it good.
    pub const fn needs_checks(self) -> bool {
        match self {
            Self::Software | Self::Ops | Self::Mixed => true,
            Self::Content | Self::Docs | Self::Research => false,
        }
    }
}

/// A step of the pipeline.
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
pub enum Phase {
    /// The Director reads the files that came with the request.
    Digest,
    /// The Director says what kind of work it is.
    Direct,
    /// The Project Manager writes constitution and requirements.
    Charter,
    /// The Architect designs and plans tasks.
    Design,
    /// A person looks at the plan.
    ApprovePlan,
    /// Implementers work the tasks off.
    Implement,
    /// The checks run in a clean checkout of the result.
    Check,
    /// QA judges the result.
    Verify,
    /// The Architect plans how what blocks is repaired.
    Repair,
    /// The Finalizer writes what people read.
    Finalize,
    /// A person looks at the result.
    ApproveDelivery,
    /// The result is delivered.
    Deliver,
    /// The Refiner looks back.
    Refine,
    /// Everything is done.
    Done,
    /// The repairs are used up, and something still blocks.
    Exhausted,
    /// The same things block as before the last repair.
    Stagnated,
}

impl Phase {
    /// Returns who plays it; nobody plays what the house does itself.
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Digest | Self::Direct => Some(Role::Director),
            Self::Charter => Some(Role::ProjectManager),
            Self::Design | Self::Repair => Some(Role::Architect),
            Self::Implement => Some(Role::Implementer),
            Self::Verify => Some(Role::Qa),
            Self::Finalize => Some(Role::Finalizer),
            Self::Refine => Some(Role::Refiner),
            Self::ApprovePlan
            | Self::Check
            | Self::ApproveDelivery
            | Self::Deliver
            | Self::Done
            | Self::Exhausted
            | Self::Stagnated => None,
        }
    }

    /// Returns what whoever plays it hands in.
    pub const fn contract(self) -> Option<Contract> {
        match self {
            Self::Digest => Some(Contract::Digest),
            Self::Direct => Some(Contract::Direction),
            Self::Charter => Some(Contract::Charter),
            Self::Design => Some(Contract::Design),
            Self::Implement => Some(Contract::Change),
            Self::Verify => Some(Contract::Verdict),
            Self::Repair => Some(Contract::Repair),
            Self::Finalize => Some(Contract::Finish),
            Self::Refine => Some(Contract::Retrospective),
            Self::ApprovePlan
            | Self::Check
            | Self::ApproveDelivery
            | Self::Deliver
            | Self::Done
            | Self::Exhausted
            | Self::Stagnated => None,
        }
    }

    /// Tells whether nothing comes after it.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Exhausted | Self::Stagnated)
    }

    /// Returns the name as it stands in JSON and SQL.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Which step of a workflow a session plays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The step.
    pub phase: Phase,
    /// The round that it belongs to.
    pub round: u32,
    /// The repair that it belongs to; zero before the first.
    pub cycle: u32,
    /// The task that it works off.
    pub task: Option<TaskId>,
    /// What it handed in.
    pub hand_in: Option<HandInId>,
    /// Whether it was told once that it ended its turn with nothing handed in.
    pub reminded: bool,
}

/// The published words for where a workflow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "each name says it")]
pub enum Status {
    Pending,
    Running,
    Paused,
    Completed,
    Failed,
    Cancelled,
}

/// Something that happens to a workflow.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// It is said what is in the files that came with the request.
    Digested {
        /// The document.
        hand_in: HandInId,
    },
    /// The Director's document is there.
    Directed {
        /// It.
        hand_in: HandInId,
        /// The kind of work.
        mode: Mode,
        /// How it is delivered.
        action: Action,
        /// Who plays the roles after it, where that is not the usual agent.
        cast: BTreeMap<Role, AgentChoice>,
        /// Whom it wanted besides, and could not have.
        substitutions: Vec<Substitution>,
    },
    /// The charter is there.
    Chartered {
        /// It.
        hand_in: HandInId,
    },
    /// The plan is there.
    Designed {
        /// It.
        hand_in: HandInId,
    },
    /// A person agrees to what was looked at.
    Approved,
    /// All tasks of this cycle are done.
    Implemented {
        /// Whose checkout holds the result.
        result: Option<SessionId>,
    },
    /// The checks were ordered.
    CheckOrdered {
        /// The run.
        run: CheckRunId,
    },
    /// The checks ran.
    Checked {
        /// The commit that they ran on.
        sha: Option<Sha>,
    },
    /// QA judged, and the gate with it.
    Judged {
        /// QA's document.
        hand_in: HandInId,
        /// What stands against the result.
        judgement: Judgement,
    },
    /// Repair tasks are planned.
    RepairPlanned {
        /// The document.
        hand_in: HandInId,
    },
    /// A person lets work go on that nothing checks.
    Excused,
    /// The words for the delivery are there.
    Finalized {
        /// The document.
        hand_in: HandInId,
    },
    /// A person does not want the result as it is.
    Rejected {
        /// What is wrong, in the person's words.
        words: String,
    },
    /// The checks are ordered once more.
    CheckAgain {
        /// With another command.
        with: Option<CheckCommand>,
    },
    /// The merge of the pull request is ordered.
    Merging {
        /// At this head.
        head: Sha,
    },
    /// The delivery is ordered.
    DeliveryOrdered,
    /// The result is delivered.
    Delivered {
        /// By which order; none where nothing had to be ordered, or a code host did it.
        order: Option<u32>,
        /// As what.
        delivered: Delivered,
    },
    /// The delivery was not made.
    DeliveryFaulted {
        /// Which order.
        order: u32,
        /// Why, for people.
        detail: String,
        /// Whether nobody can do anything about it.
        lasting: bool,
    },
    /// The delivery is ordered once more: a person has looked at what was in its way, or it was cut off because the
    /// workflow rests.
    DeliverAgain {
        /// Which order is of no account any more.
        order: u32,
    },
    /// The Refiner has looked back, or nobody does.
    Reflected {
        /// Its document.
        hand_in: Option<HandInId>,
    },
    /// A role handed in what it may not.
    Violated {
        /// How many things.
        things: u32,
    },
    /// A person sends it back to a step.
    Back {
        /// Which.
        to: Phase,
        /// What the step shall hear.
        words: Option<String>,
    },
    /// A person wrote a document in a role's place.
    Edited {
        /// The step whose document it is.
        phase: Phase,
        /// The document.
        hand_in: HandInId,
    },
    /// A person added tasks: there is work again.
    TaskAdded,
}

impl Workflow {
    /// Makes the workflow of an objective.
    pub fn new(objective: &Objective, wish: Wish, now: Timestamp) -> Self {
        Self {
            id: WorkflowId::from_uuid(objective.id.uuid()),
            tenant: objective.tenant.clone(),
            scope: objective.scope.clone(),
            revision: Revision(1),
            objective: objective.id,
            mode: wish.mode,
            action: wish.action,
            wish,
            phase: Phase::Direct,
            since: now,
            round: 0,
            work_since: 0,
            cycle: 0,
            left: Left::default(),
            judged: None,
            words: None,
            violations: 0,
            deliveries: 0,
            texts: Vec::new(),
            tried: BTreeMap::new(),
            cast: BTreeMap::new(),
            created_at: now,
            updated_at: now,
        }
    }

    /// Returns who plays which role, where that is not the usual agent: by the user's choice, or by the Director's.
    pub fn agents(&self) -> BTreeMap<Role, AgentChoice> {
        let mut agents = self.cast.clone();
        agents.extend(self.wish.agents.iter().map(|(role, agent)| (*role, agent.clone())));
        agents
    }

    /// Begins with the files that came with the request: somebody has to say what is in them.
    #[must_use]
    pub fn with_files(self) -> Self {
        Self { phase: Phase::Digest, ..self }
    }

    /// Returns where it stands, in the published words.
    pub fn status(&self, objective: &Objective, begun: bool) -> Status {
        match &objective.state {
            objective::State::Active | objective::State::WaitingUser if begun => Status::Running,
            objective::State::Active | objective::State::WaitingUser => Status::Pending,
            objective::State::Paused => Status::Paused,
            objective::State::Succeeded => Status::Completed,
            objective::State::Failed { .. } => Status::Failed,
            objective::State::Canceled { .. } => Status::Cancelled,
        }
    }

    /// Returns the part that a session plays which is made now.
    pub fn part(&self, task: Option<TaskId>) -> Part {
        Part { phase: self.phase, round: self.round, cycle: self.cycle, task, hand_in: None, reminded: false }
    }

    /// Tells whether a part belongs to the step that it stands at.
    pub fn is_current(&self, part: &Part) -> bool {
        part.phase == self.phase && part.round == self.round && part.cycle == self.cycle
    }

    /// Tells whether a delivery is the one that is being made; what needs no order is always.
    pub fn is_under_way(&self, order: Option<u32>) -> bool {
        match (&self.left.order, order) {
            (_, None) => true,
            (Some(it), Some(number)) => it.number == number && it.standing == Standing::UnderWay,
            (None, Some(_)) => false,
        }
    }

    fn enter(&self, phase: Phase, now: Timestamp, change: impl FnOnce(&mut Self)) -> Decision<Self> {
        let mut next = self.clone();
        next.phase = phase;
        next.since = now;
        next.words = None;
        next.updated_at = now;
        change(&mut next);
        let note = Note::new(NoteKind::WorkflowStep, format!("the workflow goes from {} to {phase}", self.phase))
            .with("workflow_id", self.id)
            .with("from", self.phase)
            .with("to", phase)
            .with("cycle", next.cycle);
        Decision::become_(next).note(note)
    }

    fn substituted(&self, it: Substitution) -> Note {
        let words = format!("{} is played by {} and not by {}: {}", it.role, it.given, it.wanted, it.reason);
        Note::new(NoteKind::AgentSubstituted, words)
            .with("workflow_id", self.id)
            .with("role", it.role)
            .with("wanted", it.wanted)
            .with("given", it.given)
            .with("reason", it.reason)
    }

    fn stale(&self, why: &'static str) -> Decision<Self> {
        let note = Note::new(NoteKind::StaleFactIgnored, format!("{why}; the workflow is at {}", self.phase));
        Decision::ignore(self.clone(), why).note(note)
    }

    /// The step after the plan.
    const fn after_plan(&self) -> Phase {
        if self.wish.approve_plan { Phase::ApprovePlan } else { Phase::Implement }
    }

    /// The step after the delivery.
    const fn after_delivery(&self) -> Phase {
        if self.wish.skip_refiner { Phase::Done } else { Phase::Refine }
    }
}

/// Decides what a workflow becomes.
pub fn decide(workflow: &Workflow, input: Input, now: Timestamp) -> Result<Decision<Workflow>, Refusal> {
    let at = workflow.phase;
    Ok(match input {
        Input::Digested { hand_in } if at == Phase::Digest => {
            workflow.enter(Phase::Direct, now, |next| next.left.digest = Some(hand_in))
        }
        Input::Directed { hand_in, mode, action, cast, substitutions } if at == Phase::Direct => {
            let mut decision = workflow.enter(Phase::Charter, now, |next| {
                next.left.direction = Some(hand_in);
                next.mode = Some(mode);
                next.action = Some(action);
                next.cast = cast;
            });
            decision.notes.extend(substitutions.into_iter().map(|it| workflow.substituted(it)));
            decision
        }
        Input::Chartered { hand_in } if at == Phase::Charter => {
            workflow.enter(Phase::Design, now, |next| next.left.charter = Some(hand_in))
        }
        Input::Designed { hand_in } if at == Phase::Design => {
            workflow.enter(workflow.after_plan(), now, |next| next.left.design = Some(hand_in))
        }
        Input::Approved => match at {
            Phase::ApprovePlan => workflow.enter(Phase::Implement, now, |_| {}),
            Phase::ApproveDelivery => workflow.enter(Phase::Deliver, now, |_| {}),
            _ => workflow.stale("an approval that nobody waits for"),
        },
        Input::Implemented { result } if at == Phase::Implement => workflow.enter(Phase::Check, now, |next| {
            next.left.result = result;
            next.left.check = None;
            next.left.checked = None;
            next.left.verdict = None;
        }),
        Input::CheckOrdered { run } if at == Phase::Check => {
            let mut next = workflow.clone();
            next.left.check = Some(run);
            next.updated_at = now;
            Decision::become_(next)
        }
        Input::Checked { sha } if at == Phase::Check => {
            workflow.enter(Phase::Verify, now, |next| next.left.checked = sha)
        }
        Input::Judged { hand_in, judgement } if at == Phase::Verify => judged(workflow, hand_in, judgement, now),
        Input::RepairPlanned { hand_in } if at == Phase::Repair => workflow.enter(Phase::Implement, now, |next| {
            next.cycle = next.cycle.saturating_add(1);
            next.left.repair = Some(hand_in);
        }),
        Input::Finalized { hand_in } if at == Phase::Finalize => {
            let to = if workflow.wish.approve_delivery { Phase::ApproveDelivery } else { Phase::Deliver };
            workflow.enter(to, now, |next| next.left.finish = Some(hand_in))
        }
        Input::Rejected { words } if at == Phase::ApproveDelivery => rejected(workflow, words, now),
        Input::CheckAgain { with } if at == Phase::Check => {
            let mut next = workflow.clone();
            next.wish.checks.extend(with);
            next.left.check = None;
            next.updated_at = now;
            Decision::become_(next)
        }
        Input::Merging { head } if at == Phase::Deliver => {
            let mut next = workflow.clone();
            next.left.merging = Some(head);
            next.updated_at = now;
            Decision::become_(next)
        }
        Input::DeliveryOrdered if at == Phase::Deliver => {
            let mut next = workflow.clone();
            next.deliveries = next.deliveries.saturating_add(1);
            next.left.order = Some(Ordered { number: next.deliveries, standing: Standing::UnderWay });
            next.updated_at = now;
            let action = workflow.action.map_or_else(String::new, |it| it.to_string());
            let note = Note::new(NoteKind::DeliveryOrdered, format!("the result is delivered: {action}"))
                .with("workflow_id", workflow.id)
                .with("action", action);
            Decision::become_(next).note(note)
        }
        Input::Delivered { order, delivered } if at == Phase::Deliver && workflow.is_under_way(order) => {
            let said = delivered.sentence();
            let mut decision = workflow.enter(workflow.after_delivery(), now, |next| {
                next.left.order = None;
                next.left.delivered = Some(delivered);
            });
            decision.notes = decision.notes.into_iter().map(|it| it.with("delivered", &said)).collect();
            decision
        }
        Input::DeliveryFaulted { order, detail, lasting }
            if at == Phase::Deliver && workflow.is_under_way(Some(order)) =>
        {
            let note = Note::new(NoteKind::DeliveryFaulted, format!("the result was not delivered: {detail}"))
                .with("workflow_id", workflow.id)
                .with("lasting", lasting);
            let standing = if lasting { Standing::Refused { detail } } else { Standing::Faulted { detail } };
            let mut next = workflow.clone();
            next.left.order = Some(Ordered { number: order, standing });
            next.updated_at = now;
            Decision::become_(next).note(note)
        }
        Input::DeliverAgain { order }
            if at == Phase::Deliver && workflow.left.order.as_ref().is_some_and(|it| it.number == order) =>
        {
            let note = Note::new(NoteKind::DeliveryAgain, "the result is to be delivered anew".to_owned())
                .with("workflow_id", workflow.id)
                .with("order", order);
            let mut next = workflow.clone();
            next.left.order = None;
            next.updated_at = now;
            Decision::become_(next).note(note)
        }
        Input::Reflected { hand_in } if at == Phase::Refine => {
            workflow.enter(Phase::Done, now, |next| next.left.retrospective = hand_in)
        }
        Input::Digested { .. }
        | Input::Directed { .. }
        | Input::Chartered { .. }
        | Input::Designed { .. }
        | Input::Implemented { .. }
        | Input::CheckOrdered { .. }
        | Input::Checked { .. }
        | Input::Judged { .. }
        | Input::RepairPlanned { .. }
        | Input::Finalized { .. }
        | Input::Rejected { .. }
        | Input::CheckAgain { .. }
        | Input::Merging { .. }
        | Input::DeliveryOrdered
        | Input::Delivered { .. }
        | Input::DeliveryFaulted { .. }
        | Input::DeliverAgain { .. }
        | Input::Reflected { .. } => workflow.stale("the end of a step that it does not stand at"),
        Input::Violated { things } => {
            let mut next = workflow.clone();
            next.violations = next.violations.saturating_add(things);
            next.updated_at = now;
            Decision::become_(next)
        }
        Input::Excused => {
            let mut next = workflow.clone();
            next.wish.without_checks = true;
            next.updated_at = now;
            Decision::become_(next)
        }
        Input::Back { to, words } => return back(workflow, to, words, now),
        Input::Edited { phase, hand_in } => return edited(workflow, phase, hand_in, now),
        Input::TaskAdded => return task_added(workflow, now),
    })
}

/// The gate: nothing passes while anything blocks, and nothing is tried for ever.
fn judged(workflow: &Workflow, hand_in: HandInId, judgement: Judgement, now: Timestamp) -> Decision<Workflow> {
    let same = workflow.judged.as_ref().is_some_and(|it| !it.failing.is_empty() && it.failing == judgement.failing);
    let to = if judgement.blocking.is_empty() {
        Phase::Finalize
    } else if workflow.cycle > 0 && same {
        Phase::Stagnated
    } else if workflow.cycle >= workflow.wish.max_repairs {
        Phase::Exhausted
    } else {
        Phase::Repair
    };
    workflow.enter(to, now, |next| {
        next.left.verdict = Some(hand_in);
        next.judged = Some(judgement);
    })
}

/// What a person does not want blocks as well, and is repaired however often it was tried before.
fn rejected(workflow: &Workflow, words: String, now: Timestamp) -> Decision<Workflow> {
    let issue = Issue {
        severity: Severity::Blocking,
        component: "delivery".into(),
        description: format!("The user looked at the result and says: {words}"),
        recommendation: "Do what the user says.".into(),
    };
    workflow.enter(Phase::Repair, now, |next| {
        next.judged = Some(Judgement {
            blocking: vec![issue],
            failing: Failing::from(["user".to_owned()]),
            warnings: Vec::new(),
        });
        next.wish.max_repairs = next.wish.max_repairs.max(next.cycle.saturating_add(1));
    })
}

/// Sends a workflow back to a step that it was at before, or lets it do the present one anew.
fn back(workflow: &Workflow, to: Phase, words: Option<String>, now: Timestamp) -> Result<Decision<Workflow>, Refusal> {
    let rule = match to {
        _ if workflow.phase.is_end() => Some("it has come to its end; make a new one from it"),
        Phase::ApprovePlan | Phase::ApproveDelivery | Phase::Done | Phase::Exhausted | Phase::Stagnated => {
            Some("it is sent back to a step that somebody plays, or to the checks or the delivery")
        }
        Phase::Digest if workflow.phase != Phase::Digest && workflow.left.digest.is_none() => {
            Some("no file came with it that somebody has to sum up")
        }
        Phase::Repair => Some("a repair is planned when something blocks; send it back to implement, check or verify"),
        _ if to > workflow.phase && !(to == Phase::Implement && workflow.phase == Phase::Repair) => {
            Some("it has not come to that step yet")
        }
        _ => None,
    };
    if let Some(rule) = rule {
        return Err(Refusal::State {
            noun: "workflow",
            id: workflow.id.to_string(),
            state: workflow.phase.name(),
            rule,
        });
    }
    let before = workflow.left.clone();
    Ok(workflow.enter(to, now, |next| {
        next.round = next.round.saturating_add(1);
        next.words = words;
        let keep = |from: Phase| to > from;
        next.left = Left {
            digest: before.digest.filter(|_| keep(Phase::Digest)),
            direction: before.direction.filter(|_| keep(Phase::Direct)),
            charter: before.charter.filter(|_| keep(Phase::Charter)),
            design: before.design.filter(|_| keep(Phase::Design)),
            result: before.result.filter(|_| keep(Phase::Implement)),
            check: before.check.filter(|_| keep(Phase::Check)),
            checked: before.checked.filter(|_| keep(Phase::Check)),
            repair: before.repair.filter(|_| keep(Phase::Implement)),
            verdict: before.verdict.filter(|_| keep(Phase::Verify)),
            finish: before.finish.filter(|_| keep(Phase::Finalize)),
            merging: None,
            order: None,
            delivered: before.delivered.filter(|_| keep(Phase::Deliver)),
            retrospective: None,
        };
        if to <= Phase::Implement {
            // The repairs belong to what is done anew.
            next.work_since = next.round;
            next.cycle = 0;
            next.judged = None;
        }
    }))
}

fn edited(workflow: &Workflow, phase: Phase, hand_in: HandInId, now: Timestamp) -> Result<Decision<Workflow>, Refusal> {
    let mut next = workflow.clone();
    next.updated_at = now;
    let slot = match phase {
        Phase::Charter => &mut next.left.charter,
        Phase::Design => &mut next.left.design,
        _ => {
            return Err(Refusal::Invalid { field: "phase", rule: "must be charter or design".into() });
        }
    };
    if slot.is_none() || workflow.phase.is_end() {
        let rule = "there is nothing to edit there, or not any more";
        return Err(Refusal::State {
            noun: "workflow",
            id: workflow.id.to_string(),
            state: workflow.phase.name(),
            rule,
        });
    }
    *slot = Some(hand_in);
    if phase == Phase::Design {
        // What was planned before is planned anew, and what was made of it is of no account.
        next.round = next.round.saturating_add(1);
        next.work_since = next.round;
        next.cycle = 0;
        next.judged = None;
        let Left { digest, direction, charter, design, .. } = next.left;
        next.left = Left { digest, direction, charter, design, ..Left::default() };
        if next.phase != Phase::ApprovePlan {
            next.phase = Phase::Implement;
            next.since = now;
        }
    }
    let note = Note::new(NoteKind::WorkflowEdited, format!("a person edited the {phase}"))
        .with("workflow_id", workflow.id)
        .with("phase", phase);
    Ok(Decision::become_(next).note(note))
}

fn task_added(workflow: &Workflow, now: Timestamp) -> Result<Decision<Workflow>, Refusal> {
    match workflow.phase {
        Phase::Implement => Ok(Decision::ignore(workflow.clone(), "tasks are being worked off")),
        Phase::ApprovePlan => Ok(Decision::ignore(workflow.clone(), "the plan is being looked at")),
        Phase::Check | Phase::Verify | Phase::Repair | Phase::Finalize | Phase::ApproveDelivery => {
            // What is there is gone on from; the checks and the verdict come anew.
            Ok(workflow.enter(Phase::Implement, now, |next| {
                next.left.check = None;
                next.left.checked = None;
                next.left.verdict = None;
                next.left.finish = None;
            }))
        }
        Phase::Digest
        | Phase::Direct
        | Phase::Charter
        | Phase::Design
        | Phase::Deliver
        | Phase::Refine
        | Phase::Done
        | Phase::Exhausted
        | Phase::Stagnated => {
            let rule = "a task can be added between the plan and the delivery";
            Err(Refusal::State { noun: "workflow", id: workflow.id.to_string(), state: workflow.phase.name(), rule })
        }
    }
}

/// The identities of what fails: what stays the same although its words change.
pub type Failing = BTreeSet<String>;
