//! The list of cases: for each what the agent is to do, and what must come of it.

use super::stage::{BEARER, FAREWELL, Play, Player, SECRET, Stage, WORDS, key};
use anyhow::{Result, anyhow, ensure};
use orcha_agent::{Ended, Event, Permissions, Say, TurnEnd};
use orcha_base::SandboxLevel;
use orcha_exec::ExitStatus;
use orcha_scripted_model::isolation;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// How long a case may take in a plain test run. The slowest starts take seconds on an idle machine, and one program must
/// not go on with a conversation within the minute in which it began.
const LIMIT: Duration = Duration::from_secs(180);

/// How long when all of them are run, on a machine that may be busy with other things.
const LONG_LIMIT: Duration = Duration::from_secs(600);

/// A case. The first one waits longest, where a program must not go on with a conversation too soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// After `kill -9` the conversation goes on in another process.
    Resume,
    /// A file is written and committed in a checkout.
    Commit,
    /// The same in our sandbox, and nothing beyond it.
    Confined,
    /// A tool of ours is called, with the session's own credential.
    Tool,
    /// The server of our tools is started anew; the agent calls a tool again.
    ToolsBack,
    /// It asks, and may.
    Allow,
    /// It asks, and may not.
    Deny,
    /// A turn is cut off, and the next one works.
    Interrupt,
    /// Two prompts in quick succession are each heard once.
    TwoPrompts,
    /// The quota is spent; later there is room again.
    Quota,
    /// A line that is longer than any that is put together.
    LongLine,
    /// Lines that are no protocol.
    Garbage,
    /// Nothing comes any more; it can be ended all the same.
    Hang,
    /// The process dies in the middle of a turn.
    Crash,
    /// A command of a tool outlives its call, and ends with the run.
    Children,
}

impl Case {
    /// Every one, those first that depend most on the program.
    pub const ALL: [Self; 15] = [
        Self::Resume,
        Self::Commit,
        Self::Confined,
        Self::Tool,
        Self::ToolsBack,
        Self::Allow,
        Self::Deny,
        Self::Interrupt,
        Self::Quota,
        Self::TwoPrompts,
        Self::Children,
        Self::Crash,
        Self::Hang,
        Self::Garbage,
        Self::LongLine,
    ];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resume => "resume after kill -9",
            Self::Commit => "commit in a checkout",
            Self::Confined => "commit in a sandbox",
            Self::Tool => "MCP tool with bearer",
            Self::ToolsBack => "MCP tool after its server restarted",
            Self::Allow => "permission allowed",
            Self::Deny => "permission denied",
            Self::Interrupt => "interrupt and next turn",
            Self::TwoPrompts => "two quick prompts",
            Self::Quota => "quota, then recovery",
            Self::LongLine => "oversized line",
            Self::Garbage => "garbage",
            Self::Hang => "hang",
            Self::Crash => "crash",
            Self::Children => "children left behind",
        }
    }

    /// Returns what the agent is to do.
    fn play(self, player: &Player) -> Play {
        match self {
            Self::Resume => resume_play(),
            Self::Commit => commit_play(player, false),
            Self::Confined => commit_play(player, true),
            Self::Tool | Self::ToolsBack => tool_play(),
            Self::Allow | Self::Deny => permission_play(),
            Self::Interrupt => interrupt_play(),
            Self::TwoPrompts => two_prompts_play(),
            Self::Quota => quota_play(),
            Self::LongLine => Play { before: Some("head -c 17000000 /dev/zero | tr '\\0' x; echo"), ..hello() },
            Self::Garbage => {
                Play { before: Some("printf 'no protocol\\n\\377\\376{\\n{\"half\":\\n[1,2]\\n{}\\n\\n'"), ..hello() }
            }
            Self::Hang => hang_play(),
            Self::Crash => crash_play(),
            Self::Children => children_play(),
        }
    }

    async fn act(self, stage: &mut Stage) -> Result<()> {
        match self {
            Self::Resume => resume(stage).await,
            Self::Commit => commit(stage).await,
            Self::Confined => confined(stage).await,
            Self::Tool => tool(stage).await,
            Self::ToolsBack => tools_back(stage).await,
            Self::Allow => permission(stage, true).await,
            Self::Deny => permission(stage, false).await,
            Self::Interrupt => interrupt(stage).await,
            Self::TwoPrompts => two_prompts(stage).await,
            Self::Quota => quota(stage).await,
            Self::LongLine => long_line(stage).await,
            Self::Garbage => garbage(stage).await,
            Self::Hang => hang(stage).await,
            Self::Crash => crash(stage).await,
            Self::Children => children(stage).await,
        }
    }
}

