//! Gemini generateContent and streamGenerateContent; a stream is always one of server-sent events.

use super::Frame;
use crate::server::ask::{Api, Ask, Talk, Tool, items_at, text_at, text_of};
use crate::server::plan::Plan;
use crate::server::scenario::Stop;
use serde_json::{Value, json};

pub fn read(path: &str, body: &Value) -> Ask {
    let mut talk = Talk::default();
    for content in items_at(body, "contents") {
        let parts = items_at(content, "parts");
        let texts: Vec<&str> = parts.iter().map(|part| text_at(part, "text")).filter(|it| !it.is_empty()).collect();
        let given = |key: &'static str| parts.iter().filter_map(move |part| part.get(key));
        if text_at(content, "role") == "model" {
            talk.model(&texts.join("\n"));
            given("functionCall").for_each(|call| talk.call(text_at(call, "name"), &super::raw(call.get("args"))));
        } else if given("functionResponse").next().is_some() {
            given("functionResponse").for_each(|it| talk.result(super::raw(it.get("response"))));
        } else {
            talk.user(&texts.join("\n"));
        }
    }
    let declarations = items_at(body, "tools").iter().flat_map(|tool| items_at(tool, "functionDeclarations"));
    let config = &body["generationConfig"];
    let model = path.split_once("/models/").map_or("", |(_, rest)| rest);
    Ask {
        api: Api::Gemini,
        model: model.split([':', '/', '?']).next().unwrap_or_default().to_owned(),
        stream: path.contains(":streamGenerateContent"),
        system: text_of(&body["systemInstruction"]),
        talk,
        tools: declarations
            .map(|it| {
                Tool::function(text_at(it, "name"), it.get("parametersJsonSchema").or_else(|| it.get("parameters")))
            })
            .collect(),
        defers_tools: false,
        schema: config.get("responseJsonSchema").or_else(|| config.get("responseSchema")).cloned(),
        conversation: None,
    }
}

fn finish(plan: &Plan) -> &'static str {
    match plan.stop {
        Stop::MaxTokens => "MAX_TOKENS",
        Stop::Refusal => "SAFETY",
        Stop::Natural => "STOP",
    }
}

fn candidate(plan: &Plan, parts: Value, finish: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    let mut answer = json!({"modelVersion": plan.model, "responseId": plan.id("resp-", 0)});
    if let Some(reason) = finish {
        candidate["finishReason"] = json!(reason);
        let usage = &plan.usage;
        answer["usageMetadata"] = json!({
            "promptTokenCount": usage.input,
            "candidatesTokenCount": usage.output,
            "totalTokenCount": usage.input + usage.output,
            "cachedContentTokenCount": usage.cache_read,
            "thoughtsTokenCount": usage.reasoning,
        });
    }
    answer["candidates"] = json!([candidate]);
    answer
}

fn calls(plan: &Plan) -> Vec<Value> {
    let calls = plan.calls.iter().enumerate();
    calls
        .map(|(n, call)| json!({"functionCall": {"id": plan.id("call-", n), "name": call.tool.name, "args": call.args()}}))
        .collect()
}

/// The last part of an answer must not be empty.
fn or_empty_text(parts: Vec<Value>) -> Value {
    if parts.is_empty() { json!([{"text": ""}]) } else { parts.into() }
}

fn thought(plan: &Plan) -> Value {
    json!({"text": plan.thinking, "thought": true})
}

pub fn whole(plan: &Plan) -> Value {
    let mut parts = Vec::new();
    if !plan.thinking.is_empty() {
        parts.push(thought(plan));
    }
    if !plan.pieces.is_empty() {
        parts.push(json!({"text": plan.text()}));
    }
    parts.extend(calls(plan));
    candidate(plan, or_empty_text(parts), Some(finish(plan)))
}

pub fn frames(plan: &Plan) -> Vec<Frame> {
    let mut frames = Vec::new();
    if !plan.thinking.is_empty() {
        frames.push(Frame::plain(&candidate(plan, json!([thought(plan)]), None)));
    }
    let piece = |text: &String| Frame::plain(&candidate(plan, json!([{"text": text}]), None)).piece();
    frames.extend(plan.pieces.iter().map(piece));
    frames.push(Frame::plain(&candidate(plan, or_empty_text(calls(plan)), Some(finish(plan)))));
    frames
}
