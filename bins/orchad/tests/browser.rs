//! A real browser watches an objective run and answers its question; nothing here looks past what the page shows.
//!
//! The daemon, the agents, git and the browser are real processes. Without a browser the test says so, is counted as
//! skipped, and passes. With `ORCHA_SCREENSHOT=FILE` it leaves a picture of the page while the question is open.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use fantoccini::{Client as Browser, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use orcha_base::Redacted;
use orcha_client::Client;
use orcha_wire::{Cancel, CreateObjective, IdRef, MergePr};
use orchad::demo::daemon::Daemon;
use orchad::demo::sample::Sample;
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

/// How long anything may take until the page shows it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A manager with two implementers: one hands in a manual, the other one asks first.
const SCRIPT: &str = r#"{
  "plays": [
    {"name": "manager", "when": {"env": {"ORCHA_ROLE": "manager"}}, "turns": [
      {"on": "opening", "steps": [
        {"call": {"tool": "spawn_session", "args": {"role": "implementer", "title": "Write the manual", "goal": "Describe greet.sh in docs/USAGE.md."}, "pick": "uuid", "save": "manual"}},
        {"call": {"tool": "spawn_session", "args": {"role": "implementer", "title": "Greet in another way", "goal": "Change what greet.sh says."}, "pick": "uuid", "save": "greeting"}},
        {"usage": {"input": 3100, "output": 420, "cache_read": 9000}},
        {"say": "Two sessions are on their way."}
      ]},
      {"on": "any", "steps": [
        {"if": {"when": [{"value": "{{prompt}}", "contains": "Session {{manual}} ("}, {"value": "{{prompt}}", "contains": "succeeded"}],
          "then": [{"call": {"tool": "publish_pr", "args": {"session_id": "{{manual}}", "title": "Write the manual", "body": "How to use it."}}}]}},
        {"if": {"when": [{"value": "{{prompt}}", "contains": "Session {{greeting}} ("}, {"value": "{{prompt}}", "contains": "succeeded"}],
          "then": [{"call": {"tool": "mark_objective_done", "args": {"summary": "Greets anew, and has a manual."}}}],
          "else": [{"say": "Noted."}]}}
      ]}
    ]},
    {"name": "manual", "when": {"env": {"ORCHA_ROLE": "implementer"}, "contains": ["docs/USAGE.md"]}, "turns": [
      {"on": "opening", "steps": [
        {"write": {"path": "docs/USAGE.md", "text": "sh greet.sh NAME\n"}},
        {"commit": "docs: describe greet.sh"},
        {"usage": {"input": 2100, "output": 300, "cache_read": 900}},
        {"call": {"tool": "report_result", "args": {"summary": "docs/USAGE.md is there."}}}
      ]},
      {"on": "any", "steps": [{"say": "Understood."}]}
    ]},
    {"name": "greeting", "when": {"env": {"ORCHA_ROLE": "implementer"}, "contains": ["Change what greet.sh says"]}, "turns": [
      {"on": "opening", "steps": [
        {"usage": {"input": 1800, "output": 210, "cache_read": 700}},
        {"call": {"tool": "ask_user", "args": {
          "question": "Which greeting shall it be?",
          "context": "The page of the shop says <b>Good day</b>, the letters say Dear.",
          "options": ["Good day", "Dear"]}}}
      ]},
      {"on": {"contains": "Answer: Good day"}, "steps": [
        {"say": "I write it down."},
        {"sleep_ms": 500},
        {"call": {"tool": "report_result", "args": {"summary": "It will be: Good day."}}}
      ]},
      {"on": "any", "steps": [{"say": "Understood."}]}
    ]}
  ]
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_watches_an_objective_in_a_browser_and_answers_its_question() {
    let Some(driver) = Driver::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::make(folder.path()).unwrap();
    std::fs::write(&sample.script, SCRIPT).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_orchad"));
    let browser = driver.open(&folder.path().join("browser")).await;
    let mut daemon = Daemon::start_as(program, &sample).await.unwrap();
    let client = Client::new(&daemon.url, Redacted::new(Daemon::token(&sample).unwrap())).unwrap();
    let objective = CreateObjective {
        title: Some("Greet customers in another way".into()),
        ..orchad::demo::objective_for(program, &sample).unwrap()
    };
    let watching = {
        let (client, browser, port) = (client.clone(), browser.clone(), driver.port);
        tokio::spawn(async move { watch(&client, &browser, &objective, port).await })
    };
    let watched = tokio::time::timeout(4 * PATIENCE, watching).await;
    // Whatever was seen, nothing of it goes on.
    browser.close().await.unwrap();
    for it in client.objectives(&Default::default()).await.unwrap().items {
        if !["succeeded", "failed", "canceled"].contains(&it.status.as_str()) {
            client.cancel_objective(it.id, &Cancel::default()).await.unwrap();
        }
    }
    daemon.stop().await.unwrap();
    match watched {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => {
            eprintln!("{}", std::fs::read_to_string(sample.data.join("daemon.log")).unwrap_or_default());
            std::panic::resume_unwind(fault.into_panic());
        }
        Err(late) => panic!("the browser hangs: {late}"),
    }
}

