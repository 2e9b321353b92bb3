//! The snapshot of one objective: the objective and everything that belongs to it.

use crate::{Outlook, Shelf};
use orcha_base::{
    Attempt, CheckRunId, FeedbackId, HandInId, MessageId, PullRequestId, QuestionId, SessionId, TargetId, TaskId,
    WorkspaceId,
};
use orcha_model::casting::Stock;
use orcha_model::{
    Attachment, CheckRun, Feedback, HandIn, Message, Objective, PullRequest, Question, Role, Session, Task, Text,
    Workflow, Workspace, message, question, session,
};
use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// One objective with its sessions, workspaces, pull requests, feedback, questions and messages.
///
/// Messages that were heard and questions that were settled may be missing: no pass asks for them.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are the nouns")]
pub struct World {
    pub objective: Objective,
    pub sessions: Shelf<SessionId, Session>,
    pub workspaces: Shelf<WorkspaceId, Workspace>,
    pub pull_requests: Shelf<PullRequestId, PullRequest>,
    pub feedback: Shelf<FeedbackId, Feedback>,
    pub questions: Shelf<QuestionId, Question>,
    pub messages: Shelf<MessageId, Message>,
    pub outlook: Outlook,
    /// The workflow, if the objective is run by the pipeline.
    pub workflow: Option<Workflow>,
    pub tasks: Shelf<TaskId, Task>,
    pub check_runs: Shelf<CheckRunId, CheckRun>,
    pub hand_ins: Shelf<HandInId, HandIn>,
    /// The texts that the workflow goes by.
    pub texts: Arc<[Text]>,
    /// The files that came with the objective, in their order.
    pub attachments: Arc<[Attachment]>,
}

impl World {
    /// Makes the world of an objective that has nothing yet.
    pub fn new(objective: Objective) -> Self {
        Self {
            objective,
            sessions: Shelf::new(),
            workspaces: Shelf::new(),
            pull_requests: Shelf::new(),
            feedback: Shelf::new(),
            questions: Shelf::new(),
            messages: Shelf::new(),
            outlook: Outlook::default(),
            workflow: None,
            tasks: Shelf::new(),
            check_runs: Shelf::new(),
            hand_ins: Shelf::new(),
            texts: Arc::default(),
            attachments: Arc::default(),
        }
    }

    /// Returns the manager that has not ended.
    pub fn live_manager(&self) -> Option<&Session> {
        self.sessions.values().find(|it| it.role == Role::Manager && !it.is_over())
    }

    /// Tells whether any worker has not ended.
    pub fn has_live_worker(&self) -> bool {
        self.sessions.values().any(|it| it.role != Role::Manager && !it.is_over())
    }

    /// Returns the newest pull request that a workflow's result was published as.
    pub fn pull_request_of(&self, workflow: &Workflow) -> Option<&PullRequest> {
        let result = workflow.left.result?;
        let own = self.pull_requests.values().filter(|it| it.session == result);
        own.max_by_key(|it| (it.created_at, it.id))
    }

    /// Tells whether any pull request is opening, draft or open.
    pub fn has_live_pull_request(&self) -> bool {
        self.pull_requests.values().any(|it| it.state.is_live())
    }

    /// Returns the session that works on a pull request's branch now, or will.
    pub fn follow_up_on(&self, pull_request: PullRequestId) -> Option<&Session> {
        self.sessions.values().find(|it| it.pull_request == Some(pull_request) && !it.is_over())
    }

    /// Returns the messages that a session has not heard yet, oldest first.
    pub fn waiting_messages(&self, session: SessionId) -> impl Iterator<Item = &Message> {
        let mut waiting: Vec<&Message> =
            self.messages.values().filter(|it| it.session == session && it.state.is_waiting()).collect();
        waiting.sort_by_key(|it| (it.created_at, it.id));
        waiting.into_iter()
    }

    /// Tells whether messages are queued for a session.
    pub fn has_queued_message(&self, session: SessionId) -> bool {
        self.messages.values().any(|it| it.session == session && matches!(it.state, message::State::Queued { .. }))
    }

    /// Tells whether a session was asked to hand back what it has and has not heard that yet.
    pub fn waits_to_hand_back(&self, session: SessionId) -> bool {
        let asks = |it: &Message| it.cause.starts_with(crate::budget::HAND_BACK) && it.state.is_waiting();
        self.messages.values().any(|it| it.session == session && asks(it))
    }

