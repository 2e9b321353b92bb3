//! What meets the workflow of an objective: documents that are handed in, steps that are played, a person's wishes.
//!
//! Which step comes next is proposed by the pass; here it is only carried out.

use super::{NewQuestion, NewSession, Stimulus, Turn, unknown};
use crate::delivery;
use crate::texts::Chosen;
use orcha_base::{Attempt, CheckRunId, HandInId, Revision, SessionId, TaskId};
use orcha_model::contract::{self, Output, PlannedTask, Specialty, Surroundings};
use orcha_model::effect::{DeliverResult, Effect};
use orcha_model::task::NewTask;
use orcha_model::workflow::{Input, Phase, Wish};
use orcha_model::{
    CheckRun, Decision, HandIn, Note, NoteKind, NounId, Refusal, Task, Workflow, check, question, session, task,
    workflow,
};

/// Something about the workflow of an objective.
#[derive(Clone, Debug, PartialEq)]
pub enum OfWorkflow {
    /// The objective is run by the pipeline: this is what was asked for.
    Begin {
        /// It.
        wish: Wish,
        /// The texts that it goes by.
        chosen: Chosen,
    },
    /// An input of the workflow itself.
    It(Input),
    /// An input of a task.
    Task(TaskId, task::Input),
    /// An input of a run of checks.
    CheckRun(CheckRunId, check::Input),
    /// A session hands in its document.
    HandIn {
        /// The session.
        session: SessionId,
        /// The attempt whose credential was used.
        attempt: Attempt,
        /// The document, as it came.
        output: serde_json::Value,
    },
    /// A step, or a task of it, is played by a new session.
    Play(Play),
    /// Tasks were planned.
    NewTasks {
        /// They; each depends on places in this list, and on tasks that are there.
        tasks: Vec<NewTask>,
    },
    /// The checks of the result are run.
    Check,
    /// The result is delivered otherwise than as a pull request.
    Deliver,
    /// A person adds a task.
    AddTask(AddTask),
    /// A person writes a document in a role's place.
    Edit {
        /// The step whose document it is: charter or design.
        phase: Phase,
        /// The document.
        output: serde_json::Value,
    },
}

/// A session that plays a step.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of a session")]
pub struct Play {
    pub task: Option<TaskId>,
    pub title: String,
    pub goal: String,
    pub depends_on: Vec<SessionId>,
    pub retries: Option<SessionId>,
}

/// A task that a person adds.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of a task")]
pub struct AddTask {
    pub title: String,
    pub description: String,
    pub specialty: Option<Specialty>,
}

/// The files of which somebody has to say what is in them.
fn to_sum_up(world: &crate::World) -> Vec<String> {
    let files = world.attachments.iter().map(|it| &it.file);
    files.filter(|it| it.needs_summary()).map(|it| it.name.clone()).collect()
}

