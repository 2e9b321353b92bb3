//! Ollama's own language: a stream of lines, and arguments that are objects.

use super::Frame;
use crate::server::ask::{Api, Ask, Talk, Tool, items_at, text_at, text_of};
use crate::server::plan::Plan;
use crate::server::scenario::Stop;
use serde_json::{Value, json};

pub fn read(body: &Value) -> Ask {
    let mut talk = Talk::default();
    let mut system = Vec::new();
    for message in items_at(body, "messages") {
        let text = text_of(&message["content"]);
        match text_at(message, "role") {
            "system" => system.push(text),
            "user" => talk.user(&text),
            "tool" => talk.result(text),
            "assistant" => {
                talk.model(&text);
                for call in items_at(message, "tool_calls") {
                    let function = &call["function"];
                    talk.call(text_at(function, "name"), &super::raw(function.get("arguments")));
                }
            }
            _ => {}
        }
    }
    Ask {
        api: Api::Ollama,
        model: text_at(body, "model").to_owned(),
        // It streams unless it is told not to.
        stream: body["stream"] != false,
        system: system.join("\n"),
        talk,
        tools: items_at(body, "tools")
            .iter()
            .map(|tool| &tool["function"])
            .map(|it| Tool::function(text_at(it, "name"), it.get("parameters")))
            .collect(),
        defers_tools: false,
        schema: body.get("format").filter(|it| it.is_object()).cloned(),
        conversation: None,
    }
}

fn line(plan: &Plan, message: Value) -> Value {
    json!({"model": plan.model, "created_at": "1970-01-01T00:00:00Z", "message": message, "done": false})
}

fn calls(plan: &Plan) -> Vec<Value> {
    let call = |(n, call): (usize, &crate::server::plan::Made)| json!({"id": plan.id("call_", n), "function": {"index": n, "name": call.tool.name, "arguments": call.args()}});
    plan.calls.iter().enumerate().map(call).collect()
}

/// Puts the end of an answer into its last line.
fn ended(plan: &Plan, mut last: Value) -> Value {
    last["done"] = json!(true);
    last["done_reason"] = json!(if plan.stop == Stop::MaxTokens { "length" } else { "stop" });
    for (name, count) in [
        ("total_duration", 1),
        ("load_duration", 1),
        ("prompt_eval_count", plan.usage.input),
        ("prompt_eval_duration", 1),
        ("eval_count", plan.usage.output),
        ("eval_duration", 1),
    ] {
        last[name] = json!(count);
    }
    last
}

pub fn whole(plan: &Plan) -> Value {
    let mut message = json!({"role": "assistant", "content": plan.text()});
    if !plan.thinking.is_empty() {
        message["thinking"] = json!(plan.thinking);
    }
    if !plan.calls.is_empty() {
        message["tool_calls"] = calls(plan).into();
    }
    ended(plan, line(plan, message))
}

pub fn frames(plan: &Plan) -> Vec<Frame> {
    let mut frames = Vec::new();
    let said = |message: Value| Frame::line(&line(plan, message));
    if !plan.thinking.is_empty() {
        frames.push(said(json!({"role": "assistant", "content": "", "thinking": plan.thinking})));
    }
    frames.extend(plan.pieces.iter().map(|it| said(json!({"role": "assistant", "content": it})).piece()));
    if !plan.calls.is_empty() {
        frames.push(said(json!({"role": "assistant", "content": "", "tool_calls": calls(plan)})));
    }
    frames.push(Frame::line(&ended(plan, line(plan, json!({"role": "assistant", "content": ""})))));
    frames
}

/// The models as they are listed.
pub fn tags(names: &[String]) -> Value {
    let details =
        json!({"format": "gguf", "family": "scripted", "parameter_size": "8.0B", "quantization_level": "Q4_K_M"});
    let model = |name: &String| json!({"name": name, "model": name, "size": 1, "digest": "0", "details": details});
    json!({"models": names.iter().map(model).collect::<Vec<_>>()})
}

/// One model, looked at closely.
pub fn show() -> Value {
    json!({
        "details": {"family": "scripted", "parameter_size": "8.0B"},
        "model_info": {"general.architecture": "scripted", "scripted.context_length": 32768},
        "capabilities": ["completion", "tools"],
    })
}
