//! The server over plain HTTP: each dialect's shapes, errors, streams that are held or cut, records and controls.
//!
//! No agent program runs here; see `real_programs`.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise, also in its helpers")]

use orcha_scripted_model::{Options, Said, Scenario, ScriptedModel};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// A limit for what must happen at once, generous for a busy machine.
const SOON: Duration = Duration::from_secs(30);

fn model(scenario: &Value) -> ScriptedModel {
    let vars = [("ws".to_owned(), "/w".to_owned())].into();
    let scenario = Scenario::parse(&scenario.to_string()).unwrap();
    ScriptedModel::start(scenario, Options { vars, ..Options::default() }).unwrap()
}

fn file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/scenarios").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

async fn post(model: &ScriptedModel, path: &str, body: &Value) -> Response {
    let request = Client::builder().no_proxy().build().unwrap().post(format!("{}{path}", model.url()));
    request.header("x-api-key", "secret-1").json(body).send().await.unwrap()
}

async fn json_of(answer: Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// The data of each event of a stream.
fn events(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap_or_default()).collect()
}

const MESSAGES: &str = "/v1/messages?beta=true";
const RESPONSES: &str = "/v1/responses";
const CHAT: &str = "/v1/chat/completions";
const GEMINI: &str = "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse&key=secret-2";
const GEMINI_WHOLE: &str = "/v1beta/models/gemini-2.5-pro:generateContent";

fn schema(property: &str) -> Value {
    json!({"type": "object", "properties": {property: {"type": "string"}}, "required": [property]})
}

/// A request that says `text` and declares a shell, in the words of the dialect behind `path`.
fn ask(path: &str, text: &str) -> Value {
    match path {
        MESSAGES => json!({"model": "m", "stream": true, "system": [{"type": "text", "text": "rules"}],
            "messages": [{"role": "user", "content": text}],
            "tools": [{"name": "Bash", "input_schema": schema("command")}]}),
        RESPONSES => json!({"model": "m", "stream": true, "instructions": "rules",
            "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}],
            "tools": [{"type": "function", "name": "exec_command", "parameters": schema("cmd")}]}),
        CHAT => json!({"model": "m", "stream": true,
            "messages": [{"role": "system", "content": "rules"}, {"role": "user", "content": text}],
            "tools": [{"type": "function", "function": {"name": "bash", "parameters": schema("command")}}]}),
        GEMINI | GEMINI_WHOLE => json!({"systemInstruction": {"parts": [{"text": "rules"}]},
            "contents": [{"role": "user", "parts": [{"text": text}]}],
            "tools": [{"functionDeclarations": [{"name": "run_shell_command", "parametersJsonSchema": schema("command")}]}]}),
        _ => panic!("no dialect: {path}"),
    }
}

fn a_full_reply() -> Value {
    json!({"replies": [{
        "thinking": "hm", "text": "Hello there", "chunks": 2, "tools": [{"shell": "ls"}],
        "usage": {"input": 7, "output": 5, "cache_read": 3, "cache_write": 2, "reasoning": 1}, "repeat": "forever"}]})
}

