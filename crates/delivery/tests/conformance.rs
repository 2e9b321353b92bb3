//! What every implementation of `Deliverer` promises, over the real one and the fake; then what only files and
//! servers can show.
#![allow(clippy::unwrap_used, reason = "a test that cannot look has failed")]

use async_trait::async_trait;
use orcha_base::{Backoff, Retry, TenantId, Timestamp};
use orcha_delivery::fake::FakeDeliverer;
use orcha_delivery::{
    Content, Delivered, Deliverer, Deliveries, Delivery, DeliveryError, Document, Link, LinkKind, Lookup, Order,
    Settings, signature,
};
use orcha_outbound::Outbound;
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SECRET: &str = "canary-0123456789abcdef";
const NOW: i64 = 1_800_000_000;

#[async_trait]
trait Scene: Send + Sync {
    fn deliverer(&self) -> &dyn Deliverer;
}

struct Real {
    temp: tempfile::TempDir,
    deliveries: Deliveries,
}

impl Real {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let deliveries = open(temp.path());
        Self { temp, deliveries }
    }

    /// Everything that lies in the folder, as text.
    fn everything(&self) -> String {
        let mut all = String::new();
        let mut open = vec![self.temp.path().to_owned()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
                if entry.path().is_dir() {
                    open.push(entry.path());
                } else {
                    all.push_str(&String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()));
                }
            }
        }
        all
    }
}

/// The deliveries as a daemon has them that has just started.
fn open(root: &Path) -> Deliveries {
    let secrets = Lookup::new(|name| ["HOOK_SECRET", "ACME_HOOK"].contains(&name).then(|| SECRET.to_owned()));
    let named = json!({"acme": {"hook": {"env": "ACME_HOOK"}, "lost": {"file": "/no/such/place"}}});
    let secrets = secrets.with(serde_json::from_value(named).unwrap());
    let backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(2) };
    let settings = Settings { backoff, ..Settings::new(root.join("deliveries"), secrets, || NOW) };
    Deliveries::new(settings, Outbound::new(vec!["127.0.0.1".parse().unwrap()]))
}

impl Scene for Real {
    fn deliverer(&self) -> &dyn Deliverer {
        &self.deliveries
    }
}

struct Fake(FakeDeliverer);

impl Scene for Fake {
    fn deliverer(&self) -> &dyn Deliverer {
        &self.0
    }
}

macro_rules! suite {
    ($($case:ident)*) => {
        mod real {
            use super::*;
            $(#[tokio::test] async fn $case() { super::$case(&Real::new()).await; })*
        }
        mod fake {
            use super::*;
            $(#[tokio::test] async fn $case() { super::$case(&Fake(FakeDeliverer::new())).await; })*
        }
    };
}

suite! {
    a_delivery_is_made_once_by_key
    what_is_empty_is_not_delivered
    what_takes_a_code_host_is_not_made_here
    a_key_is_no_path
    a_response_leaves_nothing_behind
}

fn delivery(action: &str, config: Value) -> Delivery {
    Delivery::read(&json!({"action": action, "config": config})).unwrap()
}

fn order(key: &str, action: Delivery) -> Order {
    let content = Content {
        title: "The result".into(),
        summary: "In short".into(),
        body: "# Hello\n\nWorld".into(),
        documents: vec![Document { path: "notes/a.md".into(), text: "A\n".into() }],
        ..Content::default()
    };
    let tenant = TenantId::default();
    Order { key: key.into(), workflow: "w1".into(), tenant, action, content, at: Timestamp::from_secs(NOW) }
}

async fn a_delivery_is_made_once_by_key(it: &dyn Scene) {
    for action in ["artifact-bundle", "markdown-export", "blog-draft", "doc-draft"] {
        let order = order(action, delivery(action, json!({})));
        let (one, two) = tokio::join!(it.deliverer().deliver(&order), it.deliverer().deliver(&order));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.action.as_str(), one.already != two.already), (action, true));
        assert_eq!((&one.links, one.links.len()), (&two.links, 1));
        let mut other = order.clone();
        other.content.body = "something else".into();
        assert_eq!(it.deliverer().deliver(&other).await.unwrap().links, one.links);
    }
}

async fn what_is_empty_is_not_delivered(it: &dyn Scene) {
    for action in ["artifact-bundle", "markdown-export", "blog-draft", "doc-draft"] {
        let mut order = order("k", delivery(action, json!({})));
        order.content = Content { title: "T".into(), body: " \n".into(), ..Content::default() };
        let error = it.deliverer().deliver(&order).await.unwrap_err();
        assert!(matches!(error, DeliveryError::Empty { .. }), "{action}: {error}");
    }
}