/// Plays one case to its end: whatever came of it, nothing that it started goes on.
pub async fn play(player: &Player, case: Case, all: bool) -> Result<()> {
    let limit = if all { LONG_LIMIT } else { LIMIT };
    let mut stage = Stage::new(player, &case.play(player))?;
    let acted = match timeout(limit, case.act(&mut stage)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(anyhow!("it did not end within {limit:?}; it waited for {}", stage.waiting)),
    };
    let stopped = match timeout(FAREWELL, stage.stop()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(anyhow!("it was not gone within {FAREWELL:?}; it waited for {}", stage.waiting)),
    };
    let left = stage.clear();
    let gone = if left.is_empty() { Ok(()) } else { Err(anyhow!("processes are left: {left:#?}")) };
    acted.and(stopped).and(gone).map_err(|fault| fault.context(stage.seen()))
}

fn any(steps: Value) -> Value {
    json!({"on": "any", "steps": steps})
}

fn hello() -> Play {
    Play::new(
        json!({"replies": [{"text": "Hello from the script."}]}),
        json!([any(json!([{"say": "Hello from the script."}]))]),
    )
}

fn is(end: &TurnEnd, wanted: &TurnEnd) -> Result<()> {
    ensure!(end == wanted, "the turn ended with {end:?} and not with {wanted:?}");
    Ok(())
}

fn says(stage: &Stage, after: usize, words: &str) -> Result<()> {
    ensure!(stage.said(after).contains(words), "it did not say `{words}`");
    Ok(())
}

fn has(stage: &Stage, what: &str, wanted: impl Fn(&Event) -> bool) -> Result<()> {
    ensure!(stage.events.iter().any(wanted), "there is no {what}");
    Ok(())
}

fn commit_play(player: &Player, confined: bool) -> Play {
    let shell = "echo from the script > a.txt && git add a.txt && git commit -q -m 'add a.txt' && echo made";
    let beyond = format!("touch ../beyond; cat ../{SECRET}");
    let shell = if confined { format!("{beyond}; {shell}") } else { shell.to_owned() };
    let beyond = json!({"run": {"argv": ["sh", "-c", beyond], "allow_failure": true}});
    let steps = [
        json!({"write": {"path": "a.txt", "text": "from the script\n"}}),
        json!({"commit": "add a.txt"}),
        json!({"say": "It is committed."}),
    ];
    let steps: Vec<Value> = confined.then_some(beyond).into_iter().chain(steps).collect();
    let mut play = Play::new(
        json!({"replies": [{"text": "I make it.", "tools": [{"shell": shell}]}, {"text": "It is committed."}]}),
        json!([any(json!(steps))]),
    );
    play.confined = confined;
    if matches!(player.name(), "codex" | "codex-exec" | "codex-acp") {
        // Its own sandbox is on, and must let a commit through.
        play.permissions = Permissions::Edits;
    }
    play
}

async fn commit(stage: &mut Stage) -> Result<()> {
    let key = stage.start("Write a.txt and commit it.").await?;
    is(&stage.turn_end(0).await?, &TurnEnd::Completed)?;
    says(stage, 0, "It is committed.")?;
    let log = stage.git(&["log", "--format=%s"])?;
    ensure!(log == "add a.txt\nbegin", "the log is {log:?}");
    has(stage, "name of a conversation", |it| matches!(it, Event::Ready { .. }))?;
    has(stage, "sign that the prompt was taken up", |it| *it == Event::Accepted { key: key.clone() })?;
    has(stage, "call of a tool", |it| matches!(it, Event::ToolCall(_)))?;
    has(stage, "result of a tool", |it| matches!(it, Event::ToolResult(it) if !it.failed))?;
    if stage.player() != "codex-acp" {
        // That one says how full its window is, and not what a turn took.
        has(stage, "count of tokens", |it| matches!(it, Event::Usage(it) if it.input + it.output > 0))?;
    }
    Ok(())
}

async fn confined(stage: &mut Stage) -> Result<()> {
    if let Some(lack) = stage.lacks_sandbox().await {
        return Ok(isolation::skip(&format!("conformance {}: commit in a sandbox", stage.player()), &lack)?);
    }
    stage.start("Write a.txt and commit it.").await?;
    let by = stage.confinement().await?;
    ensure!(by.as_ref().is_some_and(|it| it.level == SandboxLevel::Landlock), "it is confined by {by:?}");
    is(&stage.turn_end(0).await?, &TurnEnd::Completed)?;
    let log = stage.git(&["log", "--format=%s"])?;
    ensure!(log == "add a.txt\nbegin", "the log is {log:?}");
    ensure!(!stage.file("../beyond").exists(), "it changed what is not its own");
    ensure!(!format!("{:?}", stage.events).contains(WORDS), "it read what is hidden");
    Ok(())
}

