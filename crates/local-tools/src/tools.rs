//! The tools by name: what they are called, what they take, and how a call is answered.

use crate::arguments::{Edit, Fetch, List, Patch, Read, Run, Search, Write};
use crate::error::{Fault, SetupError};
use crate::root::{Root, shown};
use crate::walk::{Found, Wanted};
use crate::{command, edit, page, patch, text, walk};
use orcha_outbound::{Allowed, Outbound};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Every tool there is.
pub(crate) const NAMES: [&str; 8] = ["read", "list", "search", "write", "edit", "patch", "run", "fetch"];

/// What a model is told of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolDefinition {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// The JSON schema of its arguments.
    pub schema: Value,
}

/// The answer to a call, for the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolOutcome {
    /// The text.
    pub text: String,
    /// Whether it did not do what was asked.
    pub is_error: bool,
    /// Whether there was more than the text holds.
    pub truncated: bool,
}

/// How much a call may take and say.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of text that a call answers with.
    pub output: usize,
    /// Bytes of a file that is edited or written.
    pub file: u64,
    /// Entries of a list, and lines that a search finds.
    pub entries: usize,
    /// How long a command may take that does not say so itself.
    pub command_time: Duration,
    /// How long a command may take that does.
    pub longest_command: Duration,
    /// How long a page may take.
    pub fetch_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            output: 64 << 10,
            file: 4 << 20,
            entries: 500,
            command_time: Duration::from_secs(120),
            longest_command: Duration::from_secs(1800),
            fetch_time: Duration::from_secs(30),
        }
    }
}

/// What commands find around them; nothing else of the caller's environment reaches them.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// `PATH`.
    pub path: String,
    /// Further variables, such as `HOME`.
    pub env: Vec<(String, String)>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self { path: orcha_exec::DEFAULT_PATH.to_owned(), env: Vec::new() }
    }
}

/// The tools of one agent, confined to one folder. Cheap to clone; clones are the same tools.
#[derive(Clone)]
pub struct LocalTools {
    inner: Arc<Inner>,
}

struct Inner {
    root: Root,
    allowed: Vec<&'static str>,
    limits: Limits,
    surroundings: Surroundings,
    web: Outbound,
    /// One change of files at a time: a model may ask for several at once.
    changing: tokio::sync::Mutex<()>,
}

impl fmt::Debug for LocalTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { root, allowed, .. } = &*self.inner;
        f.debug_struct("LocalTools").field("root", &root.path()).field("allowed", allowed).finish_non_exhaustive()
    }
}

impl LocalTools {
    /// Makes the named tools for one folder. Commands find no more than a plain `PATH`, and pages are public.
    pub fn new(root: &Path, allowed: &[String], limits: Limits) -> Result<Self, SetupError> {
        Self::within(root, allowed, limits, Surroundings::default(), Vec::new())
    }

    /// The same, with what commands shall find around them and with hosts beyond the public ones.
    pub fn within(
        root: &Path,
        allowed: &[String],
        limits: Limits,
        surroundings: Surroundings,
        hosts: Vec<Allowed>,
    ) -> Result<Self, SetupError> {
        let known = |name: &String| {
            NAMES.into_iter().find(|it| it == name).ok_or_else(|| SetupError::Tool { name: name.clone() })
        };
        let allowed = allowed.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        let root = Root::open(root).map_err(|source| SetupError::Root { path: PathBuf::from(root), source })?;
        let web = Outbound::new(hosts);
        let changing = tokio::sync::Mutex::default();
        Ok(Self { inner: Arc::new(Inner { root, allowed, limits, surroundings, web, changing }) })
    }

    /// Describes the tools that are allowed, in the order in which they were named.
    pub fn definitions(&self) -> Vec<ToolDefinition> {
        self.inner.allowed.iter().map(|name| definition(name)).collect()
    }

