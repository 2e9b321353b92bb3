//! The dialects that open a conversation step by step, over real processes on a real host: small shell scripts
//! stand in for the programs. Every batch is read by a runner that has just been made, as after a restart.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use expect_test::{Expect, expect};
use orcha_agent::{
    Agents, Cursor, Ended, Event, HostedRunner, Launch, LaunchError, Mcp, Permissions, Runner, RunnerError, Said, Say,
};
use orcha_base::{Effort, Redacted, Retry};
use orcha_exec::{ExitStatus, Grace, Host, LocalHost, LocalSettings, RunLabel};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Answers as an ACP agent does; of its tools it says which credential it was given.
const ACP: &str = r#"
say() { printf '%s\n' "$1"; }
update() { say '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s1","update":'"$1"'}}'; }
while IFS= read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":"\([^"]*\)".*/\1/p')
  case "$line" in
  *'"method":"initialize"'*)
    say '{"jsonrpc":"2.0","id":"'"$id"'","result":{"protocolVersion":1,"agentCapabilities":{"mcpCapabilities":{"http":true}}}}' ;;
  *'"method":"session/new"'*)
    case "$line" in *'Bearer sesame'*) ;; *) exit 3 ;; esac
    say '{"jsonrpc":"2.0","id":"'"$id"'","result":{"sessionId":"s1","modes":{"currentModeId":"a","availableModes":[{"id":"a"},{"id":"b"}]}}}' ;;
  *'"method":"session/set_mode"'*'"modeId":"b"'*)
    say '{"jsonrpc":"2.0","id":"'"$id"'","result":{}}' ;;
  *'"method":"session/prompt"'*wait*)
    update '{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"waiting"}}'
    say '{"jsonrpc":"2.0","id":7,"method":"session/request_permission","params":{"sessionId":"s1","toolCall":{"toolCallId":"c1","kind":"execute","title":"ls"},"options":[{"optionId":"yes","kind":"allow_once"},{"optionId":"no","kind":"reject_once"}]}}'
    prompt=$id ;;
  *'"method":"session/prompt"'*)
    update '{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"hel"}}'
    update '{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"lo"}}'
    say '{"jsonrpc":"2.0","id":"'"$id"'","result":{"stopReason":"end_turn","usage":{"inputTokens":5,"outputTokens":2}}}' ;;
  *'"optionId":"yes"'*)
    update '{"sessionUpdate":"tool_call_update","toolCallId":"c1","status":"completed","rawOutput":"a.txt"}' ;;
  *'"method":"session/cancel"'*)
    say '{"jsonrpc":"2.0","id":"'"$prompt"'","result":{"stopReason":"cancelled"}}' ;;
  esac
done
"#;

/// Answers as the app-server of Codex does.
const CODEX: &str = r#"
say() { printf '%s\n' "$1"; }
while IFS= read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":"\([^"]*\)".*/\1/p')
  case "$line" in
  *'"method":"initialize"'*) say '{"id":"'"$id"'","result":{"userAgent":"x"}}' ;;
  *'"method":"thread/start"'*)
    case "$line" in *'Bearer sesame'*) ;; *) exit 3 ;; esac
    say '{"id":"'"$id"'","result":{"thread":{"id":"t1"},"model":"m"}}' ;;
  *'"method":"turn/start"'*wait*)
    say '{"id":"'"$id"'","result":{"turn":{"id":"u2"}}}'
    say '{"id":0,"method":"item/commandExecution/requestApproval","params":{"itemId":"c1","command":"ls","cwd":"/"}}' ;;
  *'"method":"turn/start"'*)
    say '{"id":"'"$id"'","result":{"turn":{"id":"u1"}}}'
    say '{"method":"item/completed","params":{"item":{"type":"agentMessage","id":"m1","text":"hello"}}}'
    say '{"method":"turn/completed","params":{"turn":{"id":"u1","status":"completed"}}}' ;;
  *'"decision":"accept"'*)
    say '{"method":"item/completed","params":{"item":{"type":"commandExecution","id":"c1","command":"ls","status":"completed","aggregatedOutput":"a.txt","exitCode":0}}}' ;;
  *'"method":"turn/interrupt"'*'"turnId":"u2"'*)
    say '{"id":"'"$id"'","result":{}}'
    say '{"method":"turn/completed","params":{"turn":{"id":"u2","status":"interrupted"}}}' ;;
  esac
done
"#;

/// Reads its prompt to the end, as `codex exec` does, and is gone.
const EXEC: &str = r#"
text=$(cat)
printf '%s\n' '{"type":"thread.started","thread_id":"t1"}' '{"type":"turn.started"}'
printf '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"heard %s"}}\n' "$(printf '%s' "$text" | tr '\n' '/')"
printf '%s\n' '{"type":"turn.completed","usage":{"input_tokens":5,"output_tokens":2}}'
"#;