fn tool_play() -> Play {
    let call = json!({"mcp": {"server": "hub", "tool": "report", "args": {"state": "under way"}}});
    let mut play = Play::new(
        json!({"replies": [
            {"tools": [call]}, {"text": "The hub answered."}, {"tools": [call]}, {"text": "The hub is back."},
        ]}),
        json!([
            {"on": "opening", "steps": [
                {"call": {"tool": "report", "args": {"state": "under way"}}}, {"say": "The hub answered."},
            ]},
            any(json!([{"call": {"tool": "report", "args": {"state": "under way"}}}, {"say": "The hub is back."}])),
        ]),
    );
    (play.tools, play.permissions) = (true, Permissions::Edits);
    play
}

async fn tool(stage: &mut Stage) -> Result<()> {
    stage.start("Report.").await?;
    is(&stage.turn_end(0).await?, &TurnEnd::Completed)?;
    says(stage, 0, "The hub answered.")?;
    let calls = stage.tool_calls();
    ensure!(calls == 1, "the tool was called {calls} times");
    has(
        stage,
        "answer of the tool",
        |it| matches!(it, Event::ToolResult(it) if it.output.contains("under way") && !it.failed),
    )?;
    let asked = |it: &Event| matches!(it, Event::PermissionRequest { .. });
    ensure!(!stage.events.iter().any(asked), "it asked for our own tool");
    ensure!(!format!("{:?}", stage.events).contains(BEARER), "the credential is in the transcript");
    let arguments = format!("{:?}", stage.processes());
    ensure!(!arguments.contains(BEARER), "the credential is in the arguments of a process: {arguments}");
    Ok(())
}

async fn tools_back(stage: &mut Stage) -> Result<()> {
    stage.start("Report.").await?;
    is(&stage.turn_end(0).await?, &TurnEnd::Completed)?;
    stage.restart_hub()?;
    let (_, after) = stage.next("Report again.").await?;
    is(&stage.turn_end(after).await?, &TurnEnd::Completed)?;
    says(stage, after, "The hub is back.")?;
    let calls = stage.tool_calls();
    ensure!(calls == 1, "the new server was called {calls} times");
    Ok(())
}

fn permission_play() -> Play {
    let run = json!({"run": {"argv": ["sh", "-c", "echo x > b.txt"], "allow_failure": true}});
    let mut play = Play::new(
        json!({"replies": [{"tools": [{"shell": "echo x > b.txt"}]}], "otherwise": {"text": "So be it."}}),
        json!([any(json!([run, {"say": "So be it."}]))]),
    );
    play.permissions = Permissions::Ask;
    play
}

async fn permission(stage: &mut Stage, allow: bool) -> Result<()> {
    stage.start("Write b.txt by the shell.").await?;
    let mut mark = 0;
    loop {
        let what = "a request or the end of its turn";
        stage.until(mark, what, |it| matches!(it, Event::PermissionRequest { .. } | Event::TurnEnded(_))).await?;
        let next = stage.events[mark..].iter().position(|it| matches!(it, Event::PermissionRequest { .. }));
        let Some(at) = next else { break };
        let Event::PermissionRequest { request, input, .. } = stage.events[mark + at].clone() else { break };
        mark += at + 1;
        ensure!(!stage.file("b.txt").exists(), "it was done before it was allowed");
        let reason = "not in this test".to_owned();
        stage.say(&Say::Permission { request, input, allow, reason }).await?;
    }
    ensure!(mark > 0, "it asked nothing");
    let ended = stage.turn_end(mark).await?;
    if allow {
        is(&ended, &TurnEnd::Completed)?;
    }
    let there = stage.file("b.txt").exists();
    ensure!(there == allow, "allowed {allow}, done {there}");
    Ok(())
}

fn interrupt_play() -> Play {
    Play::new(
        json!({"replies": [
            {"text": "This sentence has no end in sight.", "chunks": 4, "hold": "talking"}, {"text": "Here I am again."},
        ]}),
        json!([
            {"on": "opening", "steps": [{"say": "This sentence"}, {"sleep_ms": 600_000}]},
            any(json!([{"say": "Here I am again."}])),
        ]),
    )
}

