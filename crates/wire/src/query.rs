//! The query strings of lists and streams. A parameter that is not known is refused, as in a body.

use crate::{IdRef, ObjectiveStatus, PullRequestStatus, QuestionStatus, SessionStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! queries {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )+
        }
    )+};
}

queries! {
    /// Which objectives.
    ListObjectives {
        /// Only those in this state.
        state: ObjectiveStatus,
        /// The cursor of the page before.
        #[schemars(regex(pattern = "^-?[0-9]{1,19}~.{1,64}$"))]
        after: String,
        /// At most so many.
        #[schemars(range(min = 1, max = 1000))]
        limit: u32,
    }
    /// Which sessions.
    ListSessions {
        /// Only those of this objective.
        objective_id: IdRef,
        /// Only those in this state.
        state: SessionStatus,
        /// The cursor of the page before.
        #[schemars(regex(pattern = "^-?[0-9]{1,19}~.{1,64}$"))]
        after: String,
        /// At most so many.
        #[schemars(range(min = 1, max = 1000))]
        limit: u32,
    }
    /// Which part of a transcript, oldest first.
    ListMessages {
        /// Only entries with a higher number.
        after: u64,
        /// Only the last so many; not together with `after`.
        #[schemars(range(min = 1, max = 1000))]
        tail: u32,
        /// At most so many.
        #[schemars(range(min = 1, max = 1000))]
        limit: u32,
    }
    /// Which steering messages, newest first.
    ListSteering {
        /// Only those to sessions of this objective; not where a session is named.
        objective_id: IdRef,
        /// Only those to this session; not where the path names one.
        session_id: IdRef,
        /// The cursor of the page before.
        #[schemars(regex(pattern = "^-?[0-9]{1,19}~.{1,64}$"))]
        after: String,
        /// At most so many.
        #[schemars(range(min = 1, max = 1000))]
        limit: u32,
    }
    /// From where on a session's transcript is streamed.
    StreamMessages {
        /// Only entries with a higher number; the header `last-event-id` wins. From the beginning if neither is there.
        after: u64,
    }
    /// From where on the journal is streamed.
    StreamEvents {
        /// Only events with a higher number; the header `last-event-id` wins. From now on if neither is there.
        after: u64,
        /// Only those of this objective.
        objective_id: IdRef,
    }
    /// Which part of the journal, oldest first.
    ///
    /// Without `after` and `before` it is the newest page.
    ListEvents {
        /// Only events with a higher number.
        after: u64,
        /// Only events with a lower number: the newest of them.
        before: u64,
        /// At most so many.
        #[schemars(range(min = 1, max = 1000))]
        limit: u32,
        /// Only those of this objective.
        objective_id: IdRef,
    }
    /// Which questions; the open ones if nothing is said.
    ListQuestions {
        /// Only those in this state.
        state: QuestionStatus,
        /// Only those of this objective.
        objective_id: IdRef,
        /// The cursor of the page before.
        #[schemars(regex(pattern = "^-?[0-9]{1,19}~.{1,64}$"))]
        after: String,
        /// At most so many.
        #[schemars(range(min = 1, max = 1000))]
        limit: u32,
    }
    /// Which pull requests.
    ListPullRequests {
        /// Only those of this objective.
        objective_id: IdRef,
        /// Only those in this state.
        state: PullRequestStatus,
        /// The cursor of the page before.
        #[schemars(regex(pattern = "^-?[0-9]{1,19}~.{1,64}$"))]
        after: String,
        /// At most so many.
        #[schemars(range(min = 1, max = 1000))]
        limit: u32,
    }
    /// Which workspaces.
    ListWorkspaces {
        /// Only those of this objective.
        objective_id: IdRef,
        /// The cursor of the page before.
        #[schemars(regex(pattern = "^-?[0-9]{1,19}~.{1,64}$"))]
        after: String,
        /// At most so many.
        #[schemars(range(min = 1, max = 1000))]
        limit: u32,
    }
    /// The ticket of a login link.
    LoginTicket {
        /// The ticket.
        ticket: String,
    }
}