struct Stage {
    folder: tempfile::TempDir,
    kind: &'static str,
    script: &'static str,
}

impl Stage {
    fn new(kind: &'static str, script: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        Self { folder, kind, script }
    }

    /// A runner as a daemon makes it that has just started.
    fn runner(&self) -> HostedRunner {
        let test = std::env::current_exe().unwrap();
        let keeper = test.ancestors().nth(2).unwrap().join("examples").join("keeper");
        let keeper = vec![keeper.to_str().unwrap().to_owned()];
        let root: PathBuf = self.folder.path().join("root");
        let settings = LocalSettings { cgroup_parent: None, ..LocalSettings::detect(root, keeper) };
        let host: Arc<dyn Host> = Arc::new(LocalHost::new(settings).unwrap());
        let path = ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
        let mut agents = Agents::new(vec![path]).unwrap();
        agents.configure("[mine]\ncommand = [\"mine\"]\nmodes = { edits = \"b\" }\n").unwrap();
        HostedRunner::new(host, agents.dialect(self.kind).unwrap())
    }

    fn launch(&self) -> Launch {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let script = self.folder.path().join("agent.sh");
        std::fs::write(&script, self.script).unwrap();
        Launch {
            label: label(),
            dir: self.folder.path().join("work"),
            program: Some(vec!["/bin/sh".to_owned(), text(&script)]),
            model: None,
            effort: None,
            resume: None,
            begun: None,
            conversation: "00000000-0000-4000-8000-000000000000".to_owned(),
            mcp: Some(Mcp {
                name: "hub".to_owned(),
                url: "http://127.0.0.1:1/mcp".to_owned(),
                token: Redacted::new("sesame".to_owned()),
                tools: vec!["report".to_owned()],
            }),
            permissions: Permissions::Edits,
            sandbox: Default::default(),
            rules: "Be brief.".to_owned(),
            opening: Some(prompt("p1", "begin")),
            env: Vec::new(),
            local_tools: Vec::new(),
            servers: Vec::new(),
            output: None,
        }
    }

    /// Reads on until an event is there, and returns the runner that read it with what was new.
    async fn read_until(&self, cursor: &mut Cursor, enough: impl Fn(&Event) -> bool) -> (HostedRunner, Vec<Event>) {
        let mut events = Vec::new();
        loop {
            let runner = self.runner();
            let batch = read(&runner, cursor).await;
            *cursor = batch.cursor;
            events.extend(batch.entries.into_iter().map(|it| it.event));
            if events.iter().any(&enough) {
                return (runner, events);
            }
            assert_eq!(batch.ended, None, "it ended too early: {events:?}");
        }
    }
}

async fn read(runner: &HostedRunner, cursor: &Cursor) -> orcha_agent::Batch {
    let stored = serde_json::from_str(&serde_json::to_string(cursor).unwrap()).unwrap();
    tokio::time::timeout(Duration::from_secs(30), runner.read(&label(), &stored)).await.unwrap().unwrap()
}

fn label() -> RunLabel {
    RunLabel::new("s-1").unwrap()
}

fn prompt(key: &str, text: &str) -> Say {
    Say::Prompt { key: key.to_owned(), text: text.to_owned() }
}

fn turn_ended(event: &Event) -> bool {
    matches!(event, Event::TurnEnded(_))
}

fn check(events: &[Event], expected: &Expect) {
    let lines: Vec<String> = events.iter().map(|it| format!("{it:?}")).collect();
    expected.assert_eq(&lines.join("\n"));
}

/// Opens, prompts, answers a request, interrupts, and stops.
async fn converse(stage: &Stage, opened: &Expect, steered: &Expect) {
    let launch = stage.launch();
    let started = stage.runner().launch(&launch).await.unwrap();
    assert!(started.fresh);
    // Whoever has not read yet cannot know the conversation; nothing is said, and later it can be.
    let unsaid = stage.runner().say(&label(), &prompt("p2", "wait")).await.unwrap_err();
    assert!(matches!(unsaid, RunnerError::NotYet { .. }), "{unsaid:?}");
    assert_eq!(unsaid.retry(), Retry::Later);

    let mut cursor = Cursor::default();
    let (runner, events) = stage.read_until(&mut cursor, turn_ended).await;
    check(&events, opened);

    assert_eq!(runner.say(&label(), &prompt("p2", "wait")).await.unwrap(), Said::Now);
    assert_eq!(runner.say(&label(), &prompt("p2", "wait")).await.unwrap(), Said::Before);
    let asks = |event: &Event| matches!(event, Event::PermissionRequest { .. });
    let (runner, mut events) = stage.read_until(&mut cursor, asks).await;
    let (request, input) = events
        .iter()
        .find_map(|it| match it {
            Event::PermissionRequest { request, input, .. } => Some((request.clone(), input.clone())),
            _ => None,
        })
        .unwrap();
    let answer = Say::Permission { request, input, allow: true, reason: String::new() };
    assert_eq!(runner.say(&label(), &answer).await.unwrap(), Said::Now);
    let (runner, more) = stage.read_until(&mut cursor, |it| matches!(it, Event::ToolResult(_))).await;
    events.extend(more);
    assert_eq!(runner.say(&label(), &Say::Interrupt { key: "i1".to_owned() }).await.unwrap(), Said::Now);
    let (runner, more) = stage.read_until(&mut cursor, turn_ended).await;
    events.extend(more);
    check(&events, steered);

    runner.stop(&label(), Grace::QUICK).await.unwrap();
    let batch = read(&runner, &cursor).await;
    assert!(batch.ended.is_some() && !batch.in_turn, "{batch:?}");
    let memory = cursor.memory.to_string();
    assert!(!memory.contains("sesame") && !memory.contains("Be brief."), "{memory}");
}

