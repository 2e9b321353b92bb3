//! Floor 1, the mind: what things are, and what happens when one of them meets one input.
//!
//! Pure. Nothing here starts a process, reads a clock, draws a random number or knows how a host, a
//! code host or a database works. Each noun with a life has a module: its states, its inputs, its
//! `decide`. What should happen *between* nouns is `orcha-plan`'s business.

pub mod attachment;
pub mod budget;
pub mod casting;
pub mod check;
pub mod contract;
pub mod delivery;
pub mod effect;
pub mod feedback;
pub mod finished;
pub mod gate;
pub mod guard;
pub mod hand_in;
pub mod journal;
pub mod message;
pub mod objective;
pub mod permission;
pub mod policy;
pub mod proposal;
pub mod provider;
pub mod pull_request;
pub mod push;
pub mod question;
pub mod record;
pub mod role;
pub mod sandbox;
pub mod session;
pub mod target;
pub mod task;
pub mod text;
pub mod tool_server;
pub mod workflow;
pub mod workspace;

mod decision;

pub use attachment::Attachment;
pub use budget::Amount;
pub use check::CheckRun;
pub use contract::Contract;
pub use decision::{Decision, Refusal};
pub use effect::{Effect, EffectKey};
pub use feedback::Feedback;
pub use guard::{Limits, Trip};
pub use hand_in::HandIn;
pub use journal::{Note, NoteKind};
pub use message::Message;
pub use objective::Objective;
pub use permission::{PermissionVerdict, Permissions, permission_verdict};
pub use proposal::Proposal;
pub use provider::Provider;
pub use pull_request::PullRequest;
pub use push::{PushVerdict, push_verdict};
pub use question::Question;
pub use record::{Artifact, ArtifactKind, NounId, Project, Visibility};
pub use role::{LocalTool, Role, RoleTraits, Tool};
pub use sandbox::{Confine, sandbox_verdict};
pub use session::Session;
pub use target::Target;
pub use task::Task;
pub use text::Text;
pub use tool_server::ToolServer;
pub use workflow::Workflow;
pub use workspace::Workspace;
