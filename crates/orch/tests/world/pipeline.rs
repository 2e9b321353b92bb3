//! The pipeline by the real wheel: roles are functions that hand in documents, checks look at a file. What a role says
//! is never enough.

use crate::stage::{Stage, receipt, repo, workspace_label};
use futures::future::BoxFuture;
use orcha_agent::fake::FakeAgent;
use orcha_agent::{Launch, Say, TurnEnd};
use orcha_base::{Attempt, BranchName, Effort, ObjectiveId, SessionId, WorkflowId};
use orcha_delivery::DeliveryError;
use orcha_exec::ExitStatus;
use orcha_model::delivery::{Action, Delivered, Link};
use orcha_model::guard::Limits;
use orcha_model::objective::{self, Strategy};
use orcha_model::session::{AgentChoice, RepoChoice};
use orcha_model::task;
use orcha_model::workflow::{Input, Phase, Wish};
use orcha_model::{NoteKind, Role, session};
use orcha_orch::{Actor, CheckFault, CheckSaid, Files, NewObjective, Orch, Settings, SubmitError};
use orcha_plan::{AddTask, OfWorkflow, World};
use orcha_store::{CredentialOwner, EventFilter, Span, Viewer};
use orcha_workspace::fake::FakeCheckouts;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// What an agent does in one turn.
#[derive(Clone, Debug, Default)]
pub struct Act {
    /// Files that it writes, or deletes.
    pub writes: Vec<(&'static str, Option<String>)>,
    /// What it hands in, one after another.
    pub hands_in: Vec<Value>,
}

pub fn hands(document: Value) -> Act {
    Act { hands_in: vec![document], ..Act::default() }
}

pub fn writes(path: &'static str, text: Option<&str>) -> Act {
    Act { writes: vec![(path, text.map(str::to_owned))], hands_in: vec![change()] }
}

pub fn direction() -> Value {
    json!({"mode": "software", "title": "Mend it", "delivery": "pull_request", "rationale": "code", "summary": "code", "questions": []})
}

pub fn charter() -> Value {
    json!({
        "constitution": {"vision": "It works.", "goals": ["works"], "acceptance_criteria": ["test is green"]},
        "requirements": {"functional": [{"title": "It adds", "priority": "must"}]},
        "summary": "chartered",
    })
}

pub fn task_named(title: &str, after: &[&str]) -> Value {
    json!({"title": title, "description": format!("Do {title}."), "depends_on": after})
}

pub fn plan(tasks: Vec<Value>) -> Value {
    json!({"design": {"overview": "One file."}, "tasks": tasks, "summary": "planned"})
}

pub fn change() -> Value {
    json!({"summary": "changed it"})
}

fn passed() -> Value {
    json!({"passed": true, "blocking_issues": [], "summary": "good"})
}

pub fn blocked(what: &str) -> Value {
    json!({"passed": false, "blocking_issues": [{"severity": "blocking", "component": "code", "description": what,
           "recommendation": "mend it"}], "summary": "not good"})
}

fn finish() -> Value {
    json!({"title": "Mend the code", "body": "It is mended.", "summary": "mended"})
}

fn retrospective() -> Value {
    json!({"improvements": [], "health_score": 90, "overall_assessment": "well", "summary": "went well"})
}

/// What is played: by the name of the step, or of the task; what is not named plays well.
#[derive(Clone, Default)]
pub struct Script {
    acts: Arc<Mutex<HashMap<String, VecDeque<Act>>>>,
    /// What was refused, in order.
    refused: Arc<Mutex<Vec<String>>>,
    /// How each session was launched last.
    launched: Arc<Mutex<HashMap<SessionId, Launch>>>,
    /// What each role was told, in order.
    heard: Arc<Mutex<Vec<(String, String)>>>,
    pub orch: watch::Sender<Option<Orch>>,
    checkouts: Arc<OnceLock<Arc<FakeCheckouts>>>,
    forge: Arc<OnceLock<orcha_forge::fake::FakeForge>>,
    /// The branch that pull requests come from, if a person named one.
    head: Arc<OnceLock<BranchName>>,
    /// Who thinks for the Implementers, by what they are told; else they play as the rest.
    pub thinker: Arc<OnceLock<Thinker>>,
}

/// Says what an agent does that was told this.
pub type Thinker = Box<dyn Fn(String) -> BoxFuture<'static, Act> + Send + Sync>;

impl Script {
    pub fn plays(&self, name: &str, acts: impl IntoIterator<Item = Act>) -> &Self {
        self.acts.lock().unwrap().entry(name.to_owned()).or_default().extend(acts);
        self
    }

    fn next(&self, phase: Phase, title: &str) -> Act {
        let mut acts = self.acts.lock().unwrap();
        for name in [title, phase.name()] {
            if let Some(act) = acts.get_mut(name).and_then(VecDeque::pop_front) {
                return act;
            }
        }
        match phase {
            Phase::Digest => hands(json!({"files": [], "summary": "read"})),
            Phase::Direct => hands(direction()),
            Phase::Charter => hands(charter()),
            Phase::Design => hands(plan(vec![task_named("Write it", &[])])),
            Phase::Implement => writes("code", Some("good")),
            Phase::Verify => hands(passed()),
            Phase::Repair => hands(json!({"tasks": [task_named("Mend it", &[])], "summary": "to mend"})),
            Phase::Finalize => hands(finish()),
            _ => hands(retrospective()),
        }
    }

    pub fn heard(&self) -> Vec<(String, String)> {
        self.heard.lock().unwrap().clone()
    }

    pub fn refusals(&self) -> Vec<String> {
        self.refused.lock().unwrap().clone()
    }

    async fn perform(self, mut agent: FakeAgent) -> ExitStatus {
        let label = agent.launch().label.as_str().to_owned();
        let session: SessionId = label[..36].parse().unwrap();
        let attempt = Attempt(label[37..].parse().unwrap());
        self.launched.lock().unwrap().insert(session, agent.launch().clone());
        agent.ready();
        while let Some(say) = agent.hear().await {
            let Say::Prompt { text, .. } = say else { continue };
            self.turn(session, attempt, text).await;
            agent.end_turn(TurnEnd::Completed);
        }
        ExitStatus::Code(0)
    }

