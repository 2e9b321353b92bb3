//! The API as a client sees it: a real wheel over a real store with fakes as hands, asked in process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod document;
mod hostile;
mod locks;
mod roles;
mod routes;
mod serving;
mod stage;
mod streams;
mod tenants;
mod workflows;
