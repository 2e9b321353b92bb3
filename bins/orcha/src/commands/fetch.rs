//! Fetches what a workflow was delivered as. A part is never taken for the whole: the file appears under its name when it
//! has come to its end and is what the daemon saw when it was made.

use anyhow::{Context, Result, bail, ensure};
use orcha_client::{Client, Download};
use orcha_wire::IdRef;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What was fetched.
#[derive(Debug, Serialize)]
pub struct Fetched {
    pub file: PathBuf,
    pub bytes: u64,
    pub sha256: String,
}

/// Fetches the file of a workflow.
pub async fn fetch(client: &Client, id: IdRef, out: Option<PathBuf>, force: bool) -> Result<Fetched> {
    let mut download = client.delivery(id).await?;
    let file = match out {
        Some(out) if out.is_dir() => out.join(&download.name),
        Some(out) => out,
        None => PathBuf::from(&download.name),
    };
    if !force && file.symlink_metadata().is_ok() {
        bail!("{} is there already; name another place with --out, or take its place with --force", file.display());
    }
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // It goes away by itself if this comes to no end.
    let mut part = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write into the folder {}", folder.display()))?;
    let (bytes, sha256) = take(&mut download, part.as_file_mut()).await?;
    ensure!(download.bytes.is_none_or(|it| it == bytes), "the file is not complete; fetch it again");
    ensure!(download.sha256.as_ref().is_none_or(|it| *it == sha256), "the file is not what was delivered");
    part.as_file().sync_all()?;
    let there = || format!("cannot put it at {}", file.display());
    if force {
        part.persist(&file).with_context(there)?;
    } else {
        part.persist_noclobber(&file).with_context(there)?;
    }
    Ok(Fetched { file, bytes, sha256 })
}

async fn take(download: &mut Download, file: &mut std::fs::File) -> Result<(u64, String)> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    while let Some(piece) = download.piece().await? {
        hash.update(&piece);
        bytes += piece.len() as u64;
        file.write_all(&piece)?;
    }
    Ok((bytes, data_encoding::HEXLOWER.encode(&hash.finalize())))
}
