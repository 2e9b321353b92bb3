//! The keeper: session leader of one run.
