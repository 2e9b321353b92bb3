//! The tools that the daemon offers to agents, over Streamable HTTP.