async fn what_takes_a_code_host_is_not_made_here(it: &dyn Scene) {
    for action in ["github-pr", "repo-commit-only"] {
        let error = it.deliverer().deliver(&order("k", delivery(action, json!({})))).await.unwrap_err();
        assert!(matches!(error, DeliveryError::Elsewhere { .. }), "{error}");
    }
}

async fn a_key_is_no_path(it: &dyn Scene) {
    for key in ["", "../x", "a/b", "-x", "a b"] {
        let error = it.deliverer().deliver(&order(key, delivery("blog-draft", json!({})))).await.unwrap_err();
        assert!(matches!(error, DeliveryError::Key { .. }), "{key}: {error}");
    }
}

async fn a_response_leaves_nothing_behind(it: &dyn Scene) {
    let done = it.deliverer().deliver(&order("k", delivery("api-response", json!({})))).await.unwrap();
    assert_eq!((done.action.as_str(), done.links.len()), ("api-response", 0));
}

fn file(done: &Delivered) -> PathBuf {
    assert_eq!(done.links[0].kind, LinkKind::File);
    PathBuf::from(&done.links[0].target)
}

#[tokio::test]
async fn a_draft_and_an_export_are_files_with_the_hash_that_is_told() {
    let it = Real::new();
    let blog = delivery("blog-draft", json!({"slug": "my-post", "tags": ["rust"]}));
    let done = it.deliveries.deliver(&order("blog", blog)).await.unwrap();
    let path = file(&done);
    assert!(path.ends_with("deliveries/w1/blog/my-post.md"));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("---\ntitle: \"The result\"\ntype: post\ndraft: true\n"), "{text}");
    assert!(text.ends_with("\n---\n\n# Hello\n\nWorld\n"));
    assert_eq!(done.links[0].bytes, Some(text.len() as u64));
    let said = std::process::Command::new("sha256sum").arg(&path).output().unwrap();
    assert!(String::from_utf8(said.stdout).unwrap().starts_with(done.links[0].sha256.as_deref().unwrap()));
    // Another daemon finds it delivered, also when a crash left something half made.
    let making = it.temp.path().join("deliveries/.making/w1.export");
    std::fs::create_dir_all(&making).unwrap();
    std::fs::write(making.join("half"), "x").unwrap();
    let again = open(it.temp.path());
    assert!(again.deliver(&order("blog", delivery("blog-draft", json!({})))).await.unwrap().already);
    let done = again.deliver(&order("export", delivery("markdown-export", json!({})))).await.unwrap();
    assert!(file(&done).ends_with("w1/export/the-result.md"));
    assert!(!file(&done).with_file_name("half").exists());
}

#[tokio::test]
async fn an_archive_is_real_complete_and_the_same_each_time() {
    let it = Real::new();
    let tree = it.temp.path().join("tree");
    std::fs::create_dir_all(tree.join(".git")).unwrap();
    std::fs::create_dir_all(tree.join("src")).unwrap();
    std::fs::write(tree.join(".git/config"), "canary").unwrap();
    std::fs::write(tree.join("src/main.rs"), "fn main() {}\n").unwrap();
    std::fs::write(tree.join("data"), vec![7u8; 100_000]).unwrap();
    std::fs::write(it.temp.path().join("outside"), "canary").unwrap();
    std::os::unix::fs::symlink("../outside", tree.join("escape")).unwrap();
    std::os::unix::fs::symlink("src/main.rs", tree.join("inside")).unwrap();
    let make = |key: &str| {
        let mut order = order(key, delivery("artifact-bundle", json!({"name": "all"})));
        order.content.tree = Some(tree.clone());
        order
    };
    let one = it.deliveries.deliver(&make("one")).await.unwrap();
    let two = it.deliveries.deliver(&make("two")).await.unwrap();
    assert_eq!(one.links[0].sha256, two.links[0].sha256);
    let mut zip = zip::ZipArchive::new(std::fs::File::open(file(&one)).unwrap()).unwrap();
    let names: Vec<String> = zip.file_names().map(|it| it.unwrap().into_owned()).collect();
    assert_eq!(names, ["data", "inside", "notes/a.md", "src/main.rs", "orcha-manifest.json"]);
    let mut text = String::new();
    zip.by_name("src/main.rs").unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "fn main() {}\n");
    text.clear();
    zip.by_name("orcha-manifest.json").unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["sha256"].as_object().unwrap().len(), 3);
    let mut bad = make("three");
    bad.content.documents[0].path = "../../etc/cron.d/x".into();
    assert!(matches!(it.deliveries.deliver(&bad).await, Err(DeliveryError::Path { .. })));
    // On other systems this would lead out of the folder.
    std::fs::write(tree.join("..\\..\\x"), "").unwrap();
    assert!(matches!(it.deliveries.deliver(&make("four")).await, Err(DeliveryError::Path { .. })));
}

