//! OpenAI Responses.

use super::Frame;
use crate::server::ask::{Api, Ask, Talk, Tool, ToolKind, items_at, text_at, text_of};
use crate::server::plan::Plan;
use crate::server::scenario::Stop;
use serde_json::{Value, json};

pub fn read(body: &Value) -> Ask {
    let mut talk = Talk::default();
    let mut tools = Vec::new();
    let mut defers_tools = declare(items_at(body, "tools"), None, &mut tools);
    if let Some(text) = body["input"].as_str() {
        talk.user(text);
    }
    for item in items_at(body, "input") {
        let kind = item.get("type").and_then(Value::as_str).unwrap_or("message");
        match (kind, text_at(item, "role")) {
            ("message", "user") => talk.user(&text_of(&item["content"])),
            ("message", "assistant") => talk.model(&text_of(&item["content"])),
            // Some programs declare more tools in the middle of the conversation.
            ("additional_tools" | "tool_search_output", _) => {
                defers_tools |= declare(items_at(item, "tools"), None, &mut tools);
            }
            ("function_call", _) => talk.call(text_at(item, "name"), text_at(item, "arguments")),
            ("custom_tool_call", _) => talk.call(text_at(item, "name"), text_at(item, "input")),
            ("local_shell_call", _) => talk.call("local_shell", &super::raw(item.get("action"))),
            (kind, _) if kind.ends_with("_output") => talk.result(text_of(&item["output"])),
            _ => {}
        }
    }
    Ask {
        api: Api::Responses,
        model: text_at(body, "model").to_owned(),
        stream: body["stream"] == true,
        system: text_at(body, "instructions").to_owned(),
        talk,
        tools,
        defers_tools,
        schema: body.pointer("/text/format/schema").cloned(),
        conversation: body.get("prompt_cache_key").and_then(Value::as_str).map(str::to_owned),
    }
}

/// Adds declared tools, also those in groups; returns whether others can be searched for.
fn declare(specs: &[Value], namespace: Option<&str>, tools: &mut Vec<Tool>) -> bool {
    let mut defers = false;
    for spec in specs {
        let named = |kind| Tool {
            kind,
            namespace: namespace.map(str::to_owned),
            ..Tool::function(text_at(spec, "name"), spec.get("parameters"))
        };
        match text_at(spec, "type") {
            "namespace" => defers |= declare(items_at(spec, "tools"), Some(text_at(spec, "name")), tools),
            "function" => tools.push(named(ToolKind::Function)),
            "custom" => tools.push(named(ToolKind::Custom)),
            "local_shell" => tools.push(Tool { kind: ToolKind::LocalShell, ..Tool::function("local_shell", None) }),
            "tool_search" => defers = true,
            _ => {}
        }
    }
    defers
}

/// One finished item of an answer, and how it looks when it has only begun.
struct Item {
    done: Value,
    begun: Value,
}

fn item(done: Value, empty: &[(&str, Value)]) -> Item {
    let mut begun = done.clone();
    for (key, value) in empty {
        begun[*key] = value.clone();
    }
    Item { done, begun }
}

fn items(plan: &Plan) -> Vec<Item> {
    let mut items = Vec::new();
    let in_progress = ("status", json!("in_progress"));
    if !plan.thinking.is_empty() {
        let done = json!({
            "type": "reasoning", "id": plan.id("rs_", 0), "encrypted_content": null,
            "summary": [{"type": "summary_text", "text": plan.thinking}],
        });
        items.push(item(done, &[("summary", json!([]))]));
    }
    if !plan.pieces.is_empty() {
        let done = json!({
            "type": "message", "id": plan.id("msg_", 0), "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": plan.text(), "annotations": []}],
        });
        items.push(item(done, &[("content", json!([])), in_progress.clone()]));
    }
    for (n, call) in plan.calls.iter().enumerate() {
        let mut done = json!({"id": plan.id("fc_", n), "call_id": plan.id("call_", n), "status": "completed"});
        match call.tool.kind {
            ToolKind::LocalShell => {
                done["type"] = json!("local_shell_call");
                done["action"] = json!({"type": "exec", "command": call.args()["command"], "env": {}});
                items.push(item(done, std::slice::from_ref(&in_progress)));
            }
            ToolKind::Custom => {
                done["type"] = json!("custom_tool_call");
                done["name"] = json!(call.tool.name);
                done["input"] = json!(call.raw());
                items.push(item(done, &[("input", json!("")), in_progress.clone()]));
            }
            ToolKind::Function => {
                done["type"] = json!("function_call");
                done["name"] = json!(call.tool.name);
                done["arguments"] = json!(call.raw());
                if let Some(namespace) = &call.tool.namespace {
                    done["namespace"] = json!(namespace);
                }
                items.push(item(done, &[("arguments", json!("")), in_progress.clone()]));
            }
        }
    }
    items
}

