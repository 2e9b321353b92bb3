//! The real deliveries of one daemon.
//!
//! ```text
//! <root>/<workflow>/<key>/      what was delivered, and `receipt.json`, which is written last
//! <root>/.making/               what is not finished yet
//! ```

use crate::deliverer::{Delivered, Deliverer, Link, LinkKind, Order, check_key, plausible};
use crate::error::DeliveryError;
use crate::secret::Lookup;
use crate::webhook::{Patience, call};
use crate::wish::{Delivery, Invalid, slug};
use crate::{archive, document};
use async_trait::async_trait;
use orcha_base::{Backoff, TenantId};
use orcha_outbound::Outbound;
use rustix::fs::OFlags;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

const RECEIPT: &str = "receipt.json";

/// What deliveries need to know of the daemon.
#[derive(Clone)]
pub struct Settings {
    /// The folder that everything is put into.
    pub root: PathBuf,
    /// Where secrets are looked for.
    pub secrets: Lookup,
    /// Seconds since 1970.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// How often a webhook is tried.
    pub attempts: u32,
    /// How long is waited between.
    pub backoff: Backoff,
}

impl Settings {
    /// Takes folder, environment and clock; four attempts, with 1, 2 and 4 seconds between.
    pub fn new(root: impl Into<PathBuf>, secrets: Lookup, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        let backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(10) };
        Self { root: root.into(), secrets, now: Arc::new(now), attempts: 4, backoff }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("root", &self.root).field("attempts", &self.attempts).finish_non_exhaustive()
    }
}