impl Turn<'_, '_, '_> {
    pub(super) fn of_workflow(&mut self, of: OfWorkflow) -> Result<(), Refusal> {
        match of {
            OfWorkflow::Begin { wish, chosen } => self.begin(wish, chosen),
            OfWorkflow::It(input) => self.workflow(input),
            OfWorkflow::Task(id, input) => {
                let it = self.world.tasks.get(&id).ok_or_else(|| unknown("task", id))?;
                let (before, decision) = (it.revision, task::decide(it, input, self.mind.now)?);
                settle!(self, NounId::Task(id), before, decision, |next| self.world.tasks.insert(id, next));
                Ok(())
            }
            OfWorkflow::CheckRun(id, input) => {
                let it = self.world.check_runs.get(&id).ok_or_else(|| unknown("run of checks", id))?;
                let (before, decision) = (it.revision, check::decide(it, input, self.mind.now));
                settle!(self, NounId::CheckRun(id), before, decision, |next| self.world.check_runs.insert(id, next));
                Ok(())
            }
            OfWorkflow::HandIn { session, attempt, output } => self.hand_in(session, attempt, output),
            OfWorkflow::Play(play) => self.play(play),
            OfWorkflow::NewTasks { tasks } => self.new_tasks(tasks),
            OfWorkflow::Check => self.order_checks(),
            OfWorkflow::Deliver => self.order_delivery(),
            OfWorkflow::AddTask(add) => self.add_task(add),
            OfWorkflow::Edit { phase, output } => self.edit(phase, output),
        }
    }

    fn the_workflow(&self) -> Result<&Workflow, Refusal> {
        self.world.workflow.as_ref().ok_or_else(|| unknown("workflow of objective", self.world.objective.id))
    }

    fn begin(&mut self, wish: Wish, chosen: Chosen) -> Result<(), Refusal> {
        if self.world.workflow.is_some() {
            return Err(Refusal::Invalid { field: "strategy", rule: "the objective has its workflow already".into() });
        }
        let mut workflow = Workflow::new(&self.world.objective, wish, self.mind.now);
        if self.world.attachments.iter().any(|it| it.file.needs_summary()) {
            workflow = workflow.with_files();
        }
        workflow.texts = chosen.uses();
        workflow.tried = chosen.tried;
        self.world.texts = chosen.texts.into();
        let id = NounId::Workflow(workflow.id);
        self.world.workflow = Some(workflow);
        self.made(id);
        Ok(())
    }

    fn workflow(&mut self, input: Input) -> Result<(), Refusal> {
        if matches!(input, Input::Back { .. } | Input::TaskAdded | Input::Edited { .. }) {
            // By a person.
            self.alive()?;
        }
        let now = self.mind.now;
        let none = || unknown("workflow of objective", self.world.objective.id);
        let it = self.world.workflow.as_ref().ok_or_else(none)?;
        let (id, before) = (NounId::Workflow(it.id), it.revision);
        let decision = workflow::decide(it, input, now)?;
        settle!(self, id, before, decision, |next| self.world.workflow = Some(next));
        Ok(())
    }

    fn alive(&self) -> Result<(), Refusal> {
        let it = &self.world.objective;
        if it.is_over() {
            return Err(Refusal::Over { noun: "workflow", id: it.id.to_string(), state: it.state.name() });
        }
        Ok(())
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            most_tasks: self.mind.settings.most_tasks,
            done_tasks: self.world.tasks.values().map(|it| it.title.clone()).collect(),
            needs_artifacts: self.world.objective.repo.is_none(),
            files: to_sum_up(self.world),
        }
    }

    fn hand_in(&mut self, id: SessionId, attempt: Attempt, output: serde_json::Value) -> Result<(), Refusal> {
        let session = self.world.sessions.get(&id).ok_or_else(|| unknown("session", id))?;
        let refuse = |rule| Refusal::State { noun: "session", id: id.to_string(), state: session.state.name(), rule };
        let part = session.part.clone().ok_or_else(|| refuse("only a step of a workflow hands in"))?;
        let title = session.title.clone();
        match session.state.holds() {
            Some((_, current)) if current == attempt => {}
            Some((_, current)) => return Err(Refusal::OtherAttempt { got: attempt, current }),
            None => return Err(refuse("only a running session hands in")),
        }
        let contract = part.phase.contract().ok_or_else(|| refuse("nobody hands in for this step"))?;
        let read = contract::read(contract, output, &self.surroundings())
            .map_err(|wrong| Refusal::Invalid { field: "output", rule: format!("was not taken: {wrong}") })?;
        if !read.violations.is_empty() {
            let names = read.violations.join(", ");
            let words = format!("{title} handed in what is not its own ({names}); it was left out");
            self.changes.notes.push(Note::new(NoteKind::RoleViolation, words).of(id).with("fields", names));
            let things = u32::try_from(read.violations.len()).unwrap_or(u32::MAX);
            self.workflow(Input::Violated { things })?;
        }
        if !read.output.questions().is_empty() {
            return self.ask_for(id, read.output.questions());
        }
        let summary = read.output.summary().to_owned();
        let made = self.keep(Some(id), part.phase, part.task, read.output, read.violations)?;
        self.session(id, session::Input::HandedIn { attempt, hand_in: made, summary })?;
        self.changes.made = Some(NounId::HandIn(made));
        Ok(())
    }

    /// A document with questions is not handed in yet: the user answers first.
    fn ask_for(&mut self, session: SessionId, questions: &[String]) -> Result<(), Refusal> {
        let text = match questions {
            [only] => only.clone(),
            many => {
                let lines: Vec<String> = many.iter().enumerate().map(|(at, it)| format!("{}. {it}", at + 1)).collect();
                lines.join("\n")
            }
        };
        // One question of a session is open at a time.
        let cause = format!("hand-in:{session}");
        if let Some(open) = self.world.open_questions().find(|it| it.session == Some(session)) {
            self.changes.made = Some(NounId::Question(open.id));
            return Ok(());
        }
        self.meet(Stimulus::NewQuestion(NewQuestion {
            session: Some(session),
            cause,
            about: question::About::Asked,
            priority: 10,
            text,
            context: None,
            options: Vec::new(),
        }))
    }

    fn keep(
        &mut self,
        session: Option<SessionId>,
        phase: Phase,
        task: Option<TaskId>,
        output: Output,
        violations: Vec<String>,
    ) -> Result<HandInId, Refusal> {
        let workflow = self.the_workflow()?;
        let row = HandIn {
            id: HandInId::from_uuid(uuid::Uuid::nil()),
            tenant: workflow.tenant.clone(),
            scope: workflow.scope.clone(),
            revision: Revision(1),
            objective: workflow.objective,
            session,
            phase,
            round: workflow.round,
            cycle: workflow.cycle,
            task,
            output,
            violations,
            created_at: self.mind.now,
            updated_at: self.mind.now,
        };
        let id = HandInId::from_uuid((self.mind.ids)());
        let by = if session.is_some() { phase.role().map_or("", |it| it.name()) } else { "a person" };
        let mut note = Note::new(NoteKind::HandedIn, format!("{by} handed in the {}", row.output.contract()))
            .with("hand_in_id", id)
            .with("phase", phase);
        note.session = session;
        self.changes.notes.push(note);
        self.world.hand_ins.insert(id, HandIn { id, ..row });
        self.made(NounId::HandIn(id));
        Ok(id)
    }

    fn play(&mut self, play: Play) -> Result<(), Refusal> {
        let workflow = self.the_workflow()?;
        let Some(role) = workflow.phase.role() else {
            return Err(Refusal::State {
                noun: "workflow",
                id: workflow.id.to_string(),
                state: workflow.phase.name(),
                rule: "nobody plays this step",
            });
        };
        let mut new = NewSession::new(role, play.title, play.goal);
        new.part = Some(workflow.part(play.task));
        new.agent = workflow.agents().remove(&role);
        new.depends_on = play.depends_on;
        new.retries = play.retries;
        self.new_session(new)?;
        if let (Some(task), Some(NounId::Session(session))) = (play.task, self.changes.made) {
            self.of_workflow(OfWorkflow::Task(task, task::Input::Started { session }))?;
        }
        Ok(())
    }

    fn new_tasks(&mut self, new: Vec<NewTask>) -> Result<(), Refusal> {
        let workflow = self.the_workflow()?;
        let (round, cycle) = (workflow.round, workflow.cycle);
        let blank = Task {
            id: TaskId::from_uuid(uuid::Uuid::nil()),
            tenant: workflow.tenant.clone(),
            scope: workflow.scope.clone(),
            revision: Revision(1),
            objective: workflow.objective,
            number: 0,
            round,
            cycle,
            source: task::Source::Plan,
            title: String::new(),
            description: String::new(),
            specialty: None,
            depends_on: Vec::new(),
            tries: 0,
            state: task::State::Pending,
            created_at: self.mind.now,
            updated_at: self.mind.now,
            completed_at: None,
        };
        let ids: Vec<TaskId> = new.iter().map(|_| TaskId::from_uuid((self.mind.ids)())).collect();
        for (it, id) in new.into_iter().zip(&ids) {
            let NewTask { source, planned, mut after } = it;
            after.extend(planned.depends_on.iter().filter_map(|at| ids.get(*at).copied()));
            let number = u32::try_from(self.world.tasks.len()).unwrap_or(u32::MAX).saturating_add(1);
            let note = Note::new(NoteKind::TaskCreated, format!("task {number} \"{}\" was planned", planned.title))
                .with("task_id", id)
                .with("title", &planned.title)
                .with("source", source)
                .with("cycle", cycle);
            let row = Task {
                id: *id,
                number,
                source,
                title: planned.title,
                description: planned.description,
                specialty: planned.specialty,
                depends_on: after,
                ..blank.clone()
            };
            self.changes.notes.push(note);
            self.world.tasks.insert(*id, row);
            self.made(NounId::Task(*id));
        }
        Ok(())
    }

    fn order_checks(&mut self) -> Result<(), Refusal> {
        let workflow = self.the_workflow()?.clone();
        let result = workflow.left.result.and_then(|id| self.world.sessions.get(&id));
        let workspace = result.and_then(|it| self.world.workspaces.get(&it.workspace?));
        let (Some(session), Some(workspace)) = (result, workspace) else {
            return Err(unknown("checkout of the result of workflow", workflow.id));
        };
        let Some(repo) = workspace.repo.clone() else {
            return Err(unknown("repository of the result of workflow", workflow.id));
        };
        let mut asked = workflow.wish.checks.clone();
        let design = workflow.left.design.and_then(|id| self.world.hand_ins.get(&id));
        if let Some(Output::Design(design)) = design.map(|it| &it.output) {
            asked.extend(design.checks.iter().cloned());
        }
        let row = CheckRun {
            id: CheckRunId::from_uuid((self.mind.ids)()),
            tenant: workflow.tenant.clone(),
            scope: workflow.scope.clone(),
            revision: Revision(1),
            objective: workflow.objective,
            round: workflow.round,
            cycle: workflow.cycle,
            session: session.id,
            workspace: workspace.id,
            target: workspace.target,
            repo,
            asked,
            state: check::State::Running,
            created_at: self.mind.now,
            updated_at: self.mind.now,
        };
        let (id, revision, effect) = (row.id, row.revision, row.order());
        let note =
            Note::new(NoteKind::ChecksStarted, "the checks are run").with("check_run_id", id).with("cycle", row.cycle);
        self.changes.notes.push(note);
        self.world.check_runs.insert(id, row);
        self.workflow(Input::CheckOrdered { run: id })?;
        self.made(NounId::CheckRun(id));
        self.order(NounId::CheckRun(id), revision, effect);
        Ok(())
    }

    fn order_delivery(&mut self) -> Result<(), Refusal> {
        self.workflow(Input::DeliveryOrdered)?;
        let workflow = self.the_workflow()?;
        let refuse =
            |rule| Refusal::State { noun: "workflow", id: workflow.id.to_string(), state: workflow.phase.name(), rule };
        let (Some(action), Some(order)) = (workflow.action, &workflow.left.order) else {
            return Err(refuse("there is nothing to deliver"));
        };
        let (content, source) = delivery::parcel(self.world, workflow, action)
            .map_err(|rule| Refusal::Invalid { field: "delivery", rule })?;
        let effect = Effect::DeliverResult(Box::new(DeliverResult {
            workflow: workflow.id,
            round: workflow.round,
            order: order.number,
            action,
            settings: workflow.wish.delivery.clone(),
            source,
            content,
            at: self.mind.now,
        }));
        let (id, revision) = (NounId::Workflow(workflow.id), workflow.revision);
        self.order(id, revision, effect);
        Ok(())
    }

    fn add_task(&mut self, add: AddTask) -> Result<(), Refusal> {
        for (field, text, most) in [("title", &add.title, 200), ("description", &add.description, 64 * 1024)] {
            if text.trim().is_empty() || text.len() > most {
                return Err(Refusal::Invalid { field, rule: format!("must have between 1 and {most} bytes") });
            }
        }
        self.workflow(Input::TaskAdded)?;
        let workflow = self.the_workflow()?;
        let of_now = |it: &&Task| it.round == workflow.round && it.cycle == workflow.cycle;
        let live: Vec<&Task> = self.world.tasks.values().filter(of_now).collect();
        if live.len() >= self.mind.settings.most_tasks {
            let rule = format!("must not be more than {}", self.mind.settings.most_tasks);
            return Err(Refusal::Invalid { field: "tasks", rule });
        }
        // It goes on with everything that is there, so that nothing has to be brought together behind it.
        let leaf = |it: &&&Task| !live.iter().any(|other| other.depends_on.contains(&it.id));
        let after: Vec<TaskId> = live.iter().filter(leaf).map(|it| it.id).collect();
        let planned = PlannedTask {
            title: add.title.split_whitespace().collect::<Vec<_>>().join(" "),
            description: add.description,
            depends_on: Vec::new(),
            specialty: add.specialty,
        };
        self.new_tasks(vec![NewTask { source: task::Source::Person, planned, after }])
    }

    fn edit(&mut self, phase: Phase, output: serde_json::Value) -> Result<(), Refusal> {
        self.alive()?;
        let paused = self.world.objective.state == orcha_model::objective::State::Paused;
        let workflow = self.the_workflow()?;
        if !paused && !matches!(workflow.phase, Phase::ApprovePlan | Phase::ApproveDelivery) {
            let rule = "pause it first: nothing is changed under the hands of those who work by it";
            let (id, state) = (workflow.id.to_string(), workflow.phase.name());
            return Err(Refusal::State { noun: "workflow", id, state, rule });
        }
        let contract = match phase {
            Phase::Charter | Phase::Design => phase.contract(),
            _ => None,
        };
        let contract =
            contract.ok_or_else(|| Refusal::Invalid { field: "step", rule: "must be charter or design".into() })?;
        let read = contract::read(contract, output, &self.surroundings())
            .map_err(|wrong| Refusal::Invalid { field: "document", rule: format!("was not taken: {wrong}") })?;
        if !read.violations.is_empty() || !read.unknown.is_empty() {
            let names = [read.violations, read.unknown].concat().join(", ");
            return Err(Refusal::Invalid { field: "document", rule: format!("must not have {names}") });
        }
        let made = self.keep(None, phase, None, read.output, Vec::new())?;
        self.workflow(Input::Edited { phase, hand_in: made })?;
        self.changes.made = Some(NounId::HandIn(made));
        Ok(())
    }
}
