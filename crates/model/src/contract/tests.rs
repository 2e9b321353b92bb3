//! What is taken, and what is not.