async fn interrupt(stage: &mut Stage) -> Result<()> {
    stage.start("Talk.").await?;
    stage.until_held("talking").await?;
    // The conversation must be known, or nothing can be said to it.
    stage.until(0, "the name of its conversation", |it| matches!(it, Event::Ready { .. })).await?;
    stage.say(&Say::Interrupt { key: key(900) }).await?;
    if stage.hears_once() {
        stage.until_ended().await?;
        ensure!(stage.in_turn, "a turn that was cut off counts as over");
    } else {
        is(&stage.turn_end(0).await?, &TurnEnd::Interrupted)?;
    }
    let (_, after) = stage.next("Go on.").await?;
    is(&stage.turn_end(after).await?, &TurnEnd::Completed)?;
    says(stage, after, "Here I am again.")
}

fn resume_play() -> Play {
    Play::new(
        json!({"replies": [
            {"when": {"user": "Keep the word plum"}, "text": "It is kept."},
            {"when": {"user": "Now work"}, "text": "I work.", "tools": [{"shell": "sleep 7533"}]},
            {"when": {"history": "Keep the word plum[\\s\\S]*Which word"}, "text": "It was plum."},
        ], "otherwise": {"text": "I remember nothing."}}),
        // It goes on with the step that was cut off.
        json!([
            {"on": {"contains": "plum"}, "steps": [{"set": {"word": "plum"}}, {"say": "It is kept."}]},
            {"on": {"contains": "Now work"}, "steps": [
                {"say": "I work."},
                {"if": {
                    "when": [{"value": "{{prompt}}", "contains": "Which"}], "then": [], "else": [{"sleep_ms": 600_000}],
                }},
                {"say": "It was {{word}}."},
            ]},
        ]),
    )
}

async fn resume(stage: &mut Stage) -> Result<()> {
    stage.start("Keep the word plum.").await?;
    is(&stage.turn_end(0).await?, &TurnEnd::Completed)?;
    let (_, after) = stage.next("Now work.").await?;
    // A program that tells a call when it is over says something before it.
    stage.until(after, "its work", |it| matches!(it, Event::ToolCall(_) | Event::Text { .. })).await?;
    killed(stage).await?;
    stage.stop().await?;
    stage.start("Which word did I ask you to keep?").await?;
    is(&stage.turn_end(0).await?, &TurnEnd::Completed)?;
    says(stage, 0, "It was plum.")
}

/// Kills its process in the middle of a turn.
async fn killed(stage: &mut Stage) -> Result<()> {
    stage.crash().await?;
    let ended = stage.until_ended().await?;
    let wanted = Ended::Exited(ExitStatus::Signal(9));
    ensure!(ended == wanted && stage.in_turn, "it ended with {ended:?}, in a turn: {}", stage.in_turn);
    Ok(())
}

fn two_prompts_play() -> Play {
    Play::new(
        json!({"replies": [
            {"when": {"user": "the first wish"}, "text": "The first is done.", "delay_ms": 300},
            {"when": {"user": "the second wish"}, "text": "The second is done."},
        ]}),
        json!([
            {"on": {"contains": "the first wish"}, "steps": [{"sleep_ms": 300}, {"say": "The first is done."}]},
            any(json!([{"say": "The second is done."}])),
        ]),
    )
}

async fn two_prompts(stage: &mut Stage) -> Result<()> {
    let first = stage.start("This is the first wish.").await?;
    stage.until(0, "the name of its conversation", |it| matches!(it, Event::Ready { .. })).await?;
    let mut heard = Vec::new();
    if stage.hears_once() {
        stage.until_ended().await?;
        heard.append(&mut stage.events.clone());
    }
    let (second, _) = stage.next("This is the second wish.").await?;
    let done = |it: &Event| matches!(it, Event::Text { text } if text.contains("The second is done."));
    stage.until(0, "its answer to the second", done).await?;
    stage.until_idle().await?;
    heard.append(&mut stage.events.clone());
    for key in [first, second] {
        let n = heard.iter().filter(|it| **it == Event::Accepted { key: key.clone() }).count();
        ensure!(n == 1, "the prompt {key} was taken up {n} times: {heard:#?}");
    }
    if stage.player() != "codex" {
        // There the second joins the turn of the first, and one answer may be for both.
        let said = heard.iter().filter(|it| matches!(it, Event::Text { text } if text.contains("The first is done.")));
        ensure!(said.count() == 1, "the first was not answered once: {heard:#?}");
    }
    Ok(())
}