/// A server that answers with one status after the other, and keeps what it was sent.
async fn serve(statuses: &[&'static str]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/secret-path", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (heard, statuses) = (Arc::clone(&asked), statuses.to_vec());
    tokio::spawn(async move {
        for status in statuses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let n = stream.read(&mut buffer).await.unwrap();
                text.extend_from_slice(&buffer[..n]);
                let said = String::from_utf8_lossy(&text);
                let Some((head, body)) = said.split_once("\r\n\r\n") else { continue };
                let length =
                    head.lines().find_map(|it| it.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if n == 0 || body.len() >= length.unwrap_or(0) {
                    break;
                }
            }
            heard.lock().unwrap().push(String::from_utf8(text).unwrap());
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

fn hook(url: &str) -> Delivery {
    delivery("webhook-dispatch", json!({"url": url, "secret": {"env": "HOOK_SECRET"}}))
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = request.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")));
    line.unwrap().split_once(": ").unwrap().1
}

#[tokio::test]
async fn a_webhook_is_signed_tried_again_under_one_id_and_made_once() {
    let it = Real::new();
    let (url, asked) = serve(&["503 Busy", "429 Slow\r\nRetry-After: 0", "200 OK"]).await;
    assert_eq!(it.deliveries.check(&TenantId::default(), &hook(&url)).await, Ok(()));
    let done = it.deliveries.deliver(&order("hook", hook(&url))).await.unwrap();
    assert_eq!((done.links[0].kind, done.links[0].target.contains("secret-path")), (LinkKind::Webhook, false));
    // The server is gone by now: nobody is called again.
    assert!(open(it.temp.path()).deliver(&order("hook", hook(&url))).await.unwrap().already);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 3);
    let id = header(&asked[0], "x-orcha-delivery");
    for request in asked.iter() {
        assert_eq!((header(request, "x-orcha-delivery"), header(request, "idempotency-key")), (id, id));
        let body = request.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(header(request, "x-orcha-timestamp"), NOW.to_string());
        assert_eq!(header(request, "x-orcha-signature"), signature(SECRET.as_bytes(), NOW, id, body.as_bytes()));
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["status"], &body["delivery_id"]), (&json!("completed"), &json!(id)));
        assert!(!request.contains("canary"));
    }
    assert!(!it.everything().contains("canary"));
}

#[tokio::test]
async fn a_webhook_that_says_no_is_not_asked_again_and_one_that_is_away_is_tried_later() {
    let it = Real::new();
    let (url, asked) = serve(&["403 No"]).await;
    let error = it.deliveries.deliver(&order("no", hook(&url))).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Refused { status: 403, attempts: 1 }), "{error}");
    assert_eq!((error.retry(), asked.lock().unwrap().len()), (Retry::AskHuman, 1));
    let (url, _) = serve(&["500 A", "500 B", "500 C", "500 D"]).await;
    let error = it.deliveries.deliver(&order("away", hook(&url))).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Refused { status: 500, attempts: 4 }), "{error}");
    assert_eq!(error.retry(), Retry::Later);
    // What failed was not delivered: the next call tries.
    let (url, asked) = serve(&["204 Fine"]).await;
    assert!(!it.deliveries.deliver(&order("away", hook(&url))).await.unwrap().already);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_webhook_is_checked_when_it_is_wished_for() {
    let it = Real::new();
    for url in ["http://10.0.0.1/x", "http://169.254.169.254/", "http://[::1]/", "ftp://x/", "http://u:p@1.1.1.1/"] {
        let wrong = it.deliveries.check(&TenantId::default(), &hook(url)).await.unwrap_err();
        assert_eq!(wrong.field, "delivery.config.url", "{url}");
        let error = it.deliveries.deliver(&order("bad", hook(url))).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Never, "{url}: {error}");
    }
    let short = it.temp.path().join("short");
    std::fs::write(&short, "too short").unwrap();
    for secret in
        [json!({"env": "NOT_SET"}), json!({"file": short}), json!({"file": "/no/such/file"}), json!({"file": "/"})]
    {
        let it_is = delivery("webhook", json!({"url": "http://127.0.0.1:1/", "secret": secret}));
        let wrong = it.deliveries.check(&TenantId::default(), &it_is).await.unwrap_err();
        assert_eq!(wrong.field, "delivery.config.secret", "{wrong}");
        assert!(!wrong.rule.contains("too short"));
    }
    let long = it.temp.path().join("long");
    std::fs::write(&long, format!("{SECRET}\n")).unwrap();
    let fine = delivery("webhook", json!({"url": "http://127.0.0.1:1/", "secret": {"file": long}}));
    assert_eq!(it.deliveries.check(&TenantId::default(), &fine).await, Ok(()));
}

