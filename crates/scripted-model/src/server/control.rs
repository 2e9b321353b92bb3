//! What a test in another process asks of the server, under `/_scripted/`.
//!
//! None of it is recorded: it is not the program under test that asks.

use crate::server::scenario::Scenario;
use crate::server::stage::Stage;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Answers one request; `rest` is the path behind `/_scripted/`.
pub async fn serve(stage: &Stage, method: &Method, rest: &str, body: &[u8]) -> Response {
    match (method, rest.split_once('/').unwrap_or((rest, ""))) {
        (&Method::GET, ("state", "")) => Json(stage.state()).into_response(),
        (&Method::GET, ("requests", "")) => Json(stage.records()).into_response(),
        (&Method::GET, ("held", gate)) if !gate.is_empty() => {
            Json(stage.until_state(|state| state.held.iter().any(|held| held == gate)).await).into_response()
        }
        (&Method::POST, ("release", gate)) if !gate.is_empty() => {
            stage.release(gate);
            Json(json!({})).into_response()
        }
        (&Method::POST, ("scenario", "")) => match Scenario::parse(&String::from_utf8_lossy(body)) {
            Ok(scenario) => {
                stage.play(scenario);
                Json(json!({})).into_response()
            }
            Err(fault) => refusal(StatusCode::UNPROCESSABLE_ENTITY, &fault.to_string()),
        },
        _ => refusal(StatusCode::NOT_FOUND, "there are GET state, requests, held/GATE and POST release/GATE, scenario"),
    }
}

fn refusal(status: StatusCode, what: &str) -> Response {
    (status, Json(json!({"error": what}))).into_response()
}
