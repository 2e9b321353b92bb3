//! One objective, from its wish to its end, with a daemon that is killed again and again.

use crate::leftovers;
use crate::restarts::Restarts;
use crate::story::Story;
use crate::verdict::{self, Checked};
use crate::witness::{self, Witness};
use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use orcha_base::{ObjectiveId, Redacted};
use orcha_client::{Client, ClientError};
use orcha_scripted_model::ScriptedModel;
use orcha_wire::{ListPullRequests, ListQuestions, PullRequestStatus, StreamEvents};
use orchad::demo::daemon::Daemon;
use orchad::demo::pipeline;
use orchad::demo::real::Cast;
use orchad::demo::reviewer;
use orchad::demo::sample::Sample;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long everything may take to come to rest after the objective's end.
const REST: Duration = Duration::from_secs(30);
/// How long an event is waited for before the daemon is killed without it.
const CALM: Duration = Duration::from_millis(800);
/// After how long somebody who was not there is looked for again.
const SOON: Duration = Duration::from_millis(20);

/// One round.
pub struct Round {
    story: Story,
    folder: Option<TempDir>,
    /// The model of the agents that have one; it ends with the round.
    model: Option<ScriptedModel>,
    sample: Sample,
    witness: Witness,
    program: PathBuf,
    daemon: Option<Daemon>,
    /// How often the daemon was killed.
    pub kills: u64,
}

/// When the daemon is killed.
enum Moment {
    /// So long after its process was started, whether it serves already or not.
    OnItsWayUp(Duration),
    /// So long after it served.
    After(Duration),
    /// So long after so many events of the journal.
    Event(u64, Duration),
}

/// What the journal has said so far.
#[derive(Clone, Copy, Default)]
struct Heard {
    events: u64,
    over: bool,
}

