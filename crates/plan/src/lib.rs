//! Floor 2, the mind: what should happen next between many nouns.
//!
//! Pure. A [`World`] is the snapshot of one objective with everything that belongs to it; [`step`] lets one
//! [`Stimulus`] meet it and runs the passes until nothing is left to propose. A [`Fleet`] is the snapshot of
//! all sessions that want a place. How a snapshot is loaded and where a change is stored is not known here.

mod attached;
pub mod brief;
pub mod budget;
mod delivery;
mod finished;
mod fleet;
pub mod handover;
mod outlook;
pub mod passes;
pub mod prompt;
mod shelf;
mod step;
pub mod texts;
mod why;
mod world;

pub use budget::Estimates;
pub use finished::finished;
pub use fleet::{Candidate, Fleet, Place, Placement, TargetRoom, schedule};
pub use outlook::Outlook;
pub use shelf::Shelf;
pub use step::{
    AddTask, Changes, Mind, NewFeedback, NewMessage, NewPublication, NewQuestion, NewSession, OfWorkflow, Play,
    Published, Settings, Stimulus, first_sessions, published, step, step_from,
};
pub use why::{Why, why};
pub use world::World;