async fn watch(client: &Client, browser: &Browser, objective: &CreateObjective, driver: u16) {
    let page = Page { browser };
    let ticket = client.login_link().await.unwrap().url;
    browser.goto(&ticket).await.unwrap();
    page.shows("#link[data-state=live]").await;
    assert!(page.text("#objectives").await.contains("Nothing is going on"));
    // A page that is loaded anew forgets this.
    page.run("window.sameAsBefore = true").await;

    let made = client.create_objective(objective).await.unwrap().objective;
    let article = format!("article[id='o-{}']", made.id);
    page.shows(&article).await;
    assert!(page.text(&format!("{article} h3")).await.contains("Greet customers"));
    page.shows(&format!("{article} tr[data-state=running]")).await;
    page.shows(".question form.answer").await;
    page.shows(&format!("{article} tr[data-state=succeeded]")).await;
    page.shows(&format!("{article} li [data-state=open]")).await;
    page.shows("#summary[data-needs='1']").await;
    assert_eq!(page.text(".question .asked").await, "Which greeting shall it be?");
    assert!(page.text(".question .context").await.contains("<b>Good day</b>"), "text from outside is text");
    assert_eq!(browser.title().await.unwrap(), "(1) orcha");
    if let Some(file) = std::env::var_os("ORCHA_SCREENSHOT") {
        std::fs::write(file, browser.screenshot().await.unwrap()).unwrap();
    }

    // What somebody types stays, whatever happens around it.
    browser.find(Locator::Css(".question textarea")).await.unwrap().send_keys("half a thou").await.unwrap();
    let pull_request = browser.find(Locator::Css(&format!("{article} li[id^='p-']"))).await.unwrap();
    let id: IdRef = pull_request.attr("id").await.unwrap().unwrap()[2..].parse().unwrap();
    client.merge_pull_request(id, &MergePr::default()).await.unwrap();
    page.shows(&format!("{article} li [data-state=merged]")).await;
    let kept = "const box = document.querySelector('.question textarea'); \
        return [box.value, document.activeElement === box]";
    assert_eq!(page.run(kept).await, json!(["half a thou", true]));

    browser.find(Locator::XPath("//button[@value='Good day']")).await.unwrap().click().await.unwrap();
    page.shows("#summary[data-needs='0']").await;
    page.shows(&format!("#ended li[id='o-{}'] [data-state=succeeded]", made.id)).await;
    assert_eq!(
        page.run("return [window.sameAsBefore, document.querySelectorAll('.question').length]").await,
        json!([true, 0])
    );

    browser.goto(&format!("{}/objectives/{}", client.url().trim_end_matches('/'), made.id)).await.unwrap();
    page.shows("#link[data-state=live]").await;
    // The answer reached the agent that asked.
    let results = page.run("return document.querySelector('main').textContent").await.to_string();
    assert!(results.contains("It will be: Good day.") && results.contains("Greets anew"), "{results}");
    assert_eq!(page.run("return document.title").await, json!("Greet customers in another way · orcha"));
    let complaints = complaints(browser, driver).await;
    assert!(complaints.is_empty(), "the browser complained: {complaints:#?}");
}

