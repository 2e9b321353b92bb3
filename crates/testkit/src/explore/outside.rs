//! The world outside as far as one objective can change it: processes, folders, pull requests.
//!
//! It is as forgetful and as stubborn as the real one: an effect that is done twice finds what it did before,
//! and what nobody ends stays alive.

use crate::make;
use orcha_base::{Attempt, BranchName, MessageId, SessionId, TargetId, Timestamp, WorkspaceId};
use orcha_model::effect::{CheckoutStart, PushWork};
use orcha_model::session::{Exit, TurnEnd};
use orcha_model::{Effect, message, pull_request, session, workspace};
use orcha_plan::Stimulus;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Everything outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outside {
    /// Every process that was ever started.
    pub processes: BTreeMap<(SessionId, Attempt), Process>,
    /// The folders that exist.
    pub folders: BTreeMap<WorkspaceId, Folder>,
    /// Who writes in each.
    pub owners: BTreeMap<WorkspaceId, SessionId>,
    /// The pull requests of the code host.
    pub pulls: Vec<Pull>,
    /// What agents took up, in order.
    pub accepted: Vec<(MessageId, SessionId, Attempt)>,
}

/// The process of one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Process {
    /// Whether it runs.
    pub alive: bool,
    /// Whether a turn is under way.
    pub busy: bool,
    /// Whether a person has its keyboard: what is said to it meanwhile is done when the person leaves.
    pub held: bool,
    /// Whether it is to be interrupted then.
    pub interrupted: bool,
    /// What was written to it, by key.
    pub input: Vec<MessageId>,
    /// What it said that was not read yet.
    pub signals: VecDeque<Signal>,
}

/// What a process says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// It named its conversation.
    Named,
    /// It took up a message.
    Accepted(MessageId),
    /// Its turn ended.
    Turn(Ending),
    /// A person took its keyboard, or gave it back.
    Held(bool),
    /// It ended, by itself with zero or in another way.
    Exited {
        /// With zero.
        clean: bool,
    },
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "as in the model")]
pub enum Ending {
    Completed,
    Quiet,
    Interrupted,
    Provider,
    Help,
    Failed,
}

/// One folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Folder {
    /// How often somebody worked in it.
    pub work: u32,
    /// Up to which work it was snapshotted.
    pub saved: u32,
}

/// A pull request of the code host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pull {
    /// Its branch.
    pub branch: BranchName,
    /// Whether it was merged.
    pub merged: bool,
    /// Whether it was closed without merging.
    pub closed: bool,
}

/// Whether an effect works out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the two outcomes")]
pub enum Outcome {
    Works,
    Fails,
}

