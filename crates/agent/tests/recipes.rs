//! What launches of Codex and of ACP agents look like, that secrets stand in private files only, and that a new
//! agent is a few lines of configuration.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use expect_test::{Expect, expect};
use orcha_agent::acp::RecipeError;
use orcha_agent::llm::Providers;
use orcha_agent::{Agents, Begun, Launch, LaunchError, Mcp, Permissions, RunnerError, Say};
use orcha_base::{Effort, Redacted, Retry, Timestamp};
use orcha_exec::{RunLabel, RunSpec};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

fn agents() -> Agents {
    let environment = [
        ("PATH", "/bin"),
        ("HOME", "/home/a"),
        ("OPENAI_API_KEY", "o"),
        ("GEMINI_API_KEY", "g"),
        ("ANTHROPIC_API_KEY", "a"),
        ("CODEX_HOME", "/home/a/.codex"),
        ("DATABASE_PASSWORD", "d"),
    ];
    Agents::new(environment.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()).unwrap()
}

fn launch() -> Launch {
    Launch {
        label: RunLabel::new("s-1").unwrap(),
        dir: "/checkout".into(),
        program: None,
        model: Some("big-one".to_owned()),
        effort: None,
        resume: None,
        begun: None,
        conversation: "33333333-3333-4333-8333-333333333333".to_owned(),
        mcp: Some(Mcp {
            name: "hub".to_owned(),
            url: "http://127.0.0.1:1/mcp".to_owned(),
            token: Redacted::new("s3cret".to_owned()),
            tools: vec!["ask_user".to_owned()],
        }),
        permissions: Permissions::Edits,
        sandbox: Default::default(),
        rules: "Be brief.".to_owned(),
        opening: Some(Say::Prompt { key: "p1".to_owned(), text: "line one\nline two".to_owned() }),
        env: Vec::new(),
        local_tools: Vec::new(),
        servers: Vec::new(),
        output: None,
    }
}

fn spec(kind: &str, launch: &Launch) -> RunSpec {
    agents().dialect(kind).unwrap().run_spec(launch).unwrap()
}

fn show(spec: &RunSpec) -> String {
    let mut text = String::new();
    writeln!(text, "{} {:?}", spec.program, spec.args).unwrap();
    let env: Vec<String> = spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    writeln!(text, "env {}", env.join(" ")).unwrap();
    for (name, content) in &spec.files {
        writeln!(text, "file {name} {content}").unwrap();
    }
    for line in &spec.input {
        writeln!(text, "in {} {}", line.key, line.text.replace(env!("CARGO_PKG_VERSION"), "VERSION")).unwrap();
    }
    text
}

fn check(kind: &str, launch: &Launch, expected: &Expect) {
    expected.assert_eq(&show(&spec(kind, launch)));
}

