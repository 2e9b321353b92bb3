//! An MCP server beside the model: Streamable HTTP, answers in JSON, no session.
//!
//! It is as small as programs allow. The tools that count in the product are the daemon's own.

use crate::server::plan::Names;
use crate::server::record::Said;
use crate::server::scenario::{McpResult, McpTool};
use crate::server::stage::Stage;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::time::Duration;

/// Answers one message.
pub async fn answer(stage: &Stage, bearer: Option<&str>, message: &Value) -> (Said, Response) {
    let mcp = stage.mcp();
    let method = message["method"].as_str().unwrap_or_default();
    let said = Said::Mcp { method: method.to_owned() };
    if mcp.bearer.is_some() && mcp.bearer.as_deref() != bearer {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let refusal = (StatusCode::UNAUTHORIZED, challenge, Json(json!({"error": "unauthorized"})));
        return (Said::Error { main: false, status: 401 }, refusal.into_response());
    }
    let Some(id) = message.get("id") else { return (said, StatusCode::ACCEPTED.into_response()) };
    let params = &message["params"];
    let outcome = match method {
        "initialize" => Ok(json!({
            "protocolVersion": params.get("protocolVersion").cloned().unwrap_or_else(|| json!("2025-06-18")),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "scripted", "version": env!("CARGO_PKG_VERSION")},
        })),
        "tools/list" => Ok(json!({"tools": mcp.tools.iter().map(declaration).collect::<Vec<_>>()})),
        "tools/call" => match mcp.tools.iter().find(|tool| params["name"] == tool.name) {
            Some(tool) => Ok(call(stage, tool, &params["arguments"]).await),
            None => Err((-32602, "there is no such tool")),
        },
        "ping" => Ok(json!({})),
        "resources/list" => Ok(json!({"resources": []})),
        "resources/templates/list" => Ok(json!({"resourceTemplates": []})),
        "prompts/list" => Ok(json!({"prompts": []})),
        _ => Err((-32601, "there is no such method")),
    };
    let answer = match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err((code, what)) => json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": what}}),
    };
    (said, Json(answer).into_response())
}

fn declaration(tool: &McpTool) -> Value {
    json!({"name": tool.name, "description": tool.description, "inputSchema": tool.schema})
}

async fn call(stage: &Stage, tool: &McpTool, args: &Value) -> Value {
    tokio::time::sleep(Duration::from_millis(tool.delay_ms)).await;
    let Names(mut names) = stage.names();
    names.insert("args".to_owned(), args.to_string());
    let filled = match &tool.result {
        McpResult::Text(text) => Names(names).fill(text).map(|text| json!([{"type": "text", "text": text}])),
        McpResult::Content(content) => Names(names).fill_value(&Value::Array(content.clone())),
    };
    match filled {
        Ok(content) => json!({"content": content, "isError": tool.error}),
        Err(fault) => {
            let text = format!("SCRIPT ERROR: {fault}");
            json!({"content": [{"type": "text", "text": text}], "isError": true})
        }
    }
}