    /// The wheel that runs now.
    async fn wheel(&self) -> Orch {
        let mut seen = self.orch.subscribe();
        let found = seen.wait_for(|it| it.as_ref().is_some_and(|it| !it.stopping().is_cancelled())).await;
        found.unwrap().clone().unwrap()
    }

    async fn turn(&self, id: SessionId, attempt: Attempt, told: String) {
        let mut orch = self.wheel().await;
        let (objective, session, label) = loop {
            match find(&orch, id).await {
                Some(found) => break found,
                None => orch = self.wheel().await,
            }
        };
        self.heard.lock().unwrap().push((session.role.to_string(), told.clone()));
        let part = session.part.unwrap();
        let act = match self.thinker.get() {
            Some(thinks) if part.phase == Phase::Implement => thinks(told).await,
            _ => self.next(part.phase, &session.title),
        };
        let checkouts = self.checkouts.wait();
        if !act.writes.is_empty() {
            let (label, branch) = label.unwrap();
            for (path, text) in &act.writes {
                checkouts.write(&label, path, text.as_deref());
            }
            let sha = checkouts.commit(&label, "feat: it");
            self.forge.wait().push(&repo(), self.head.get().unwrap_or(&branch), &sha);
        }
        let owner = CredentialOwner {
            tenant: session.tenant,
            scope: session.scope,
            objective,
            session: id,
            attempt,
            role: session.role,
        };
        for document in act.hands_in {
            let said = loop {
                match orch.hand_in(&owner, document.clone()).await {
                    // The daemon is gone: the next one takes it.
                    Err(SubmitError::ShuttingDown | SubmitError::Store(_) | SubmitError::Read(_)) => {
                        orch = self.wheel().await;
                    }
                    said => break said,
                }
            };
            match said {
                Ok(_) => {}
                Err(SubmitError::Refused(refusal)) => self.refused.lock().unwrap().push(refusal.to_string()),
                Err(fault) => panic!("{fault}"),
            }
        }
    }
}

type Found = (ObjectiveId, session::Session, Option<(orcha_workspace::Label, orcha_base::BranchName)>);

async fn find(orch: &Orch, id: SessionId) -> Option<Found> {
    for objective in orch.store().live_objectives().await.ok()? {
        let look = move |world: &World| {
            let session = world.sessions.get(&id)?;
            let workspace = session.workspace.and_then(|it| world.workspaces.get(&it));
            let checkout = workspace.and_then(|it| Some((workspace_label(it), it.branch.clone()?)));
            Some((session.clone(), checkout))
        };
        if let Some((session, checkout)) = orch.view(objective, look).await.ok()? {
            return Some((objective, session, checkout));
        }
    }
    None
}

pub async fn open(script: &Script) -> Stage {
    open_with(script, Settings::default()).await
}

pub async fn open_with(script: &Script, settings: Settings) -> Stage {
    let settings = Settings { watch_every: Duration::from_secs(1_000_000), ..settings };
    let played = script.clone();
    let stage = Stage::open(settings, move |agent| played.clone().perform(agent)).await;
    script.orch.send_replace(Some(stage.orch.clone()));
    script.checkouts.set(Arc::clone(&stage.checkouts)).unwrap();
    script.forge.set(stage.forge.clone()).unwrap_or_default();
    stage
}

pub fn wish() -> Wish {
    Wish { merge: true, ..Wish::default() }
}

pub async fn begin(stage: &Stage, prompt: &str, wish: Wish, with_repo: bool) -> ObjectiveId {
    begin_of(stage, &Actor::default(), prompt, wish, with_repo, Files::default()).await
}

pub async fn begin_in(stage: &Stage, actor: &Actor, prompt: &str, wish: Wish, with_repo: bool) -> ObjectiveId {
    begin_of(stage, actor, prompt, wish, with_repo, Files::default()).await
}

pub async fn begin_with(stage: &Stage, prompt: &str, wish: Wish, with_repo: bool, files: Files) -> ObjectiveId {
    begin_of(stage, &Actor::default(), prompt, wish, with_repo, files).await
}

async fn begin_of(
    stage: &Stage,
    actor: &Actor,
    prompt: &str,
    wish: Wish,
    with_repo: bool,
    files: Files,
) -> ObjectiveId {
    let new = NewObjective {
        files,
        strategy: Strategy::Pipeline,
        repo: with_repo.then(|| RepoChoice { url: repo(), base: None }),
        limits: Some(Limits { wall_clock_secs: 0, stall_secs: 0, ..Limits::default() }),
        workflow: wish,
        ..NewObjective::new(prompt)
    };
    stage.orch.create_objective(actor, new).await.unwrap().0.id
}

pub async fn ends(stage: &Stage, id: ObjectiveId) -> World {
    stage.pass_until(id, |world| world.objective.is_over().then(|| world.clone())).await
}

pub async fn succeeds(stage: &Stage, id: ObjectiveId) -> World {
    let world = ends(stage, id).await;
    assert_eq!(world.objective.state, objective::State::Succeeded, "{:?}", world.objective.state);
    world
}

pub async fn fails(stage: &Stage, id: ObjectiveId) -> (World, String) {
    let world = ends(stage, id).await;
    match &world.objective.state {
        objective::State::Failed { reason } => (world.clone(), reason.clone()),
        other => panic!("it should have failed: {other:?}"),
    }
}

/// The steps that sessions played, in order: `role` or `role!` for one that did not get it done.
pub fn played(world: &World) -> Vec<String> {
    let mut sessions: Vec<_> = world.sessions.values().collect();
    sessions.sort_by_key(|it| (it.created_at, it.id));
    sessions
        .iter()
        .map(|it| {
            let bad = if matches!(it.state, session::State::Succeeded { .. }) { "" } else { "!" };
            format!("{}{bad}", it.role)
        })
        .collect()
}

#[tokio::test]
async fn c28_a_request_becomes_a_merged_pull_request() {
    let script = Script::default();
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let world = succeeds(&stage, id).await;
    assert_eq!(
        played(&world),
        ["director", "project_manager", "architect", "implementer", "qa", "finalizer", "refiner"]
    );
    let workflow = world.workflow.unwrap();
    assert_eq!(workflow.id, WorkflowId::from_uuid(id.uuid()));
    assert_eq!((workflow.phase, workflow.cycle, workflow.violations), (Phase::Done, 0, 0));
    let pr = world.pull_requests.values().next().unwrap();
    assert_eq!((pr.title.as_str(), &pr.head), ("Mend the code", &workflow.left.checked));
    assert!(pr.body.contains("green"), "{}", pr.body);
    assert_eq!(world.objective.title, "Mend it");
    let summary = world.objective.summary.unwrap();
    assert!(summary.starts_with("mended") && summary.contains("was merged"), "{summary}");
    assert!(script.refusals().is_empty(), "{:?}", script.refusals());
    stage.close().await;
}

#[tokio::test]
async fn c26_tasks_that_do_not_build_on_each_other_run_side_by_side_and_are_brought_together() {
    let script = Script::default();
    let tasks = vec![task_named("One", &[]), task_named("Two", &["1"]), task_named("Three", &[])];
    script
        .plays("design", [hands(plan(tasks))])
        .plays("One", [writes("one", Some("1"))])
        .plays("Two", [writes("two", Some("2"))])
        .plays("Three", [writes("three", Some("3"))])
        .plays("Bring the parts together", [writes("joined", Some("yes"))]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let world = succeeds(&stage, id).await;
    let mut titles: Vec<(u32, &str, &str)> =
        world.tasks.values().map(|it| (it.number, it.title.as_str(), it.state.name())).collect();
    titles.sort_unstable();
    assert_eq!(titles.len(), 4);
    assert!(titles.iter().all(|(_, _, state)| *state == "completed"), "{titles:?}");
    assert_eq!(titles[3].1, "Bring the parts together");
    let result = world.workflow.unwrap().left.result.unwrap();
    let workspace = &world.workspaces[&world.sessions[&result].workspace.unwrap()];
    let files = stage.checkouts.files(&workspace_label(workspace));
    assert_eq!((&*files["one"], &*files["two"], &*files["three"]), ("1", "2", "3"));
    stage.close().await;
}

#[tokio::test]
async fn c06_a_red_check_beats_passed_true() {
    let script = Script::default();
    script.plays("Write it", [writes("code", Some("bad"))]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let world = succeeds(&stage, id).await;
    assert_eq!(world.workflow.as_ref().unwrap().cycle, 1);
    assert_eq!(world.check_runs.len(), 2);
    assert_eq!(played(&world).iter().filter(|it| *it == "architect").count(), 2);
    stage.close().await;
}

#[tokio::test]
async fn c06_a_verdict_without_anything_in_it_is_a_failed_attempt_and_never_a_pass() {
    let script = Script::default();
    script.plays("verify", (0..6).map(|_| hands(json!({}))));
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let (world, reason) = fails(&stage, id).await;
    assert!(reason.starts_with("qa did not get it done in 3 tries"), "{reason}");
    assert_eq!(played(&world).iter().filter(|it| *it == "qa!").count(), 3);
    assert!(script.refusals()[0].contains("`passed` must be there"), "{:?}", script.refusals());
    assert!(world.pull_requests.is_empty());
    stage.close().await;
}

#[tokio::test]
async fn c06_a_test_that_was_deleted_blocks_although_everything_is_green_and_qa_is_content() {
    let script = Script::default();
    script.plays("Write it", [writes("tests/code_test", None)]);
    // It names the file, but that is no wish to delete it; and what a role wishes is not what the user asked for.
    script.plays(
        "repair",
        [hands(json!({"tasks": [task_named("Delete tests/code_test", &[])], "summary": "delete it"}))],
    );
    script.plays("Delete tests/code_test", [writes("code", Some("good"))]);
    let stage = open(&script).await;
    let id = begin(&stage, "Make tests/code_test pass.", wish(), true).await;
    let (world, reason) = fails(&stage, id).await;
    assert!(reason.contains("repair 1 changed nothing") && reason.contains("tests/code_test"), "{reason}");
    assert!(world.pull_requests.is_empty());
    stage.close().await;
}

#[tokio::test]
async fn a_test_may_go_when_the_user_says_so() {
    let script = Script::default();
    script.plays("Write it", [writes("tests/code_test", None)]);
    let stage = open(&script).await;
    let id = begin(&stage, "Delete the obsolete code_test.", wish(), true).await;
    succeeds(&stage, id).await;
    stage.close().await;
}

#[tokio::test]
async fn c06_a_check_that_was_emptied_blocks() {
    let script = Script::default();
    let stage = open(&script).await;
    let emptied = CheckSaid {
        receipts: vec![receipt("test", 0)],
        gone: vec![],
        emptied: vec![("package.json".into(), "exit 0".into())],
    };
    stage.checker.say(Ok(emptied));
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let world = succeeds(&stage, id).await;
    assert_eq!(world.workflow.unwrap().cycle, 1);
    stage.close().await;
}

#[tokio::test]
async fn commands_of_roles_are_added_to_the_checks_and_nothing_else() {
    let script = Script::default();
    let mut design = plan(vec![task_named("Write it", &[])]);
    design["checks"] = json!([{"name": "test", "command": ["sh", "-c", "exit 0"]}]);
    script.plays("design", [hands(design)]);
    script.plays("Write it", [writes("code", Some("bad"))]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let world = succeeds(&stage, id).await;
    assert_eq!(stage.checker.asked()[0].asked.len(), 1);
    assert_eq!(world.workflow.unwrap().cycle, 1, "the red check that was found still counts");
    stage.close().await;
}

#[tokio::test]
async fn c06_documents_that_break_a_rule_are_refused_with_the_rule_and_may_be_mended() {
    let script = Script::default();
    let circle = plan(vec![task_named("A", &["B"]), task_named("B", &["A"])]);
    let many = plan((0..500).map(|n| task_named(&format!("T{n}"), &[])).collect());
    let good = plan(vec![task_named("Write it", &[])]);
    let empty = json!({"constitution": {}, "requirements": {}, "summary": "x"});
    script.plays("charter", [Act { hands_in: vec![empty, charter()], ..Act::default() }]);
    script.plays("design", [Act { hands_in: vec![circle, many, good], ..Act::default() }]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let world = succeeds(&stage, id).await;
    let refused = script.refusals();
    assert!(refused[0].contains("`constitution.vision` must be there"), "{refused:?}");
    assert!(refused[0].contains("`constitution.acceptance_criteria` must name"), "{refused:?}");
    assert!(refused[1].contains("in a circle: A → B → A"), "{refused:?}");
    assert!(refused[2].contains("`tasks` must have at most 40 items; it has 500"), "{refused:?}");
    assert_eq!(world.tasks.len(), 1);
    stage.close().await;
}

#[tokio::test]
async fn c12_what_a_role_may_not_write_is_left_out_and_counted() {
    let script = Script::default();
    let mut greedy = direction();
    greedy["tasks"] = json!([task_named("Mine", &[])]);
    greedy["constitution"] = json!({"vision": "mine"});
    script.plays("direct", [hands(greedy)]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let world = succeeds(&stage, id).await;
    assert_eq!(world.workflow.unwrap().violations, 2);
    assert!(world.tasks.values().all(|it| it.title != "Mine"));
    let noted = world.hand_ins.values().find(|it| it.phase == Phase::Direct).unwrap();
    assert_eq!(noted.violations, ["constitution", "tasks"]);
    stage.close().await;
}

#[tokio::test]
async fn c21_what_only_the_user_can_say_is_asked_and_the_answer_reaches_the_role_that_asked() {
    let script = Script::default();
    let mut asking = charter();
    asking["questions"] = json!(["Which of the two?"]);
    script.plays("charter", [hands(asking), hands(charter())]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let asked = stage.until(id, |world| world.open_questions().next().map(|it| it.text.clone())).await;
    assert_eq!(asked, "Which of the two?");
    stage.answer(id, "The first.").await;
    let world = succeeds(&stage, id).await;
    assert_eq!(played(&world).iter().filter(|it| *it == "project_manager").count(), 1);
    stage.close().await;
}

#[tokio::test]
async fn c22_repairs_that_are_used_up_fail_the_workflow_with_what_stands() {
    let script = Script::default();
    script.plays("verify", [hands(blocked("no docs")), hands(blocked("no tests")), hands(blocked("no point"))]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let (world, reason) = fails(&stage, id).await;
    assert!(reason.starts_with("the 2 repairs are used up"), "{reason}");
    assert!(reason.contains("no point") && reason.contains("is kept on `orcha/implementer-"), "{reason}");
    assert_eq!(world.workflow.unwrap().cycle, 2);
    assert!(world.pull_requests.is_empty());
    stage.close().await;
}

#[tokio::test]
async fn c08_the_same_failing_set_twice_stops_early_whatever_its_words() {
    let script = Script::default();
    script.plays("Write it", [writes("code", Some("bad"))]);
    script.plays("Mend it", [writes("code", Some("still bad"))]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let (world, reason) = fails(&stage, id).await;
    assert!(reason.starts_with("repair 1 changed nothing"), "{reason}");
    assert_eq!(world.workflow.unwrap().phase, Phase::Stagnated);
    stage.close().await;
}

#[tokio::test]
async fn c07_a_fault_of_the_machine_is_tried_again_then_asked_about_and_never_sent_to_a_model() {
    let script = Script::default();
    let stage = open(&script).await;
    stage.checker.say(Err(CheckFault::Passing("the disk is slow".into())));
    stage.checker.say(Err(CheckFault::Lasting("no space left".into())));
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let asked = stage.pass_until(id, |world| world.open_questions().next().map(|it| it.text.clone())).await;
    assert!(asked.contains("no space left"), "{asked}");
    stage.answer(id, "continue").await;
    let world = succeeds(&stage, id).await;
    assert_eq!(stage.checker.asked().len(), 3);
    assert_eq!(world.workflow.as_ref().unwrap().cycle, 0);
    assert_eq!(played(&world).iter().filter(|it| *it == "architect").count(), 1);
    stage.close().await;
}

#[tokio::test]
async fn c06_work_that_nothing_checks_is_not_waved_through() {
    let script = Script::default();
    let stage = open(&script).await;
    stage.checker.say(Ok(CheckSaid::default()));
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let asked = stage.pass_until(id, |world| world.open_questions().next().map(|it| it.text.clone())).await;
    assert!(asked.starts_with("No command was found"), "{asked}");
    stage.answer(id, "make test").await;
    let world = succeeds(&stage, id).await;
    assert_eq!(stage.checker.asked()[1].asked[0].command, ["make", "test"]);
    assert_eq!(world.check_runs.len(), 2);
    stage.close().await;
}

#[tokio::test]
async fn c04_a_paused_workflow_goes_on_with_the_very_step() {
    let script = Script::default();
    let stage = open(&script).await;
    stage.checker.hold(true);
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    stage.until(id, |world| (world.workflow.as_ref()?.phase == Phase::Check).then_some(())).await;
    stage.orch.submit(id, orcha_plan::Stimulus::Objective(objective::Input::Pause)).await.unwrap();
    stage.checker.hold(false);
    // What was under way is taken in; nothing new begins.
    stage.until(id, |world| world.check_runs.values().any(|it| it.state.name() == "done").then_some(())).await;
    let world = stage.orch.view(id, World::clone).await.unwrap();
    assert_eq!((world.workflow.as_ref().unwrap().phase, played(&world).len()), (Phase::Check, 4));
    stage.orch.resume_objective(id).await.unwrap();
    let world = succeeds(&stage, id).await;
    assert_eq!((world.check_runs.len(), played(&world).len()), (1, 7));
    stage.close().await;
}

#[tokio::test]
async fn c05_a_canceled_workflow_calls_its_checks_off_and_stays_canceled() {
    let script = Script::default();
    let stage = open(&script).await;
    stage.checker.hold(true);
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    stage.until(id, |world| (world.workflow.as_ref()?.phase == Phase::Check).then_some(())).await;
    let input = objective::Input::Cancel { reason: "enough".into() };
    stage.orch.submit(id, orcha_plan::Stimulus::Objective(input)).await.unwrap();
    let state = stage.until(id, |world| world.check_runs.values().next().map(|it| it.state.name())).await;
    assert_eq!(state, "canceled");
    // The held run ends although nobody lets it go: `close` waits for its order.
    stage.close().await;
}

#[tokio::test]
async fn c04_a_restart_at_any_step_goes_on_there() {
    for step in [Phase::Charter, Phase::Design, Phase::Check, Phase::Verify, Phase::Finalize, Phase::Refine] {
        let script = Script::default();
        let mut stage = open(&script).await;
        stage.checker.hold(step == Phase::Check);
        let id = begin(&stage, "Mend the code.", wish(), true).await;
        stage.pass_until(id, move |world| (world.workflow.as_ref()?.phase >= step).then_some(())).await;
        stage.restart().await;
        script.orch.send_replace(Some(stage.orch.clone()));
        stage.checker.hold(false);
        let world = succeeds(&stage, id).await;
        assert_eq!(played(&world).iter().filter(|it| !it.ends_with('!')).count(), 7, "{step}: {:?}", played(&world));
        assert_eq!(world.pull_requests.len(), 1);
        stage.close().await;
    }
}

#[tokio::test]
async fn c25_what_a_run_of_checks_left_goes_with_the_next_start_and_nothing_of_anybody_else() {
    let script = Script::default();
    let mut stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let world = succeeds(&stage, id).await;
    let own = *world.check_runs.keys().next().unwrap();
    let foreign = orcha_base::CheckRunId::from_uuid(uuid::Uuid::from_u128(7));
    stage.checker.leave(own);
    stage.checker.leave(foreign);
    stage.restart().await;
    stage.checker.until_left(&[foreign]).await;
    stage.close().await;
}

#[tokio::test]
async fn c21_a_plan_that_a_person_has_to_agree_to_waits_and_is_made_anew_with_the_persons_words() {
    let script = Script::default();
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", Wish { approve_plan: true, approve_delivery: true, ..wish() }, true).await;
    stage.until(id, |world| world.open_questions().next().map(|_| ())).await;
    stage.answer(id, "Smaller, please.").await;
    stage
        .pass_until(id, |world| {
            let again = world.workflow.as_ref().is_some_and(|it| it.round == 1 && it.phase == Phase::ApprovePlan);
            (again && world.open_questions().next().is_some()).then_some(())
        })
        .await;
    let goals = stage
        .orch
        .view(id, |world| {
            let of = world.sessions.values().filter(|it| it.role == Role::Architect);
            of.map(|it| it.goal.clone()).collect::<Vec<_>>()
        })
        .await
        .unwrap();
    assert_eq!(goals.iter().filter(|it| it.contains("Smaller, please.")).count(), 1);
    stage.answer(id, "approve").await;
    stage.pass_until(id, |world| (world.workflow.as_ref()?.phase == Phase::ApproveDelivery).then_some(())).await;
    stage.answer(id, "yes").await;
    succeeds(&stage, id).await;
    stage.close().await;
}

#[tokio::test]
async fn c21_a_task_can_be_skipped_added_and_the_plan_edited_while_paused() {
    let script = Script::default();
    script.plays("design", [hands(plan(vec![task_named("One", &[]), task_named("Two", &["One"])]))]);
    script.plays("Three", [writes("three", Some("3"))]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", Wish { approve_plan: true, ..wish() }, true).await;
    stage.until(id, |world| world.open_questions().next().map(|_| ())).await;
    let edited = plan(vec![task_named("First", &[]), task_named("Second", &["First"])]);
    stage.orch.of_workflow(id, OfWorkflow::Edit { phase: Phase::Design, output: edited }).await.unwrap();
    stage.orch.submit(id, orcha_plan::Stimulus::Objective(objective::Input::Pause)).await.unwrap();
    stage.orch.resume_objective(id).await.unwrap();
    stage.checker.hold(true);
    stage.answer(id, "approve").await;
    let second = stage.until(id, |world| world.tasks.values().find(|it| it.title == "Second").map(|it| it.id)).await;
    let skip = task::Input::Skip { reason: "not needed".into() };
    // It may be too late for that: then it is done, and the refusal says so.
    let skipped = stage.orch.of_workflow(id, OfWorkflow::Task(second, skip)).await.is_ok();
    stage.pass_until(id, |world| (world.workflow.as_ref()?.phase == Phase::Check).then_some(())).await;
    let add = AddTask { title: "Three".into(), description: "Write three.".into(), specialty: None };
    stage.orch.of_workflow(id, OfWorkflow::AddTask(add)).await.unwrap();
    stage.checker.hold(false);
    let world = succeeds(&stage, id).await;
    let mut tasks: Vec<(u32, String, &str)> =
        world.tasks.values().map(|it| (it.number, it.title.clone(), it.state.name())).collect();
    tasks.sort_unstable();
    let second = if skipped { "skipped" } else { "completed" };
    assert_eq!(
        tasks,
        [(1, "First".into(), "completed"), (2, "Second".into(), second), (3, "Three".into(), "completed")]
    );
    let result = world.workflow.unwrap().left.result.unwrap();
    let files = stage.checkouts.files(&workspace_label(&world.workspaces[&world.sessions[&result].workspace.unwrap()]));
    assert_eq!((&*files["code"], &*files["three"]), ("good", "3"));
    stage.close().await;
}

#[tokio::test]
async fn c21_a_workflow_can_be_sent_back_to_a_step_and_does_it_anew() {
    let script = Script::default();
    let stage = open(&script).await;
    stage.checker.hold(true);
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    stage.until(id, |world| (world.workflow.as_ref()?.phase == Phase::Check).then_some(())).await;
    let back = Input::Back { to: Phase::Design, words: Some("Use another file.".into()) };
    stage.orch.of_workflow(id, OfWorkflow::It(back)).await.unwrap();
    stage.checker.hold(false);
    let world = succeeds(&stage, id).await;
    assert_eq!(
        played(&world),
        [
            "director",
            "project_manager",
            "architect",
            "implementer",
            "architect",
            "implementer",
            "qa",
            "finalizer",
            "refiner"
        ]
    );
    let states: Vec<&str> = world.check_runs.values().map(|it| it.state.name()).collect();
    assert_eq!(states, ["canceled", "done"]);
    let too_far = stage.orch.of_workflow(id, OfWorkflow::It(Input::Back { to: Phase::Design, words: None })).await;
    assert!(matches!(too_far, Err(SubmitError::Refused(_))), "{too_far:?}");
    stage.close().await;
}

#[tokio::test]
async fn a_role_that_hands_in_nothing_is_reminded_then_somebody_else_is_sent() {
    let script = Script::default();
    script.plays("charter", [Act::default(), Act::default(), hands(charter())]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let world = succeeds(&stage, id).await;
    assert_eq!(played(&world)[1..3], ["project_manager!", "project_manager"]);
    stage.close().await;
}

#[tokio::test]
async fn without_a_repository_the_texts_are_the_result() {
    let script = Script::default();
    let mut content = direction();
    content["mode"] = json!("blog");
    content["delivery"] = json!("answer");
    let text = |words: &str| json!({"summary": "written", "artifacts": [{"path": "post.md", "content": words}]});
    script
        .plays("direct", [hands(content)])
        .plays("implement", [hands(text("first")), hands(text("second"))])
        .plays("verify", [hands(blocked("too short"))]);
    let stage = open(&script).await;
    let id = begin(&stage, "Write a post.", Wish::default(), false).await;
    let world = succeeds(&stage, id).await;
    assert_eq!(orcha_plan::brief::artifacts(&world), [("post.md".to_owned(), "second".to_owned())]);
    assert!(stage.checker.asked().is_empty() && world.pull_requests.is_empty());
    stage.close().await;
}

/// What a person wishes of a delivery, read as the API reads it.
pub async fn delivered_as(stage: &Stage, action: Action, config: Value) -> Wish {
    let Value::Object(config) = config else { panic!("{config}") };
    let wished = stage.orch.wished_delivery(&Actor::default().tenant, action, config).await.unwrap();
    Wish { action: Some(action), delivery: wished.settings, ..Wish::default() }
}

/// A workflow that writes a post, without a repository.
pub fn plays_a_post(script: &Script) {
    let mut content = direction();
    content["mode"] = json!("blog");
    content["delivery"] = json!("answer");
    let texts = json!([{"path": "notes.txt", "content": "a long list of notes, all of them"}, {"path": "post.md", "content": "# The post"}]);
    let written = json!({"summary": "written", "artifacts": texts});
    script.plays("direct", [hands(content)]).plays("implement", [hands(written)]);
}

fn links(world: &World) -> Vec<Link> {
    match &world.workflow.as_ref().unwrap().left.delivered {
        Some(Delivered::Made { links, .. }) => links.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_action_delivers_the_texts_once_and_what_it_led_to_is_kept() {
    for (action, config) in [
        (Action::ArtifactBundle, json!({"name": "all"})),
        (Action::MarkdownExport, json!({})),
        (Action::BlogDraft, json!({"slug": "my-post", "tags": ["rust"]})),
        (Action::DocDraft, json!({})),
        (Action::Webhook, json!({"url": "https://hooks.example/in/path", "secret": {"env": "HOOK"}})),
    ] {
        let script = Script::default();
        plays_a_post(&script);
        let stage = open(&script).await;
        let wish = delivered_as(&stage, action, config.clone()).await;
        let id = begin(&stage, "Write a post.", wish, false).await;
        let world = succeeds(&stage, id).await;
        let orders = stage.deliverer.orders();
        assert_eq!(orders.len(), 1, "{action}");
        let order = &orders[0];
        assert_eq!((order.workflow.clone(), order.key.as_str()), (id.to_string(), "round-0"));
        assert_eq!((order.action.action(), order.content.documents.len()), (action.published(), 2));
        assert_eq!(order.content.vision.as_deref(), Some("It works."));
        let draft = matches!(action, Action::BlogDraft | Action::DocDraft);
        assert_eq!(order.content.body.starts_with("# The post"), draft, "{}", order.content.body);
        assert_eq!(links(&world).len(), 1);
        let summary = world.objective.summary.unwrap();
        assert!(summary.contains(&links_target(&stage, id).await), "{summary}");
        assert!(!summary.contains("in/path"), "{summary}");
        stage.close().await;
    }
}

async fn links_target(stage: &Stage, id: ObjectiveId) -> String {
    stage.orch.view(id, |world| links(world)[0].target.clone()).await.unwrap()
}

#[tokio::test]
async fn c11_code_is_delivered_as_the_checked_commit() {
    for action in [Action::ArtifactBundle, Action::MarkdownExport] {
        let script = Script::default();
        let stage = open(&script).await;
        let wish = delivered_as(&stage, action, json!({})).await;
        let id = begin(&stage, "Mend the code.", wish, true).await;
        let world = succeeds(&stage, id).await;
        let order = stage.deliverer.orders().remove(0);
        assert_eq!(order.content.commit, world.workflow.unwrap().left.checked);
        assert_eq!(order.content.tree.is_some(), action == Action::ArtifactBundle);
        assert!(world.pull_requests.is_empty());
        stage.close().await;
    }
}

#[tokio::test]
async fn c11_a_direct_commit_moves_the_branch_to_what_was_checked_and_a_moved_one_is_asked_about() {
    let main: BranchName = "main".parse().unwrap();
    let script = Script::default();
    let stage = open(&script).await;
    let wish = delivered_as(&stage, Action::DirectCommit, json!({})).await;
    let id = begin(&stage, "Mend the code.", wish.clone(), true).await;
    let world = succeeds(&stage, id).await;
    let checked = world.workflow.unwrap().left.checked;
    assert_eq!(stage.checkouts.origin_branch(&repo(), &main), checked);
    // A branch of another name, that is not there yet.
    script.plays("Write it", [writes("code", Some("better")), writes("code", Some("best"))]);
    let wish = delivered_as(&stage, Action::DirectCommit, json!({"branch": "release"})).await;
    let id = begin(&stage, "Mend it.", wish, true).await;
    succeeds(&stage, id).await;
    assert!(stage.checkouts.origin_branch(&repo(), &"release".parse().unwrap()).is_some());
    // Somebody else was there meanwhile: nothing of theirs is dropped.
    let wish = delivered_as(&stage, Action::DirectCommit, json!({})).await;
    stage.checker.hold(true);
    let id = begin(&stage, "Mend it again.", wish, true).await;
    stage.until(id, |world| (world.workflow.as_ref()?.phase == Phase::Check).then_some(())).await;
    let theirs = stage.checkouts.origin_commit(&repo(), &main, "theirs", "x");
    stage.checker.hold(false);
    let asked = stage.pass_until(id, |world| world.open_questions().next().map(|it| it.text.clone())).await;
    assert!(asked.starts_with("The result could not be delivered") && asked.contains("would drop commits"), "{asked}");
    stage.answer(id, "cancel").await;
    let world = ends(&stage, id).await;
    assert!(matches!(world.objective.state, objective::State::Canceled { .. }));
    assert_eq!(stage.checkouts.origin_branch(&repo(), &main), Some(theirs));
    stage.close().await;
}

#[tokio::test]
async fn c04_a_delivery_that_was_made_before_a_crash_is_found_and_not_made_again() {
    let script = Script::default();
    plays_a_post(&script);
    let mut stage = open(&script).await;
    let wish = delivered_as(&stage, Action::BlogDraft, json!({})).await;
    // It is made; what came of it is not heard of any more.
    stage.deliverer.hold(true);
    let id = begin(&stage, "Write a post.", wish, false).await;
    stage.deliverer.made(1).await;
    stage.restart().await;
    script.orch.send_replace(Some(stage.orch.clone()));
    stage.deliverer.hold(false);
    let world = succeeds(&stage, id).await;
    assert_eq!((stage.deliverer.orders().len(), links(&world).len()), (1, 1));
    assert_eq!(world.workflow.unwrap().deliveries, 1);
    stage.close().await;
}

#[tokio::test]
async fn c22_a_delivery_is_tried_again_asked_about_or_given_up_by_what_went_wrong() {
    let script = Script::default();
    plays_a_post(&script);
    let stage = open(&script).await;
    let later = || DeliveryError::Refused { status: 503, attempts: 4 };
    stage.deliverer.fake.fail_next(later());
    stage.deliverer.fake.fail_next(DeliveryError::Refused { status: 403, attempts: 1 });
    let wish = delivered_as(&stage, Action::BlogDraft, json!({})).await;
    let id = begin(&stage, "Write a post.", wish.clone(), false).await;
    let asked = stage.pass_until(id, |world| world.open_questions().next().map(|it| it.text.clone())).await;
    assert!(asked.contains("403"), "{asked}");
    stage.answer(id, "continue").await;
    let world = succeeds(&stage, id).await;
    assert_eq!((stage.deliverer.orders().len(), world.workflow.unwrap().deliveries), (1, 2));
    // What nobody can mend fails the workflow, and says what stands.
    plays_a_post(&script);
    stage.deliverer.fake.fail_next(DeliveryError::TooLarge { what: "the archive", most: 1 });
    let id = begin(&stage, "Write a post.", wish, false).await;
    let (world, reason) = fails(&stage, id).await;
    assert!(reason.starts_with("the result could not be delivered: the archive is larger"), "{reason}");
    assert!(reason.ends_with("The texts stand in the workflow"), "{reason}");
    assert_eq!(world.workflow.unwrap().phase, Phase::Deliver);
    stage.close().await;
}

#[tokio::test]
async fn a_delivery_that_is_under_way_is_cut_off_by_a_pause_and_goes_on_with_the_workflow() {
    let script = Script::default();
    plays_a_post(&script);
    let stage = open(&script).await;
    let wish = delivered_as(&stage, Action::BlogDraft, json!({})).await;
    stage.deliverer.hold(true);
    let id = begin(&stage, "Write a post.", wish, false).await;
    stage.deliverer.made(1).await;
    stage.orch.submit(id, orcha_plan::Stimulus::Objective(objective::Input::Pause)).await.unwrap();
    stage.until(id, |world| world.workflow.as_ref()?.left.order.is_none().then_some(())).await;
    stage.deliverer.hold(false);
    stage.orch.resume_objective(id).await.unwrap();
    let world = succeeds(&stage, id).await;
    assert_eq!((stage.deliverer.orders().len(), world.workflow.unwrap().deliveries), (1, 2));
    stage.close().await;
}

#[tokio::test]
async fn c05_a_delivery_that_is_under_way_is_cut_off_by_a_cancel() {
    let script = Script::default();
    plays_a_post(&script);
    let stage = open(&script).await;
    let wish = delivered_as(&stage, Action::BlogDraft, json!({})).await;
    stage.deliverer.hold(true);
    let id = begin(&stage, "Write a post.", wish, false).await;
    stage.deliverer.made(1).await;
    let input = objective::Input::Cancel { reason: "enough".into() };
    stage.orch.submit(id, orcha_plan::Stimulus::Objective(input)).await.unwrap();
    // It is held for ever; `close` waits for its order all the same.
    stage.close().await;
}

#[tokio::test]
async fn c12_a_model_chooses_no_delivery_that_passes_people_by() {
    let script = Script::default();
    let mut bold = direction();
    bold["delivery"] = json!("webhook");
    let mut bolder = direction();
    bolder["delivery"] = json!("direct_commit");
    script.plays("direct", [Act { hands_in: vec![bold, bolder, direction()], ..Act::default() }]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    succeeds(&stage, id).await;
    let refused = script.refusals();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(
        refused.iter().all(|it| it.contains("`delivery` must be one of pull_request, artifact_bundle")),
        "{refused:?}"
    );
    stage.close().await;
}

#[tokio::test]
async fn a_pull_request_is_opened_as_it_was_wished_for() {
    let script = Script::default();
    script.head.set("feature/mine".parse().unwrap()).unwrap();
    let stage = open(&script).await;
    let config = json!({"title": "My title", "body": "My text", "head_branch": "feature/mine", "merge": true});
    let Value::Object(config) = config else { panic!() };
    let wished = stage.orch.wished_delivery(&Actor::default().tenant, Action::PullRequest, config).await.unwrap();
    assert!(wished.merge);
    let wish =
        Wish { action: Some(Action::PullRequest), delivery: wished.settings, merge: wished.merge, ..Wish::default() };
    let id = begin(&stage, "Mend the code.", wish, true).await;
    let world = succeeds(&stage, id).await;
    let pr = world.pull_requests.values().next().unwrap();
    assert_eq!((pr.title.as_str(), pr.branch.as_str(), pr.body.as_str()), ("My title", "feature/mine", "My text"));
    stage.close().await;
}

#[tokio::test]
async fn a_director_chooses_models_that_there_are_and_what_it_cannot_have_is_replaced_aloud() {
    let script = Script::default();
    let mut bold = direction();
    bold["agents"] = json!([
        {"role": "architect", "model": "small"},
        {"role": "implementer", "model": "mute"},
        {"role": "qa", "agent": "nobody"},
        {"role": "finalizer", "model": "small"},
    ]);
    script.plays("direct", [hands(bold)]);
    let stage = open(&script).await;
    stage.models.give("claude", &[("big", None), ("small", Some(true)), ("mute", Some(false))]);
    stage.orch.ask_models("claude").await.unwrap();
    let mine = AgentChoice { model: Some("mine".into()), effort: Some(Effort::High), ..AgentChoice::of("claude") };
    let wish = Wish { agents: [(Role::Finalizer, mine)].into(), ..wish() };
    let id = begin(&stage, "Mend the code.", wish, true).await;
    let world = succeeds(&stage, id).await;
    let played = |role| {
        let of = |it: &&session::Session| it.role == role;
        let launched = script.launched.lock().unwrap();
        let sessions = world.sessions.values().filter(of).map(|it| &launched[&it.id]);
        sessions.map(|it| (it.model.clone(), it.effort)).collect::<Vec<_>>()
    };
    let usual = || (None, None);
    let with = |model: &str| (Some(model.to_owned()), None);
    assert_eq!(played(Role::ProjectManager), [usual()]);
    assert_eq!(played(Role::Architect), [with("small")]);
    assert_eq!(played(Role::Implementer), [usual()]);
    assert_eq!(played(Role::Qa), [usual()]);
    assert_eq!(played(Role::Finalizer), [(Some("mine".to_owned()), Some(Effort::High))]);
    // It was told what there is, and of no model that calls no tools.
    let director = world.sessions.values().find(|it| it.role == Role::Director).unwrap();
    assert!(director.goal.contains("with one of: big, small\n"), "{}", director.goal);
    let viewer = Viewer::of(Actor::default().tenant);
    let events = stage.orch.store().events(&viewer, EventFilter::All, Span::Latest, 1000).await.unwrap();
    let said = events.iter().filter(|it| it.kind == NoteKind::AgentSubstituted).map(|it| it.summary.as_str());
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            "implementer is played by claude and not by mute: the model `mute` does not call tools",
            "qa is played by claude and not by nobody: there is no agent `nobody` whose provider answers",
            "finalizer is played by claude with mine and not by small: the user chose another one",
        ]
    );
    // What a provider said last is kept while it says nothing.
    stage.models.forget();
    assert!(stage.orch.ask_models("claude").await.is_err());
    assert_eq!(stage.orch.catalog()["claude"].len(), 3);
    stage.close().await;
}

#[tokio::test]
async fn p7_each_step_of_a_workflow_says_why_it_stands_there() {
    let script = Script::default();
    let stage = open(&script).await;
    let why = |world: &World| orcha_plan::why(world, None).map(|it| (it.reason, it.way_out)).unwrap();
    stage.checker.hold(true);
    let wish = delivered_as(&stage, Action::ArtifactBundle, json!({})).await;
    let id = begin(&stage, "Mend the code.", Wish { approve_plan: true, ..wish }, true).await;
    stage.until(id, |world| world.open_questions().next().map(|_| ())).await;
    let asked = stage.orch.view(id, why).await.unwrap();
    assert!(asked.0.contains("Shall it be worked off?") && asked.1.contains("workflow approve"), "{asked:?}");
    stage.answer(id, "approve").await;
    stage.until(id, |world| (world.workflow.as_ref()?.phase == Phase::Check).then_some(())).await;
    let checked = stage.orch.view(id, why).await.unwrap();
    assert_eq!(checked.0, "its checks run in a clean checkout of the result");
    stage.deliverer.hold(true);
    stage.checker.hold(false);
    stage.deliverer.made(1).await;
    let delivered = stage.orch.view(id, why).await.unwrap();
    assert_eq!(delivered.0, "the result is being delivered: artifact bundle");
    stage.deliverer.hold(false);
    succeeds(&stage, id).await;
    stage.close().await;
}
