//! The agent against the scripted model, in every language: streams, tools, forms, errors, interrupts, kills.
//!
//! Each test runs the real program as a process of its own.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod live;
mod servers;
mod stage;

use orcha_agent::llm::Line;
use orcha_agent::{Change, Event, Permissions, TurnEnd};
use orcha_base::Timestamp;
use orcha_llm_agent::catalog;
use orcha_scripted_model::{Options, Scenario, ScriptedModel};
use serde_json::{Value, json};
use stage::{APIS, Stage, providers, results, text, usage};
use std::time::{Duration, SystemTime};

fn is_accepted(event: &Event) -> bool {
    matches!(event, Event::Accepted { .. })
}

#[tokio::test]
async fn c17_an_answer_streams_and_costs_what_the_price_table_says() {
    for api in APIS {
        let usages = json!({"input": 100, "output": 20, "cache_read": 30, "reasoning": 5});
        let scenario =
            json!({"replies": [{"thinking": "hm", "text": "hello from the model", "chunks": 4, "usage": usages}]});
        let stage = Stage::new(api, &scenario);
        let mut agent = stage.start("r-1").await;
        agent.prompt("p-1", "hello").await;
        let (events, end) = agent.turn().await;
        assert_eq!(end, TurnEnd::Completed, "{api}: {events:#?}");
        assert!(!agent.settings.exists(), "the key was left behind");
        let Event::Ready { conversation, model, tools_connected } = &events[0] else { panic!("{events:#?}") };
        assert_eq!((conversation.as_str(), model.as_deref(), *tools_connected), ("c-1", Some("m-1"), None));
        assert_eq!(events[1], Event::Accepted { key: "p-1".into() });
        assert_eq!(text(&events), "hello from the model", "{api}");
        assert!(events.contains(&Event::Thinking { text: "hm".into() }), "{api}: {events:#?}");
        let [usage] = usage(&events)[..] else { panic!("{api}: {events:#?}") };
        // Anthropic counts cached tokens beside the others, OpenAI among them; Ollama has none.
        let (input, cached) = match api {
            "anthropic" => (100, 30),
            "ollama" => (100, 0),
            _ => (70, 30),
        };
        assert_eq!((usage.input, usage.output, usage.cache_read, usage.model_calls), (input, 20, cached, 1), "{api}");
        let money = input as f64 * 2.0 + 20.0 * 10.0 + cached as f64 * 0.5;
        assert_eq!(usage.micro_usd, Some(money as u64), "{api}");
        let asked = &stage.model.requests()[if api == "copilot" { 1 } else { 0 }];
        assert!(asked.body["stream"] != json!(false) && asked.asked.as_ref().unwrap().stream, "{api}");
        let (rest, code) = agent.close().await;
        assert_eq!((rest.len(), code), (0, 0));
    }
}

#[tokio::test]
async fn how_hard_it_thinks_is_asked_for_in_every_language() {
    for api in APIS {
        let at = match api {
            "openai-responses" => "/reasoning/effort",
            "anthropic" => "/output_config/effort",
            "ollama" => "/think",
            _ => "/reasoning_effort",
        };
        let none = if api == "ollama" { json!(false) } else { json!("none") };
        for (effort, said) in [(None, None), (Some("high"), Some(json!("high"))), (Some("none"), Some(none))] {
            let mut stage = Stage::new(api, &json!({"replies": [{"text": "hello"}]}));
            stage.settings.call.behaviour.effort = effort.map(str::to_owned);
            let mut agent = stage.start("r-1").await;
            agent.prompt("p-1", "hello").await;
            assert_eq!(agent.turn().await.1, TurnEnd::Completed, "{api}");
            let body = stage.model.requests().iter().find(|it| it.asked.is_some()).unwrap().body.clone();
            assert_eq!(body.pointer(at), said.as_ref(), "{api}: {body:#}");
        }
    }
}