#[test]
fn codex_gets_its_folder_its_sandbox_and_its_tools_by_the_protocol() {
    check(
        "codex",
        &launch(),
        &expect![[r#"
            codex ["app-server", "-c", "check_for_update_on_startup=false", "-c", "analytics.enabled=false", "-c", "feedback.enabled=false", "-c", "features.plugins=false", "-c", "features.apps=false", "-c", "features.remote_plugin=false", "-c", "features.unbounded_connection_retries=false"]
            env PATH=/bin HOME=/home/a OPENAI_API_KEY=o CODEX_HOME=/home/a/.codex
            file brief.json {"method":"thread/start","opening":{"key":"p1","text":"line one\nline two"},"params":{"approvalPolicy":"on-request","config":{"mcp_servers":{"hub":{"default_tools_approval_mode":"approve","http_headers":{"Authorization":"Bearer s3cret"},"url":"http://127.0.0.1:1/mcp"}},"sandbox_workspace_write":{"writable_roots":["/checkout/.git"]}},"cwd":"/checkout","developerInstructions":"Be brief.","model":"big-one","sandbox":"workspace-write"}}
            in initialize {"id":"initialize","method":"initialize","params":{"clientInfo":{"name":"orcha","title":"orcha","version":"VERSION"}}}
        "#]],
    );
}

#[test]
fn a_codex_thread_is_gone_on_with_without_its_history() {
    let launch = Launch {
        resume: Some("t1".to_owned()),
        permissions: Permissions::Everything,
        mcp: None,
        model: None,
        sandbox: Default::default(),
        rules: String::new(),
        opening: None,
        ..launch()
    };
    let spec = spec("codex", &launch);
    expect![[r#"{"method":"thread/resume","opening":null,"params":{"approvalPolicy":"never","cwd":"/checkout","excludeTurns":true,"sandbox":"danger-full-access","threadId":"t1"}}"#]].assert_eq(&spec.files[0].1);
}

#[test]
fn a_single_turn_of_codex_reads_its_prompt_from_its_input() {
    check(
        "codex-exec",
        &launch(),
        &expect![[r#"
        codex ["exec", "--json", "--skip-git-repo-check", "-c", "check_for_update_on_startup=false", "-c", "analytics.enabled=false", "-c", "feedback.enabled=false", "-c", "features.plugins=false", "-c", "features.apps=false", "-c", "features.remote_plugin=false", "-c", "features.unbounded_connection_retries=false", "-c", "approval_policy=\"never\"", "-c", "sandbox_mode=\"workspace-write\"", "-c", "sandbox_workspace_write.writable_roots=[\"/checkout/.git\"]", "-c", "mcp_servers.hub.url=\"http://127.0.0.1:1/mcp\"", "-c", "mcp_servers.hub.bearer_token_env_var=\"ORCHA_MCP_TOKEN\"", "-c", "mcp_servers.hub.default_tools_approval_mode=\"approve\"", "-c", "shell_environment_policy.exclude=[\"ORCHA_MCP_TOKEN\"]", "-c", "model=\"big-one\"", "-"]
        env PATH=/bin HOME=/home/a OPENAI_API_KEY=o CODEX_HOME=/home/a/.codex ORCHA_MCP_TOKEN=s3cret
        file brief.json {"key":"p1","resumed":false}
        in p1:0 Be brief.
        in p1:1 
        in p1:2 line one
        in p1:3 line two
    "#]],
    );
}

#[test]
fn a_headless_run_reads_its_prompt_from_its_input_and_has_its_tools_in_a_file() {
    check(
        "gemini-headless",
        &launch(),
        &expect![[r#"
        gemini ["--output-format=stream-json", "--skip-trust", "--approval-mode=auto_edit", "--session-id=33333333-3333-4333-8333-333333333333", "--model=big-one"]
        env PATH=/bin HOME=/home/a GEMINI_API_KEY=g GEMINI_CLI_NO_RELAUNCH=true GEMINI_CLI_TRUST_WORKSPACE=true GEMINI_CLI_SYSTEM_SETTINGS_PATH={run_dir}/gemini.json
        file brief.json {"key":"p1","resumed":false}
        file gemini.json {"general":{"enableAutoUpdate":false},"mcpServers":{"hub":{"headers":{"Authorization":"Bearer s3cret"},"httpUrl":"http://127.0.0.1:1/mcp","trust":true}},"privacy":{"usageStatisticsEnabled":false},"telemetry":{"enabled":false}}
        in p1:0 Be brief.
        in p1:1 
        in p1:2 line one
        in p1:3 line two
    "#]],
    );
    check(
        "opencode-run",
        &launch(),
        &expect![[r#"
        opencode ["run", "--format=json", "--thinking", "--model=big-one"]
        env PATH=/bin HOME=/home/a OPENAI_API_KEY=o GEMINI_API_KEY=g ANTHROPIC_API_KEY=a OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_DISABLE_LSP_DOWNLOAD=1 OPENCODE_DISABLE_DEFAULT_PLUGINS=1 OPENCODE_DISABLE_SHARE=1 OPENCODE_PERMISSION={"bash":"ask","webfetch":"ask","external_directory":"ask"} OPENCODE_CONFIG={run_dir}/opencode.json
        file brief.json {"key":"p1","resumed":false}
        file opencode.json {"mcp":{"hub":{"enabled":true,"headers":{"Authorization":"Bearer s3cret"},"oauth":false,"type":"remote","url":"http://127.0.0.1:1/mcp"}}}
        in p1:0 Be brief.
        in p1:1 
        in p1:2 line one
        in p1:3 line two
    "#]],
    );
    let resume = Some("44444444-4444-4444-8444-444444444444".to_owned());
    let launch = Launch { resume, permissions: Permissions::Everything, ..launch() };
    check(
        "qwen-headless",
        &launch,
        &expect![[r#"
        qwen ["--output-format=stream-json", "--approval-mode=yolo", "--resume=44444444-4444-4444-8444-444444444444", "--model=big-one"]
        env PATH=/bin HOME=/home/a OPENAI_API_KEY=o QWEN_CODE_NO_RELAUNCH=true QWEN_CODE_SYSTEM_SETTINGS_PATH={run_dir}/qwen.json
        file brief.json {"key":"p1","resumed":true}
        file qwen.json {"general":{"enableAutoUpdate":false},"mcpServers":{"hub":{"headers":{"Authorization":"Bearer s3cret"},"httpUrl":"http://127.0.0.1:1/mcp","trust":true}},"permissions":{"allow":["mcp__hub__ask_user"]},"privacy":{"usageStatisticsEnabled":false},"telemetry":{"enabled":false}}
        in p1:0 Be brief.
        in p1:1 
        in p1:2 line one
        in p1:3 line two
    "#]],
    );
}

#[test]
fn gemini_is_not_gone_on_with_in_the_minute_in_which_it_was_opened_last() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let launched = |kind: &str, now: &str| {
        let begun = Some(Begun { opened: at("2026-11-21T10:18:59.900Z"), now: at(now) });
        let launch = Launch { resume: Some("44444444-4444-4444-8444-444444444444".to_owned()), begun, ..launch() };
        agents().dialect(kind).unwrap().run_spec(&launch).map(|_| ())
    };
    let refused = launched("gemini", "2026-11-21T10:18:59.950Z").unwrap_err();
    assert_eq!(refused.retry(), Retry::Later);
    let LaunchError::NotYet { until, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(until, at("2026-11-21T10:19:01Z"));
    launched("gemini", "2026-11-21T10:19:01Z").unwrap();
    for kind in ["gemini-headless", "codex", "opencode", "qwen"] {
        launched(kind, "2026-11-21T10:18:59.950Z").unwrap();
    }
}

#[test]
fn gemini_gets_a_mode_a_login_and_settings_of_its_run() {
    check(
        "gemini",
        &launch(),
        &expect![[r#"
        gemini ["--acp", "--model=big-one"]
        env PATH=/bin HOME=/home/a GEMINI_API_KEY=g GEMINI_CLI_NO_RELAUNCH=true GEMINI_CLI_SYSTEM_SETTINGS_PATH={run_dir}/gemini.json GEMINI_CLI_TRUST_WORKSPACE=true
        file brief.json {"cwd":"/checkout","login":"gemini-api-key","mode":"autoEdit","opening":{"key":"p1","text":"line one\nline two"},"resume":null,"rules":"Be brief.","servers":[{"headers":[{"name":"Authorization","value":"Bearer s3cret"}],"name":"hub","type":"http","url":"http://127.0.0.1:1/mcp"}],"tools":["mcp__hub__ask_user"]}
        file gemini.json {"privacy":{"usageStatisticsEnabled":false},"telemetry":{"enabled":false},"general":{"enableAutoUpdate":false}}
        in initialize {"id":"initialize","jsonrpc":"2.0","method":"initialize","params":{"clientCapabilities":{"fs":{"readTextFile":false,"writeTextFile":false},"terminal":false},"clientInfo":{"name":"orcha","title":"orcha","version":"VERSION"},"protocolVersion":1}}
    "#]],
    );
}

#[test]
fn another_program_of_a_kind_is_made_to_speak_the_same_protocol() {
    let program = Some(vec!["/opt/wrap".to_owned(), "it".to_owned()]);
    for (kind, words) in [
        ("gemini", &["it", "--acp", "--model=big-one"][..]),
        ("opencode", &["it", "acp"]),
        ("qwen", &["it", "--acp", "--model=big-one"]),
        (
            "codex-acp",
            &[
                "it",
                "-c",
                "approval_policy=\"on-request\"",
                "-c",
                "sandbox_mode=\"workspace-write\"",
                "-c",
                "sandbox_workspace_write.writable_roots=[\"/checkout/.git\"]",
                "-c",
                "model=\"big-one\"",
            ],
        ),
        ("claude-agent-acp", &["it"]),
    ] {
        let spec = spec(kind, &Launch { program: program.clone(), ..launch() });
        assert_eq!((spec.program.as_str(), spec.args), ("/opt/wrap", words.iter().map(|it| it.to_string()).collect()));
    }
}

#[test]
fn qwen_in_its_headless_mode_gets_an_id_of_a_version_that_it_knows() {
    let conversation = "01890a5d-ac96-774b-bcce-b302099a8057".to_owned();
    let spec = spec("qwen-headless", &Launch { conversation, ..launch() });
    assert!(spec.args.contains(&"--session-id=01890a5d-ac96-474b-bcce-b302099a8057".to_owned()), "{:?}", spec.args);
}

#[test]
fn opencode_asks_because_it_is_told_to() {
    check(
        "opencode",
        &launch(),
        &expect![[r#"
        opencode ["acp"]
        env PATH=/bin HOME=/home/a OPENAI_API_KEY=o GEMINI_API_KEY=g ANTHROPIC_API_KEY=a OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_DEFAULT_PLUGINS=1 OPENCODE_DISABLE_LSP_DOWNLOAD=1 OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_DISABLE_SHARE=1 OPENCODE_PERMISSION={"bash":"ask","webfetch":"ask","external_directory":"ask"} OPENCODE_CONFIG_CONTENT={"model":"big-one"}
        file brief.json {"cwd":"/checkout","login":null,"mode":null,"opening":{"key":"p1","text":"line one\nline two"},"resume":null,"rules":"Be brief.","servers":[{"headers":[{"name":"Authorization","value":"Bearer s3cret"}],"name":"hub","type":"http","url":"http://127.0.0.1:1/mcp"}],"tools":["mcp__hub__ask_user"]}
        in initialize {"id":"initialize","jsonrpc":"2.0","method":"initialize","params":{"clientCapabilities":{"fs":{"readTextFile":false,"writeTextFile":false},"terminal":false},"clientInfo":{"name":"orcha","title":"orcha","version":"VERSION"},"protocolVersion":1}}
    "#]],
    );
}

#[test]
fn an_agent_that_hands_servers_on_by_argument_is_pointed_to_a_private_file() {
    let spec = spec("claude-agent-acp", &launch());
    let file = |name: &str| spec.files.iter().find(|(known, _)| known == name).unwrap().1.clone();
    assert!(file("mcp.json").contains("Bearer s3cret") && !file("brief.json").contains("s3cret"));
    let mut dialogue = agents().dialect("claude-agent-acp").unwrap().dialogue(&Value::Null);
    dialogue.folder(Path::new("/runs/s-1"));
    dialogue.brief(&file("brief.json"));
    let hello =
        json!({"id": "initialize", "jsonrpc": "2.0", "result": {"protocolVersion": 1, "agentCapabilities": {}}});
    let said = dialogue.hear(hello.to_string().as_bytes(), false);
    let opening: Value = serde_json::from_str(&said.replies[0].text).unwrap();
    assert_eq!(opening["params"]["mcpServers"], json!([]));
    let options = &opening["params"]["_meta"]["claudeCode"]["options"];
    assert_eq!(options["extraArgs"], json!({"mcp-config": "/runs/s-1/mcp.json"}));
}

#[test]
fn no_argument_and_no_variable_of_an_interactive_agent_holds_the_credential() {
    for kind in agents().kinds() {
        let launch = Launch {
            opening: Some(Say::Prompt { key: "11111111-1111-4111-8111-111111111111".to_owned(), text: "x".to_owned() }),
            ..launch()
        };
        let spec = spec(kind, &launch);
        assert!(!format!("{:?}", spec.args).contains("s3cret"), "{kind}");
        // The one-turn programs have no other way than a variable; their commands do not see it.
        assert_eq!(format!("{:?}", spec.env).contains("s3cret"), kind == "codex-exec", "{kind}");
        assert!(!format!("{:?}", spec.env).contains("DATABASE_PASSWORD"), "{kind}");
        assert!(!format!("{:?}", agents()).contains("s3cret"));
    }
}

#[test]
fn a_new_agent_is_a_few_lines_of_configuration() {
    let mut agents = agents();
    agents
        .configure(
            r#"
            [goose]
            command = ["goose", "acp"]
            sees = ["GOOSE_"]
            env = { GOOSE_MODE = "approve" }
            model_env = { GOOSE_MODEL = "{model}" }
            [[goose.errors]]
            at = "/data/type"
            is = "quota"
            cause = "usage_exhausted"
            "#,
        )
        .unwrap();
    assert!(agents.kinds().any(|kind| kind == "goose"));
    let dialect = agents.dialect("goose").unwrap();
    let spec = dialect.run_spec(&launch()).unwrap();
    assert_eq!((spec.program.as_str(), spec.args), ("goose", vec!["acp".to_owned()]));
    assert!(spec.env.contains(&("GOOSE_MODEL".to_owned(), "big-one".to_owned())));

    let mut dialogue = dialect.dialogue(&Value::Null);
    let error = json!({"jsonrpc": "2.0", "id": "prompt:k", "error": {"code": -32603, "data": {"type": "quota"}}});
    let heard = dialogue.hear(error.to_string().as_bytes(), false);
    expect![[r#"[Accepted { key: "k" }, TurnEnded(UsageExhausted { until: None })]"#]]
        .assert_eq(&format!("{:?}", heard.events));
}

#[test]
fn a_configuration_that_says_nonsense_is_refused_with_its_place() {
    let refusal = |text: &str| match agents().configure(text) {
        Err(RecipeError::Format(fault)) => fault.message().to_owned(),
        Err(fault) => fault.to_string(),
        Ok(()) => panic!("{text} was taken"),
    };
    let refusals = [
        refusal("[a]\ncommand = [\"a\"]\ncolour = 1"),
        refusal("[a]\nenv = {}"),
        refusal("[a]\ncommand = [\"a\"]\n[[a.errors]]\ncause = \"bad_mood\""),
        refusal("a = 1"),
    ];
    expect![[r#"
        unknown field `colour`, expected one of `command`, `args`, `args_for`, `args_confined`, `sees`, `env`, `env_for`, `model_args`, `model_env`, `effort_args`, `effort_env`, `modes`, `login`, `keeps`, `late_history`, `file_by_minute`, `files`, `opens_with`, `mcp_calls`, `errors`
        ---
        agent `a` has no `command`
        ---
        unknown variant `bad_mood`, expected one of `interrupted`, `refused`, `rate_limited`, `usage_exhausted`, `overloaded`, `auth`, `billing`, `model_missing`, `context_full`, `conversation_missing`, `network`, `over_budget`
        ---
        invalid type: integer `1`, expected struct Recipe"#]].assert_eq(&refusals.join("\n---\n"));
}

#[test]
fn how_hard_it_thinks_is_said_to_each_program_that_has_a_word_for_it() {
    let mut agents = agents();
    let key = [("OPENAI_API_KEY".to_owned(), "o".to_owned())];
    let providers = Providers::read(&key, "[openai]\neffort = \"low\"\n", "").unwrap();
    agents.add_providers(&["orchad".to_owned()], &providers).unwrap();
    agents.bridge_by(vec!["/bridge".to_owned()]);
    agents
        .configure(
            "[tui]\nterminal = { program = [\"tui\"], ready = \"^> \", effort_args = [\"--think\", \"{effort}\"] }\n",
        )
        .unwrap();
    let said = |kind: &str, effort| {
        let dialect = agents.dialect(kind).unwrap();
        assert!(dialect.takes_effort(), "{kind}");
        let opening =
            Some(Say::Prompt { key: "11111111-1111-4111-8111-111111111111".to_owned(), text: "begin".to_owned() });
        show(&dialect.run_spec(&Launch { effort, opening, ..launch() }).unwrap())
    };
    for (kind, words) in [
        ("claude", r#""--effort=high""#),
        ("codex", r#""model_reasoning_effort":"high""#),
        ("codex-exec", r#"model_reasoning_effort=\"high\""#),
        ("codex-acp", r#"model_reasoning_effort=\"high\""#),
        ("claude-agent-acp", "CLAUDE_CODE_EFFORT_LEVEL=high"),
        ("opencode-run", r#""--variant=high""#),
        ("openai", r#""effort":"high""#),
        ("tui", r#""--think","high""#),
    ] {
        let (high, usual) = (said(kind, Some(Effort::High)), said(kind, None));
        assert!(high.contains(words), "{kind}: {high}");
        assert!(!usual.contains(words) && usual.contains(r#""effort":"low""#) == (kind == "openai"), "{kind}: {usual}");
    }
    for kind in ["gemini", "gemini-headless", "opencode", "qwen", "qwen-headless"] {
        assert!(!agents.dialect(kind).unwrap().takes_effort(), "{kind}");
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    let refused = |kind: &str, launch: Launch| match agents().dialect(kind).unwrap().run_spec(&launch) {
        Err(LaunchError::Unsupported { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let unsaid = |kind: &str, say: &Say, memory: Value| match agents().dialect(kind).unwrap().utter(say, &memory) {
        Err(RunnerError::NotYet { reason }) => format!("not yet: {reason}"),
        Err(RunnerError::Unsupported { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let prompt = Say::Prompt { key: "p".to_owned(), text: String::new() };
    let answer = |request: &str| Say::Permission {
        request: request.to_owned(),
        input: String::new(),
        allow: true,
        reason: String::new(),
    };
    let interrupt = Say::Interrupt { key: "i".to_owned() };
    let said = [
        refused("codex-exec", Launch { opening: None, ..launch() }),
        refused("gemini", Launch { opening: Some(interrupt.clone()), ..launch() }),
        refused("codex", Launch { program: Some(Vec::new()), ..launch() }),
        refused("opencode", Launch { model: Some("a\",\"b".to_owned()), ..launch() }),
        refused("codex-acp", Launch { dir: "/a\"b".into(), ..launch() }),
        unsaid("codex", &prompt, Value::Null),
        unsaid("gemini", &prompt, Value::Null),
        unsaid("gemini", &prompt, json!({"session": "s", "turn": "k"})),
        unsaid("gemini", &answer("r1"), json!({"session": "s"})),
        unsaid("gemini", &answer("{\"id\":1,\"allow\":null,\"reject\":null}"), json!({"session": "s"})),
        unsaid("codex-exec", &prompt, Value::Null),
        unsaid("codex-exec", &interrupt, Value::Null),
    ];
    expect![[r#"
        a single turn needs its prompt at the start
        a conversation opens with a prompt
        no program is named
        the name of a model holds no quotes
        the path of the working folder holds no quotes
        not yet: the conversation is not open
        not yet: the conversation is not open
        not yet: a turn is running
        the request is none of this agent's
        the agent offers no way to allow it once
        it takes one prompt; the next one is a new run that resumes
        it is interrupted by ending its run"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn who_interrupts_an_acp_agent_withdraws_what_it_asked() {
    let dialect = agents().dialect("gemini").unwrap();
    let memory = json!({"session": "s", "turn": "k", "asked": ["{\"id\":3,\"allow\":\"yes\",\"reject\":\"no\"}"]});
    let said = dialect.utter(&Say::Interrupt { key: "i".to_owned() }, &memory).unwrap();
    let lines: Vec<String> = said.lines.iter().map(|it| format!("{} {}", it.key, it.text)).collect();
    expect![[r#"
        i {"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"s"}}
        answer:3 {"id":3,"jsonrpc":"2.0","result":{"outcome":{"outcome":"cancelled"}}}"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn codex_leaves_its_own_sandbox_out_in_ours_and_is_not_started_without_ours() {
    let sandbox = orcha_exec::Sandbox { level: orcha_base::SandboxLevel::Landlock, ..Default::default() };
    let confined = Launch { permissions: Permissions::Edits, sandbox, ..launch() };
    let free = Launch { permissions: Permissions::Edits, ..launch() };
    for kind in ["codex", "codex-exec", "codex-acp"] {
        let said = |launch: &Launch| {
            let spec = agents().dialect(kind).unwrap().run_spec(launch).unwrap();
            format!("{:?} {:?}", spec.args, spec.files)
        };
        let leans = |launch: &Launch| agents().dialect(kind).unwrap().leans_on_sandbox(launch);
        let (inside, outside) = (said(&confined), said(&free));
        assert!(inside.contains("danger-full-access") && !inside.contains("writable_roots"), "{kind}: {inside}");
        assert!(outside.contains("workspace-write") && outside.contains("writable_roots"), "{kind}: {outside}");
        assert!(leans(&confined) && !leans(&free), "{kind}");
    }
}