    /// Answers a call. Nothing that it started is left when it is cancelled or dropped.
    pub async fn call(&self, name: &str, args: Value, cancel: &CancellationToken) -> ToolOutcome {
        let work = self.answer(name, args, cancel);
        let answer = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Fault::Stopped),
            answer = work => answer,
        };
        match answer {
            Ok(outcome) => outcome,
            Err(fault) => ToolOutcome { text: fault.to_string(), is_error: true, truncated: false },
        }
    }

    async fn answer(&self, name: &str, args: Value, cancel: &CancellationToken) -> Result<ToolOutcome, Fault> {
        let it = &self.inner;
        if !it.allowed.contains(&name) {
            let rule = format!("there is no `{name}` here; there are {}", it.allowed.join(", "));
            return Err(Fault::argument("tool", rule));
        }
        match name {
            "read" => {
                let asked: Read = arguments(args)?;
                self.blocking(cancel, move |it, _| {
                    let path = it.root.relative(&asked.path)?;
                    let (from, count) = (asked.from.unwrap_or(1).max(1), asked.lines.unwrap_or(u64::MAX));
                    let shown = text::lines(&path, it.root.file(&path)?, from, count, it.limits.output)?;
                    Ok(ToolOutcome { text: shown.text, is_error: false, truncated: shown.truncated })
                })
                .await
            }
            "list" => {
                let asked: List = arguments(args)?;
                self.blocking(cancel, move |it, stop| {
                    let at = it.root.relative(asked.path.as_deref().unwrap_or_default())?;
                    let (depth, ignored) = (asked.depth.unwrap_or(1), asked.ignored.unwrap_or(false));
                    let most = it.limits.entries;
                    let found = walk::list(&it.root, &at, depth, asked.glob.as_deref(), ignored, most, stop)?;
                    Ok(it.found(found, "nothing is there"))
                })
                .await
            }
            "search" => {
                let asked: Search = arguments(args)?;
                self.blocking(cancel, move |it, stop| {
                    let at = it.root.relative(asked.path.as_deref().unwrap_or_default())?;
                    let wanted = Wanted {
                        pattern: &asked.pattern,
                        glob: asked.glob.as_deref(),
                        literal: asked.literal.unwrap_or(false),
                        ignore_case: asked.ignore_case.unwrap_or(false),
                    };
                    let found = walk::search(&it.root, &at, &wanted, it.limits.entries, stop)?;
                    Ok(it.found(found, "nothing was found"))
                })
                .await
            }
            "write" => {
                let asked: Write = arguments(args)?;
                let _one = it.changing.lock().await;
                self.blocking(cancel, move |it, _| {
                    let path = it.root.relative(&asked.path)?;
                    it.fits(&path, asked.content.len())?;
                    let new = it.root.write(&path, asked.content.as_bytes())?;
                    let what = if new { "made" } else { "replaced" };
                    Ok(done(format!("{what} {} ({} bytes)", shown(&path), asked.content.len())))
                })
                .await
            }
            "edit" => {
                let asked: Edit = arguments(args)?;
                let _one = it.changing.lock().await;
                self.blocking(cancel, move |it, _| {
                    let path = it.root.relative(&asked.path)?;
                    let old = it.text(&path)?;
                    let (new, count) = edit::replace(&old, &asked.old, &asked.new, asked.all.unwrap_or(false))?;
                    it.fits(&path, new.len())?;
                    it.root.write(&path, new.as_bytes())?;
                    let times = if count == 1 { "one place".to_owned() } else { format!("{count} places") };
                    Ok(done(format!("changed {} in {times}", shown(&path))))
                })
                .await
            }
            "patch" => {
                let asked: Patch = arguments(args)?;
                let _one = it.changing.lock().await;
                self.blocking(cancel, move |it, _| it.patch(&asked.diff)).await
            }
            "run" => {
                let asked: Run = arguments(args)?;
                let dir = it.root.relative(asked.dir.as_deref().unwrap_or_default())?;
                let dir = it.root.real_folder(&dir)?;
                let said = command::run(command::build(&asked, dir, &it.surroundings, &it.limits)?, &it.limits).await?;
                Ok(it.bounded(said.text, said.failed, said.truncated))
            }
            "fetch" => {
                let asked: Fetch = arguments(args)?;
                let page = page::fetch(&it.web, &asked.url, &it.limits).await?;
                Ok(it.bounded(page.text, page.failed, page.truncated))
            }
            other => Err(Fault::argument("tool", format!("`{other}` is not known"))),
        }
    }

    /// Touches files off the async threads.
    async fn blocking(
        &self,
        cancel: &CancellationToken,
        work: impl FnOnce(&Inner, &CancellationToken) -> Result<ToolOutcome, Fault> + Send + 'static,
    ) -> Result<ToolOutcome, Fault> {
        let (inner, stop) = (Arc::clone(&self.inner), cancel.clone());
        tokio::task::spawn_blocking(move || work(&inner, &stop)).await.map_err(|_| Fault::Stopped)?
    }
}

impl Inner {
    fn text(&self, path: &Path) -> Result<String, Fault> {
        let bytes = self.root.read(path, self.limits.file)?;
        if text::binary(&bytes) {
            return Err(Fault::Binary { path: shown(path), bytes: bytes.len() as u64 });
        }
        String::from_utf8(bytes).map_err(|_| Fault::NotUtf8 { path: shown(path) })
    }

    fn fits(&self, path: &Path, bytes: usize) -> Result<(), Fault> {
        let (bytes, most) = (bytes as u64, self.limits.file);
        if bytes > most { Err(Fault::TooLarge { path: shown(path), bytes, most }) } else { Ok(()) }
    }

