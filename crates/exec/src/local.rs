//! Runs on this machine.

/// How runs are kept on this machine.
#[derive(Clone, Debug)]
pub struct LocalSettings {}

/// This machine as a host.
#[derive(Clone, Debug)]
pub struct LocalHost {}
