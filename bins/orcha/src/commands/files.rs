//! Files that come with a request: read from this machine, listed, and shown.

use crate::say::Say;
use crate::tables;
use anyhow::{Context, Result, bail};
use data_encoding::BASE64;
use orcha_client::Client;
use orcha_client::text::block;
use orcha_wire::{IdRef, NewAttachment};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest file that a daemon takes; longer ones are not read to their end.
const LONGEST: u64 = 2 * 1024 * 1024;

/// Reads the files that come with a request. Which of them it takes, the daemon says.
pub fn read(paths: &[PathBuf]) -> Result<Vec<NewAttachment>> {
    paths.iter().map(|path| one(path)).collect()
}

fn one(path: &Path) -> Result<NewAttachment> {
    let shown = path.display();
    let name = path.file_name().and_then(|it| it.to_str());
    let name = name.with_context(|| format!("{shown} has no name that can be sent"))?.to_owned();
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {shown}"))?;
    if !file.metadata().with_context(|| format!("cannot read {shown}"))?.is_file() {
        bail!("{shown} is no plain file");
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 > LONGEST {
        bail!("{shown} holds more than {LONGEST} bytes");
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => NewAttachment { name, text: Some(text), base64: None },
        Err(other) => NewAttachment { name, text: None, base64: Some(BASE64.encode(other.as_bytes())) },
    })
}

/// Lists files, or shows or saves one of them.
pub async fn show(client: &Client, say: Say, id: IdRef, name: Option<String>, save: Option<PathBuf>) -> Result<()> {
    let all = client.attachments(id).await?;
    let Some(name) = name else {
        return say.answer(&all, |rows, out| tables::attachments(rows, out));
    };
    let Some(found) = all.iter().find(|it| it.filename == name) else {
        let names: Vec<&str> = all.iter().map(|it| it.filename.as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        bail!("no file of that name came with it; there are: {names}");
    };
    let content = client.attachment(found.id).await?;
    let bytes = BASE64.decode(content.base64.as_bytes()).context("the daemon sent no good base64")?;
    match save {
        Some(path) => std::fs::write(&path, &bytes).with_context(|| format!("cannot write {}", path.display())),
        None => say.answer(&content, |_, out| writeln!(out, "{}", block(String::from_utf8_lossy(&bytes).trim_end()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sent_as_what_they_are_and_folders_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a.md"), "grün").unwrap();
        std::fs::write(path("b.txt"), b"gr\xfcn").unwrap();
        std::fs::write(path("c.txt"), vec![b'x'; 2 * 1024 * 1024 + 1]).unwrap();
        let sent = read(&[path("a.md"), path("b.txt")]).unwrap();
        assert_eq!((sent[0].name.as_str(), sent[0].text.as_deref()), ("a.md", Some("grün")));
        assert_eq!((sent[1].text.as_deref(), sent[1].base64.as_deref()), (None, Some("Z3L8bg==")));
        for (bad, why) in [("c.txt", "more than"), ("d.txt", "cannot read"), ("", "no ")] {
            let said = format!("{:#}", read(&[path(bad)]).unwrap_err());
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