    /// Applies a diff: everything is worked out and checked before the first file changes, and what changed is put back
    /// if a later file cannot be written all the same.
    fn patch(&self, diff: &str) -> Result<ToolOutcome, Fault> {
        let mut changes: Vec<Change> = Vec::new();
        let mut lines = Vec::new();
        for file in patch::read(diff)? {
            let (added, gone) = file.counts();
            let old = file.old.as_deref().map(|it| self.root.relative(it)).transpose()?;
            let new = file.new.as_deref().map(|it| self.root.relative(it)).transpose()?;
            // What it makes or moves to must be free: nothing is laid over another file.
            let fresh = new.as_ref().filter(|it| old.as_ref() != Some(*it));
            if let Some(taken) = fresh.filter(|it| self.root.file(it).is_ok()) {
                return Err(Fault::argument("diff", format!("`{}` exists already", shown(taken))));
            }
            let before = old.as_ref().map_or_else(|| Ok(String::new()), |old| self.text(old))?;
            let after = file.apply(&before)?;
            let what = match (&old, &new) {
                (None, _) => "made",
                (_, None) => "deleted",
                (Some(old), Some(new)) if old != new => "moved to",
                _ => "changed",
            };
            lines.push(format!("{what} {} (+{added} -{gone})", file.path()));
            if let Some(new) = &new {
                self.fits(new, after.len())?;
                self.root.may_write(new)?;
                let before = (old.as_ref() == Some(new)).then(|| before.clone());
                changes.push(Change { path: new.clone(), before, after: Some(after) });
            } else if !after.is_empty() {
                return Err(Fault::argument("diff", format!("it deletes `{}` but not all of its lines", file.path())));
            }
            if let Some(old) = old.filter(|old| new.as_ref() != Some(old)) {
                self.root.may_write(&old)?;
                changes.push(Change { path: old, before: Some(before), after: None });
            }
        }
        for (at, change) in changes.iter().enumerate() {
            if let Err(fault) = self.put(&change.path, change.after.as_deref()) {
                for undone in changes[..at].iter().rev() {
                    self.put(&undone.path, undone.before.as_deref())?;
                }
                return Err(fault);
            }
        }
        Ok(done(lines.join("\n")))
    }

    /// Lets a file have a content, or not be there.
    fn put(&self, path: &Path, content: Option<&str>) -> Result<(), Fault> {
        match content {
            Some(content) => self.root.write(path, content.as_bytes()).map(|_| ()),
            None => self.root.delete(path),
        }
    }

    fn found(&self, found: Found, nothing: &str) -> ToolOutcome {
        let mut text = if found.lines.is_empty() { format!("[{nothing}]") } else { found.lines.join("\n") };
        let cut_short = text.len() > self.limits.output;
        if cut_short {
            text.truncate(text::cut(&text, self.limits.output).len());
        }
        if let Some(why) = found.unfinished.or(cut_short.then_some("more text")) {
            text.push_str(&format!("\n[not all of it: {why}; narrow it down]"));
        }
        ToolOutcome { text, is_error: false, truncated: cut_short || found.unfinished.is_some() }
    }

    fn bounded(&self, mut text: String, is_error: bool, truncated: bool) -> ToolOutcome {
        let most = self.limits.output + 4096;
        let cut_short = text.len() > most;
        if cut_short {
            text.truncate(text::cut(&text, most).len());
        }
        ToolOutcome { text, is_error, truncated: truncated || cut_short }
    }
}

/// What a diff makes of one file; without content it is not there.
struct Change {
    path: PathBuf,
    before: Option<String>,
    after: Option<String>,
}

fn done(text: String) -> ToolOutcome {
    ToolOutcome { text, is_error: false, truncated: false }
}

fn arguments<T: DeserializeOwned>(args: Value) -> Result<T, Fault> {
    // Some models send nothing where there is nothing to say.
    let args = if args.is_null() { Value::Object(serde_json::Map::new()) } else { args };
    serde_json::from_value(args).map_err(|error| Fault::argument("arguments", error.to_string()))
}

fn definition(name: &'static str) -> ToolDefinition {
    let (description, schema) = match name {
        "read" => ("Shows a text file, or some lines of it.", schema::<Read>()),
        "list" => ("Lists files and folders, without what the project ignores.", schema::<List>()),
        "search" => ("Searches files line by line and shows path, line number and line.", schema::<Search>()),
        "write" => ("Writes a whole file; one that exists is replaced.", schema::<Write>()),
        "edit" => ("Replaces an exact piece of text in a file.", schema::<Edit>()),
        "patch" => ("Applies a unified diff to one or more files, whole or not at all.", schema::<Patch>()),
        "run" => (
            "Runs a command to its end in the working folder and shows its exit code and output. Nothing that it starts goes on afterwards.",
            schema::<Run>(),
        ),
        _ => ("Fetches a public page and shows its text.", schema::<Fetch>()),
    };
    ToolDefinition { name, description, schema }
}

fn schema<T: JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|it| it.meta_schema = None);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    // Servers exist that want it even where nothing is required.
    if schema.get("required").is_none() {
        schema.insert("required".to_owned(), Value::Array(Vec::new()));
    }
    schema.to_value()
}

#[cfg(test)]
mod tests;
