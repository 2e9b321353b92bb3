//! Anthropic Messages.

use super::Frame;
use crate::server::ask::{Api, Ask, Talk, Tool, items_at, text_at, text_of};
use crate::server::plan::Plan;
use crate::server::scenario::Stop;
use serde_json::{Value, json};

pub fn read(body: &Value) -> Ask {
    let mut talk = Talk::default();
    for message in items_at(body, "messages") {
        let content = &message["content"];
        let text = Value::Array(vec![json!({"type": "text", "text": content})]);
        let blocks = if content.is_string() { text.as_array() } else { content.as_array() };
        let blocks = blocks.map_or(&[][..], Vec::as_slice);
        let of_type = |kind: &'static str| blocks.iter().filter(move |block| text_at(block, "type") == kind);
        let texts: Vec<&str> = of_type("text").map(|block| text_at(block, "text")).collect();
        match text_at(message, "role") {
            "assistant" => {
                talk.model(&texts.join("\n"));
                of_type("tool_use").for_each(|call| talk.call(text_at(call, "name"), &super::raw(call.get("input"))));
            }
            "user" if of_type("tool_result").next().is_some() => {
                // Reminders of the program may stand beside results; they are not what the user said.
                of_type("tool_result").for_each(|it| talk.result(text_of(&it["content"])));
            }
            "user" => talk.user(&texts.join("\n")),
            _ => {}
        }
    }
    let named = items_at(body, "tools").iter().filter(|tool| tool.get("name").is_some());
    Ask {
        api: Api::Messages,
        model: text_at(body, "model").to_owned(),
        stream: body["stream"] == true,
        system: text_of(&body["system"]),
        talk,
        tools: named.map(|tool| Tool::function(text_at(tool, "name"), tool.get("input_schema"))).collect(),
        defers_tools: false,
        schema: body.pointer("/output_config/format/schema").cloned(),
        conversation: None,
    }
}

fn stop_reason(plan: &Plan) -> &'static str {
    match plan.stop {
        Stop::MaxTokens => "max_tokens",
        Stop::Refusal => "refusal",
        Stop::Natural if plan.calls.is_empty() => "end_turn",
        Stop::Natural => "tool_use",
    }
}

fn usage(plan: &Plan, output: u64) -> Value {
    json!({
        "input_tokens": plan.usage.input,
        "cache_creation_input_tokens": plan.usage.cache_write,
        "cache_read_input_tokens": plan.usage.cache_read,
        "output_tokens": output,
    })
}

fn message(plan: &Plan, content: Value, stop: Value, usage: Value) -> Value {
    json!({
        "id": plan.id("msg_", 0), "type": "message", "role": "assistant", "model": plan.model,
        "content": content, "stop_reason": stop, "stop_sequence": null, "usage": usage,
    })
}

const SIGNATURE: &str = "c2NyaXB0ZWQ=";

pub fn frames(plan: &Plan) -> Vec<Frame> {
    let start = message(plan, json!([]), Value::Null, usage(plan, 1));
    let mut frames = vec![Frame::typed(&json!({"type": "message_start", "message": start}))];
    let mut index = 0;
    let mut block = |start: Value, deltas: Vec<Value>| {
        frames.push(Frame::typed(&json!({"type": "content_block_start", "index": index, "content_block": start})));
        for delta in deltas {
            let is_text = delta["type"] == "text_delta";
            let frame = Frame::typed(&json!({"type": "content_block_delta", "index": index, "delta": delta}));
            frames.push(if is_text { frame.piece() } else { frame });
        }
        frames.push(Frame::typed(&json!({"type": "content_block_stop", "index": index})));
        index += 1;
    };
    if !plan.thinking.is_empty() {
        block(
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            vec![
                json!({"type": "thinking_delta", "thinking": plan.thinking}),
                json!({"type": "signature_delta", "signature": SIGNATURE}),
            ],
        );
    }
    if !plan.pieces.is_empty() {
        let deltas = plan.pieces.iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect();
        block(json!({"type": "text", "text": ""}), deltas);
    }
    for (n, call) in plan.calls.iter().enumerate() {
        let raw = call.args().to_string();
        // In two parts, so that whoever reads must put them together.
        let middle = (raw.len() / 2..raw.len()).find(|at| raw.is_char_boundary(*at)).unwrap_or(raw.len());
        let (head, tail) = raw.split_at(middle);
        block(
            json!({"type": "tool_use", "id": plan.id("toolu_", n), "name": call.tool.name, "input": {}}),
            [head, tail].map(|part| json!({"type": "input_json_delta", "partial_json": part})).to_vec(),
        );
    }
    let delta = json!({"stop_reason": stop_reason(plan), "stop_sequence": null});
    let end = json!({"type": "message_delta", "delta": delta, "usage": usage(plan, plan.usage.output)});
    frames.push(Frame::typed(&end));
    frames.push(Frame::typed(&json!({"type": "message_stop"})));
    frames
}

pub fn whole(plan: &Plan) -> Value {
    let mut content = Vec::new();
    if !plan.thinking.is_empty() {
        content.push(json!({"type": "thinking", "thinking": plan.thinking, "signature": SIGNATURE}));
    }
    if !plan.pieces.is_empty() {
        content.push(json!({"type": "text", "text": plan.text()}));
    }
    for (n, call) in plan.calls.iter().enumerate() {
        let id = plan.id("toolu_", n);
        content.push(json!({"type": "tool_use", "id": id, "name": call.tool.name, "input": call.args()}));
    }
    message(plan, content.into(), stop_reason(plan).into(), usage(plan, plan.usage.output))
}