    /// Tells whether a session's newest attempt was cut off for a message that still waits.
    fn was_cut_off(&self, session: SessionId) -> bool {
        let attempt = self.sessions.get(&session).map(|it| it.attempt);
        let cut = |it: &Message| matches!(it.state, message::State::Queued { interrupted } if interrupted == attempt);
        attempt.is_some() && self.messages.values().any(|it| it.session == session && cut(it))
    }

    /// Returns the open questions.
    pub fn open_questions(&self) -> impl Iterator<Item = &Question> {
        self.questions.values().filter(|it| it.state == question::State::Open)
    }

    /// Returns what surrounds a session, for its decisions.
    pub fn around(&self, session: SessionId) -> session::Around {
        session::Around {
            messages_wait: self.has_queued_message(session),
            hand_back_waits: self.waits_to_hand_back(session),
            cut_off: self.was_cut_off(session),
            questions_open: self.open_questions().any(|it| self.is_waited_for(it, session)),
            others_at_work: self.sessions.get(&session).is_some_and(|it| it.role.traits().stays)
                && (self.has_live_worker() || self.has_live_pull_request()),
            head_moved: self.head_moved(session),
        }
    }

    /// Tells whether a session that has nothing else to do waits for the answer to a question: its own, or the one
    /// that decides about the pull request that it works on.
    pub fn is_waited_for(&self, question: &Question, session: SessionId) -> bool {
        match &question.about {
            question::About::Asked => question.session == Some(session),
            question::About::ClosedPullRequest { pull_request } => {
                self.sessions.get(&session).is_some_and(|it| it.pull_request == Some(*pull_request))
            }
            question::About::Guard { .. }
            | question::About::ObjectiveGuard { .. }
            | question::About::Help { .. }
            | question::About::Workflow { .. }
            | question::About::Permission(_)
            | question::About::Managers => false,
        }
    }

    /// Tells whether the pull request of a follow-up has another head than its checkout began with; nothing when it
    /// is not open any more, because then nobody may move it.
    fn head_moved(&self, session: SessionId) -> Option<bool> {
        let session = self.sessions.get(&session)?;
        let pull_request = self.pull_requests.get(&session.pull_request?)?;
        if !pull_request.state.is_live() {
            return None;
        }
        let workspace = session.workspace.and_then(|id| self.workspaces.get(&id));
        let began = workspace.and_then(|it| it.checkout.as_ref()?.base_sha.as_ref());
        Some(began.is_some() && began != pull_request.head.as_ref())
    }

    /// Returns the sessions whose work another one starts from.
    pub fn predecessors<'w>(&'w self, session: &'w Session) -> impl Iterator<Item = &'w Session> {
        session.depends_on.iter().chain(session.reviews.iter()).filter_map(|id| self.sessions.get(id))
    }

    /// Returns the kinds of agents that there are, and that may play here.
    pub fn kinds(&self) -> Cow<'_, BTreeSet<String>> {
        let (all, policy) = (&*self.outlook.kinds, &self.objective.policy);
        match policy.agents {
            None => Cow::Borrowed(all),
            Some(_) => Cow::Owned(all.iter().filter(|it| policy.allows_agent(it)).cloned().collect()),
        }
    }

    /// Returns what a Director may choose from.
    pub fn stock<'w>(&'w self, workflow: &'w Workflow, kinds: &'w BTreeSet<String>) -> Stock<'w> {
        Stock { usual: &self.objective.agent, fixed: &workflow.wish.agents, kinds, catalog: &self.outlook.catalog }
    }

    /// Returns the sessions whose checkouts a session goes on with. Whoever only looked is passed through to what it
    /// looked at: nothing that it changed is gone on with.
    pub fn goes_on_with<'w>(&'w self, session: &'w Session) -> impl Iterator<Item = &'w Session> {
        let mut found: Vec<&Session> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut ahead: VecDeque<&Session> = self.predecessors(session).collect();
        while let Some(it) = ahead.pop_front() {
            if !seen.insert(it.id) {
                continue;
            }
            if it.role.only_looks() {
                self.predecessors(it).for_each(|before| ahead.push_back(before));
            } else {
                found.push(it);
            }
        }
        found.into_iter()
    }

    /// Returns the target where the work of a session's predecessors lies.
    pub fn target_of_predecessors(&self, session: &Session) -> Option<TargetId> {
        self.predecessors(session)
            .filter_map(|it| it.workspace)
            .filter_map(|id| self.workspaces.get(&id))
            .map(|it| it.target)
            .last()
    }

    /// Tells whether a session's process of that attempt may still be alive by our own books.
    pub fn holds(&self, session: SessionId, attempt: Attempt) -> bool {
        self.sessions.get(&session).and_then(|it| it.state.holds()).is_some_and(|(_, of)| of == attempt)
    }
}
