//! Commands about the tool servers that roles are lent.

use crate::cli::Mcp;
use crate::say::Say;
use crate::tables;
use anyhow::Result;
use orcha_client::Client;
use orcha_wire::PinMcpServer;

pub async fn go(client: &Client, say: Say, command: Mcp) -> Result<()> {
    let server = match command {
        Mcp::Ls => return say.answer(&client.mcp_servers().await?, |rows, out| tables::mcp_servers(rows, out)),
        Mcp::Show { name } => return say.answer(&client.look_at_mcp_server(&name).await?, tables::mcp_server),
        Mcp::Pin { name, hash } => client.pin_mcp_server(&name, &PinMcpServer { hash }).await?,
        Mcp::Unpin { name } => client.unpin_mcp_server(&name).await?,
    };
    say.answer(&vec![server], |rows, out| tables::mcp_servers(rows, out))
}
