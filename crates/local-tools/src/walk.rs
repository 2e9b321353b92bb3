//! Listing and searching: a walk below the root that follows no link and minds the project's ignore files.

use crate::error::Fault;
use crate::root::{Root, shown};
use crate::text::{binary, cut};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use ignore::overrides::{Override, OverrideBuilder};
use regex::bytes::{Regex, RegexBuilder};
use rustix::fs::{AtFlags, Dir, FileType};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Folders below folders below folders: no project needs more.
const DEEPEST: u32 = 64;

/// Ignore files are short.
const IGNORE_FILE: u64 = 256 << 10;

/// Files that are larger are not searched.
const SEARCHED: u64 = 8 << 20;

/// How much of a line that was found is shown.
const LINE: usize = 300;

/// A walk that takes longer ends, and says so.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was found on a walk.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) lines: Vec<String>,
    /// Why there may be more.
    pub(crate) unfinished: Option<&'static str>,
}

/// Lists what is in a folder.
pub(crate) fn list(
    root: &Root,
    at: &Path,
    depth: u32,
    glob: Option<&str>,
    ignored: bool,
    most: usize,
    stop: &CancellationToken,
) -> Result<Found, Fault> {
    let mut found = Found::default();
    let only = only(glob)?;
    let mut walk = Walk::new(root, stop, !ignored);
    walk.below(at, depth.clamp(1, 16), &mut |entry| {
        if found.lines.len() >= most {
            return Ok(Next::End("more entries"));
        }
        let matches = only.as_ref().is_none_or(|it| it.matched(entry.path, entry.is_folder()).is_whitelist());
        if matches || (entry.is_folder() && only.is_none()) {
            found.lines.push(match entry.kind {
                FileType::Directory => format!("{}/", entry.path.display()),
                FileType::Symlink => format!("{} (link)", entry.path.display()),
                _ => entry.path.display().to_string(),
            });
        }
        Ok(Next::Go)
    })?;
    found.unfinished = walk.ended;
    Ok(found)
}

/// What is searched for.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) pattern: &'a str,
    pub(crate) glob: Option<&'a str>,
    pub(crate) literal: bool,
    pub(crate) ignore_case: bool,
}

/// Searches files line by line.
pub(crate) fn search(
    root: &Root,
    at: &Path,
    wanted: &Wanted<'_>,
    most: usize,
    stop: &CancellationToken,
) -> Result<Found, Fault> {
    let pattern = if wanted.literal { regex::escape(wanted.pattern) } else { wanted.pattern.to_owned() };
    let regex = RegexBuilder::new(&pattern).case_insensitive(wanted.ignore_case).size_limit(4 << 20).build();
    let regex = regex.map_err(|error| Fault::argument("pattern", error.to_string()))?;
    let only = only(wanted.glob)?;
    let mut found = Found::default();
    match root.folder(at) {
        Ok(_) => {}
        Err(Fault::NotAFolder { .. }) => {
            look_into(root, at, &regex, most, &mut found)?;
            return Ok(found);
        }
        Err(fault) => return Err(fault),
    }
    let mut walk = Walk::new(root, stop, true);
    walk.below(at, DEEPEST, &mut |entry| {
        let fits = entry.kind == FileType::RegularFile
            && only.as_ref().is_none_or(|it| it.matched(entry.path, false).is_whitelist());
        if fits {
            match look_into(root, entry.path, &regex, most, &mut found) {
                // It was there a moment ago, or may not be read: the others still can.
                Ok(()) | Err(Fault::Missing { .. } | Fault::Io { .. } | Fault::NotAFile { .. }) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(if found.lines.len() >= most { Next::End("more lines") } else { Next::Go })
    })?;
    found.unfinished = walk.ended;
    Ok(found)
}

fn look_into(root: &Root, path: &Path, regex: &Regex, most: usize, found: &mut Found) -> Result<(), Fault> {
    let opened = root.file(path)?;
    if opened.bytes > SEARCHED {
        return Ok(());
    }
    let broken = |source| Fault::Io { path: shown(path), source };
    let mut reader = BufReader::with_capacity(64 << 10, opened.file.take(SEARCHED));
    if binary(reader.fill_buf().map_err(broken)?) {
        return Ok(());
    }
    let (mut line, mut number) = (Vec::new(), 0u64);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(broken)? == 0 || found.lines.len() >= most {
            return Ok(());
        }
        number += 1;
        let bare = line.trim_ascii_end();
        if let Some(hit) = regex.find(bare) {
            let text = String::from_utf8_lossy(bare);
            // Of a long line (minified code) the part around the hit is shown.
            let text = if bare.len() <= LINE {
                text.into_owned()
            } else {
                let near = String::from_utf8_lossy(&bare[hit.start().saturating_sub(100)..]).into_owned();
                format!("…{}…", cut(&near, LINE))
            };
            found.lines.push(format!("{}:{number}: {text}", path.display()));
        }
    }
}

fn only(glob: Option<&str>) -> Result<Option<Override>, Fault> {
    let Some(glob) = glob else { return Ok(None) };
    let mut builder = OverrideBuilder::new("");
    let bad = |error: ignore::Error| Fault::argument("glob", error.to_string());
    builder.add(glob.strip_prefix('!').unwrap_or(glob)).map_err(bad)?;
    Ok(Some(builder.build().map_err(bad)?))
}

/// One thing that a walk meets.
struct Entry<'a> {
    path: &'a Path,
    kind: FileType,
}

