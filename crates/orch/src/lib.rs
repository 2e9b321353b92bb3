//! Floor 3, the wheel: the only place where mind, memory and hands meet.
//!
//! ```text
//!  intents and facts ─▶ inbox of the objective ─▶ plan::step ─▶ store::commit ─▶ lanes of effects ─▶ hands
//!          ▲                                                                                        │
//!          └──────────────────────────────── facts ◀─────────────────────────────────────────────────┘
//! ```
//!
//! One objective is decided by one task at a time; each decision is one transaction. Effects are executed in
//! lanes, the oldest first, and answer with facts. What an agent writes is read by one task per run and stored
//! together with the cursor. Nothing is decided here: see `orcha-model` and `orcha-plan`.

mod asking;
mod attachments;
mod catalog;
mod checker;
mod clock;
mod confine;
mod delivery;
mod doctor;
mod execute;
mod feed;
mod fleet;
mod hands;
mod inbox;
mod ingest;
mod lanes;
mod learning;
mod orch;
mod project_checks;
mod providers;
mod purses;
mod relics;
mod settings;
mod texts;
mod tool_servers;
mod watch;

pub use attachments::Files;
pub use catalog::{Models, NoModels};
pub use checker::{CheckFault, CheckSaid, CheckWish, Checker};
pub use clock::{Clock, SystemClock};
pub use delivery::WishedDelivery;
pub use feed::Activity;
pub use hands::{Hands, TargetHands};
pub use inbox::{Did, Receipt, SubmitError};
pub use orch::{Actor, NewObjective, Orch, PublishRequest, StartError, UpdateRequest};
pub use orcha_checks::Settings as CheckSettings;
pub use orcha_delivery::{Deliverer, Invalid as InvalidDelivery};
pub use orcha_exec::{Finding, Grade};
pub use project_checks::ProjectChecks;
pub use purses::SharedCaps;
pub use settings::Settings;
pub use texts::{RefinerSettings, tally};
pub use tool_servers::{KnownServer, LentServer, Looked, Looker};