#[tokio::test]
async fn a_named_secret_is_there_for_its_tenant_alone() {
    let it = Real::new();
    let (url, asked) = serve(&["200 OK"]).await;
    let named = |name: &str| delivery("webhook", json!({"url": url, "secret": {"name": name}}));
    let acme = TenantId::new("acme");
    assert_eq!(it.deliveries.check(&acme, &named("hook")).await, Ok(()));
    // Whether somebody else has one of that name cannot be told apart from that nobody has.
    for (tenant, name) in [("globex", "hook"), ("default", "hook"), ("acme", "other"), ("acme", "acme-hook")] {
        let tenant = TenantId::new(tenant);
        let order = Order { tenant: tenant.clone(), ..order("foreign", named(name)) };
        for said in [
            it.deliveries.check(&tenant, &named(name)).await.unwrap_err().rule,
            it.deliveries.deliver(&order).await.unwrap_err().to_string(),
        ] {
            assert!(said.contains(&format!("the secret `{name}` is none of this tenant")), "{said}");
        }
    }
    // Where the settings say that it lies is not told.
    let lost = it.deliveries.check(&acme, &named("lost")).await.unwrap_err().rule;
    assert!(lost.contains("the secret `lost` cannot be read") && !lost.contains("/no/such"), "{lost}");
    let order = Order { tenant: acme, ..order("own", named("hook")) };
    it.deliveries.deliver(&order).await.unwrap();
    let asked = asked.lock().unwrap();
    let body = asked[0].split_once("\r\n\r\n").unwrap().1;
    let id = header(&asked[0], "x-orcha-delivery");
    assert_eq!(header(&asked[0], "x-orcha-signature"), signature(SECRET.as_bytes(), NOW, id, body.as_bytes()));
}

#[tokio::test]
async fn what_was_made_can_be_opened_and_nothing_else() {
    let real = Real::new();
    let order =
        Order { workflow: "workflow-1".into(), ..order("key-1", delivery("markdown-export", json!({"name": "all"}))) };
    let made = real.deliveries.deliver(&order).await.unwrap().links.remove(0);
    let open = async |workflow: &str, link: &Link| real.deliveries.open(workflow, link).await;
    let mut text = String::new();
    open("workflow-1", &made).await.unwrap().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(Some(text.len() as u64), made.bytes);
    // Whatever a link says, it leads to no other workflow, and not out of the folder.
    let place = Path::new(&made.target).parent().unwrap();
    std::fs::write(place.join("../../secret"), "canary").unwrap();
    std::os::unix::fs::symlink("../../secret", place.join("link")).unwrap();
    let dir = place.display().to_string();
    for (workflow, target, bytes) in [
        ("workflow-2", made.target.clone(), made.bytes),
        ("workflow-1", format!("{dir}/../../secret"), Some(6)),
        ("workflow-1", "../secret".to_owned(), Some(6)),
        ("workflow-1", format!("{dir}/link"), Some(6)),
        ("workflow-1", dir.clone(), None),
        ("workflow-1", format!("{dir}/gone"), Some(1)),
        ("workflow-1", made.target.clone(), Some(1)),
        ("workflow-1", String::new(), None),
    ] {
        let link = Link { target, bytes, ..made.clone() };
        assert!(open(workflow, &link).await.unwrap().is_none(), "{workflow}: {link:?}");
    }
    assert!(open("../workflow-1", &made).await.is_err());
    let called = Link { kind: LinkKind::Webhook, ..made.clone() };
    assert!(open("workflow-1", &called).await.unwrap().is_none());
    // The folder may lie elsewhere by then.
    let moved =
        Link { target: format!("/another/place/workflow-1/key-1/{}", made.target.rsplit('/').next().unwrap()), ..made };
    assert!(open("workflow-1", &moved).await.unwrap().is_some());
}