impl Outside {
    /// Does what an effect says and returns the facts that it answers with, or what went wrong that never may.
    pub fn perform(&mut self, effect: &Effect, outcome: Outcome) -> Result<Vec<Stimulus>, String> {
        let works = outcome == Outcome::Works;
        Ok(match effect {
            // The explorer has no workflows.
            Effect::Check(_) | Effect::StopCheck { .. } | Effect::DeliverResult(_) => Vec::new(),
            Effect::Prepare(it) if works => {
                for (before, _) in it.checkout.iter().flat_map(|it| match &it.start {
                    CheckoutStart::After { workspaces } => workspaces.as_slice(),
                    CheckoutStart::Base | CheckoutStart::Branch => &[],
                }) {
                    self.is_kept(*before, "a session started from")?;
                }
                self.folders.entry(it.workspace).or_default();
                self.owners.insert(it.workspace, it.session);
                let facts = make::facts();
                vec![Stimulus::Prepared { session: it.session, attempt: it.attempt, workspace: it.workspace, facts }]
            }
            Effect::Prepare(it) => {
                let detail = String::from("no space");
                let failed = workspace::Input::PrepareFailed { reason: detail.clone() };
                vec![
                    Stimulus::Workspace(it.workspace, failed),
                    Stimulus::Session(it.session, session::Input::PrepareFailed { attempt: it.attempt, detail }),
                ]
            }
            Effect::Launch(it) if works => {
                self.launch(it.session, it.attempt, it.opening.is_some())?;
                if let Some(message) = it.opening.as_ref().and_then(|it| it.message) {
                    self.say((it.session, it.attempt), message);
                }
                let spoken_to = it.opening.is_some();
                vec![Stimulus::Session(it.session, session::Input::Started { attempt: it.attempt, spoken_to })]
            }
            Effect::Launch(it) => {
                let detail = "no such program".into();
                vec![Stimulus::Session(it.session, session::Input::LaunchFailed { attempt: it.attempt, detail })]
            }
            Effect::Stop(it) => {
                self.end((it.session, it.attempt), false);
                let mut facts = Vec::new();
                if let Some((id, folder)) = it.snapshot.and_then(|id| Some((id, self.folders.get_mut(&id)?))) {
                    folder.saved = folder.work;
                    let sha = make::sha(100 + folder.work);
                    facts.push(Stimulus::Workspace(id, workspace::Input::Snapshotted { sha }));
                }
                facts.push(Stimulus::Session(it.session, session::Input::Stopped { attempt: it.attempt }));
                facts
            }
            Effect::Deliver(it) => {
                self.say((it.session, it.attempt), it.message);
                Vec::new()
            }
            Effect::Interrupt { session, attempt, .. } => {
                if let Some(process) = self.processes.get_mut(&(*session, *attempt)).filter(|it| it.alive && it.busy) {
                    process.interrupted = true;
                    process.obey();
                }
                Vec::new()
            }
            // The answer is written to the process; what it makes of it is its own affair.
            Effect::Permit(_) => Vec::new(),
            Effect::Publish(it) if works => {
                self.is_kept(it.workspace, "somebody published")?;
                let number =
                    match self.pulls.iter().position(|pull| pull.branch == it.branch && !pull.merged && !pull.closed) {
                        Some(found) => found,
                        None => {
                            self.pulls.push(Pull { branch: it.branch.clone(), merged: false, closed: false });
                            self.pulls.len() - 1
                        }
                    };
                let opened = pull_request::Input::Opened {
                    number: number as u64 + 1,
                    url: format!("/pr/{}", number + 1),
                    head: make::sha(2),
                };
                vec![Stimulus::PullRequest(it.pull_request, opened)]
            }
            Effect::Publish(it) => {
                let reason = "nothing to publish".into();
                vec![Stimulus::PullRequest(it.pull_request, pull_request::Input::NotOpened { reason })]
            }
            Effect::Reopen { pull_request, number, .. } if works => {
                let at = usize::try_from(*number).map_err(|it| it.to_string())? - 1;
                self.pulls.get_mut(at).ok_or("reopened what is not there")?.closed = false;
                vec![Stimulus::PullRequest(*pull_request, pull_request::Input::Reopened)]
            }
            Effect::Merge { pull_request, number, .. }
                if works && self.pulls.iter().zip(1..).any(|(it, n)| n == *number && it.closed) =>
            {
                // The host refuses, and is looked at after every request.
                let closed = self.close(*number).map(pull_request::Input::Observed);
                let seen = closed.map(|it| Stimulus::PullRequest(*pull_request, it));
                refused(*pull_request).into_iter().chain(seen).collect()
            }
            Effect::Merge { pull_request, number, .. } if works => {
                let at = usize::try_from(*number).map_err(|it| it.to_string())? - 1;
                self.pulls.get_mut(at).ok_or("merged what is not there")?.merged = true;
                vec![Stimulus::PullRequest(*pull_request, pull_request::Input::Merged { sha: make::sha(9) })]
            }
            Effect::UpdatePr(it) if works => {
                let at = usize::try_from(it.number).map_err(|it| it.to_string())? - 1;
                let pull = self.pulls.get(at).ok_or("pushed to what is not there")?;
                if let Some(push) = it.push.as_ref().filter(|_| pull.merged || pull.closed) {
                    // The executor looks before it pushes. That it was ordered is allowed: it was open then.
                    let instead = if pull.merged {
                        pull_request::Input::Refused { reason: "merged meanwhile".into() }
                    } else {
                        let held = pull_request::HeldPush { work: asked_again(push), title: None, body: None };
                        pull_request::Input::NotPushed { held }
                    };
                    let seen = pull_request::Input::Observed(seen(pull));
                    return Ok([seen, instead].map(|it_is| Stimulus::PullRequest(it.pull_request, it_is)).into());
                }
                vec![Stimulus::PullRequest(it.pull_request, pull_request::Input::Updated { head: make::sha(3) })]
            }
            Effect::Merge { pull_request, .. }
            | Effect::Close { pull_request, .. }
            | Effect::Reopen { pull_request, .. }
            | Effect::Comment { pull_request, .. } => refused(*pull_request),
            Effect::UpdatePr(it) => refused(it.pull_request),
            Effect::Reclaim { workspace, session, .. } => {
                if let Some(((_, attempt), _)) =
                    self.processes.iter().find(|((of, _), process)| of == session && process.alive)
                {
                    return Err(format!("a folder was taken from under attempt {attempt} of its session"));
                }
                match self.folders.remove(workspace) {
                    Some(folder) if folder.saved < folder.work => {
                        return Err("a folder was deleted with work that no snapshot has".into());
                    }
                    Some(_) | None => {
                        let snapshot = None;
                        vec![Stimulus::Workspace(*workspace, workspace::Input::Reclaimed { snapshot })]
                    }
                }
            }
            Effect::Restore { workspace, snapshot, .. } => {
                let restored = workspace::Input::Restored { snapshot: snapshot.clone(), dir: "/srv/w".into() };
                vec![Stimulus::Workspace(*workspace, restored)]
            }
        })
    }

    /// Whoever goes on from a folder finds it complete: nobody writes in it any more, and what is there was kept.
    fn is_kept(&self, workspace: WorkspaceId, what: &str) -> Result<(), String> {
        let owner = self.owners.get(&workspace).and_then(|of| self.alive(*of).next());
        if let Some((attempt, _)) = owner {
            return Err(format!("{what} a folder that attempt {attempt} may be writing in"));
        }
        match self.folders.get(&workspace) {
            Some(folder) if folder.saved < folder.work => Err(format!("{what} a folder without a snapshot of it")),
            Some(_) | None => Ok(()),
        }
    }

