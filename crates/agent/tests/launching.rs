//! What a launch of the Claude dialect looks like: arguments, environment, private files, first lines.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use expect_test::expect;
use orcha_agent::claude::Claude;
use orcha_agent::{Dialect, Launch, LaunchError, Mcp, Permissions, Say};
use orcha_base::{Redacted, SandboxLevel};
use orcha_exec::RunLabel;

const CONVERSATION: &str = "33333333-3333-4333-8333-333333333333";
const KEY: &str = "11111111-1111-4111-8111-111111111111";

fn claude() -> Claude {
    let base_env = [("PATH", "/bin"), ("HOME", "/home/a"), ("CLAUDECODE", "1"), ("DISABLE_TELEMETRY", "0")];
    let base_env = base_env.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    Claude { program: vec!["claude".to_owned()], base_env }
}

fn launch() -> Launch {
    Launch {
        label: RunLabel::new("s-1").unwrap(),
        dir: "/work".into(),
        program: None,
        model: Some("opus".to_owned()),
        effort: None,
        resume: None,
        begun: None,
        conversation: CONVERSATION.to_owned(),
        mcp: Some(Mcp {
            name: "orcha".to_owned(),
            url: "http://127.0.0.1:1/mcp".to_owned(),
            token: Redacted::new("s3cret".to_owned()),
            tools: vec!["spawn_session".to_owned(), "ask_user".to_owned()],
        }),
        permissions: Permissions::Edits,
        sandbox: Default::default(),
        rules: "Be brief.".to_owned(),
        opening: Some(Say::Prompt { key: KEY.to_owned(), text: "line one\nline two".to_owned() }),
        env: vec![("HOME".to_owned(), "/home/b".to_owned())],
        local_tools: Vec::new(),
        servers: Vec::new(),
        output: None,
    }
}

fn refused(launch: &Launch) -> String {
    match claude().run_spec(launch) {
        Err(LaunchError::Unsupported { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn c13_a_launch_puts_secrets_and_long_texts_into_private_files() {
    let spec = claude().run_spec(&launch()).unwrap();
    let args: Vec<String> = spec.args.iter().map(|it| format!("{it:?}")).collect();
    expect![[r#"
        "-p" "--input-format" "stream-json" "--output-format" "stream-json" "--verbose" "--replay-user-messages" "--session-id" "33333333-3333-4333-8333-333333333333" "--model=opus" "--permission-mode" "acceptEdits" "--permission-prompt-tool" "stdio" "--setting-sources" "" "--strict-mcp-config" "--mcp-config" "{run_dir}/mcp.json" "--allowedTools=mcp__orcha__spawn_session,mcp__orcha__ask_user" "--append-system-prompt-file" "{run_dir}/rules.md""#]]
    .assert_eq(&args.join(" "));
    let files: Vec<String> = spec.files.iter().map(|(name, text)| format!("{name}: {text}")).collect();
    expect![[r#"
        mcp.json: {"mcpServers":{"orcha":{"headers":{"Authorization":"Bearer s3cret"},"type":"http","url":"http://127.0.0.1:1/mcp"}}}
        rules.md: Be brief."#]]
    .assert_eq(&files.join("\n"));
    let input: Vec<&str> = spec.input.iter().map(|line| line.text.as_str()).collect();
    expect![[r#"
        {"request":{"hooks":null,"subtype":"initialize"},"request_id":"initialize","type":"control_request"}
        {"message":{"content":[{"text":"line one\nline two","type":"text"}],"role":"user"},"type":"user","uuid":"11111111-1111-4111-8111-111111111111"}"#]]
    .assert_eq(&input.join("\n"));
    assert_eq!(spec.program, "claude");
    assert!(!format!("{:?} {:?}", spec.args, spec.env).contains("s3cret"));
}

#[test]
fn it_is_told_of_a_sandbox_only_where_ours_confines_it() {
    let told = |level| {
        let sandbox = orcha_exec::Sandbox { level, ..Default::default() };
        let spec = claude().run_spec(&Launch { sandbox, ..launch() }).unwrap();
        spec.env.contains(&("IS_SANDBOX".to_owned(), "1".to_owned()))
    };
    assert!(told(SandboxLevel::Landlock) && told(SandboxLevel::Bubblewrap) && !told(SandboxLevel::None));
}

#[test]
fn the_environment_is_base_then_switches_then_launch() {
    let spec = claude().run_spec(&launch()).unwrap();
    let env: Vec<String> = spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    expect![[r#"
        PATH=/bin
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
        DISABLE_TELEMETRY=1
        DISABLE_ERROR_REPORTING=1
        DISABLE_AUTOUPDATER=1
        ENABLE_TOOL_SEARCH=false
        HOME=/home/b"#]]
    .assert_eq(&env.join("\n"));
}

#[test]
fn a_resumed_conversation_keeps_its_id_and_another_program_its_own_arguments() {
    let program = vec!["/bin/other".to_owned(), "--script".to_owned(), "x.json".to_owned()];
    let spec = claude()
        .run_spec(&Launch { resume: Some(KEY.to_owned()), program: Some(program), opening: None, ..launch() })
        .unwrap();
    assert_eq!(spec.program, "/bin/other");
    assert_eq!(spec.args[..3], ["--script", "x.json", "-p"]);
    assert!(spec.args.windows(2).any(|it| it == ["--resume", KEY]));
    assert_eq!(spec.input.len(), 1);
}

#[test]
fn what_the_program_would_not_understand_is_refused_with_the_reason() {
    let bad_key = Some(Say::Prompt { key: "seven".to_owned(), text: String::new() });
    let refusals = [
        refused(&Launch { conversation: "x".to_owned(), ..launch() }),
        refused(&Launch { opening: bad_key, ..launch() }),
        refused(&Launch { opening: Some(Say::Interrupt { key: "i".to_owned() }), ..launch() }),
        refused(&Launch { program: Some(Vec::new()), ..launch() }),
    ];
    expect![[r#"
        the conversation must be a UUID, not `x`
        the key of a prompt must be a UUID, not `seven`
        a conversation opens with a prompt
        no program is named"#]]
    .assert_eq(&refusals.join("\n"));
}

#[test]
fn everything_that_is_said_is_one_line_with_its_own_key() {
    let permission = |allow| Say::Permission {
        request: "r1".to_owned(),
        input: "{\"command\": \"ls\"}".to_owned(),
        allow,
        reason: "not\nnow".to_owned(),
    };
    let says = [
        Say::Prompt { key: KEY.to_owned(), text: "a\nb".to_owned() },
        Say::Interrupt { key: "i1".to_owned() },
        permission(true),
        permission(false),
    ];
    let lines: Vec<String> = says
        .iter()
        .flat_map(|it| claude().utter(it, &serde_json::Value::Null).unwrap().lines)
        .map(|it| format!("{} {}", it.key, it.text))
        .collect();
    expect![[r#"
        11111111-1111-4111-8111-111111111111 {"message":{"content":[{"text":"a\nb","type":"text"}],"role":"user"},"type":"user","uuid":"11111111-1111-4111-8111-111111111111"}
        i1 {"request":{"subtype":"interrupt"},"request_id":"i1","type":"control_request"}
        answer:r1 {"response":{"request_id":"r1","response":{"behavior":"allow","updatedInput":{"command":"ls"}},"subtype":"success"},"type":"control_response"}
        answer:r1 {"response":{"request_id":"r1","response":{"behavior":"deny","message":"not\nnow"},"subtype":"success"},"type":"control_response"}"#]]
    .assert_eq(&lines.join("\n"));
}