#[tokio::test]
async fn c17_tools_are_called_in_every_language_local_ones_and_the_daemons() {
    for api in APIS {
        let scenario = json!({
            "replies": [
                {"text": "I write.", "tools": [
                    {"name": "write", "args": {"path": "a.txt", "content": "one\n"}},
                    {"name": "run", "args": {"command": "cat a.txt && env"}},
                ]},
                {"when": {"tool_result": "one"}, "tools": [{"mcp": {"server": "orcha", "tool": "hand_in", "args": {"x": 1}}}]},
                {"when": {"tool_result": "took .*x.*1"}, "tools": [{"name": "nothing", "args": {}}]},
                {"when": {"tool_result": "there is no tool `nothing`"}, "text": "done"},
            ],
            "mcp": {"bearer": "sesame", "tools": [{"name": "hand_in", "result": "took {{args}}"}]},
        });
        let mut stage = Stage::new(api, &scenario);
        stage.daemon_tools();
        stage.settings.local_tools = ["read", "write", "run"].map(str::to_owned).to_vec();
        let mut agent = stage.start("r-1").await;
        agent.prompt("p-1", "do it").await;
        let (events, end) = agent.turn().await;
        assert_eq!(end, TurnEnd::Completed, "{api}: {events:#?}");
        assert_eq!(text(&events), "I write.done", "{api}: {events:#?}");
        let given = results(&events);
        assert_eq!(given.len(), 4, "{api}: {given:?}");
        assert!(given[1].0.contains("one") && !given[1].0.contains("sesame"), "{api}: {given:?}");
        assert!(given[3].1 && !given[2].1, "{api}: {given:?}");
        let changed =
            |it: &Event| matches!(it, Event::FileChange(it) if it.path == "a.txt" && it.change == Change::Added);
        assert!(events.iter().any(changed), "{api}: {events:#?}");
        let declared = stage.model.requests().iter().find_map(|it| it.asked.clone()).unwrap().tools;
        assert_eq!(declared, ["read", "write", "run", "mcp__orcha__hand_in"], "{api}");
        assert_eq!(stage.model.state().script_errors, 0, "{api}");
    }
}

fn verdict() -> Value {
    json!({"type": "object", "required": ["passed"], "additionalProperties": false,
        "properties": {"passed": {"type": "boolean"}}})
}

const HAND_IN: &str = r#"{"bearer": "sesame", "tools": [{"name": "hand_in", "result": "taken {{args}}"}]}"#;

