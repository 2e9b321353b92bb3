//! A typed client of the daemon's HTTP API, and the live view of a run.
//!
//! It speaks `orcha-wire` and nothing else: no state machine, no database, no guess about what the daemon will do.
//! It reads no file; address and token are handed in.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use orcha_base::Redacted;
//! use orcha_client::{Client, live};
//! use orcha_wire::CreateObjective;
//!
//! let client = Client::new("http://127.0.0.1:7420", Redacted::new("token".to_owned()))?;
//! let wish = CreateObjective { prompt: "Add a page".into(), ..CreateObjective::default() };
//! let made = client.create_objective(&wish).await?;
//! let outcome = live::follow(&client, made.objective.id, live::Output::for_people(), &mut std::io::stdout()).await?;
//! println!("{}", outcome.objective.status);
//! # Ok(()) }
//! ```

mod calls;
mod client;
mod error;
mod stream;

#[cfg(feature = "fake")]
pub mod fake;
pub mod live;
pub mod text;

pub use client::{Client, Download, Link, Page};
pub use error::ClientError;
pub use stream::News;
