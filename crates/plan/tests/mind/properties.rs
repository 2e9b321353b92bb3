//! What holds for every fleet and every sequence of things that happen.

use crate::stage::{Stage, after, busy};
use orcha_base::{SessionId, TargetId, TenantId};
use orcha_model::session::{Exit, Input, TurnEnd};
use orcha_model::{Role, Trip, message, objective, question, target};
use orcha_plan::{Candidate, Fleet, NewMessage, Place, Stimulus, TargetRoom, passes, schedule, why};
use orcha_testkit::make::{self, at, attempt};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn rooms() -> impl Strategy<Value = Vec<TargetRoom>> {
    let room = (1u32..5, 0u32..5, 0usize..4, any::<bool>());
    proptest::collection::vec(room, 0..4).prop_map(|rooms| {
        rooms
            .into_iter()
            .enumerate()
            .map(|(n, (capacity, taken, state, gpu))| {
                let mut target = make::target(n as u64 + 1);
                target.capacity = capacity;
                target.state = target::State::ALL[state];
                target.labels = gpu.then(|| "gpu".to_owned()).into_iter().collect();
                TargetRoom { target, taken }
            })
            .collect()
    })
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (any::<bool>(), proptest::option::weighted(0.2, 1u64..4), any::<bool>(), -1i32..2, 0i64..5);
    proptest::collection::vec(one, 0..20).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(n, (counts, pin, gpu, priority, age))| Candidate {
                confine: orcha_model::Confine::default(),
                gate: orcha_model::provider::Gate::Open,
                session: SessionId::fixed(n as u64),
                objective: make::objective().id,
                tenant: TenantId::default(),
                counts,
                pin: pin.map(TargetId::fixed),
                labels: gpu.then(|| "gpu".to_owned()).into_iter().collect(),
                priority,
                created_at: at(age),
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn promise_4_the_schedule_keeps_capacity_cap_labels_and_pins(
        targets in rooms(), candidates in candidates(), running in 0u32..6, cap in 0u32..8
    ) {
        let fleet = Fleet { targets, candidates, running, cap };
        let placements = schedule(&fleet);
        prop_assert_eq!(placements.len(), fleet.candidates.len());
        let by_id: BTreeMap<_, _> = fleet.candidates.iter().map(|it| (it.session, it)).collect();
        let mut counted: BTreeMap<TargetId, u32> = BTreeMap::new();
        for placement in &placements {
            let Place::At(id) = &placement.place else { continue };
            let room = fleet.targets.iter().find(|it| it.target.id == *id).unwrap();
            let candidate = by_id[&placement.session];
            prop_assert!(room.target.takes_sessions());
            prop_assert!(candidate.pin.is_none_or(|pin| pin == *id));
            prop_assert!(candidate.labels.iter().all(|it| room.target.labels.contains(it)));
            *counted.entry(*id).or_default() += u32::from(candidate.counts);
        }
        for (id, new) in &counted {
            let room = fleet.targets.iter().find(|it| it.target.id == *id).unwrap();
            prop_assert!(*new == 0 || room.taken + new <= room.target.capacity);
        }
        let new: u32 = counted.values().sum();
        prop_assert!(new == 0 || running + new <= cap);
        // First come, first served among those that ask for the same.
        for (n, later) in placements.iter().enumerate() {
            let Place::At(_) = later.place else { continue };
            let it = by_id[&later.session];
            let overtaken = placements[..n].iter().find(|earlier| {
                let other = by_id[&earlier.session];
                matches!(earlier.place, Place::Nowhere { .. })
                    && (other.counts, other.pin, &other.labels) == (it.counts, it.pin, &it.labels)
            });
            prop_assert!(overtaken.is_none(), "{overtaken:?} was overtaken by {later:?}");
        }
        let order: Vec<_> = placements.iter().map(|it| by_id[&it.session]).map(|it| (-it.priority, it.created_at)).collect();
        prop_assert!(order.is_sorted());
    }
}

fn stimuli() -> impl Strategy<Value = Stimulus> {
    let whom = prop_oneof![Just(1u64), Just(2), Just(3), Just(9)];
    let who = whom.prop_map(SessionId::fixed);
    let tries = (0u32..3).prop_map(attempt);
    let inputs = prop_oneof![
        Just(Input::Cancel { reason: "no".into() }),
        Just(Input::Pause),
        Just(Input::Resume),
        Just(Input::Trip { trip: Trip::Stall { secs: 9 } }),
        Just(Input::NoPlace { detail: "full".into() }),
        tries.clone().prop_map(|attempt| Input::Started { attempt, spoken_to: false }),
        tries.clone().prop_map(|attempt| Input::LaunchFailed { attempt, detail: "no".into() }),
        tries.clone().prop_map(|attempt| Input::Report { attempt, summary: "done".into(), verdict: None }),
    ];
    let ends = prop_oneof![
        Just(TurnEnd::Completed),
        Just(TurnEnd::Interrupted),
        Just(TurnEnd::Provider { class: "quota", until: None }),
        Just(TurnEnd::Help { class: "auth" }),
        Just(TurnEnd::Failed { class: "other".into() }),
    ];
    let wishes = prop_oneof![
        Just(objective::Input::Pause),
        Just(objective::Input::Resume),
        Just(objective::Input::Done { summary: "done".into() }),
        Just(objective::Input::Forgive),
    ];
    prop_oneof![
        6 => (who.clone(), inputs).prop_map(|(id, input)| Stimulus::Session(id, input)),
        4 => who.clone().prop_map(|session| Stimulus::Place { session, target: make::target_id() }),
        4 => (who.clone(), tries.clone(), ends).prop_map(|(session, attempt, end)| {
            Stimulus::TurnEnded { session, attempt, end }
        }),
        2 => (who.clone(), tries.clone(), any::<bool>()).prop_map(|(session, attempt, clean)| {
            let exit = if clean { Exit::Clean } else { Exit::Crashed { detail: "killed".into() } };
            Stimulus::Exited { session, attempt, exit }
        }),
        2 => (who.clone(), tries, 0u32..200).prop_map(|(session, attempt, model_calls)| {
            let usage = orcha_model::guard::Usage { model_calls, ..Default::default() };
            Stimulus::Used { session, attempt, usage }
        }),
        1 => wishes.prop_map(Stimulus::Objective),
        2 => (who, 0u32..99, any::<bool>()).prop_map(|(session, n, interrupt)| Stimulus::NewMessage(NewMessage {
            session, from: message::Sender::User, cause: format!("steer:{n}"), text: "Look.".into(), interrupt, answers: None,
        })),
        2 => Just(Stimulus::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_turn_settles_is_repeatable_and_never_goes_back(
        events in proptest::collection::vec((stimuli(), 0u64..2000, any::<bool>()), 1..40)
    ) {
        let mut stage = Stage::managed();
        stage.add(busy(1, Role::Implementer)).add(after(2, 1)).add(after(3, 2));
        for (stimulus, secs, answers) in events {
            stage.now = stage.now + std::time::Duration::from_secs(secs);
            let before = stage.world.clone();
            let mut again = Stage::empty();
            (again.world, again.now) = (before.clone(), stage.now);
            let mut once_more = Stage::empty();
            (once_more.world, once_more.now) = (before.clone(), stage.now);
            prop_assert_eq!(again.try_step(stimulus.clone()), once_more.try_step(stimulus.clone()));
            prop_assert_eq!(&again.world, &once_more.world);
            if stage.try_step(stimulus.clone()).is_err() {
                prop_assert_eq!(&stage.world, &before);
                continue;
            }
            let left = passes::propose(&stage.world, stage.now, &stage.settings);
            prop_assert!(left.is_empty(), "after {stimulus:?} there is still {left:?}");
            for (id, old) in &before.sessions {
                let new = &stage.world.sessions[id];
                prop_assert!(new.revision >= old.revision && new.attempt >= old.attempt);
                prop_assert!(new == old || new.revision > old.revision, "changed without a revision: {new:?}");
                prop_assert!(!old.is_over() || new.state == old.state);
                prop_assert!(why(&stage.world, Some(*id)).is_some());
            }
            let about_managers = |it: &&orcha_model::Question| it.about == question::About::Managers;
            prop_assert!(stage.world.open_questions().filter(about_managers).count() <= 1);
            let open = stage.world.open_questions().next().map(|it| it.id);
            if let Some(id) = open.filter(|_| answers) {
                let answer = question::Input::Answer { answer: "continue".into() };
                prop_assert!(stage.try_step(Stimulus::Question(id, answer)).is_ok());
            }
        }
    }
}
