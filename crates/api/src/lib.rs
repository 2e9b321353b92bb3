//! Floor 4: HTTP, SSE and MCP. Parses, authorises, translates; decides nothing.

pub mod mcp;
