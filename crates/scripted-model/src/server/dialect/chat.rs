//! OpenAI Chat Completions.

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
            "system" | "developer" => system.push(text),
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
    let functions = items_at(body, "tools").iter().filter(|tool| text_at(tool, "type") == "function");
    Ask {
        api: Api::Chat,
        model: text_at(body, "model").to_owned(),
        stream: body["stream"] == true,
        system: system.join("\n"),
        talk,
        tools: functions
            .map(|tool| &tool["function"])
            .map(|it| Tool::function(text_at(it, "name"), it.get("parameters")))
            .collect(),
        defers_tools: false,
        schema: body.pointer("/response_format/json_schema/schema").cloned(),
        conversation: None,
    }
}

fn finish(plan: &Plan) -> &'static str {
    match plan.stop {
        Stop::MaxTokens => "length",
        Stop::Refusal => "content_filter",
        Stop::Natural if plan.calls.is_empty() => "stop",
        Stop::Natural => "tool_calls",
    }
}

fn usage(plan: &Plan) -> Value {
    json!({
        "prompt_tokens": plan.usage.input,
        "completion_tokens": plan.usage.output,
        "total_tokens": plan.usage.input + plan.usage.output,
        "prompt_tokens_details": {"cached_tokens": plan.usage.cache_read},
        "completion_tokens_details": {"reasoning_tokens": plan.usage.reasoning},
    })
}

fn calls(plan: &Plan) -> Vec<Value> {
    let calls = plan.calls.iter().enumerate();
    calls
        .map(|(n, call)| {
            let function = json!({"name": call.tool.name, "arguments": call.args().to_string()});
            json!({"id": plan.id("call_", n), "type": "function", "function": function})
        })
        .collect()
}

fn envelope(plan: &Plan, object: &str, choices: Value) -> Value {
    json!({"id": plan.id("chatcmpl-", 0), "object": object, "created": 0, "model": plan.model, "choices": choices})
}

pub fn whole(plan: &Plan) -> Value {
    let text = plan.text();
    let mut message = json!({"role": "assistant", "content": if text.is_empty() { Value::Null } else { text.into() }});
    if !plan.thinking.is_empty() {
        message["reasoning_content"] = json!(plan.thinking);
    }
    if !plan.calls.is_empty() {
        message["tool_calls"] = calls(plan).into();
    }
    let choices = json!([{"index": 0, "message": message, "finish_reason": finish(plan)}]);
    let mut whole = envelope(plan, "chat.completion", choices);
    whole["usage"] = usage(plan);
    whole
}

pub fn frames(plan: &Plan) -> Vec<Frame> {
    let chunk = |choices: Value| envelope(plan, "chat.completion.chunk", choices);
    let delta = |delta: Value, finish: Option<&str>| {
        Frame::plain(&chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}])))
    };
    let mut frames = vec![delta(json!({"role": "assistant", "content": ""}), None)];
    if !plan.thinking.is_empty() {
        frames.push(delta(json!({"reasoning_content": plan.thinking}), None));
    }
    frames.extend(plan.pieces.iter().map(|piece| delta(json!({"content": piece}), None).piece()));
    for (n, mut call) in calls(plan).into_iter().enumerate() {
        call["index"] = json!(n);
        frames.push(delta(json!({"tool_calls": [call]}), None));
    }
    frames.push(delta(json!({}), Some(finish(plan))));
    let mut last = chunk(json!([]));
    last["usage"] = usage(plan);
    frames.push(Frame::plain(&last));
    frames.push(Frame { data: "[DONE]".to_owned(), ..Frame::plain(&Value::Null) });
    frames
}