/// The page, as the test looks at it.
struct Page<'a> {
    browser: &'a Browser,
}

impl Page<'_> {
    /// Waits until the page has such an element.
    async fn shows(&self, css: &str) {
        if let Err(fault) =
            self.browser.wait().at_most(PATIENCE).every(Duration::from_millis(50)).for_element(Locator::Css(css)).await
        {
            panic!("the page never showed {css}: {fault}\n{}", self.text("body").await);
        }
    }

    async fn text(&self, css: &str) -> String {
        self.browser.find(Locator::Css(css)).await.unwrap().text().await.unwrap()
    }

    async fn run(&self, script: &str) -> Value {
        self.browser.execute(script, vec![]).await.unwrap()
    }
}

/// A running chromedriver. With it, its browser ends.
struct Driver {
    process: Child,
    port: u16,
}

impl Driver {
    /// Starts chromedriver on a free port; if there is none, says so where skips are counted.
    fn start() -> Option<Self> {
        let found = |name: &str| {
            let dirs = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&dirs).any(|dir| dir.join(name).is_file())
        };
        let browser = ["chromium", "chromium-browser", "google-chrome"].into_iter().any(found);
        if !browser || !found("chromedriver") {
            skip("chromium or chromedriver is not installed");
            return None;
        }
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let said = std::io::BufReader::new(process.stdout.take().unwrap());
        let mut driver = Self { process, port: 0 };
        let mut lines = std::io::BufRead::lines(said);
        // "ChromeDriver was started successfully on port 39781."
        let port = lines.find_map(|line| {
            line.unwrap().rsplit_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        driver.port = port.expect("chromedriver ended before it said where it listens");
        // It must not find its output closed.
        std::thread::spawn(move || lines.for_each(drop));
        Some(driver)
    }

    /// Opens a browser that asks nobody but the page's own daemon for anything.
    async fn open(&self, folder: &Path) -> Browser {
        let profile = format!("--user-data-dir={}", folder.display());
        let flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
            "--hide-scrollbars",
            "--window-size=1200,900",
            &profile,
        ];
        let wishes = json!({
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let Value::Object(wishes) = wishes else { unreachable!("it is one") };
        let address = format!("http://127.0.0.1:{}", self.port);
        ClientBuilder::new(HttpConnector::new()).capabilities(wishes).connect(&address).await.unwrap()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        let ended = Command::new("kill").args(["-KILL", "--", &group]).status().and_then(|_| self.process.wait());
        if let Err(fault) = ended {
            eprintln!("chromedriver could not be ended: {fault}");
        }
    }
}

/// Returns what the browser's console says, as far as it is a warning or worse.
async fn complaints(browser: &Browser, driver: u16) -> Vec<Value> {
    let session = browser.session_id().await.unwrap().unwrap();
    let body = r#"{"type":"browser"}"#;
    let request = format!(
        "POST /session/{session}/se/log HTTP/1.1\r\nhost: 127.0.0.1:{driver}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", driver)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    // The driver keeps the connection open, whatever it is asked for: its answer ends where it says so.
    let mut answer = tokio::io::BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while answer.read_line(&mut line).await.unwrap() > 0 && line != "\r\n" {
        if let Some((name, value)) =
            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            length = value.trim().parse().unwrap_or_else(|fault| panic!("{name}: {fault}"));
        }
        line.clear();
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body).await.unwrap();
    let said: Value = serde_json::from_slice(&body).unwrap();
    let said = said["value"].as_array().unwrap_or_else(|| panic!("no log: {said}"));
    said.iter().filter(|it| it["level"] != "INFO" && it["level"] != "DEBUG").cloned().collect()
}

/// Says aloud that this test did not run, and has it counted.
fn skip(reason: &str) {
    let line = format!("a_person_watches_an_objective_in_a_browser_and_answers_its_question: {reason}");
    eprintln!("SKIPPED {line}");
    if let Some(log) = std::env::var_os("ORCHA_SKIP_LOG") {
        let mut log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        writeln!(log, "{line}").unwrap();
    }
}