fn response(plan: &Plan, items: &[Item]) -> Value {
    let incomplete = match plan.stop {
        Stop::MaxTokens => Some("max_output_tokens"),
        Stop::Refusal => Some("content_filter"),
        Stop::Natural => None,
    };
    let output: Vec<&Value> = items.iter().map(|item| &item.done).collect();
    json!({
        "id": plan.id("resp_", 0), "object": "response", "created_at": 0, "model": plan.model,
        "status": if incomplete.is_some() { "incomplete" } else { "completed" },
        "error": null,
        "incomplete_details": incomplete.map(|reason| json!({"reason": reason})),
        "output": output,
        "parallel_tool_calls": true,
        "usage": {
            "input_tokens": plan.usage.input,
            "input_tokens_details": {"cached_tokens": plan.usage.cache_read},
            "output_tokens": plan.usage.output,
            "output_tokens_details": {"reasoning_tokens": plan.usage.reasoning},
            "total_tokens": plan.usage.input + plan.usage.output,
        },
    })
}

pub fn whole(plan: &Plan) -> Value {
    response(plan, &items(plan))
}

/// The events of one answer, numbered as they are added.
#[derive(Default)]
struct Events(Vec<Frame>);

impl Events {
    fn add(&mut self, kind: &str, mut data: Value) -> &mut Frame {
        data["type"] = json!(kind);
        data["sequence_number"] = json!(self.0.len());
        let at = self.0.len();
        self.0.push(Frame::typed(&data));
        &mut self.0[at]
    }
}

pub fn frames(plan: &Plan) -> Vec<Frame> {
    let items = items(plan);
    let whole = response(plan, &items);
    let mut start = whole.clone();
    for (key, value) in [("status", json!("in_progress")), ("output", json!([]))] {
        start[key] = value;
    }
    for key in ["usage", "incomplete_details"] {
        start[key] = Value::Null;
    }
    let mut events = Events::default();
    events.add("response.created", json!({"response": start}));
    events.add("response.in_progress", json!({"response": start}));
    for (index, item) in items.iter().enumerate() {
        events.add("response.output_item.added", json!({"output_index": index, "item": item.begun}));
        inside(&mut events, plan, index, &item.done);
        events.add("response.output_item.done", json!({"output_index": index, "item": item.done}));
    }
    let is_complete = whole["status"] == "completed";
    let end = if is_complete { "response.completed" } else { "response.incomplete" };
    events.add(end, json!({"response": whole}));
    events.0
}

/// Adds what comes between the beginning and the end of an item.
fn inside(events: &mut Events, plan: &Plan, index: usize, item: &Value) {
    let at = |more: Value| {
        let mut data = json!({"output_index": index, "item_id": item["id"]});
        more.as_object().into_iter().flatten().for_each(|(key, value)| data[key] = value.clone());
        data
    };
    match text_at(item, "type") {
        "message" => {
            let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
            events.add("response.content_part.added", at(json!({"content_index": 0, "part": part("")})));
            for piece in &plan.pieces {
                let data = at(json!({"content_index": 0, "delta": piece}));
                events.add("response.output_text.delta", data).is_piece = true;
            }
            let text = plan.text();
            events.add("response.output_text.done", at(json!({"content_index": 0, "text": text})));
            events.add("response.content_part.done", at(json!({"content_index": 0, "part": part(&text)})));
        }
        "reasoning" => {
            let part = |text: &str| json!({"type": "summary_text", "text": text});
            let kind = |rest: &str| format!("response.reasoning_summary_{rest}");
            let text = &plan.thinking;
            events.add(&kind("part.added"), at(json!({"summary_index": 0, "part": part("")})));
            events.add(&kind("text.delta"), at(json!({"summary_index": 0, "delta": text})));
            events.add(&kind("text.done"), at(json!({"summary_index": 0, "text": text})));
            events.add(&kind("part.done"), at(json!({"summary_index": 0, "part": part(text)})));
        }
        "function_call" => {
            events.add("response.function_call_arguments.delta", at(json!({"delta": item["arguments"]})));
            events.add("response.function_call_arguments.done", at(json!({"arguments": item["arguments"]})));
        }
        "custom_tool_call" => {
            events.add("response.custom_tool_call_input.delta", at(json!({"delta": item["input"]})));
            events.add("response.custom_tool_call_input.done", at(json!({"input": item["input"]})));
        }
        _ => {}
    }
}

/// An error in the middle of a stream.
pub fn failed(body: &Value) -> Frame {
    let error = &body["error"];
    let code = if error["code"].is_null() { &error["type"] } else { &error["code"] };
    Frame::typed(&json!({
        "type": "response.failed",
        "sequence_number": 0,
        "response": {
            "id": "resp_failed", "object": "response", "status": "failed", "output": [], "usage": null,
            "error": {"code": code, "message": error["message"]},
        },
    }))
}
