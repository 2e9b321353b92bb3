//! Every route, once: the daemon registers them, the client builds its addresses from them, and a test walks
//! them without a token.
//!
//! `{id}` in a path is a full id or a unique short one. What goes in and comes out stands at each route as
//! "request → response"; a verb without a request takes no body. Verbs answer with the noun as it is afterwards,
//! whose `status` is where the published API said what had happened.

use crate::IdRef;

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the methods are HTTP's")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// Returns the method as HTTP writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A method and a path pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{id}` where an id stands.
    pub path: &'static str,
}

impl Route {
    /// Returns the path with the id in its place.
    pub fn at(&self, id: &IdRef) -> String {
        self.path.replace("{id}", id.as_str())
    }
}

macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident = $method:ident $path:literal;)+) => {
        $($(#[$doc])* pub const $name: Route = Route { method: Method::$method, path: $path };)+

        /// Every route.
        pub const ALL: &[Route] = &[$($name),+];
    };
}

routes! {
    /// [`ListObjectives`](crate::ListObjectives) → `[`[`ObjectiveRow`](crate::ObjectiveRow)`]`, newest change first.
    LIST_OBJECTIVES = Get "/api/objectives";
    /// [`CreateObjective`](crate::CreateObjective) → 201 [`CreatedObjective`](crate::CreatedObjective).
    CREATE_OBJECTIVE = Post "/api/objectives";
    /// → [`ObjectiveDetail`](crate::ObjectiveDetail).
    GET_OBJECTIVE = Get "/api/objectives/{id}";
    /// [`EditObjective`](crate::EditObjective) → [`Objective`](crate::Objective).
    EDIT_OBJECTIVE = Patch "/api/objectives/{id}";
    /// → [`ObjectiveUsage`](crate::ObjectiveUsage).
    OBJECTIVE_USAGE = Get "/api/objectives/{id}/usage";
    /// [`Steer`](crate::Steer) → [`Steered`](crate::Steered): says something to the objective's manager.
    STEER_OBJECTIVE = Post "/api/objectives/{id}/steer";
    /// [`Cancel`](crate::Cancel) or nothing → [`Objective`](crate::Objective).
    CANCEL_OBJECTIVE = Post "/api/objectives/{id}/cancel";
    /// → [`Objective`](crate::Objective).
    PAUSE_OBJECTIVE = Post "/api/objectives/{id}/pause";
    /// → [`Objective`](crate::Objective).
    RESUME_OBJECTIVE = Post "/api/objectives/{id}/resume";
    /// → [`Objective`](crate::Objective): a live one gives its managers another chance; an ended one is made anew
    /// under a new id, which the answer carries.
    RETRY_OBJECTIVE = Post "/api/objectives/{id}/retry";

    /// [`ListSessions`](crate::ListSessions) → `[`[`SessionRow`](crate::SessionRow)`]`, newest change first.
    LIST_SESSIONS = Get "/api/sessions";
    /// → [`Session`](crate::Session).
    GET_SESSION = Get "/api/sessions/{id}";
    /// [`ListMessages`](crate::ListMessages) → `[`[`TranscriptEntry`](crate::TranscriptEntry)`]`, oldest first.
    SESSION_MESSAGES = Get "/api/sessions/{id}/messages";
    /// [`Steer`](crate::Steer) → [`Steered`](crate::Steered).
    STEER_SESSION = Post "/api/sessions/{id}/messages";
    /// → `[`[`SteeringMessage`](crate::SteeringMessage)`]`, newest first.
    SESSION_STEERING = Get "/api/sessions/{id}/steering";
    /// [`Cancel`](crate::Cancel) or nothing → [`Session`](crate::Session).
    CANCEL_SESSION = Post "/api/sessions/{id}/cancel";
    /// → [`Session`](crate::Session).
    PAUSE_SESSION = Post "/api/sessions/{id}/pause";
    /// → [`Session`](crate::Session).
    RESUME_SESSION = Post "/api/sessions/{id}/resume";
    /// → [`Session`](crate::Session): the new one, whose `metadata.retries` names the old one.
    RETRY_SESSION = Post "/api/sessions/{id}/retry";
    /// [`StreamMessages`](crate::StreamMessages) → server-sent events of [`TranscriptEntry`](crate::TranscriptEntry),
    /// `id` = `seq`; ends with [`END`](crate::END) when the session is over and everything was sent.
    SESSION_STREAM = Get "/api/sessions/{id}/stream";

    /// [`ListSteering`](crate::ListSteering) → `[`[`SteeringMessage`](crate::SteeringMessage)`]`, newest first.
    LIST_STEERING = Get "/api/messages";
    /// [`StreamEvents`](crate::StreamEvents) → server-sent events of [`Event`](crate::Event), `id` = its number.
    STREAM = Get "/api/stream";
    /// [`ListEvents`](crate::ListEvents) → `[`[`Event`](crate::Event)`]`, oldest first.
    LIST_EVENTS = Get "/api/events";

    /// → `[`[`Target`](crate::Target)`]`, by name.
    LIST_TARGETS = Get "/api/targets";
    /// [`CreateTarget`](crate::CreateTarget) → 201 [`TargetReport`](crate::TargetReport).
    CREATE_TARGET = Post "/api/targets";
    /// → [`Target`](crate::Target).
    GET_TARGET = Get "/api/targets/{id}";
    /// [`EditTarget`](crate::EditTarget) → [`Target`](crate::Target).
    EDIT_TARGET = Patch "/api/targets/{id}";
    /// → [`Target`](crate::Target).
    DRAIN_TARGET = Post "/api/targets/{id}/drain";
    /// → [`Target`](crate::Target).
    ENABLE_TARGET = Post "/api/targets/{id}/enable";
    /// → [`Target`](crate::Target).
    DISABLE_TARGET = Post "/api/targets/{id}/disable";
    /// → [`TargetReport`](crate::TargetReport), also when the target is not well.
    CHECK_TARGET = Post "/api/targets/{id}/healthcheck";

    /// [`ListQuestions`](crate::ListQuestions) → `[`[`Question`](crate::Question)`]`, most urgent first, then oldest.
    LIST_QUESTIONS = Get "/api/questions";
    /// → [`Question`](crate::Question).
    GET_QUESTION = Get "/api/questions/{id}";
    /// [`Answer`](crate::Answer) → [`Question`](crate::Question).
    ANSWER_QUESTION = Post "/api/questions/{id}/answer";

    /// [`ListPullRequests`](crate::ListPullRequests) → `[`[`PullRequest`](crate::PullRequest)`]`, newest first.
    LIST_PULL_REQUESTS = Get "/api/pull-requests";
    /// → [`PullRequestDetail`](crate::PullRequestDetail).
    GET_PULL_REQUEST = Get "/api/pull-requests/{id}";
    /// → [`PullRequest`](crate::PullRequest): asks the code host now.
    REFRESH_PULL_REQUEST = Post "/api/pull-requests/{id}/refresh";
    /// [`MergePr`](crate::MergePr) or nothing → [`PullRequest`](crate::PullRequest).
    MERGE_PULL_REQUEST = Post "/api/pull-requests/{id}/merge";
    /// [`ClosePr`](crate::ClosePr) or nothing → [`PullRequest`](crate::PullRequest).
    CLOSE_PULL_REQUEST = Post "/api/pull-requests/{id}/close";
    /// → [`PullRequest`](crate::PullRequest).
    REOPEN_PULL_REQUEST = Post "/api/pull-requests/{id}/reopen";
    /// [`CommentPr`](crate::CommentPr) → [`PullRequest`](crate::PullRequest).
    COMMENT_PULL_REQUEST = Post "/api/pull-requests/{id}/comment";
    /// [`ReviewPr`](crate::ReviewPr) → [`PullRequest`](crate::PullRequest).
    REVIEW_PULL_REQUEST = Post "/api/pull-requests/{id}/review";
    /// [`CheckPr`](crate::CheckPr) → [`PullRequest`](crate::PullRequest).
    CHECK_PULL_REQUEST = Post "/api/pull-requests/{id}/check";
    /// [`Steer`](crate::Steer) → [`Steered`](crate::Steered): says something to whoever works on it.
    STEER_PULL_REQUEST = Post "/api/pull-requests/{id}/steer";

    /// → `[`[`Project`](crate::Project)`]`, by name.
    LIST_PROJECTS = Get "/api/projects";
    /// [`CreateProject`](crate::CreateProject) → 201 [`Project`](crate::Project).
    CREATE_PROJECT = Post "/api/projects";
    /// [`EditProject`](crate::EditProject) → [`Project`](crate::Project).
    EDIT_PROJECT = Put "/api/projects/{id}";
    /// → [`Deleted`](crate::Deleted).
    DELETE_PROJECT = Delete "/api/projects/{id}";

    /// [`ListWorkspaces`](crate::ListWorkspaces) → `[`[`Workspace`](crate::Workspace)`]`, newest first.
    LIST_WORKSPACES = Get "/api/workspaces";
    /// → [`WorkspaceDetail`](crate::WorkspaceDetail).
    GET_WORKSPACE = Get "/api/workspaces/{id}";
    /// [`RestoreWorkspace`](crate::RestoreWorkspace) or nothing → [`Restored`](crate::Restored).
    RESTORE_WORKSPACE = Post "/api/workspaces/{id}/restore";
    /// → [`Workspace`](crate::Workspace): lets it go if that loses nothing.
    RECLAIM_WORKSPACE = Post "/api/workspaces/{id}/reclaim";

    /// → [`Why`](crate::Why), for the id of any noun.
    WHY = Get "/api/why/{id}";
    /// → [`Health`](crate::Health).
    HEALTH = Get "/api/health";
    /// → [`Whoami`](crate::Whoami).
    WHOAMI = Get "/api/whoami";
    /// → [`LoginLink`](crate::LoginLink).
    LOGIN_LINK = Post "/api/login-link";
    /// [`LoginTicket`](crate::LoginTicket) → a redirect to the first page, with the cookie that logs the browser in.
    /// The only route that needs no token.
    LOGIN = Get "/login";
    /// → [`Health`](crate::Health) with the status `stopping`: ends the daemon; agents go on.
    SHUTDOWN = Post "/api/shutdown";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_stands_twice_and_all_ids_are_called_id() {
        let mut seen = ALL.to_vec();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), ALL.len());
        for route in ALL {
            assert_eq!(route.path.contains('{'), route.path.contains("{id}"), "{route:?}");
        }
    }

    #[test]
    fn an_id_takes_its_place() {
        let id = "deadbeef".parse().unwrap();
        assert_eq!(CANCEL_SESSION.at(&id), "/api/sessions/deadbeef/cancel");
    }
}