impl Entry<'_> {
    fn is_folder(&self) -> bool {
        self.kind == FileType::Directory
    }
}

/// What a walk does next.
enum Next {
    Go,
    End(&'static str),
}

struct Walk<'a> {
    root: &'a Root,
    stop: &'a CancellationToken,
    deadline: Instant,
    mind: bool,
    rules: Vec<Gitignore>,
    ended: Option<&'static str>,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Root, stop: &'a CancellationToken, mind: bool) -> Self {
        let deadline = Instant::now() + PATIENCE;
        Self { root, stop, deadline, mind, rules: Vec::new(), ended: None }
    }

    fn below(
        &mut self,
        at: &Path,
        depth: u32,
        visit: &mut dyn FnMut(Entry<'_>) -> Result<Next, Fault>,
    ) -> Result<(), Fault> {
        // Rules of the folders above hold here as well.
        if self.mind && self.rules.is_empty() {
            let mut above: Vec<&Path> = at.ancestors().skip(1).collect();
            above.reverse();
            for folder in above {
                self.push_rules(folder)?;
            }
        }
        let fd = self.root.folder(at)?;
        let broken = |errno: rustix::io::Errno| Fault::Io { path: shown(at), source: errno.into() };
        let mut names: Vec<(PathBuf, FileType)> = Vec::new();
        for entry in Dir::read_from(&fd).map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." || name == ".git" {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(_) => continue,
                },
                kind => kind,
            };
            names.push((at.join(name), kind));
        }
        drop(fd);
        names.sort_by(|a, b| a.0.cmp(&b.0));
        let pushed = self.push_rules(at)?;
        for (path, kind) in &names {
            if self.ended.is_some() {
                break;
            }
            if self.stop.is_cancelled() {
                return Err(Fault::Stopped);
            }
            if Instant::now() >= self.deadline {
                self.ended = Some("the time was over");
                break;
            }
            if self.hidden(path, *kind == FileType::Directory) {
                continue;
            }
            if let Next::End(why) = visit(Entry { path, kind: *kind })? {
                self.ended = Some(why);
                break;
            }
            if *kind == FileType::Directory && depth > 1 {
                match self.below(path, depth - 1, visit) {
                    // Gone meanwhile, or closed to us: the others still can be walked.
                    Ok(()) | Err(Fault::Missing { .. } | Fault::Io { .. } | Fault::NotAFolder { .. }) => {}
                    Err(fault) => return Err(fault),
                }
            }
        }
        if pushed {
            self.rules.pop();
        }
        Ok(())
    }

    fn push_rules(&mut self, folder: &Path) -> Result<bool, Fault> {
        if !self.mind {
            return Ok(false);
        }
        let bytes = match self.root.read(&folder.join(".gitignore"), IGNORE_FILE) {
            Ok(bytes) => bytes,
            // None there, or none that can be read as one.
            Err(_) => return Ok(false),
        };
        let mut builder = GitignoreBuilder::new(folder);
        for line in String::from_utf8_lossy(&bytes).lines() {
            // A line that git would not understand either hides nothing.
            if builder.add_line(None, line).is_err() {
                continue;
            }
        }
        match builder.build() {
            Ok(rules) => {
                self.rules.push(rules);
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    fn hidden(&self, path: &Path, is_folder: bool) -> bool {
        for rules in self.rules.iter().rev() {
            let said = rules.matched(path, is_folder);
            if !said.is_none() {
                return said.is_ignore();
            }
        }
        false
    }
}
