//! Git commands that execute nothing a checkout brings along.