fn quota_play() -> Play {
    Play::new(
        json!({"replies": [
            {"text": "I begin.", "tools": [{"shell": "echo begun"}]},
            {"error": {"kind": "usage_limit", "resets_in": 30}},
            {"text": "There is room again."},
        ]}),
        json!([
            {"on": "opening", "steps": [
                {"say": "I begin."}, {"end": {"usage_exhausted": {"window": "five_hour", "resets_in_s": 30}}},
            ]},
            any(json!([{"say": "There is room again."}])),
        ]),
    )
}

async fn quota(stage: &mut Stage) -> Result<()> {
    stage.start("Work.").await?;
    let first = stage.turn_end(0).await?;
    says(stage, 0, "I begin.")?;
    if first == TurnEnd::Completed {
        // It tried again by itself, and says nothing of it.
        return says(stage, 0, "There is room again.");
    }
    let typed = matches!(first, TurnEnd::UsageExhausted { .. } | TurnEnd::RateLimited { .. });
    ensure!(typed, "a spent quota ended the turn with {first:?}");
    let (_, after) = stage.next("Work on.").await?;
    is(&stage.turn_end(after).await?, &TurnEnd::Completed)?;
    says(stage, after, "There is room again.")
}

async fn long_line(stage: &mut Stage) -> Result<()> {
    stage.start("Say hello.").await?;
    is(&stage.turn_end(0).await?, &TurnEnd::Completed)?;
    says(stage, 0, "Hello from the script.")?;
    has(stage, "line that was cut", |it| matches!(it, Event::Raw { text, truncated: true } if text.len() > 1 << 20))
}

async fn garbage(stage: &mut Stage) -> Result<()> {
    stage.start("Say hello.").await?;
    is(&stage.turn_end(0).await?, &TurnEnd::Completed)?;
    says(stage, 0, "Hello from the script.")?;
    has(stage, "line that is no protocol", |it| matches!(it, Event::Raw { text, .. } if text == "no protocol"))
}

fn hang_play() -> Play {
    Play::new(
        json!({"replies": [{"hold": "silent"}]}),
        json!([{"on": "any", "steps": [{"say": "I fall silent."}, "hang"]}]),
    )
}

async fn hang(stage: &mut Stage) -> Result<()> {
    stage.start("Work.").await?;
    stage.until_held("silent").await?;
    stage.stop().await?;
    ensure!(stage.in_turn, "a turn that hung counts as over");
    let over = |it: &Event| matches!(it, Event::TurnEnded(TurnEnd::Completed));
    ensure!(!stage.events.iter().any(over), "a turn that hung was completed");
    Ok(())
}

fn crash_play() -> Play {
    Play::new(
        json!({"replies": [{"text": "This sentence has no end in sight.", "chunks": 4, "hold": "talking"}]}),
        json!([{"on": "any", "steps": [{"say": "This sentence"}, {"sleep_ms": 600_000}]}]),
    )
}

async fn crash(stage: &mut Stage) -> Result<()> {
    stage.start("Talk.").await?;
    stage.until_held("talking").await?;
    killed(stage).await
}

/// The command that is left behind. It names the folder by itself: not every program hands its environment on.
const STRAY: &str = "tail -f {{ws}}/.git/HEAD";

fn children_play() -> Play {
    // The shell waits until the other is in a session of its own: some programs hang up on all that is still in theirs.
    let shell = format!(
        "mkfifo {{{{ws}}}}/away; (setsid sh -c 'echo > {{{{ws}}}}/away; exec {STRAY}' >/dev/null 2>&1 </dev/null &); \
         read _ < {{{{ws}}}}/away; echo started"
    );
    let by_script = shell.replace("{{ws}}", "{{dir}}");
    Play::new(
        json!({"replies": [{"tools": [{"shell": shell}]}, {"text": "It goes on behind me."}]}),
        json!([any(json!([{"run": {"argv": ["sh", "-c", by_script]}}, {"say": "It goes on behind me."}]))]),
    )
}

async fn children(stage: &mut Stage) -> Result<()> {
    stage.start("Start something that lasts.").await?;
    is(&stage.turn_end(0).await?, &TurnEnd::Completed)?;
    says(stage, 0, "It goes on behind me.")?;
    if !stage.hears_once() {
        // There the run, and what was left behind, may have ended with the turn.
        let left = stage.processes();
        ensure!(left.iter().any(|(_, command)| command.starts_with("tail -f ")), "nothing was left behind: {left:#?}");
    }
    // That it ends with the run is looked at after every case.
    stage.stop().await
}
