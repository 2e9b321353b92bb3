//! A ZIP archive that is the same whenever it is made of the same files.
//!
//! Names are sorted, times are those of no clock, and a manifest holds the hash of each file. Links stay links
//! and are not followed; what is neither file nor link is left out.

use crate::{Content, DeliveryError};
use rustix::fs::OFlags;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// An archive of more is not what somebody wants to download.
const MOST_BYTES: u64 = 512 << 20;
const MOST_FILES: usize = 50_000;

/// The file that lists the others.
const MANIFEST: &str = "orcha-manifest.json";

enum Entry {
    Text(Vec<u8>),
    File(PathBuf),
    Link(String),
}

/// Writes an archive.
pub(crate) fn write(content: &Content, to: File) -> Result<(), DeliveryError> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    if let Some(tree) = &content.tree {
        walk(tree, tree, &mut entries)?;
    }
    for it in &content.documents {
        let path = relative(&it.path)?;
        // What was committed is what counts.
        entries.entry(path).or_insert_with(|| Entry::Text(it.text.clone().into_bytes()));
    }
    entries.remove(MANIFEST);
    if entries.is_empty() {
        return Err(DeliveryError::Empty { what: "there is no file" });
    }
    let zipped = |source| DeliveryError::Archive { source };
    let files = |source| DeliveryError::Files { step: "writing the archive", source };
    let plain = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default());
    let mut zip = ZipWriter::new(to);
    let mut hashes = BTreeMap::new();
    let mut total = 0u64;
    for (path, entry) in &entries {
        match entry {
            Entry::Text(bytes) => {
                zip.start_file(path.as_str(), plain.unix_permissions(0o644)).map_err(zipped)?;
                zip.write_all(bytes).map_err(files)?;
                total += bytes.len() as u64;
                hashes.insert(path.clone(), data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)));
            }
            Entry::File(from) => {
                let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
                let mut file = File::options().read(true).custom_flags(flags).open(from).map_err(files)?;
                let mode =
                    if file.metadata().map_err(files)?.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
                zip.start_file(path.as_str(), plain.unix_permissions(mode)).map_err(zipped)?;
                let mut hash = Sha256::new();
                let mut buffer = vec![0; 64 << 10];
                loop {
                    let n = file.read(&mut buffer).map_err(files)?;
                    if n == 0 {
                        break;
                    }
                    total += n as u64;
                    if total > MOST_BYTES {
                        return Err(DeliveryError::TooLarge { what: "the archive", most: MOST_BYTES });
                    }
                    hash.update(&buffer[..n]);
                    zip.write_all(&buffer[..n]).map_err(files)?;
                }
                hashes.insert(path.clone(), data_encoding::HEXLOWER.encode(&hash.finalize()));
            }
            Entry::Link(to) => zip.add_symlink(path.as_str(), to.as_str(), plain).map_err(zipped)?,
        }
        if total > MOST_BYTES {
            return Err(DeliveryError::TooLarge { what: "the archive", most: MOST_BYTES });
        }
    }
    let commit = content.commit.as_ref().map(|it| it.as_str().to_owned());
    let manifest = json!({"title": content.title, "commit": commit, "sha256": hashes});
    let worded = |source: serde_json::Error| files(io::Error::other(source));
    zip.start_file(MANIFEST, plain.unix_permissions(0o644)).map_err(zipped)?;
    zip.write_all(&serde_json::to_vec_pretty(&manifest).map_err(worded)?).map_err(files)?;
    zip.finish().map_err(zipped)?.sync_all().map_err(files)
}

fn walk(root: &Path, dir: &Path, entries: &mut BTreeMap<String, Entry>) -> Result<(), DeliveryError> {
    let files = |source| DeliveryError::Files { step: "reading the folder", source };
    for entry in fs::read_dir(dir).map_err(files)? {
        let entry = entry.map_err(files)?;
        let path = entry.path();
        if dir == root && entry.file_name() == ".git" {
            continue;
        }
        let kind = entry.file_type().map_err(files)?;
        if kind.is_dir() {
            walk(root, &path, entries)?;
            continue;
        }
        let below = path.strip_prefix(root).unwrap_or(&path);
        // A name that is no text has no place in an archive that everybody can open.
        let Some(name) = below.to_str() else {
            return Err(DeliveryError::Path { path: below.display().to_string() });
        };
        // What is a name here may be a way out where somebody else opens it.
        let name = relative(name)?;
        if kind.is_symlink() {
            let to = fs::read_link(&path).map_err(files)?;
            if let Some(to) = to.to_str().filter(|_| stays_inside(below, &to)) {
                entries.insert(name, Entry::Link(to.to_owned()));
            }
        } else if kind.is_file() {
            entries.insert(name, Entry::File(path.clone()));
        }
        if entries.len() > MOST_FILES {
            return Err(DeliveryError::TooLarge { what: "the number of files", most: MOST_FILES as u64 });
        }
    }
    Ok(())
}

/// Tells whether a link leads to something in the same archive.
fn stays_inside(link: &Path, to: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    for part in to.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

fn relative(path: &str) -> Result<String, DeliveryError> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control);
    let odd = path.contains('\\') || path.len() > 1000;
    if !odd && path.split('/').all(plain) {
        Ok(path.to_owned())
    } else {
        Err(DeliveryError::Path { path: path.chars().take(200).collect() })
    }
}