    /// Somebody closes a pull request on the code host.
    pub fn close(&mut self, number: u64) -> Option<pull_request::Observed> {
        let pull = self.pulls.get_mut(usize::try_from(number).ok()? - 1)?;
        pull.closed = true;
        Some(seen(pull))
    }

    fn launch(&mut self, session: SessionId, attempt: Attempt, opening: bool) -> Result<(), String> {
        if self.processes.contains_key(&(session, attempt)) {
            return Ok(());
        }
        if let Some((other, _)) = self.alive(session).next() {
            return Err(format!("attempt {attempt} was launched while attempt {other} is alive"));
        }
        let process = Process { alive: true, busy: opening, signals: [Signal::Named].into(), ..Process::default() };
        self.processes.insert((session, attempt), process);
        Ok(())
    }

    fn say(&mut self, to: (SessionId, Attempt), message: MessageId) {
        let Some(process) = self.processes.get_mut(&to).filter(|it| it.alive) else { return };
        if process.input.contains(&message) {
            return;
        }
        process.input.push(message);
        process.busy = true;
        process.signals.push_back(Signal::Accepted(message));
        self.accepted.push((message, to.0, to.1));
    }

    /// Ends a process, if it is alive.
    pub fn end(&mut self, of: (SessionId, Attempt), clean: bool) {
        if let Some(process) = self.processes.get_mut(&of).filter(|it| it.alive) {
            (process.alive, process.busy, process.interrupted) = (false, false, false);
            process.signals.push_back(Signal::Exited { clean });
        }
    }

    /// Returns the attempts of a session whose processes are alive.
    pub fn alive(&self, session: SessionId) -> impl Iterator<Item = (Attempt, &Process)> {
        self.processes.iter().filter(move |((of, _), it)| *of == session && it.alive).map(|((_, at), it)| (*at, it))
    }
}

impl Process {
    /// A person takes its keyboard, or gives it back.
    pub fn hold(&mut self, by_person: bool) {
        self.held = by_person;
        self.signals.push_back(Signal::Held(by_person));
        self.obey();
    }

    /// Cuts its turn off if it was told to, and nobody else has the keyboard.
    fn obey(&mut self) {
        if self.held || !std::mem::take(&mut self.interrupted) {
            return;
        }
        self.busy = false;
        self.signals.push_back(Signal::Turn(Ending::Interrupted));
    }
}

/// What the code host says of a pull request that has ended.
fn seen(pull: &Pull) -> pull_request::Observed {
    pull_request::Observed {
        status: if pull.merged {
            pull_request::Status::Merged(Some(make::sha(9)))
        } else if pull.closed {
            pull_request::Status::Closed
        } else {
            pull_request::Status::Open
        },
        head: make::sha(2),
        checks: pull_request::Checks::Unknown,
        review: pull_request::Review::None,
        mergeable: None,
        title: "The work".into(),
    }
}

fn asked_again(push: &PushWork) -> pull_request::UpdateWork {
    pull_request::UpdateWork {
        workspace: push.workspace,
        target: push.target,
        commit_message: push.commit_message.clone(),
        force: push.force.is_some(),
        force_reason: push.force.clone(),
    }
}

fn refused(pull_request: orcha_base::PullRequestId) -> Vec<Stimulus> {
    vec![Stimulus::PullRequest(pull_request, pull_request::Input::Refused { reason: "not now".into() })]
}

/// Turns what a process said into the fact that the mind hears.
pub fn heard(session: SessionId, attempt: Attempt, signal: Signal, now: Timestamp) -> Stimulus {
    let end = match signal {
        Signal::Named => {
            let conversation = format!("conversation of {session}");
            return Stimulus::Session(session, session::Input::Conversation { attempt, conversation });
        }
        Signal::Accepted(message) => return Stimulus::Message(message, message::Input::Accepted { attempt }),
        Signal::Exited { clean: true } => return Stimulus::Exited { session, attempt, exit: Exit::Clean },
        Signal::Exited { clean: false } => {
            let exit = Exit::Crashed { detail: "killed".into() };
            return Stimulus::Exited { session, attempt, exit };
        }
        Signal::Held(by_person) => {
            return Stimulus::Session(session, session::Input::Keyboard { attempt, by_person });
        }
        Signal::Turn(Ending::Completed) => TurnEnd::Completed,
        Signal::Turn(Ending::Quiet) => TurnEnd::Quiet,
        Signal::Turn(Ending::Interrupted) => TurnEnd::Interrupted,
        Signal::Turn(Ending::Provider) => {
            TurnEnd::Provider { class: "quota", until: Some(now + Duration::from_secs(600)) }
        }
        Signal::Turn(Ending::Help) => TurnEnd::Help { class: "auth" },
        Signal::Turn(Ending::Failed) => TurnEnd::Failed { class: "other".into() },
    };
    Stimulus::TurnEnded { session, attempt, end }
}

/// The only target there is.
pub fn target() -> TargetId {
    make::target_id()
}