impl Round {
    /// Makes everything that a round needs in a folder of its own.
    pub fn prepare(story: Story) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("orcha-crash-").tempdir()?;
        let mut sample = story.sample(folder.path())?;
        let witness = Witness::prepare(folder.path(), &sample)?;
        let model = match story {
            Story::Manager => None,
            Story::Pipeline => Some(pipeline::start_models(&sample)?),
            Story::Real => Some(Cast::prepare(&mut sample, &[witness.wrapper()])?.model),
        };
        let program = folder.path().join("orchad");
        let built = Path::new(env!("CARGO_BIN_EXE_orchad"));
        // A build that goes on meanwhile must not change the program between two restarts.
        if std::fs::hard_link(built, &program).is_err() {
            std::fs::copy(built, &program)?;
        }
        Ok(Self { story, folder: Some(folder), model, sample, witness, program, daemon: None, kills: 0 })
    }

    /// Plays the round with at most so many kills, and checks what came of it.
    pub async fn play(&mut self, chance: &mut StdRng, kills: u64, restarts: &mut Restarts) -> Result<Checked> {
        let daemon = Daemon::start_as(&self.program, &self.sample).await?;
        let client = Client::new(&daemon.url, Redacted::new(Daemon::token(&self.sample)?))?;
        self.daemon = Some(daemon);
        let objective = self.story.begin(&client, &self.program, &self.sample, &self.witness).await?;

        let (tell, mut heard) = watch::channel(Heard::default());
        let listening = tokio::spawn(listen(client.clone(), objective, tell));
        heard.wait_for(|it| it.events > 0).await.context("the journal is silent")?;
        let person = tokio::spawn(review(self.story, client.clone(), objective));
        let patience = self.story.patience();
        let played = timeout(patience, self.kill_on(chance, kills, restarts, &client, heard)).await;
        let ended = match played {
            Ok(Ok(())) => {
                listening.await??;
                person.await?.context("the person gave up")
            }
            failed => {
                listening.abort();
                let why = if person.is_finished() {
                    person.await?.context("the person gave up").err()
                } else {
                    person.abort();
                    None
                };
                let said = self.state(&client, objective).await;
                match (failed, why) {
                    (Ok(fault), None) => fault.context(said),
                    (Err(_), None) => bail!("the objective did not end within {patience:?}: {said}"),
                    (_, Some(why)) => Err(why.context(said)),
                }
            }
        };
        ended?;
        self.come_to_rest(&client, objective).await?;
        if let Some(mut daemon) = self.daemon.take() {
            daemon.stop().await?;
        }
        verdict::check(self.story, &self.sample, &self.witness, self.model.as_ref(), objective).await
    }

    /// Kills the daemon, starts it again, and so on until the objective is over; the last daemon stays.
    async fn kill_on(
        &mut self,
        chance: &mut StdRng,
        kills: u64,
        restarts: &mut Restarts,
        client: &Client,
        mut heard: watch::Receiver<Heard>,
    ) -> Result<()> {
        // The instants of a round follow from the seed alone, however many of them are used.
        let mut chance = StdRng::seed_from_u64(chance.random());
        while self.kills < kills && !heard.borrow_and_update().over {
            let pace = self.story.pace();
            let instant = Moment::draw(&mut chance, pace);
            if let Moment::OnItsWayUp(delay) = instant {
                self.kill().await?;
                let starting = Daemon::spawn(&self.program, &self.sample)?;
                sleep(delay).await;
                starting.kill().await?;
                self.kills += 1;
            } else {
                instant.wait(&mut heard, CALM * pace).await?;
                self.kill().await?;
            }
            self.kills += 1;
            let began = Instant::now();
            let daemon = Daemon::start_as(&self.program, &self.sample).await?;
            ensure!(client.url() == daemon.url, "it serves at {} now, and agents know {}", daemon.url, client.url());
            self.daemon = Some(daemon);
            client.health().await.context("a daemon that serves did not answer")?;
            restarts.add(began.elapsed());
        }
        heard.wait_for(|it| it.over).await.context("the journal broke off")?;
        Ok(())
    }

    async fn kill(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("there is no daemon to kill")?;
        ensure!(daemon.pid().is_some(), "the daemon had ended by itself");
        daemon.kill().await
    }

    /// Waits until there is nothing left to do, and nobody left to do it.
    async fn come_to_rest(&self, client: &Client, objective: ObjectiveId) -> Result<()> {
        let query = ListPullRequests { objective_id: Some(objective.into()), ..ListPullRequests::default() };
        let prs = client.pull_requests(&query).await?.items;
        let merged = prs.iter().filter(|it| it.status == PullRequestStatus::Merged).count();
        ensure!(
            (prs.len(), merged) == (self.story.pull_requests(), self.story.pull_requests()),
            "{} pull requests, {merged} of them merged: {prs:#?}",
            prs.len()
        );
        let began = Instant::now();
        loop {
            let health = client.health().await?;
            let myself = self.daemon.as_ref().and_then(Daemon::pid);
            let mut left = leftovers::of(self.folder());
            left.retain(|it| Some(it.pid) != myself);
            let runs =
                std::fs::read_dir(witness::runs(&self.sample)).context("the run directories cannot be listed")?;
            let mut runs = runs.map(|it| Ok(it?.file_name())).collect::<std::io::Result<Vec<_>>>()?;
            // Half made ones, in which nothing was ever started, go with the first start after an hour.
            runs.retain(|it| !it.as_encoded_bytes().starts_with(b".new-"));
            let to_do = health.pending_effects + health.running_sessions + health.active_objectives;
            if to_do + health.open_questions == 0 && left.is_empty() && runs.is_empty() {
                return Ok(());
            }
            if began.elapsed() > REST {
                bail!("it does not come to rest: {health:#?}\nprocesses {left:#?}\nrun directories {runs:?}");
            }
            // Nothing tells when a process is gone from the table.
            sleep(SOON).await;
        }
    }

    /// Says where everything stands, for people.
    async fn state(&self, client: &Client, objective: ObjectiveId) -> String {
        let look = async {
            let detail = client.objective(objective).await?;
            let questions = client.questions(&ListQuestions::default()).await?.items;
            let mut said = format!("the objective is {}: {:?}", detail.objective.status, detail.objective.reason);
            for it in &detail.sessions {
                let phase = it.phase.map_or("", |it| it.as_str());
                said += &format!("\n{} {} is {} {phase}: {:?}", it.role, it.id, it.status, it.reason);
            }
            for it in &detail.pull_requests {
                said += &format!("\n#{} is {}: {:?}", it.number, it.status, it.refusal);
            }
            anyhow::Ok(format!("{said}\n{questions:?}"))
        };
        match timeout(Duration::from_secs(5), look).await {
            Ok(Ok(said)) => said,
            Ok(Err(fault)) => format!("where everything stands is not known: {fault:#}"),
            Err(_) => "the daemon does not answer".into(),
        }
    }

    fn folder(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new("/nowhere"), TempDir::path)
    }

    /// After a failure: ends everything, and keeps the folder. Returns the log, the folder, and what was ended.
    pub async fn keep(&mut self) -> (PathBuf, PathBuf, Vec<leftovers::Process>) {
        if let Some(mut daemon) = self.daemon.take()
            && let Err(fault) = daemon.kill().await
        {
            eprintln!("the daemon could not be ended: {fault:#}");
        }
        let left = leftovers::end(self.folder());
        if let Some(model) = &self.model {
            let asked = model.requests();
            for it in &asked[asked.len().saturating_sub(20)..] {
                eprintln!("the model said: {:?}", it.said);
            }
        }
        let folder = self.folder.take().map(TempDir::keep).unwrap_or_default();
        (self.sample.log(), folder, left)
    }
}