#[tokio::test]
async fn messages_are_streamed_block_by_block() {
    let model = model(&a_full_reply());
    let answer = post(&model, MESSAGES, &ask(MESSAGES, "hi")).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let text = answer.text().await.unwrap();
    assert!(text.starts_with("event: message_start\ndata: {"), "{text}");
    let events = events(&text);
    let block = ["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"];
    let expected = [&["message_start"][..], &block, &block, &block, &["message_delta", "message_stop"]].concat();
    assert_eq!(types(&events), expected);
    assert_eq!(events[0]["message"]["usage"]["cache_creation_input_tokens"], 2);
    let delta = |at: usize| events[at]["delta"].clone();
    assert_eq!(delta(2), json!({"type": "thinking_delta", "thinking": "hm"}));
    assert_eq!(delta(6), json!({"type": "text_delta", "text": "Hello "}));
    let start = &events[9]["content_block"];
    assert_eq!((&start["type"], &start["name"], &events[9]["index"]), (&json!("tool_use"), &json!("Bash"), &json!(2)));
    assert!(start["id"].as_str().unwrap().starts_with("toolu_"));
    let input = [10, 11].map(|at| delta(at)["partial_json"].as_str().unwrap().to_owned()).concat();
    assert_eq!(input, r#"{"command":"ls"}"#);
    assert_eq!(delta(13)["stop_reason"], "tool_use");
    assert_eq!(events[13]["usage"]["output_tokens"], 5);

    let mut whole = ask(MESSAGES, "hi");
    whole["stream"] = json!(false);
    let whole = json_of(post(&model, MESSAGES, &whole).await).await;
    let kinds: Vec<_> = whole["content"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use"]);
    assert_eq!(whole["content"][2]["id"], start["id"], "the same request gets the same ids");
}

#[tokio::test]
async fn responses_are_streamed_item_by_item() {
    let model = model(&a_full_reply());
    let events = events(&post(&model, RESPONSES, &ask(RESPONSES, "hi")).await.text().await.unwrap());
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(types(&events), expected);
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], n);
    }
    assert_eq!(events[15]["item"]["arguments"], "");
    let call = &events[18]["item"];
    assert_eq!((&call["name"], &call["arguments"]), (&json!("exec_command"), &json!(r#"{"cmd":"ls"}"#)));
    let whole = &events[19]["response"];
    assert_eq!(whole["output"][2], *call);
    let usage = json!({"input_tokens": 7, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 12});
    assert_eq!(whole["usage"], usage);
}

#[tokio::test]
async fn chat_completions_are_streamed_with_usage_at_the_end() {
    let model = model(&a_full_reply());
    let events = events(&post(&model, CHAT, &ask(CHAT, "hi")).await.text().await.unwrap());
    let deltas: Vec<&Value> = events.iter().filter_map(|event| event.pointer("/choices/0/delta")).collect();
    assert_eq!(*deltas[1], json!({"reasoning_content": "hm"}));
    assert_eq!((&deltas[2]["content"], &deltas[3]["content"]), (&json!("Hello "), &json!("there")));
    let call = &deltas[4]["tool_calls"][0];
    assert_eq!((&call["index"], &call["type"]), (&json!(0), &json!("function")));
    assert_eq!(call["function"], json!({"name": "bash", "arguments": r#"{"command":"ls"}"#}));
    assert_eq!(events[5]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(events[6]["usage"]["prompt_tokens_details"]["cached_tokens"], 3);
    assert_eq!(events[7], "[DONE]");

    let mut whole = ask(CHAT, "hi");
    whole["stream"] = json!(false);
    let whole = json_of(post(&model, CHAT, &whole).await).await;
    assert_eq!(whole["choices"][0]["message"]["content"], "Hello there");
    assert_eq!(whole["choices"][0]["message"]["tool_calls"][0]["id"], call["id"]);
}

#[tokio::test]
async fn gemini_is_streamed_in_candidates() {
    let model = model(&a_full_reply());
    let events = events(&post(&model, GEMINI, &ask(GEMINI, "hi")).await.text().await.unwrap());
    let part = |at: usize| events[at]["candidates"][0]["content"]["parts"][0].clone();
    assert_eq!(part(0), json!({"text": "hm", "thought": true}));
    assert_eq!((part(1), part(2)), (json!({"text": "Hello "}), json!({"text": "there"})));
    assert_eq!(part(3)["functionCall"]["name"], "run_shell_command");
    assert_eq!(part(3)["functionCall"]["args"], json!({"command": "ls"}));
    assert_eq!(events[3]["candidates"][0]["finishReason"], "STOP");
    assert_eq!(events[3]["usageMetadata"]["totalTokenCount"], 12);
    assert_eq!(events[3]["modelVersion"], "gemini-2.5-pro");

    let whole = json_of(post(&model, GEMINI_WHOLE, &ask(GEMINI_WHOLE, "hi")).await).await;
    assert_eq!(whole["candidates"][0]["content"]["parts"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn results_of_tools_are_read_in_every_dialect() {
    let scenario = json!({"replies": [
        {"when": {"user": "^go$", "tool_result": "made (?<what>\\w+)", "system": "rules", "opening": "^go$",
            "history": "call: \\w+ .*ls"}, "text": "{{what}}: {{tool_result}}", "repeat": "forever"}]});
    let model = model(&scenario);
    for path in [MESSAGES, RESPONSES, CHAT, GEMINI] {
        let mut body = ask(path, "go");
        let arguments = json!({"command": "ls"});
        let (list, said) = match path {
            MESSAGES => (
                "messages",
                json!([
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": arguments}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "made hay"}]},
                    {"type": "text", "text": "a reminder of the program"}]}]),
            ),
            RESPONSES => (
                "input",
                json!([
                {"type": "function_call", "call_id": "t", "name": "exec_command", "arguments": arguments.to_string()},
                {"type": "function_call_output", "call_id": "t", "output": "made hay"}]),
            ),
            CHAT => (
                "messages",
                json!([
                {"role": "assistant", "tool_calls": [{"id": "t", "type": "function",
                    "function": {"name": "bash", "arguments": arguments.to_string()}}]},
                {"role": "tool", "tool_call_id": "t", "content": "made hay"}]),
            ),
            _ => (
                "contents",
                json!([
                {"role": "model", "parts": [{"functionCall": {"name": "run_shell_command", "args": arguments}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "run_shell_command", "response": {"output": "made hay"}}}]}]),
            ),
        };
        body[list].as_array_mut().unwrap().extend(said.as_array().unwrap().clone());
        let text = post(&model, path, &body).await.text().await.unwrap();
        assert!(text.contains("hay: "), "{path}: {text}");
    }
}

#[tokio::test]
async fn each_class_of_errors_has_its_shape_in_each_dialect() {
    let kinds = [
        "rate_limit",
        "usage_limit",
        "billing",
        "payment",
        "overloaded",
        "auth",
        "not_found",
        "server",
        "context_length",
    ];
    let replies: Vec<Value> = kinds.iter().map(|kind| json!({"error": {"kind": kind, "retry_after": 9}})).collect();
    let mut seen = Vec::new();
    for path in [MESSAGES, RESPONSES, GEMINI] {
        let model = model(&json!({"replies": replies}));
        let mut line = Vec::new();
        for _ in kinds {
            let answer = post(&model, path, &ask(path, "hi")).await;
            assert_eq!(answer.headers()["retry-after"], "9");
            let status = answer.status().as_u16();
            let body = json_of(answer).await;
            let error = &body["error"];
            let name = if error["status"].is_string() { &error["status"] } else { &error["type"] };
            line.push(format!("{status} {}", name.as_str().unwrap()));
        }
        assert_eq!(model.state().errors, kinds.len() as u64);
        seen.push(line);
    }
    let messages = [
        "429 rate_limit_error",
        "429 rate_limit_error",
        "400 invalid_request_error",
        "402 billing_error",
        "529 overloaded_error",
        "401 authentication_error",
        "404 not_found_error",
        "500 api_error",
        "400 invalid_request_error",
    ];
    let responses = [
        "429 rate_limit_error",
        "429 usage_limit_reached",
        "429 insufficient_quota",
        "402 insufficient_quota",
        "503 service_unavailable_error",
        "401 invalid_request_error",
        "404 invalid_request_error",
        "500 server_error",
        "400 invalid_request_error",
    ];
    let gemini = [
        "429 RESOURCE_EXHAUSTED",
        "429 RESOURCE_EXHAUSTED",
        "400 FAILED_PRECONDITION",
        "402 FAILED_PRECONDITION",
        "503 UNAVAILABLE",
        "401 UNAUTHENTICATED",
        "404 NOT_FOUND",
        "500 INTERNAL",
        "400 INVALID_ARGUMENT",
    ];
    assert_eq!(seen, [messages, responses, gemini]);
}

#[tokio::test]
async fn a_usage_limit_says_when_it_resets() {
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let scenario = json!({"replies": [{"error": {"kind": "usage_limit", "resets_in": 500}, "repeat": "forever"}]});
    let model = model(&scenario);
    let answer = post(&model, MESSAGES, &ask(MESSAGES, "hi")).await;
    assert_eq!(answer.headers()["anthropic-ratelimit-unified-status"], "rejected");
    let reset: u64 = answer.headers()["anthropic-ratelimit-unified-5h-reset"].to_str().unwrap().parse().unwrap();
    assert!((before + 500..before + 600).contains(&reset));
    let answer = post(&model, RESPONSES, &ask(RESPONSES, "hi")).await;
    assert_eq!(answer.headers()["x-codex-primary-used-percent"], "100");
    let body = json_of(answer).await;
    assert_eq!(body["error"]["resets_in_seconds"], 500);
    assert!(body["error"]["resets_at"].as_u64().unwrap() >= before + 500);
    let body = json_of(post(&model, GEMINI, &ask(GEMINI, "hi")).await).await;
    assert_eq!(body["error"]["details"][0]["@type"], "type.googleapis.com/google.rpc.QuotaFailure");
}

#[tokio::test]
async fn an_error_may_come_inside_the_stream() {
    let scenario = json!({"replies": [{"error": {"kind": "overloaded", "in_stream": true}, "repeat": "forever"}]});
    let model = model(&scenario);
    for (path, expected) in [
        (MESSAGES, "event: error\ndata: {"),
        (RESPONSES, "event: response.failed\ndata: {"),
        (CHAT, "data: {\"error\""),
        (GEMINI, "data: {\"error\""),
    ] {
        let answer = post(&model, path, &ask(path, "hi")).await;
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.unwrap();
        assert!(text.starts_with(expected), "{path}: {text}");
    }
}

#[tokio::test]
async fn a_held_reply_goes_on_when_its_gate_is_opened() {
    let model = model(&file("interrupt.json"));
    let mut answer = post(&model, CHAT, &ask(CHAT, "hi")).await;
    let mut text = String::new();
    while !text.contains("This sent") {
        text.push_str(std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap());
    }
    tokio::time::timeout(SOON, model.until(|state| state.held == ["talking"])).await.unwrap();
    assert!(!text.contains("sight"), "{text}");
    model.release("talking");
    while let Some(chunk) = answer.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(model.state().held.is_empty());
    assert_eq!(model.state().hung_up, 0);
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    for name in ["interrupt.json", "stall.json"] {
        let model = model(&file(name));
        let answer = post(&model, RESPONSES, &ask(RESPONSES, "hi")).await;
        tokio::time::timeout(SOON, model.until(|state| state.held.len() == 1)).await.unwrap();
        drop(answer);
        let gone = model.until(|state| state.hung_up == 1 && state.held.is_empty());
        tokio::time::timeout(SOON, gone).await.unwrap();
        assert!(model.requests()[0].hung_up, "{name}");
    }
}

#[tokio::test]
async fn a_cut_reply_breaks_off_after_its_first_piece() {
    let model = model(&file("cut-then-whole.json"));
    let mut answer = post(&model, GEMINI, &ask(GEMINI, "hi")).await;
    let mut text = String::new();
    let fault = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
            Ok(None) => panic!("the stream ended well: {text}"),
            Err(fault) => break fault,
        }
    };
    assert!(text.contains("This is only") && !text.contains("said"), "{text} {fault}");
    let text = post(&model, GEMINI, &ask(GEMINI, "hi")).await.text().await.unwrap();
    assert!(text.contains("And this is all"), "{text}");
    assert_eq!(model.state().hung_up, 0, "it was the server that left");
}

#[tokio::test]
async fn side_requests_use_up_no_replies() {
    let model = model(&file("hello.json"));
    let title = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "response_format": {
        "type": "json_schema", "json_schema": {"schema": {"type": "object", "properties": {"title": {"type": "string"}}}}}});
    let answer = json_of(post(&model, CHAT, &title).await).await;
    assert_eq!(answer["choices"][0]["message"]["content"], r#"{"title":"ok"}"#);
    let suggestion = post(&model, CHAT, &ask(CHAT, "Reply with ONLY the suggestion.")).await.text().await.unwrap();
    assert!(suggestion.contains("ok"));
    let state = model.state();
    assert_eq!((state.aux, state.main, state.replies_left), (2, 0, 2));
}

#[tokio::test]
async fn replies_are_used_in_order_and_then_otherwise() {
    let model = model(&json!({"replies": [
        {"text": "one"}, {"when": {"api": "gemini"}, "text": "never"}, {"when": {"user": "b"}, "text": "two", "repeat": 2}],
        "otherwise": {"text": "nothing left"}}));
    let mut said = Vec::new();
    for text in ["b", "a", "b", "b", "b"] {
        post(&model, CHAT, &ask(CHAT, text)).await.text().await.unwrap();
    }
    for request in model.requests() {
        let Said::Reply { text, .. } = request.said else { panic!("{:?}", request.said) };
        said.push(text);
    }
    assert_eq!(said, ["one", "nothing left", "two", "two", "nothing left"]);
}

#[tokio::test]
async fn each_conversation_may_have_its_own_count() {
    let model = model(&json!({"count": "conversation", "replies": [{"text": "first"}, {"text": "second"}]}));
    let mut said = Vec::new();
    for text in ["a", "b", "a"] {
        let events = events(&post(&model, CHAT, &ask(CHAT, text)).await.text().await.unwrap());
        said.push(events[1]["choices"][0]["delta"]["content"].as_str().unwrap().to_owned());
    }
    assert_eq!(said, ["first", "first", "second"]);
    // A name that the program gives counts for more than how the conversation opened.
    for expected in ["first", "second"] {
        let mut body = ask(RESPONSES, "a");
        body["prompt_cache_key"] = json!("thread-1");
        let text = post(&model, RESPONSES, &body).await.text().await.unwrap();
        assert!(text.contains(expected), "{text}");
    }
}

/// A chat about one file: the request, and what came of the call if it was made.
fn about_file(user: &str, results: &[&str]) -> Value {
    let mut body = ask(CHAT, "Please write the file b.txt.");
    let messages = body["messages"].as_array_mut().unwrap();
    for result in results {
        let function = json!({"name": "bash", "arguments": r#"{"command": "git commit -q"}"#});
        messages
            .push(json!({"role": "assistant", "tool_calls": [{"id": "t", "type": "function", "function": function}]}));
        messages.push(json!({"role": "tool", "tool_call_id": "t", "content": result}));
    }
    if !user.is_empty() {
        messages.push(json!({"role": "user", "content": user}));
    }
    body
}

#[tokio::test]
async fn rules_that_look_at_the_history_hold_however_often_they_are_asked() {
    let model = model(&file("rules.json"));
    for (body, expected) in [
        // The second is what comes after the agent was killed before it noted the call.
        (about_file("", &[]), "cd '/w' && echo scripted > b.txt && git add b.txt"),
        (about_file("go on", &[]), "cd '/w' && echo scripted > b.txt && git add b.txt"),
        (about_file("", &["made b.txt"]), "b.txt is committed."),
        (about_file("", &["made b.txt"]), "b.txt is committed."),
        (about_file("how are you?", &["made b.txt"]), "I follow a script."),
        (about_file("and now?", &["made b.txt"]), "The script has nothing for this."),
    ] {
        let mut body = body;
        body["stream"] = json!(false);
        let answer = post(&model, CHAT, &body).await.text().await.unwrap();
        assert!(answer.contains(expected), "{expected} in {answer}");
    }
}

#[tokio::test]
async fn what_cannot_be_played_is_said_aloud() {
    let model = model(&json!({"replies": [
        {"tools": [{"mcp": {"server": "hub", "tool": "report"}}]}, {"text": "{{nobody}}"}]}));
    for expected in
        ["SCRIPT ERROR: no MCP tool `hub/report` among: bash", "SCRIPT ERROR: nothing has the name {{nobody}}"]
    {
        let mut body = ask(CHAT, "hi");
        body["stream"] = json!(false);
        let answer = json_of(post(&model, CHAT, &body).await).await;
        assert_eq!(answer["choices"][0]["message"]["content"], expected);
    }
    assert_eq!(model.state().script_errors, 2);
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_no_key_is_recorded() {
    let model = model(&json!({"require_key": "secret-2", "replies": [{"text": "right"}]}));
    assert_eq!(post(&model, MESSAGES, &ask(MESSAGES, "hi")).await.status(), 401);
    let client = Client::builder().no_proxy().build().unwrap();
    let right = client.post(format!("{}{GEMINI}", model.url())).json(&ask(GEMINI, "hi")).send().await.unwrap();
    assert_eq!(right.status(), 200);
    let requests = model.requests();
    let seen: Vec<_> = requests.iter().map(|it| it.credential.clone().map(|it| (it.place, it.fits))).collect();
    assert_eq!(seen, [Some(("x-api-key".to_owned(), false)), Some(("key".to_owned(), true))]);
    assert_eq!(requests[1].body["contents"][0]["parts"][0]["text"], "hi");
    assert_eq!(requests[1].headers["content-type"], "application/json");
    let all = serde_json::to_string(&requests).unwrap();
    assert!(!all.contains("secret-1") && !all.contains("secret-2"), "{all}");
}

#[tokio::test]
async fn what_stands_beside_the_model_answers_too() {
    let model = model(&json!({"model_names": ["a", "b"]}));
    let client = Client::builder().no_proxy().build().unwrap();
    let url = |path: &str| format!("{}{path}", model.url());
    let get = |path: &str| client.get(url(path)).send();
    assert_eq!(json_of(get("/v1/models").await.unwrap()).await["data"][1]["id"], "b");
    assert_eq!(json_of(get("/v1beta/models").await.unwrap()).await["models"][0]["name"], "models/a");
    let tokens = json_of(post(&model, "/v1/messages/count_tokens", &ask(MESSAGES, "hi")).await).await;
    assert!(tokens["input_tokens"].as_u64().unwrap() > 1);
    let tokens = json_of(post(&model, "/v1beta/models/m:countTokens", &ask(GEMINI, "hi")).await).await;
    assert!(tokens["totalTokens"].as_u64().unwrap() > 1);
    let socket = client.get(url(RESPONSES)).header("connection", "upgrade").header("upgrade", "websocket").send();
    assert_eq!(socket.await.unwrap().status(), 426);
    assert_eq!(client.head(url("/")).send().await.unwrap().status(), 200);
    assert_eq!(get("/v1/nothing").await.unwrap().status(), 404);
    let broken = client.post(url(CHAT)).body("{").send().await.unwrap();
    assert_eq!(broken.status(), 400);
    assert_eq!((model.state().unknown, model.state().main), (2, 0));
}

#[tokio::test]
async fn the_mcp_server_wants_its_bearer() {
    let model = model(&file("mcp.json"));
    let client = Client::builder().no_proxy().build().unwrap();
    let send = |token: &'static str, body: Value| {
        client.post(format!("{}/mcp", model.url())).bearer_auth(token).json(&body).send()
    };
    let message = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    assert_eq!(send("wrong", message("ping", json!({}))).await.unwrap().status(), 401);
    let result = |answer: Response| async { json_of(answer).await["result"].clone() };
    let answer = send("mcp-token", message("initialize", json!({"protocolVersion": "2025-11-25"}))).await.unwrap();
    assert_eq!(result(answer).await["protocolVersion"], "2025-11-25");
    let noted = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(send("mcp-token", noted).await.unwrap().status(), 202);
    let answer = send("mcp-token", message("tools/list", json!({}))).await.unwrap();
    assert_eq!(result(answer).await["tools"][0]["name"], "report");
    let call = message("tools/call", json!({"name": "report", "arguments": {"state": "x"}}));
    assert_eq!(result(send("mcp-token", call).await.unwrap()).await["content"][0]["text"], r#"heard {"state":"x"}"#);
    let unknown = json_of(send("mcp-token", message("server/discover", json!({}))).await.unwrap()).await;
    assert_eq!(unknown["error"]["code"], -32601);
    assert_eq!(model.state().mcp_calls, 1);
    let stream = client.get(format!("{}/mcp", model.url())).send().await.unwrap();
    assert_eq!(stream.status(), 405);
}

#[tokio::test]
async fn another_process_can_look_and_steer() {
    let model = model(&file("interrupt.json"));
    let client = Client::builder().no_proxy().build().unwrap();
    let url = |path: &str| format!("{}/_scripted/{path}", model.url());
    let answer = post(&model, CHAT, &ask(CHAT, "hi")).await;
    let held = tokio::time::timeout(SOON, client.get(url("held/talking")).send()).await.unwrap().unwrap();
    assert_eq!(json_of(held).await["held"][0], "talking");
    assert_eq!(client.post(url("release/talking")).send().await.unwrap().status(), 200);
    assert!(answer.text().await.unwrap().contains("sight"));
    let requests = json_of(client.get(url("requests")).send().await.unwrap()).await;
    assert_eq!(requests[0]["asked"]["api"], "chat");
    assert_eq!(requests[0]["said"]["kind"], "reply");

    let refused = client.post(url("scenario")).body(r#"{"replies": 1}"#).send().await.unwrap();
    assert_eq!(refused.status(), 422);
    assert_eq!(json_of(refused).await["error"], "replies: must be a list");
    let other = json!({"replies": [{"text": "another play"}]});
    assert_eq!(client.post(url("scenario")).json(&other).send().await.unwrap().status(), 200);
    let text = post(&model, CHAT, &ask(CHAT, "hi")).await.text().await.unwrap();
    assert!(text.contains("another play"));
    assert_eq!(json_of(client.get(url("state")).send().await.unwrap()).await["main"], 1);
}

#[tokio::test]
async fn a_dropped_server_is_gone_also_for_those_it_held() {
    let model = model(&file("stall.json"));
    let answer = post(&model, CHAT, &ask(CHAT, "hi")).await;
    tokio::time::timeout(SOON, model.until(|state| state.held.len() == 1)).await.unwrap();
    let addr = model.addr();
    drop(model);
    assert!(answer.text().await.is_err());
    assert!(std::net::TcpStream::connect(addr).is_err());
}

#[test]
fn only_loopback_is_listened_on() {
    let scenario = Scenario::parse("{}").unwrap();
    let options = Options { listen: "0.0.0.0:0".parse().unwrap(), ..Options::default() };
    let refused = ScriptedModel::start(scenario, options).err().unwrap().to_string();
    assert_eq!(refused, "0.0.0.0:0 is not on loopback; a scripted model is for this machine only");
}

#[test]
fn every_scenario_of_the_repository_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/scenarios");
    let mut n_read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "json") {
            Scenario::read(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
            n_read += 1;
        }
    }
    assert!(n_read >= 11, "{n_read}");
}

#[test]
fn the_program_says_where_it_listens_and_ends_with_its_input() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/scenarios/hello.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_orcha-scripted-model"));
    command.arg("--scenario").arg(scenario).args(["--listen", "127.0.0.1:0", "--until-stdin-closes"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let port = u16::try_from(ready["port"].as_u64().unwrap()).unwrap();
    assert_eq!(ready["url"], format!("http://127.0.0.1:{port}"));
    drop(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
