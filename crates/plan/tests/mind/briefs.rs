//! What roles are told stays small, whatever others wrote.

use orcha_base::{HandInId, ObjectiveId, Revision, ScopeId, SessionId, TaskId, TenantId};
use orcha_model::contract::{
    ArtifactDraft, Change, Charter, Constitution, Design, DesignAndTasks, Output, Requirements,
};
use orcha_model::delivery::Action;
use orcha_model::task::{Source, State};
use orcha_model::workflow::{Phase, Wish};
use orcha_model::{HandIn, Task, Workflow, policy};
use orcha_plan::{World, brief};
use orcha_testkit::make::{self, at};

/// The most that a brief may take, in bytes.
const MOST: usize = 256 * 1024;

fn handed_in(world: &mut World, n: u64, phase: Phase, output: Output) -> HandInId {
    let id = HandInId::fixed(n);
    let row = HandIn {
        id,
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(1),
        session: None,
        phase,
        round: 0,
        cycle: 0,
        task: None,
        output,
        violations: Vec::new(),
        created_at: at(0),
        updated_at: at(0),
    };
    world.hand_ins.insert(id, row);
    id
}

/// A workflow in which everybody wrote as much as the contracts take.
fn loud() -> World {
    let long = |n: usize| "word ".repeat(n / 5);
    let many = |n: usize| (0..100).map(|_| long(n)).collect::<Vec<String>>();
    let mut world = World::new(make::objective());
    world.objective.repo = None;
    world.objective.prompt = format!("The very beginning. {}", long(250_000));
    let mut workflow = Workflow::new(&world.objective, Wish::default(), at(0));
    workflow.phase = Phase::Implement;
    let constitution = Constitution {
        vision: format!("The vision. {}", long(19_000)),
        goals: many(19_000),
        constraints: many(19_000),
        audience: long(19_000),
        output_medium: long(19_000),
        acceptance_criteria: many(19_000),
        out_of_scope: many(19_000),
    };
    let charter =
        Charter { constitution, requirements: Requirements::default(), summary: long(19_000), questions: vec![] };
    let design = Design {
        overview: format!("The overview. {}", long(19_000)),
        components: vec![],
        decisions: vec![],
        tech_stack: many(19_000),
    };
    let plan = DesignAndTasks { design, tasks: vec![], checks: vec![], summary: long(19_000), questions: vec![] };
    workflow.left.charter = Some(handed_in(&mut world, 1, Phase::Charter, Output::Charter(charter)));
    workflow.left.design = Some(handed_in(&mut world, 2, Phase::Design, Output::Design(plan)));
    for n in 1..=40 {
        let artifacts = (0..5).map(|at| ArtifactDraft {
            path: format!("text-{n}-{at}"),
            description: long(19_000),
            content: long(390_000),
        });
        let change = Output::Change(Change { summary: long(19_000), artifacts: artifacts.collect() });
        let hand_in = handed_in(&mut world, 100 + n, Phase::Implement, change);
        let task = Task {
            id: TaskId::fixed(n),
            tenant: TenantId::default(),
            scope: ScopeId::default(),
            revision: Revision(1),
            objective: ObjectiveId::fixed(1),
            number: u32::try_from(n).unwrap(),
            round: 0,
            cycle: 0,
            source: Source::Plan,
            title: format!("Task {n}"),
            description: format!("What task {n} is. {}", long(19_000)),
            specialty: None,
            depends_on: (1..n).map(TaskId::fixed).collect(),
            tries: 1,
            state: State::Completed { session: SessionId::fixed(n), hand_in },
            created_at: at(0),
            updated_at: at(0),
            completed_at: None,
        };
        world.tasks.insert(task.id, task);
    }
    world.workflow = Some(workflow);
    world
}

#[test]
fn c27_a_brief_is_bounded_whatever_others_wrote_and_says_what_it_leaves_out() {
    let world = loud();
    let workflow = world.workflow.clone().unwrap();
    let task = &world.tasks[&TaskId::fixed(40)];
    let briefs = [
        ("direct", brief::direct(&world, &workflow), None),
        ("charter", brief::charter_of(&world, &workflow), None),
        ("design", brief::design_of(&world, &workflow, 40), Some("The vision.")),
        ("implement", brief::implement(&world, &workflow, task), Some("What task 40 is.")),
        ("verify", brief::verify(&world, &workflow, None), Some("The overview.")),
        ("repair", brief::repair(&world, &workflow), Some("The overview.")),
        ("finalize", brief::finalize(&world, &workflow), Some("The vision.")),
        ("refine", brief::refine(&world, &workflow), None),
    ];
    for (name, text, part) in briefs {
        assert!(text.len() <= MOST, "{name} has {} bytes", text.len());
        // What matters most is there, and what is not there is named.
        assert!(text.contains("The very beginning."), "{name}");
        assert!(text.contains("bytes are left out here]"), "{name}");
        assert!(part.is_none_or(|it| text.contains(it)), "{name} lacks {part:?}");
    }
}

#[test]
fn a_director_is_told_which_deliveries_there_may_be() {
    let mut world = World::new(make::objective());
    let scope = ScopeId::default();
    let said = policy::read(r#"{"deliveries": ["pull_request", "answer", "blog_draft", "webhook"]}"#).unwrap();
    *world.objective.policy = policy::resolve([(&scope, 1, &said)]);
    let mut told = |repo: bool, action| {
        if !repo {
            world.objective.repo = None;
        }
        let workflow = Workflow::new(&world.objective, Wish { action, ..Wish::default() }, at(0));
        brief::direct(&world, &workflow)
            .lines()
            .find(|it| it.contains("deliver") && it.contains('`'))
            .map(str::to_owned)
    };
    let words = |all: &str| Some(format!("The policy of its scope lets it be delivered by {all} only."));
    assert_eq!(told(true, None), words("`pull_request` or `blog_draft` or `answer`"));
    assert_eq!(told(false, None), words("`blog_draft` or `answer`"));
    assert!(told(false, Some(Action::Webhook)).unwrap().contains("The user has said"));
}