/// Deliveries into a folder, and to servers.
#[derive(Debug)]
pub struct Deliveries {
    settings: Settings,
    outbound: Outbound,
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Deliveries {
    /// Takes settings and the way out.
    pub fn new(settings: Settings, outbound: Outbound) -> Self {
        Self { settings, outbound, locks: Mutex::default() }
    }

    fn place(&self, order: &Order) -> PathBuf {
        self.settings.root.join(&order.workflow).join(&order.key)
    }

    /// Waits until nobody else makes this very delivery.
    async fn lock(&self, order: &Order) -> tokio::sync::OwnedMutexGuard<()> {
        let name = format!("{}/{}", order.workflow, order.key);
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            match locks.get(&name).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(tokio::sync::Mutex::new(()));
                    locks.insert(name, Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

#[async_trait]
impl Deliverer for Deliveries {
    async fn check(&self, tenant: &TenantId, delivery: &Delivery) -> Result<(), Invalid> {
        let Delivery::Webhook(webhook) = delivery else { return Ok(()) };
        let wrong = |error: orcha_outbound::OutboundError| Invalid::new("delivery.config.url", error.to_string());
        self.outbound.check(&webhook.url).await.map_err(wrong)?;
        let (secret, lookup, tenant) = (webhook.secret.clone(), self.settings.secrets.clone(), tenant.clone());
        let read = tokio::task::spawn_blocking(move || secret.read(&tenant, &lookup).map(|_| ())).await;
        read.unwrap_or_else(|_| Err(Invalid::new("delivery.config.secret", "it could not be read")))
    }

    async fn deliver(&self, order: &Order) -> Result<Delivered, DeliveryError> {
        plausible(order)?;
        let _one = self.lock(order).await;
        let place = self.place(order);
        let receipt = place.join(RECEIPT);
        if let Some(done) = blocking(move || read_receipt(&receipt)).await? {
            return Ok(Delivered { already: true, ..done });
        }
        let mut done = Delivered {
            action: order.action.action().to_owned(),
            links: Vec::new(),
            summary: String::new(),
            already: false,
        };
        let mut called = None;
        if let Delivery::Webhook(webhook) = &order.action {
            let (secret, lookup) = (webhook.secret.clone(), self.settings.secrets.clone());
            let tenant = order.tenant.clone();
            let secret = blocking(move || Ok(secret.read(&tenant, &lookup)?)).await?;
            let longest = Duration::from_secs(30);
            let patience = Patience { attempts: self.settings.attempts, backoff: self.settings.backoff, longest };
            let status = call(&self.outbound, &webhook.url, &secret, order, patience, &*self.settings.now).await?;
            let target = webhook.url.split('/').take(3).collect::<Vec<_>>().join("/");
            called = Some(Link { kind: LinkKind::Webhook, target, bytes: None, sha256: None });
            done.summary = format!("the webhook answered {status}");
        }
        done.links.extend(called);
        let (order, root) = (order.clone(), self.settings.root.clone());
        blocking(move || put(&order, &root, &place, done)).await
    }

    async fn open(&self, workflow: &str, link: &Link) -> Result<Option<File>, DeliveryError> {
        check_key(workflow)?;
        let (home, link) = (self.settings.root.join(workflow), link.clone());
        blocking(move || open(&home, &link)).await
    }
}

/// Opens what a link names: a file of that length where the deliveries of its workflow lie, and nothing else.
fn open(home: &Path, link: &Link) -> Result<Option<File>, DeliveryError> {
    // The data folder may have been moved since: only the two last names count.
    let mut names = Path::new(&link.target).components().rev();
    let (LinkKind::File, Some(Component::Normal(name)), Some(Component::Normal(key))) =
        (link.kind, names.next(), names.next())
    else {
        return Ok(None);
    };
    // Neither a link that leads elsewhere nor a pipe is followed.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let files = |source| DeliveryError::Files { step: "opening what was delivered", source };
    let file = match File::options().read(true).custom_flags(flags).open(home.join(key).join(name)) {
        Ok(file) => file,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(fault) if fault.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => return Ok(None),
        Err(fault) => return Err(files(fault)),
    };
    let seen = file.metadata().map_err(files)?;
    Ok((seen.is_file() && Some(seen.len()) == link.bytes).then_some(file))
}

/// Makes the files of a delivery aside, lets them appear in one step, and looks at them.
fn put(order: &Order, root: &Path, place: &Path, mut done: Delivered) -> Result<Delivered, DeliveryError> {
    let files = |step| move |source| DeliveryError::Files { step, source };
    let making = root.join(".making").join(format!("{}.{}", order.workflow, order.key));
    match fs::remove_dir_all(&making) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(files("clearing what was half made")(error));
        }
        Ok(()) | Err(_) => {}
    }
    fs::create_dir_all(&making).map_err(files("making a folder"))?;
    let titled = |given: &Option<String>| match given.clone().unwrap_or_else(|| slug(&order.content.title)) {
        name if name.is_empty() => "result".to_owned(),
        name => name,
    };
    let name = match &order.action {
        Delivery::ArtifactBundle(it) => {
            let name = format!("{}.zip", titled(&it.name));
            archive::write(&order.content, File::create_new(making.join(&name)).map_err(files("making the archive"))?)?;
            Some(name)
        }
        Delivery::MarkdownExport(it) => Some(text(&making, &titled(&it.name), &document::export(&order.content))?),
        Delivery::BlogDraft(it) => Some(text(&making, &titled(&it.slug), &document::draft(order, it, "post"))?),
        Delivery::DocDraft(it) => Some(text(&making, &titled(&it.slug), &document::draft(order, it, "doc"))?),
        Delivery::Webhook(_) | Delivery::ApiResponse(_) => None,
        Delivery::PullRequest(_) | Delivery::DirectCommit(_) => {
            return Err(DeliveryError::Elsewhere { action: order.action.action() });
        }
    };
    if let Some(name) = name {
        let (bytes, sha256) = look(&making.join(&name)).map_err(files("looking at what was made"))?;
        let target = place.join(&name).display().to_string();
        done.summary = format!("{name} has {bytes} bytes");
        done.links.push(Link { kind: LinkKind::File, target, bytes: Some(bytes), sha256: Some(sha256) });
    } else if done.summary.is_empty() {
        done.summary = "the result is in the workflow".to_owned();
    }
    let receipt =
        serde_json::to_vec_pretty(&done).map_err(|error| files("wording the receipt")(io::Error::other(error)))?;
    write(&making.join(RECEIPT), &receipt).map_err(files("writing the receipt"))?;
    // Their names have to last as well, before the folder has its own.
    let last = |dir: &Path| File::open(dir).and_then(|it| it.sync_all()).map_err(files("putting it in its place"));
    last(&making)?;
    let parent = place.parent().unwrap_or(root);
    fs::create_dir_all(parent).map_err(files("making a folder"))?;
    fs::rename(&making, place).map_err(files("putting it in its place"))?;
    last(parent)?;
    last(root)?;
    Ok(done)
}

fn text(dir: &Path, name: &str, text: &str) -> Result<String, DeliveryError> {
    let name = format!("{name}.md");
    let files = |source| DeliveryError::Files { step: "writing the document", source };
    write(&dir.join(&name), text.as_bytes()).map_err(files)?;
    Ok(name)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn look(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((bytes, data_encoding::HEXLOWER.encode(&hash.finalize())));
        }
        bytes += n as u64;
        hash.update(&buffer[..n]);
    }
}

fn read_receipt(path: &Path) -> Result<Option<Delivered>, DeliveryError> {
    let files = |source| DeliveryError::Files { step: "reading the receipt", source };
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| files(io::Error::other(error))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(files(error)),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DeliveryError> + Send + 'static,
) -> Result<T, DeliveryError> {
    let broke = |error| DeliveryError::Files { step: "touching files", source: io::Error::other(error) };
    tokio::task::spawn_blocking(work).await.map_err(broke)?
}
