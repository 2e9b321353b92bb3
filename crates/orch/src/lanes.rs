//! The lanes of effects: one noun's effects are executed one after another, the oldest first; different nouns
//! side by side.
//!
//! What is to be done is in the store; here it is only kept in order and under way. After a restart everything
//! that is still stored is put in again, and executors see to it that twice is once.

use crate::execute::{self, Executed};
use crate::inbox::Stimuli;
use crate::orch::Shared;
use orcha_base::{Backoff, ObjectiveId};
use orcha_model::{Effect, EffectKey, NounId};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

/// How passing faults of effects are waited out.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), cap: Duration::from_secs(60) };

/// One effect that is to be executed.
#[derive(Clone, Debug)]
struct Job {
    objective: ObjectiveId,
    key: EffectKey,
    effect: Effect,
}

/// All lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    waiting: Mutex<HashMap<NounId, VecDeque<Job>>>,
    places: Arc<Semaphore>,
}

impl Lanes {
    pub(crate) fn new(parallel: usize) -> Self {
        Self { waiting: Mutex::default(), places: Arc::new(Semaphore::new(parallel)) }
    }

    /// Puts effects at the end of their lanes and sees to it that somebody works on each.
    pub(crate) fn push(&self, shared: &Arc<Shared>, objective: ObjectiveId, effects: Vec<(EffectKey, Effect)>) {
        let mut waiting = self.waiting.lock();
        for (key, effect) in effects {
            let lane = effect.lane();
            let job = Job { objective, key, effect };
            match waiting.get_mut(&lane) {
                Some(jobs) => jobs.push_back(job),
                None => {
                    waiting.insert(lane, VecDeque::from([job]));
                    shared.tasks.spawn(work_off(Arc::clone(shared), lane));
                }
            }
        }
    }

    /// Returns how many lanes have something in them.
    pub(crate) fn busy(&self) -> usize {
        self.waiting.lock().len()
    }

    /// Takes the next job of a lane; an empty lane is closed.
    fn next(&self, lane: NounId) -> Option<Job> {
        let mut waiting = self.waiting.lock();
        let job = waiting.get_mut(&lane).and_then(VecDeque::pop_front);
        if job.is_none() {
            waiting.remove(&lane);
        }
        job
    }
}

async fn work_off(shared: Arc<Shared>, lane: NounId) {
    while let Some(job) = shared.lanes.next(lane) {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = finish(&shared, job) => {}
        }
    }
}

/// Executes one job until it is done or has failed for good, and brings its facts.
async fn finish(shared: &Arc<Shared>, job: Job) {
    let mut tries = 0;
    let outcome = loop {
        let executed = {
            // A place is held while something is done, not while it is waited for the next try.
            let Ok(_place) = shared.lanes.places.acquire().await else { return };
            execute::execute(shared, job.objective, &job.effect).await
        };
        match executed {
            Executed::Facts(facts) => break (facts, true),
            Executed::Again { detail } if tries < shared.settings.effect_tries => {
                tries += 1;
                let delay = BACKOFF.delay(tries);
                warn!(effect.kind = job.effect.name(), effect.key = %job.key, "{} failed: {detail}; trying again in {delay:?}", job.effect.name());
                shared.clock.sleep(delay).await;
            }
            Executed::NotBefore { until, detail } => {
                info!(effect.kind = job.effect.name(), effect.key = %job.key, "{} waits until {until}: {detail}", job.effect.name());
                shared.clock.sleep(until.since(shared.clock.now())).await;
            }
            Executed::Again { detail } => {
                break (execute::failed(&job.effect, format!("{detail} (after {} tries)", tries + 1)), false);
            }
            Executed::Failed { detail } => {
                warn!(effect.kind = job.effect.name(), effect.key = %job.key, "{} failed: {detail}", job.effect.name());
                break (execute::failed(&job.effect, detail), false);
            }
        }
    };
    let (facts, done) = outcome;
    debug!(effect.kind = job.effect.name(), effect.key = %job.key, done, "over");
    let stimuli =
        Stimuli { stimuli: facts.stimuli, artifacts: facts.artifacts, done: Some(job.key), ..Stimuli::default() };
    if let Err(fault) = shared.bring(job.objective, stimuli).await {
        // It stays in the store and is executed again after a restart; twice is once.
        warn!(effect.kind = job.effect.name(), effect.key = %job.key, error = %fault, "the outcome could not be stored");
        return;
    }
    // A run that did not start has nothing to be read; the rest is looked after either way.
    if done || !matches!(job.effect, Effect::Launch(_)) {
        execute::afterwards(shared, job.objective, &job.effect).await;
    }
}