#[tokio::test]
async fn a_result_that_does_not_fit_is_repaired_once_and_handed_in() {
    for api in APIS {
        let scenario = json!({
            "replies": [
                {"text": "```json\n{\"passed\": \"yes\"}\n```"},
                {"when": {"user": "`/passed`: .*boolean"}, "text": "{\"passed\": true}"},
            ],
            "mcp": serde_json::from_str::<Value>(HAND_IN).unwrap(),
        });
        let mut stage = Stage::new(api, &scenario);
        stage.daemon_tools();
        stage.output(verdict());
        let mut agent = stage.start("r-1").await;
        agent.prompt("p-1", "judge").await;
        let (events, end) = agent.turn().await;
        assert_eq!(end, TurnEnd::Completed, "{api}: {events:#?}");
        assert_eq!(results(&events), [(r#"taken {"output":{"passed":true}}"#, false)], "{api}");
        assert_eq!(stage.asked(), 2, "{api}");
        let body = stage.model.requests().iter().find(|it| it.asked.is_some()).unwrap().body.clone();
        // Where the API has a parameter for it, the form is asked for by that; else by a tool that must be called.
        let native = match api {
            "openai-responses" => body.pointer("/text/format/schema"),
            "openai-chat" => body.pointer("/response_format/json_schema/schema"),
            "anthropic" => body.pointer("/output_config/format/schema"),
            "ollama" => body.pointer("/format"),
            _ => body.pointer("/tools/0/function/parameters/properties/output"),
        };
        assert_eq!(native, Some(&verdict()), "{api}: {body:#}");
    }
}

#[tokio::test]
async fn a_result_that_never_fits_fails_the_turn_and_says_where() {
    for api in APIS {
        let replies = json!([{"text": "I think it passed.", "repeat": "forever"}]);
        let mut stage =
            Stage::new(api, &json!({"replies": replies, "mcp": serde_json::from_str::<Value>(HAND_IN).unwrap()}));
        stage.daemon_tools();
        stage.output(verdict());
        let mut agent = stage.start("r-1").await;
        agent.prompt("p-1", "judge").await;
        let (_, end) = agent.turn().await;
        let TurnEnd::Failed { detail } = end else { panic!("{api}: {end:?}") };
        assert!(detail.contains("no whole JSON object"), "{detail}");
        assert_eq!((stage.asked(), stage.model.state().mcp_calls), (2, 0), "{api}");
    }
}

#[tokio::test]
async fn a_result_is_handed_in_by_the_tool_and_ends_the_turn_without_another_call() {
    for api in APIS {
        let scenario = json!({
            "replies": [{"tools": [
                {"name": "list", "args": {}},
                {"mcp": {"server": "orcha", "tool": "hand_in", "args": {"output": {"passed": false}}}},
            ]}],
            "mcp": serde_json::from_str::<Value>(HAND_IN).unwrap(),
        });
        let mut stage = Stage::new(api, &scenario);
        stage.daemon_tools();
        stage.output(verdict());
        stage.settings.local_tools = vec!["list".into()];
        let mut agent = stage.start("r-1").await;
        agent.prompt("p-1", "judge").await;
        let (events, end) = agent.turn().await;
        assert_eq!((end, stage.asked()), (TurnEnd::Completed, 1), "{api}: {events:#?}");
        assert_eq!(results(&events)[1], (r#"taken {"output":{"passed":false}}"#, false), "{api}");
    }
}

/// Plays one failing turn and returns how it ended, and how often the model was asked.
async fn failing(api: &str, replies: Value) -> (Vec<Event>, TurnEnd, usize) {
    let stage = Stage::new(api, &json!({"replies": replies, "otherwise": {"text": "well again"}}));
    let mut agent = stage.start("r-1").await;
    agent.prompt("p-1", "hello").await;
    let (events, end) = agent.turn().await;
    let asked = stage.asked();
    // A turn that failed is not the end of the process.
    agent.prompt("p-2", "again").await;
    let (_, next) = agent.turn().await;
    assert_eq!(next, TurnEnd::Completed, "{api}");
    (events, end, asked)
}

#[tokio::test]
async fn each_error_has_its_class_and_only_what_passes_is_tried_again() {
    for api in APIS {
        for (kind, expected) in [
            ("auth", TurnEnd::Auth),
            ("not_found", TurnEnd::ModelMissing),
            ("context_length", TurnEnd::ContextFull),
            ("payment", TurnEnd::Billing),
        ] {
            // A refused token of Copilot is exchanged anew only when it is not new.
            let (_, end, asked) = failing(api, json!([{"error": kind}])).await;
            assert_eq!((end, asked), (expected, 1), "{api} {kind}");
        }
        for error in [json!("overloaded"), json!({"kind": "overloaded", "status": 529}), json!("server")] {
            let (events, end, asked) = failing(api, json!([{"error": error, "repeat": 2}])).await;
            assert_eq!((end, asked), (TurnEnd::Overloaded, 2), "{api} {error}");
            assert!(events.contains(&Event::Retrying { attempt: 1, class: "overloaded".into() }), "{api}: {events:#?}");
            let (_, end, asked) = failing(api, json!([{"error": error}])).await;
            assert_eq!((end, asked), (TurnEnd::Completed, 2), "{api} {error}");
        }
        let in_stream = json!({"kind": "overloaded", "in_stream": true});
        let (_, end, asked) = failing(api, json!([{"error": in_stream, "repeat": 2}])).await;
        assert_eq!((end, asked), (TurnEnd::Overloaded, 2), "{api}");
    }
}

#[tokio::test]
async fn a_rate_limit_is_waited_out_when_it_is_short_and_named_when_it_is_long() {
    for api in APIS {
        let error = json!({"kind": "rate_limit", "retry_after": 900});
        let before = Timestamp::from(SystemTime::now());
        let (events, end, asked) = failing(api, json!([{"error": error}])).await;
        let TurnEnd::RateLimited { until: Some(until) } = end else { panic!("{api}: {end:?}") };
        assert!((890..=960).contains(&until.since(before).as_secs()), "{api}: {until}");
        assert_eq!(asked, 1, "{api}");
        assert!(events.iter().any(|it| matches!(it, Event::Limit(limit) if limit.rejected)), "{api}: {events:#?}");
        let error = json!({"kind": "rate_limit", "retry_after": 0});
        let (_, end, asked) = failing(api, json!([{"error": error}])).await;
        assert_eq!((end, asked), (TurnEnd::Completed, 2), "{api}");
    }
    for api in ["openai-responses", "openai-chat", "anthropic", "copilot"] {
        let before = Timestamp::from(SystemTime::now());
        let (_, end, asked) = failing(api, json!([{"error": {"kind": "usage_limit", "resets_in": 5000}}])).await;
        let TurnEnd::UsageExhausted { until: Some(until) } = end else { panic!("{api}: {end:?}") };
        assert!((4990..=5060).contains(&until.since(before).as_secs()) && asked == 1, "{api}: {until}");
    }
}

#[tokio::test]
async fn a_cut_stream_is_tried_again_and_then_is_the_networks_fault() {
    for api in APIS {
        let cut = |repeat: u32| json!([{"text": "it begins and goes on for a while", "cut": true, "repeat": repeat}]);
        let (events, end, asked) = failing(api, cut(1)).await;
        assert_eq!((end, asked), (TurnEnd::Completed, 2), "{api}: {events:#?}");
        assert!(text(&events).ends_with("well again"), "{api}: {events:#?}");
        let (events, end, asked) = failing(api, cut(2)).await;
        assert_eq!((end, asked), (TurnEnd::Network, 2), "{api}: {events:#?}");
    }
}

#[tokio::test]
async fn a_silent_stream_is_given_up() {
    for api in APIS {
        let scenario =
            json!({"replies": [{"text": "it begins and never ends, or so", "hold": "for-ever", "repeat": 2}]});
        let stage = Stage::with(api, &scenario, "idle_secs = 1\n");
        let mut agent = stage.start("r-1").await;
        agent.prompt("p-1", "hello").await;
        let (_, end) = agent.turn().await;
        assert_eq!((end, stage.asked()), (TurnEnd::Network, 2), "{api}");
        stage.model.until(|state| state.hung_up == 2).await;
    }
}

#[tokio::test]
async fn c05_an_interrupt_closes_the_stream_in_its_middle_and_the_conversation_goes_on() {
    for api in APIS {
        let scenario = json!({
            "replies": [
                {"text": "it begins and is held at its first piece", "hold": "gate"},
                {"when": {"history": "model: it begins.*user: go on"}, "text": "gone on"},
            ],
        });
        let stage = Stage::new(api, &scenario);
        let mut agent = stage.start("r-1").await;
        agent.prompt("p-1", "hello").await;
        let before = agent.until(is_accepted).await;
        assert_eq!(before.len(), 2);
        stage.model.until(|state| state.held == ["gate"]).await;
        // The first piece is on its way; the words that were heard stay in the conversation.
        let held = stage.model.until(|state| state.held == ["gate"]);
        tokio::time::timeout(Duration::from_secs(10), held).await.unwrap();
        agent.say(&Line::Interrupt { key: "i-1".into() }).await;
        let (events, end) = agent.turn().await;
        assert_eq!(end, TurnEnd::Interrupted, "{api}: {events:#?}");
        let state = stage.model.until(|state| state.hung_up == 1).await;
        assert_eq!(state.main, 1, "{api}");
        agent.prompt("p-2", "go on").await;
        let (_, end) = agent.turn().await;
        assert_eq!(end, TurnEnd::Completed, "{api}");
    }
}

#[tokio::test]
async fn an_interrupt_stops_a_command_and_its_call_has_a_result() {
    let scenario = json!({
        "replies": [
            {"tools": [{"name": "run", "args": {"command": "touch begun; sleep 600"}}]},
            {"when": {"history": "result: The user stopped.*user: and now"}, "text": "it was stopped"},
        ],
    });
    for api in APIS {
        let mut stage = Stage::new(api, &scenario);
        stage.settings.local_tools = vec!["run".into()];
        let mut agent = stage.start("r-1").await;
        agent.prompt("p-1", "hello").await;
        agent.until(|it| matches!(it, Event::ToolCall(_))).await;
        agent.say(&Line::Interrupt { key: "i-1".into() }).await;
        let (_, end) = agent.turn().await;
        assert_eq!(end, TurnEnd::Interrupted, "{api}");
        agent.prompt("p-2", "and now").await;
        let (events, end) = agent.turn().await;
        assert_eq!((text(&events).as_str(), end), ("it was stopped", TurnEnd::Completed), "{api}");
    }
}

#[tokio::test]
async fn words_that_come_in_the_middle_of_a_turn_are_heard_before_the_model_goes_on() {
    let scenario = json!({
        "replies": [
            {"delay_ms": 300, "tools": [{"name": "list", "args": {}}]},
            {"when": {"user": "use tabs"}, "text": "tabs it is"},
        ],
    });
    let mut stage = Stage::new("anthropic", &scenario);
    stage.settings.local_tools = vec!["list".into()];
    let mut agent = stage.start("r-1").await;
    agent.prompt("p-1", "hello").await;
    agent.until(is_accepted).await;
    agent.prompt("p-2", "use tabs").await;
    let (events, end) = agent.turn().await;
    assert!(events.contains(&Event::Accepted { key: "p-2".into() }), "{events:#?}");
    assert_eq!((text(&events).as_str(), end), ("tabs it is", TurnEnd::Completed));
}

#[tokio::test]
async fn p3_a_killed_process_pays_for_no_answer_twice_and_counts_no_money_twice() {
    for api in APIS {
        let scenario = json!({
            "replies": [
                {"tools": [{"name": "write", "args": {"path": "a", "content": "x"}},
                    {"name": "run", "args": {"command": "echo $$ > pid; exec sleep 600"}}]},
                {"when": {"history": "not known"}, "unless": {"history": "user: hello.*user: hello"}, "text": "I looked."},
            ],
        });
        let mut stage = Stage::new(api, &scenario);
        stage.settings.local_tools = vec!["write".into(), "run".into()];
        let mut agent = stage.start("r-1").await;
        agent.prompt("p-1", "hello").await;
        let mut before = agent.until(|it| matches!(it, Event::ToolCall(it) if it.tool == "run")).await;
        before.extend(agent.kill().await);
        assert_eq!(usage(&before).len(), 1, "{api}");
        stage.settings.resume = true;
        let mut agent = stage.start("r-2").await;
        agent.prompt("p-1", "hello").await;
        let (events, end) = agent.turn().await;
        assert_eq!((text(&events).as_str(), end), ("I looked.", TurnEnd::Completed), "{api}: {events:#?}");
        assert_eq!((usage(&events).len(), stage.asked()), (1, 2), "{api}");
        agent.kill().await;
        // The last answer is there: a third process ends the turn with it.
        let mut agent = stage.start("r-3").await;
        agent.prompt("p-1", "hello").await;
        let (events, end) = agent.turn().await;
        assert_eq!((usage(&events).len(), stage.asked(), end), (0, 2, TurnEnd::Completed), "{api}");
    }
}

#[tokio::test]
async fn an_unknown_conversation_and_one_that_is_held_are_refused() {
    let mut stage = Stage::new("ollama", &json!({}));
    let first = stage.start("r-1").await;
    let mut other = stage.start("r-2").await;
    // Whoever is second ends; which one that is does not matter.
    let mut first = first;
    let code = tokio::select! {
        code = first.process.wait() => code,
        code = other.process.wait() => code,
    };
    assert_eq!(code.unwrap().code(), Some(2));
    stage.settings.resume = true;
    stage.settings.conversation = "unknown".into();
    let agent = stage.start("r-3").await;
    let (events, code) = agent.close().await;
    assert_eq!(code, 2);
    assert_eq!(events, [Event::TurnEnded(TurnEnd::Failed { detail: "there is no conversation `unknown`".into() })]);
}

#[tokio::test]
async fn what_is_not_allowed_without_asking_is_asked_for() {
    let scenario = json!({
        "replies": [
            {"tools": [{"name": "write", "args": {"path": "a", "content": "x"}}, {"name": "run", "args": {"command": "echo ran"}}]},
            {"when": {"tool_result": "not allowed: not here"}, "tools": [{"name": "run", "args": {"command": "echo ran"}}]},
            {"when": {"tool_result": "ran"}, "text": "done"},
        ],
    });
    let mut stage = Stage::new("openai-chat", &scenario);
    stage.settings.local_tools = vec!["write".into(), "run".into()];
    stage.settings.permissions = Permissions::Edits;
    let mut agent = stage.start("r-1").await;
    agent.prompt("p-1", "hello").await;
    for (allow, reason) in [(false, "not here"), (true, "")] {
        let events = agent.until(|it| matches!(it, Event::PermissionRequest { .. })).await;
        let Some(Event::PermissionRequest { request, tool, input }) = events.last() else { panic!() };
        assert_eq!((tool.as_str(), input.as_str()), ("run", r#"{"command":"echo ran"}"#));
        let (request, reason) = (request.clone(), reason.to_owned());
        agent.say(&Line::Permission { request, allow, reason }).await;
    }
    let (events, end) = agent.turn().await;
    assert_eq!((text(&events).as_str(), end), ("done", TurnEnd::Completed));
}

#[tokio::test]
async fn a_token_of_copilot_is_exchanged_once_and_anew_when_it_is_refused() {
    let scenario = json!({"replies": [{"text": "one"}, {"error": "auth"}, {"text": "two"}]});
    let stage = Stage::new("copilot", &scenario);
    let mut agent = stage.start("r-1").await;
    for expected in ["one", "two"] {
        agent.prompt(expected, "hello").await;
        let (events, end) = agent.turn().await;
        assert_eq!((text(&events).as_str(), end), (expected, TurnEnd::Completed));
    }
    let requests = stage.model.requests();
    let exchanges = requests.iter().filter(|it| it.path.ends_with("/copilot_internal/v2/token")).count();
    assert_eq!((exchanges, stage.asked()), (2, 3));
}

#[tokio::test]
async fn a_turn_makes_so_many_calls_and_no_more() {
    let replies = json!([{"tools": [{"name": "list", "args": {}}], "repeat": "forever"}]);
    let mut stage = Stage::with("openai-responses", &json!({"replies": replies}), "max_calls = 3\n");
    stage.settings.local_tools = vec!["list".into()];
    let mut agent = stage.start("r-1").await;
    agent.prompt("p-1", "hello").await;
    let (_, end) = agent.turn().await;
    assert_eq!((end, stage.asked()), (TurnEnd::OverBudget, 3));
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_refused_is_no_success() {
    for api in APIS {
        let (_, end, _) = failing(api, json!([{"text": "it goes on", "stop": "max_tokens"}])).await;
        assert_eq!(end, TurnEnd::Failed { detail: "the answer was longer than it may be".into() }, "{api}");
        if api != "ollama" {
            let (_, end, _) = failing(api, json!([{"text": "no", "stop": "refusal"}])).await;
            assert_eq!(end, TurnEnd::Refused, "{api}");
        }
    }
}

#[tokio::test]
async fn the_catalog_is_what_the_provider_has_now() {
    let scenario = r#"{"model_names": ["m-1", "other"], "require_key": "sesame"}"#;
    for api in APIS {
        let model = ScriptedModel::start(Scenario::parse(scenario).unwrap(), Options::default()).unwrap();
        let providers = providers(&model, api, "");
        let models = catalog::models(providers.get("test").unwrap()).await.unwrap();
        assert_eq!(models.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["m-1", "other"], "{api}");
        assert_eq!((models[0].price, models[1].price), (Some((2.0, 10.0)), None), "{api}");
        if api == "ollama" {
            let first = &models[0];
            assert_eq!((first.tools, first.reasoning, first.context_tokens), (Some(true), Some(false), Some(32768)));
            assert_eq!(first.size.as_deref(), Some("8.0B"));
        }
        drop(model);
        let gone = catalog::models(providers.get("test").unwrap()).await.unwrap_err();
        assert!(gone.to_string().starts_with("network: "), "{api}: {gone}");
    }
}
