//! The real program against a daemon that says what a test tells it to: what it prints, asks, and exits with.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use expect_test::expect;
use orcha_client::fake::{FakeDaemon, TOKEN, sample};
use orcha_wire::*;
use serde_json::{Value, json};
use std::process::{Output, Stdio};
use tempfile::TempDir;
use tokio::process::Command;

struct House {
    daemon: FakeDaemon,
    dir: TempDir,
}

impl House {
    async fn new() -> Self {
        let daemon = FakeDaemon::start().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let address = json!({"url": daemon.url(), "pid": 1});
        std::fs::write(dir.path().join("daemon.json"), address.to_string()).unwrap();
        std::fs::write(dir.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(dir.path().join("token"), private).unwrap();
        Self { daemon, dir }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orcha"));
        command.args(args).env_clear().env("HOME", self.dir.path()).env("ORCHA_DATA", self.dir.path());
        command.current_dir(self.dir.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn orcha(&self, args: &[&str]) -> Output {
        self.command(args).output().await.unwrap()
    }

    /// Runs a command that succeeds, and returns what it printed.
    async fn says(&self, args: &[&str]) -> String {
        let output = self.orcha(args).await;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that fails, and returns its code and what it complained.
    async fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.orcha(args).await;
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn is(&self, id: &str, noun: &str) {
        let full = format!("00000000-0000-0000-0000-0000{id}");
        let why = json!({"id": full, "noun": noun, "state": "running", "reason": "its agent is at work",
            "since": sample::at(0), "way_out": "the turn ends"});
        self.daemon.answers(&format!("GET /api/why/{id}"), 200, &why);
    }
}

#[tokio::test]
async fn lists_are_tables_for_people_and_arrays_for_programs() {
    let house = House::new().await;
    let row = sample::objective_row(ObjectiveStatus::Active);
    house.daemon.answers("GET /api/objectives", 200, &[(); 0]);
    house.daemon.answers_page("GET /api/objectives?state=active&limit=100", &[&row], None);
    let text = house.says(&["ls"]).await;
    assert!(!text.contains('\x1b'), "a pipe got colours: {text:?}");
    let (head, body) = text.trim_end().split_once('\n').unwrap();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(head), ["ID", "STATE", "TITLE", "SESSIONS", "PRS", "QUESTIONS", "CHANGED", "ACTIVITY"]);
    assert_eq!(words(body)[..2], ["aaaa0001", "active"]);
    let rows: Value = serde_json::from_str(&house.says(&["ls", "--json"]).await).unwrap();
    assert_eq!(rows, json!([row]));

    house.daemon.answers("GET /api/questions", 200, &[sample::question(QuestionStatus::Open)]);
    let text = house.says(&["ls", "questions"]).await;
    assert!(text.contains("Which colour?[2J (red | blue)") && !text.contains('\x1b'), "{text:?}");
    let (code, text) = house.fails(&["ls", "questions", "--all"]).await;
    assert!(code == 1 && text.contains("--objective ID"), "{text}");
}

#[tokio::test]
async fn a_long_list_is_read_page_by_page() {
    let house = House::new().await;
    let row = sample::objective_row(ObjectiveStatus::Succeeded);
    house.daemon.answers_page("GET /api/objectives?limit=3", &[&row, &row], Some("c1"));
    house.daemon.answers_page("GET /api/objectives?after=c1&limit=1", &[&row], Some("c2"));
    let output = house.orcha(&["ls", "--all", "--limit", "3", "--json"]).await;
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.len(), 3);
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is more"));

    let row = json!({"workflow_id": "00000000-0000-0000-0000-0000aaaa0001", "scope": "global", "title": "It", "end": "completed",
        "score": 1.0, "repairs": 0, "tokens": 0, "micro_usd": 0, "troubles": [], "customizations": {}, "trials": {},
        "ended_at": sample::at(0)});
    house.daemon.answers_page("GET /api/runs?limit=1000", &[&row], Some("c1"));
    house.daemon.answers_page("GET /api/runs?after=c1&limit=1000", &[&row], None);
    let rows: Vec<Value> = serde_json::from_str(&house.says(&["runs", "--limit", "0", "--json"]).await).unwrap();
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn what_was_said_is_listed_with_how_far_it_has_come() {
    let house = House::new().await;
    let said = |n: u64, state: &str, text: &str| {
        json!({"id": format!("00000000-0000-0000-0000-0000cccc000{n}"),
            "objective_id": "00000000-0000-0000-0000-0000aaaa0001", "session_id": "00000000-0000-0000-0000-0000bbbb0002",
            "source": "user", "content": text, "interrupt": false, "state": state,
            "created_at": sample::at(10), "updated_at": sample::at(20)})
    };
    let (first, second) = (said(1, "acknowledged", "Look left.\u{1b}[2J"), said(2, "queued", "Look right."));
    house.daemon.answers_page("GET /api/messages?limit=50", &[&second, &first], None);
    let text = house.says(&["messages"]).await;
    let lines: Vec<Vec<&str>> = text.lines().map(|it| it.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["SESSION", "STATE", "FROM", "SAID", "MOVED", "TEXT"]);
    assert_eq!((lines[1][..3].to_vec(), lines[2][1]), (vec!["bbbb0002", "queued", "user"], "acknowledged"));
    assert!(text.contains("Look left.") && !text.contains('\x1b'), "{text:?}");
    let rows: Value = serde_json::from_str(&house.says(&["messages", "--json"]).await).unwrap();
    assert_eq!(rows, json!([second, first]));

    // Whose they are is found out by the id.
    house.is("bbbb0002", "session");
    let of = "GET /api/messages?session_id=00000000-0000-0000-0000-0000bbbb0002";
    house.daemon.answers_page(&format!("{of}&limit=1"), &[&first], Some("c1"));
    let output = house.orcha(&["messages", "bbbb0002", "--limit", "1"]).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("acknowledged"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is more"));
    house.is("dddd0001", "pull_request");
    let (code, text) = house.fails(&["messages", "dddd0001"]).await;
    assert!(code == 1 && text.contains("neither a session nor an objective"), "{text}");
}

#[tokio::test]
async fn what_was_delivered_is_fetched_whole_or_not_at_all() {
    let house = House::new().await;
    let path = "/workflows/aaaa0001/delivery";
    // The SHA-256 of `# A post`.
    let sha256 = "4090f7b212e5a6d62b7a3dbb85f6c9770e443ebea6a817518155152e5b9e2eb9";
    house.daemon.hands_out(path, "my-post.md", sha256, b"# A post");
    let said = house.says(&["workflow", "fetch", "aaaa0001"]).await;
    assert_eq!(said, format!("my-post.md: 8 bytes, sha256 {sha256}\n"));
    let here = house.dir.path().join("my-post.md");
    assert_eq!(std::fs::read(&here).unwrap(), b"# A post");
    // What is there is not lost by the way.
    std::fs::write(&here, "mine").unwrap();
    let (code, text) = house.fails(&["workflow", "fetch", "aaaa0001"]).await;
    assert!(code == 1 && text.contains("--force") && std::fs::read(&here).unwrap() == b"mine", "{text}");
    house.says(&["workflow", "fetch", "aaaa0001", "--force", "--json"]).await;
    assert_eq!(std::fs::read(&here).unwrap(), b"# A post");

    // A name that leads out of the folder is none, and what is not what was delivered is not kept.
    std::fs::create_dir(house.dir.path().join("into")).unwrap();
    house.daemon.hands_out(path, "../escaped", sha256, b"# A post");
    let said = house.says(&["workflow", "fetch", "aaaa0001", "--out", "into"]).await;
    assert!(said.starts_with("into/delivery: 8 bytes"), "{said}");
    house.daemon.hands_out(path, "my-post.md", sha256, b"# A pest");
    let (code, text) = house.fails(&["workflow", "fetch", "aaaa0001", "--out", "into"]).await;
    assert!(code == 1 && text.contains("not what was delivered"), "{text}");
    let left: Vec<_> =
        std::fs::read_dir(house.dir.path().join("into")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["delivery"]);
}

#[tokio::test]
async fn run_makes_an_objective_on_a_folder_and_follows_it_to_its_end() {
    let house = House::new().await;
    let sub = house.dir.path().join("site/sub");
    std::fs::create_dir_all(&sub).unwrap();
    std::fs::create_dir(house.dir.path().join("site/.git")).unwrap();
    std::fs::write(house.dir.path().join("wish.md"), "The site needs an about page.").unwrap();
    let objective = sample::objective(ObjectiveStatus::Active);
    house.daemon.answers("POST /api/objectives", 201, &CreatedObjective { objective, manager: None });
    let sessions = vec![sample::session_row(1, SessionStatus::Succeeded)];
    let detail = sample::detail(ObjectiveStatus::Succeeded, sessions);
    house.daemon.answers("GET /api/objectives/00000000-0000-0000-0000-0000aaaa0001", 200, &detail);
    let done = sample::event(3, "objective_done", None, "objective done");
    house.daemon.answers("GET /api/events", 200, &[&done]);
    house.daemon.streams("/api/stream", 2, &sample::event(2, "session_started", Some(1), "session started"));
    house.daemon.streams("/api/stream", 3, &done);

    let args = ["run", "Add a page", "--repo", "site/sub", "--prompt", "@wish.md", "--agent", "claude"];
    let args = [&args[..], &["--agent-program", "/bin/agent", "--agent-arg", "--fast"]].concat();
    expect![[r#"
        22:13:22  manager bbbb0001      session started
        22:13:23                        objective done
        Add an about page: succeeded after 60.0 s
          The page is there.
          manager      bbbb0001 succeeded         28s  Session 1
          24.6k tokens, 1.23 USD
    "#]]
    .assert_eq(&house.says(&args).await);
    let asked = house.daemon.asked().into_iter().find(|it| it.line == "POST /api/objectives").unwrap();
    let repo = house.dir.path().canonicalize().unwrap().join("site");
    let wish = json!({"title": "Add a page", "prompt": "The site needs an about page.", "agent": "claude",
        "agent_program": ["/bin/agent", "--fast"], "repo": repo});
    assert_eq!(asked.body, wish);

    let text = house.says(&[&args[..], &["--json"]].concat()).await;
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((last["type"].as_str(), text.lines().count()), (Some("summary"), 3));
}

#[tokio::test]
async fn an_objective_that_fails_fails_the_command() {
    let house = House::new().await;
    house.is("aaaa0001", "objective");
    let detail = sample::detail(ObjectiveStatus::Failed, vec![]);
    house.daemon.answers("GET /api/objectives/00000000-0000-0000-0000-0000aaaa0001", 200, &detail);
    house.daemon.answers("GET /api/events", 200, &[(); 0]);
    house.daemon.streams("/api/stream", 0, &());
    assert_eq!(house.orcha(&["logs", "-f", "aaaa0001"]).await.status.code(), Some(1));
}

#[tokio::test]
async fn limits_are_named_one_by_one() {
    let house = House::new().await;
    let path = "PATCH /api/objectives/aaaa0001";
    house.daemon.answers(path, 200, &sample::objective(ObjectiveStatus::Active));
    house.says(&["edit", "aaaa0001", "--limit", "same_error=5", "--limit", "session_tokens=0"]).await;
    assert_eq!(house.daemon.asked().pop().unwrap().body, json!({"limits": {"same_error": 5, "session_tokens": 0}}));
    for (wrong, hint) in [("same_eror=5", "any_error"), ("same_error", "NAME=N"), ("same_error=-1", "whole number")] {
        let (code, text) = house.fails(&["edit", "aaaa0001", "--limit", wrong]).await;
        assert!(code == 2 && text.contains(hint), "{text}");
    }
    assert_eq!(house.daemon.asked().len(), 1);
}

#[tokio::test]
async fn a_folder_that_is_no_repository_is_refused_before_anything_is_asked() {
    let house = House::new().await;
    let (code, text) = house.fails(&["run", "x", "--repo", "."]).await;
    assert!(code == 1 && text.contains("git init"), "{text}");
    let (code, text) = house.fails(&["run", "x", "--repo", "nowhere"]).await;
    assert!(code == 1 && text.contains("there is no folder nowhere"), "{text}");
    assert_eq!(house.daemon.asked(), []);
}

#[tokio::test]
async fn a_verb_finds_out_what_its_id_names() {
    let house = House::new().await;
    house.is("aaaa0001", "objective");
    house.is("bbbb0002", "session");
    house.is("eeee0001", "question");
    let objective = sample::objective(ObjectiveStatus::Canceled);
    let path = "POST /api/objectives/00000000-0000-0000-0000-0000aaaa0001";
    house.daemon.answers(&format!("{path}/cancel"), 200, &objective);
    let text = house.says(&["cancel", "aaaa0001", "--reason", "enough"]).await;
    assert!(text.contains("canceled"), "{text}");
    assert_eq!(house.daemon.asked().pop().unwrap().body, json!({"reason": "enough"}));

    let (code, text) = house.fails(&["steer", "eeee0001", "red"]).await;
    assert!(code == 1 && text.contains("orcha answer"), "{text}");
    let (code, text) = house.fails(&["retry", "eeee0001"]).await;
    assert!(code == 1 && text.contains("orcha show"), "{text}");

    let problem = Problem::new(Code::Over, "session bbbb0002 has ended (succeeded); ended work is never revived");
    house.daemon.answers("POST /api/sessions/00000000-0000-0000-0000-0000bbbb0002/pause", 409, &problem);
    let (code, text) = house.fails(&["pause", "bbbb0002"]).await;
    assert_eq!(
        (code, text.as_str()),
        (
            1,
            "error: session bbbb0002 has ended (succeeded); ended work is never revived\n  `orcha retry ID` makes it anew\n"
        )
    );
    let (code, text) = house.fails(&["pause", "bbbb0002", "--json"]).await;
    let fault: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &fault["code"], &fault["exit"]), (1, &json!("over"), &json!(1)), "{text}");
}

#[tokio::test]
async fn logs_follow_a_session_through_a_restart_of_the_daemon() {
    let house = House::new().await;
    house.is("bbbb0002", "session");
    let path = "/api/sessions/00000000-0000-0000-0000-0000bbbb0002";
    let say = |seq, text| sample::entry(seq, MessageSource::Agent, MessageKind::Text, text);
    let hidden = sample::entry(2, MessageSource::System, MessageKind::Usage, "10 tokens");
    house.daemon.answers(&format!("GET {path}/messages"), 200, &[say(1, "I look around."), hidden]);
    let stream = format!("{path}/stream");
    house.daemon.streams(&stream, 3, &say(3, "I write:\n\tthe page\x1b[31m"));
    let mut command = house.command(&["logs", "-f", "bbbb0002"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    house.daemon.was_asked(&format!("GET {stream}"), 1).await;
    house.daemon.restarts(1);
    house.daemon.streams(&stream, 4, &say(4, "Done."));
    house.daemon.ends(&stream);
    let output = child.wait_with_output().await.unwrap();
    expect![[r#"
        22:13:21  agent        I look around.
        22:13:23  agent        I write:
                               	the page[31m
        22:13:24  agent        Done.
    "#]]
    .assert_eq(&String::from_utf8(output.stdout).unwrap());
    let beside = String::from_utf8(output.stderr).unwrap();
    let [lost, back] = beside.lines().collect::<Vec<_>>()[..] else { panic!("{beside}") };
    assert!(lost.contains("does not answer; agents go on") && back.ends_with("is back"), "{beside}");
}

#[tokio::test]
async fn show_and_why_explain_one_thing() {
    let house = House::new().await;
    house.is("dddd0001", "pull_request");
    let detail = PullRequestDetail {
        pull_request: sample::pull_request(PullRequestStatus::Open),
        pending_feedback: vec![],
        comments: vec![Comment {
            id: "c1".into(),
            author: "ada".into(),
            trust: Trust::Outside,
            kind: CommentKind::Review,
            verdict: Some(ReviewVerdict::RequestChanges),
            path: None,
            line: None,
            body: "Please mend\nthe title.".into(),
            ours: false,
            created_at: sample::at(0),
        }],
    };
    house.daemon.answers("GET /api/pull-requests/00000000-0000-0000-0000-0000dddd0001", 200, &detail);
    let text = house.says(&["show", "dddd0001"]).await;
    for part in ["#1", "orcha/implementer-bbbb0002 → main", "ada, ", "(request_changes)", "  the title."] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let document: Value = serde_json::from_str(&house.says(&["show", "dddd0001", "--json"]).await).unwrap();
    assert_eq!(document["comments"][0]["author"], "ada");
    let text = house.says(&["why", "dddd0001"]).await;
    assert!(text.contains("its agent is at work") && text.contains("the turn ends"), "{text}");
}

#[tokio::test]
async fn an_error_has_its_own_exit_code_and_a_next_step() {
    let house = House::new().await;
    let (code, text) = house.fails(&["show", "not-an-id"]).await;
    assert!(code == 2 && text.contains("eight hexadecimal digits"), "{text}");
    let (code, text) = house.fails(&["show", "12345678"]).await;
    assert!(code == 1 && text.contains("no answer") && text.contains("orcha ls"), "{text}");
    let missing = Problem::new(Code::NotFound, "there is no tool server `12345678`");
    house.daemon.answers("POST /api/mcp-servers/12345678/look", 404, &missing);
    let (code, text) = house.fails(&["mcp", "show", "12345678"]).await;
    assert!(code == 1 && text.contains("orcha mcp ls") && !text.contains("orcha ls"), "{text}");
    let (code, text) = house.fails(&["--url", "http://127.0.0.1:9", "health"]).await;
    assert!(code == 3 && text.contains("orchad serve"), "{text}");
    let (code, text) = house.fails(&["--url", "ftp://x", "health"]).await;
    assert!(code == 1 && text.contains("http://127.0.0.1:7420"), "{text}");

    std::fs::write(house.dir.path().join("token"), "wrong").unwrap();
    let (code, text) = house.fails(&["health"]).await;
    assert!(code == 4 && text.contains("token"), "{text}");
    let (code, text) = house.fails(&["health", "--token-file", "nowhere"]).await;
    assert!(code == 4 && text.contains("--token-file"), "{text}");
    let (code, text) = house.fails(&["run", "", "--repo", "."]).await;
    assert!(code == 2 && text.contains("TITLE"), "{text}");
    let with_token = house.command(&["whoami-is-no-command"]).output().await.unwrap();
    assert_eq!(with_token.status.code(), Some(2));

    std::fs::remove_file(house.dir.path().join("daemon.json")).unwrap();
    let (code, text) = house.fails(&["ls"]).await;
    assert!(code == 3 && text.contains("orchad serve"), "{text}");
}

#[tokio::test]
async fn with_json_an_error_is_json_whatever_is_wrong_and_names_its_field_and_its_cause() {
    let house = House::new().await;
    let fault = async |args: &[&str]| -> Value {
        let (code, text) = house.fails(args).await;
        let fault: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(fault["exit"], code);
        fault
    };
    let misspelt = fault(&["show", "not-an-id", "--json"]).await;
    assert_eq!((&misspelt["exit"], &misspelt["code"]), (&json!(2), &Value::Null));
    assert!(misspelt["error"].as_str().unwrap().starts_with("invalid value"), "{misspelt}");
    house.daemon.answers("POST /workflows", 422, &Problem::new(Code::Invalid, "`mode` is none").at("mode"));
    assert_eq!(fault(&["--json", "workflow", "run", "x", "--mode", "y"]).await["field"], "mode");
    let unread = fault(&["--json", "workflow", "edit", "aaaa0001", "charter", "nope"]).await;
    assert!(unread["because"][0].as_str().unwrap().contains("line 1"), "{unread}");
}

#[tokio::test]
async fn the_token_may_come_from_the_environment_or_a_file() {
    let house = House::new().await;
    std::fs::remove_file(house.dir.path().join("token")).unwrap();
    house.daemon.answers(
        "POST /api/login-link",
        200,
        &json!({"url": "http://x/login?ticket=1", "expires_at": sample::at(0)}),
    );
    let output = house.command(&["login"]).env("ORCHA_TOKEN", TOKEN).output().await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "http://x/login?ticket=1\n");
    let file = house.dir.path().join("other");
    std::fs::write(&file, TOKEN).unwrap();
    let output = house.command(&["login"]).env("ORCHA_TOKEN_FILE", &file).output().await.unwrap();
    assert!(output.status.success());
}

#[tokio::test]
async fn a_token_that_others_can_read_is_remarked_on() {
    use std::os::unix::fs::PermissionsExt;
    let house = House::new().await;
    house.daemon.answers("GET /api/targets", 200, &[(); 0]);
    let token = house.dir.path().join("token");
    for (mode, remarks) in [(0o644, 1), (0o600, 0)] {
        std::fs::set_permissions(&token, PermissionsExt::from_mode(mode)).unwrap();
        let output = house.orcha(&["target", "list"]).await;
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && text.matches("chmod 600").count() == remarks, "{text}");
    }
}

#[tokio::test]
async fn a_text_that_is_too_long_or_no_text_is_refused_before_it_is_sent() {
    let house = House::new().await;
    std::fs::create_dir(house.dir.path().join(".git")).unwrap();
    std::fs::write(house.dir.path().join("big"), vec![b'a'; 5_000_000]).unwrap();
    std::fs::write(house.dir.path().join("odd"), [b'a', 0xff]).unwrap();
    for (prompt, word) in [("@big", "256 KiB"), ("@odd", "UTF-8"), ("@nowhere", "cannot read nowhere")] {
        let (code, text) = house.fails(&["run", "x", "--repo", ".", "--prompt", prompt]).await;
        assert!(code == 1 && text.contains(word), "{prompt}: {text}");
    }
    assert_eq!(house.daemon.asked(), []);
}

#[tokio::test]
async fn a_connection_that_breaks_while_it_is_written_to_is_an_error() {
    let house = House::new().await;
    std::fs::write(house.dir.path().join("long"), vec![b'a'; 250_000]).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let hangs_up = tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    let (code, text) = house.fails(&["answer", "eeee0001", "@long", "--url", &url]).await;
    assert!(code == 3 && text.contains("the connection to the daemon"), "{code}: {text}");
    hangs_up.abort();
}

#[tokio::test]
async fn a_work_tree_that_will_stand_in_the_way_of_merges_is_remarked_on() {
    let house = House::new().await;
    let git = house.dir.path().join("site/.git");
    std::fs::create_dir_all(&git).unwrap();
    let objective = sample::objective(ObjectiveStatus::Active);
    house.daemon.answers("POST /api/objectives", 201, &CreatedObjective { objective, manager: None });
    let run = ["run", "x", "--repo", "site", "--detach"];
    for (head, more, remarks) in [
        ("ref: refs/heads/main\n", &[][..], 1),
        ("ref: refs/heads/main\n", &["--base", "next"], 0),
        ("0123456789012345678901234567890123456789\n", &[], 0),
    ] {
        std::fs::write(git.join("HEAD"), head).unwrap();
        let output = house.orcha(&[&run[..], more].concat()).await;
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && text.matches("switch --detach").count() == remarks, "{text}");
    }
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let house = House::new().await;
    let events: Vec<Event> =
        (1..=1000).map(|id| sample::event(id, "session_started", None, &"x".repeat(300))).collect();
    house.daemon.answers("GET /api/events", 200, &events);
    let mut child = house.command(&["events"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[tokio::test]
async fn completions_and_manual_pages_need_no_daemon() {
    let house = House::new().await;
    for shell in ["bash", "zsh", "fish"] {
        assert!(house.says(&["completions", shell]).await.contains("workspace"));
    }
    assert!(house.says(&["man"]).await.starts_with(".ie"));
    house.says(&["man", "pages"]).await;
    assert!(house.dir.path().join("pages/orcha-pr-merge.1").exists());
}

#[tokio::test]
async fn the_doctor_names_each_gap_with_what_to_do_and_fails_when_work_is_stopped() {
    let house = House::new().await;
    let (code, _) = house.fails(&["doctor"]).await;
    assert_eq!(code, 1);
    let check = |name: &str, grade: CheckGrade, advice: Option<&str>| DoctorCheck {
        name: name.into(),
        ok: grade == CheckGrade::Fine,
        grade,
        detail: "as found".into(),
        advice: advice.map(str::to_owned),
    };
    let mut doctor = Doctor {
        ok: true,
        version: env!("CARGO_PKG_VERSION").into(),
        checks: vec![check("database", CheckGrade::Fine, None)],
        targets: vec![TargetDoctor {
            target_id: orcha_base::TargetId::fixed(7),
            target: "local".into(),
            ok: true,
            missing: Vec::new(),
            checks: vec![check("tmux", CheckGrade::Gap, Some("install tmux"))],
        }],
    };
    house.daemon.answers("GET /api/doctor", 200, &doctor);
    let said = house.says(&["doctor"]).await;
    assert!(said.contains("gap    tmux") && said.contains("→ install tmux"), "{said}");
    assert!(said.ends_with("nothing stops work\n"), "{said}");
    doctor.ok = false;
    doctor.targets[0].checks.push(check("agent claude", CheckGrade::Stops, Some("install it")));
    house.daemon.answers("GET /api/doctor", 200, &doctor);
    let output = house.orcha(&["doctor", "--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["ok"], &report["daemon"]["targets"][0]["checks"][1]["grade"]),
        (&json!(false), &json!("stops"))
    );

    house.daemon.answers("GET /api/targets/00000007/doctor", 200, &doctor.targets[0]);
    let (code, _) = house.fails(&["target", "doctor", "00000007", "--data", "/nowhere"]).await;
    assert_eq!(code, 3);
    assert!(house.says(&["target", "doctor", "00000007"]).await.starts_with("target local"));
}

#[tokio::test]
async fn files_go_with_a_request_and_are_listed() {
    let house = House::new().await;
    std::fs::write(house.dir.path().join("notes.md"), "# Notes").unwrap();
    house.daemon.answers(
        "POST /workflows",
        422,
        &json!({"type": "about:blank", "title": "invalid", "status": 422, "code": "invalid", "detail": "enough seen", "error": "enough seen"}),
    );
    let (_, said) = house.fails(&["workflow", "run", "Write it", "--attach", "notes.md", "--detach"]).await;
    assert!(said.contains("enough seen"), "{said}");
    let (_, said) = house.fails(&["workflow", "run", "Write it", "--attach", "missing.md"]).await;
    assert!(said.contains("cannot read missing.md"), "{said}");
    let row = json!({
        "id": "00000000-0000-0000-0000-0000aaaa0001", "workflow_id": "00000000-0000-0000-0000-0000aaaa0002",
        "tenant_id": "default", "scope_id": "global", "filename": "notes.md", "content_type": "text/markdown",
        "encoding": "utf-8", "size_bytes": 7, "sha256": "00", "chunk_count": 1, "status": "completed", "whole": true,
        "created_at": sample::at(0),
    });
    house.daemon.answers("GET /api/objectives/aaaa0002/attachments", 200, &[&row]);
    let mut whole = row.clone();
    whole["base64"] = json!("IyBOb3Rlcw==");
    house.daemon.answers("GET /api/attachments/00000000-0000-0000-0000-0000aaaa0001", 200, &whole);
    let text = house.says(&["attachments", "aaaa0002"]).await;
    assert!(text.contains("notes.md") && text.contains("completed"), "{text}");
    assert_eq!(house.says(&["attachments", "aaaa0002", "notes.md"]).await, "# Notes\n");
    house.says(&["attachments", "aaaa0002", "notes.md", "--save", "copy.md"]).await;
    assert_eq!(std::fs::read(house.dir.path().join("copy.md")).unwrap(), b"# Notes");
    let (_, said) = house.fails(&["attachments", "aaaa0002", "other.md"]).await;
    assert!(said.contains("there are: notes.md"), "{said}");
}