impl Moment {
    fn draw(chance: &mut StdRng, pace: u32) -> Self {
        let mut ms = |upto| Duration::from_millis(chance.random_range(0..=upto));
        let (short, long, startup, soon) = (ms(60), ms(550) * pace, ms(120), ms(40));
        match chance.random_range(0..8) {
            0 => Self::OnItsWayUp(startup),
            1 => Self::After(short),
            2..=4 => Self::After(Duration::from_millis(50) + long),
            _ => Self::Event(chance.random_range(1..=5), soon),
        }
    }

    async fn wait(self, heard: &mut watch::Receiver<Heard>, calm: Duration) -> Result<()> {
        match self {
            Self::OnItsWayUp(_) => {}
            Self::After(delay) => sleep(delay).await,
            Self::Event(count, delay) => {
                let upto = heard.borrow().events + count;
                if let Ok(broken) = timeout(calm, heard.wait_for(|it| it.events >= upto || it.over)).await {
                    broken.context("the journal broke off")?;
                }
                sleep(delay).await;
            }
        }
        Ok(())
    }
}

/// Plays the person, who starts anew when nobody was there at the beginning.
async fn review(story: Story, client: Client, objective: ObjectiveId) -> Result<()> {
    while story.has_reviewer() {
        match reviewer::review(client.clone(), objective).await {
            Err(fault) if fault.downcast_ref().is_some_and(ClientError::may_pass) => sleep(SOON).await,
            done => return done,
        }
    }
    Ok(())
}

/// Listens to the journal through all restarts; numbers must come neither twice nor out of order.
async fn listen(client: Client, objective: ObjectiveId, tell: watch::Sender<Heard>) -> Result<()> {
    let mut events = client.follow_events(StreamEvents { after: Some(0), objective_id: Some(objective.into()) });
    let mut last = 0;
    while let Some(event) = events.next().await {
        let event = event?;
        ensure!(event.id > last, "event {} came after {last}", event.id);
        last = event.id;
        let over = matches!(event.kind.as_str(), "objective_done" | "objective_failed" | "objective_canceled");
        tell.send_modify(|it| *it = Heard { events: it.events + 1, over });
        if over {
            return Ok(());
        }
    }
    bail!("the stream of events ended")
}