#[tokio::test]
async fn an_acp_agent_from_a_configuration_is_opened_steered_and_asked() {
    let stage = Stage::new("mine", ACP);
    let opened = expect![[r#"
        Ready { conversation: "s1", model: None, tools_connected: None }
        Accepted { key: "p1" }
        Text { text: "hello" }
        Usage(Usage { input: 5, output: 2, cache_read: 0, cache_write: 0, reasoning: 0, micro_usd: None, model_calls: 1 })
        TurnEnded(Completed)"#]];
    let steered = expect![[r#"
        Text { text: "waiting" }
        ToolCall(ToolCall { id: "c1", tool: "execute", input: "{\"title\":\"ls\"}" })
        PermissionRequest { request: "{\"allow\":\"yes\",\"id\":7,\"reject\":\"no\"}", tool: "execute", input: "{\"command\":\"ls\",\"title\":\"ls\"}" }
        ToolResult(ToolResult { id: "c1", output: "a.txt", failed: false })
        Accepted { key: "p2" }
        Usage(Usage { input: 0, output: 0, cache_read: 0, cache_write: 0, reasoning: 0, micro_usd: None, model_calls: 1 })
        TurnEnded(Interrupted)"#]];
    converse(&stage, &opened, &steered).await;
}

#[tokio::test]
async fn whoever_cannot_be_told_how_hard_to_think_is_not_started_as_if_it_were() {
    let stage = Stage::new("mine", ACP);
    let launch = Launch { effort: Some(Effort::High), ..stage.launch() };
    let refused = stage.runner().launch(&launch).await.unwrap_err();
    assert!(
        matches!(&refused, LaunchError::Unsupported { reason } if reason.contains("how hard to think")),
        "{refused}"
    );
    assert!(!stage.runner().alive(&label()).await.unwrap());
}

#[tokio::test]
async fn a_codex_thread_is_opened_steered_and_asked() {
    let stage = Stage::new("codex", CODEX);
    let opened = expect![[r#"
        Ready { conversation: "t1", model: Some("m"), tools_connected: None }
        Accepted { key: "p1" }
        Text { text: "hello" }
        TurnEnded(Completed)"#]];
    let steered = expect![[r#"
        Accepted { key: "p2" }
        PermissionRequest { request: "{\"id\":0,\"kind\":\"item\"}", tool: "shell", input: "{\"command\":\"ls\",\"cwd\":\"/\",\"reason\":null}" }
        ToolCall(ToolCall { id: "c1", tool: "shell", input: "{\"command\":\"ls\"}" })
        ToolResult(ToolResult { id: "c1", output: "a.txt", failed: false })
        Accepted { key: "i1" }
        TurnEnded(Interrupted)"#]];
    converse(&stage, &opened, &steered).await;
}

#[tokio::test]
async fn a_single_turn_hears_its_prompt_and_the_end_of_it() {
    let stage = Stage::new("codex-exec", EXEC);
    stage.runner().launch(&stage.launch()).await.unwrap();
    let mut cursor = Cursor::default();
    let (runner, events) = stage.read_until(&mut cursor, turn_ended).await;
    check(
        &events,
        &expect![[r#"
        Ready { conversation: "t1", model: None, tools_connected: None }
        Accepted { key: "p1" }
        Text { text: "heard Be brief.//begin" }
        Usage(Usage { input: 5, output: 2, cache_read: 0, cache_write: 0, reasoning: 0, micro_usd: None, model_calls: 1 })
        TurnEnded(Completed)"#]],
    );
    assert!(matches!(runner.say(&label(), &prompt("p2", "x")).await, Err(RunnerError::Unsupported { .. })));
    let batch = read(&runner, &cursor).await;
    assert_eq!((batch.ended, batch.in_turn), (Some(Ended::Exited(ExitStatus::Code(0))), false));
}
