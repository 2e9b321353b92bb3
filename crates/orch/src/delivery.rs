//! Translates between what the mind says of a delivery and what whoever makes it understands. Decides nothing.

use crate::execute::chain;
use crate::orch::Orch;
use orcha_base::{BranchName, TenantId, WorkflowId};
use orcha_delivery::{Delivery, DeliveryError, Invalid};
use orcha_model::delivery::{self, Action, PullRequestSettings, Settings};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The most bytes that the texts of one delivery may have together.
const TEXTS: u64 = 16 << 20;

/// What somebody wishes of a delivery, read and checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WishedDelivery {
    /// What the workflow keeps of it.
    pub settings: Settings,
    /// Whether the pull request is merged without asking anybody.
    pub merge: bool,
    /// The branch that a pull request goes into, if one is named.
    pub base: Option<BranchName>,
}

impl Orch {
    /// Reads what is wished of a delivery besides its action, and refuses what could not be done: a field that there is
    /// not, an address that is not public, a secret that is not where it is said to be, or not the tenant's.
    pub async fn wished_delivery(
        &self,
        tenant: &TenantId,
        action: Action,
        config: Map<String, Value>,
    ) -> Result<WishedDelivery, Invalid> {
        let read = read(action, config)?;
        if let Some(deliverer) = self.hands().deliverer() {
            deliverer.check(tenant, &read).await?;
        }
        Ok(match read {
            Delivery::PullRequest(it) => WishedDelivery {
                settings: Settings::PullRequest(PullRequestSettings {
                    title: it.title,
                    body: it.body,
                    head: it.head_branch,
                    draft: it.draft,
                }),
                merge: it.merge,
                base: it.base_branch,
            },
            Delivery::DirectCommit(it) => {
                WishedDelivery { settings: Settings::DirectCommit { branch: it.branch }, ..WishedDelivery::default() }
            }
            Delivery::ApiResponse(_) => WishedDelivery::default(),
            made @ (Delivery::ArtifactBundle(_)
            | Delivery::MarkdownExport(_)
            | Delivery::BlogDraft(_)
            | Delivery::DocDraft(_)
            | Delivery::Webhook(_)) => {
                WishedDelivery { settings: Settings::Made { config: config_of(&made)? }, ..WishedDelivery::default() }
            }
        })
    }
}

impl Orch {
    /// Opens a file that the delivery of a workflow has led to. None if it is not there any more, or not what it was.
    pub async fn open_delivered(
        &self,
        workflow: WorkflowId,
        link: &delivery::Link,
    ) -> Result<Option<File>, DeliveryError> {
        let Some(deliverer) = self.hands().deliverer() else { return Ok(None) };
        let link = orcha_delivery::Link {
            kind: match link.kind {
                delivery::LinkKind::File => orcha_delivery::LinkKind::File,
                delivery::LinkKind::Webhook => orcha_delivery::LinkKind::Webhook,
            },
            target: link.target.clone(),
            bytes: link.bytes,
            sha256: link.sha256.clone(),
        };
        deliverer.open(&workflow.to_string(), &link).await
    }
}

/// Writes down how whoever made it reads it again.
fn config_of(delivery: &Delivery) -> Result<Map<String, Value>, Invalid> {
    let odd = |rule: String| Invalid { field: "delivery.config".to_owned(), rule };
    match serde_json::to_value(delivery).map(|mut it| it["config"].take()) {
        Ok(Value::Object(config)) => Ok(config),
        Ok(_) => Ok(Map::new()),
        Err(fault) => Err(odd(chain(&fault))),
    }
}

fn read(action: Action, config: Map<String, Value>) -> Result<Delivery, Invalid> {
    Delivery::read(&json!({"action": action.published(), "config": config}))
}

/// Returns a delivery as whoever makes it understands it.
pub(crate) fn made(action: Action, settings: &Settings) -> Result<Delivery, Invalid> {
    let config = match settings {
        Settings::Made { config } => config.clone(),
        Settings::Nothing | Settings::PullRequest(_) | Settings::DirectCommit { .. } => Map::new(),
    };
    read(action, config)
}

/// Returns what was made as the mind knows it.
pub(crate) fn delivered(it: orcha_delivery::Delivered) -> delivery::Delivered {
    let link = |it: orcha_delivery::Link| delivery::Link {
        kind: match it.kind {
            orcha_delivery::LinkKind::File => delivery::LinkKind::File,
            orcha_delivery::LinkKind::Webhook => delivery::LinkKind::Webhook,
        },
        target: it.target,
        bytes: it.bytes,
        sha256: it.sha256,
    };
    delivery::Delivered::Made { links: it.links.into_iter().map(link).collect(), summary: it.summary }
}

/// Reads the texts among some files of a folder: what is gone, no file or no text is left out.
pub(crate) fn texts(dir: &Path, files: &[String]) -> io::Result<Vec<delivery::Document>> {
    let (mut texts, mut left) = (Vec::new(), TEXTS);
    for path in files {
        // Neither a pipe nor a link that leads elsewhere is followed.
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
        let file = match File::options().read(true).custom_flags(flags).open(dir.join(path)) {
            Ok(file) => file,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => continue,
            Err(fault) if fault.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => continue,
            Err(fault) => return Err(fault),
        };
        if !file.metadata()?.is_file() {
            continue;
        }
        let mut bytes = Vec::new();
        file.take(left + 1).read_to_end(&mut bytes)?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("the texts are larger than {TEXTS} bytes"))
        })?;
        if let Ok(text) = String::from_utf8(bytes) {
            texts.push(delivery::Document { path: path.clone(), text });
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("tree");
        std::fs::create_dir_all(dir.join("docs")).unwrap();
        std::fs::write(dir.join("docs/a.md"), "A").unwrap();
        std::fs::write(dir.join("bytes"), [0xff, 0xfe]).unwrap();
        std::fs::write(folder.path().join("secret"), "canary").unwrap();
        std::os::unix::fs::symlink("../secret", dir.join("link.md")).unwrap();
        let files = ["docs/a.md", "bytes", "gone.md", "link.md", "docs"].map(str::to_owned);
        let read = texts(&dir, &files).unwrap();
        assert_eq!(read, [delivery::Document { path: "docs/a.md".into(), text: "A".into() }]);
        std::fs::write(dir.join("huge.md"), vec![b'x'; 17 << 20]).unwrap();
        assert_eq!(texts(&dir, &["huge.md".into()]).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
