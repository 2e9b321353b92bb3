//! The tools over real HTTP.
