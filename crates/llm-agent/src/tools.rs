//! All the tools of a run under the names that the model knows: local ones, the daemon's, and those of tool servers.
//!
//! What may be called without asking is known here; who is asked is not.

use crate::StartError;
use crate::conversation::{Offer, ToolUse};
use crate::daemon_tools::{Away, DaemonTools};
use crate::tool_server::ToolServer;
use orcha_agent::llm::Settings;
use orcha_agent::{Change, Output, Permissions};
use orcha_local_tools::{Limits, LocalTools, Surroundings};
use serde_json::{Value, json};
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// Where tools keep away from the conversation's end: more than this is not shown to the model.
const SHOWN: usize = 64 << 10;

/// Local tools that change nothing.
const READERS: [&str; 3] = ["read", "list", "search"];

/// Local tools that change files of the folder, and nothing else.
const WRITERS: [&str; 3] = ["write", "edit", "patch"];

/// The tools of a run.
#[derive(Debug)]
pub(crate) struct Toolbox {
    local: LocalTools,
    daemon: Option<DaemonTools>,
    servers: Vec<ToolServer>,
    /// Why servers are not used: what was not said yet.
    withheld: Vec<(String, String)>,
    permissions: Permissions,
    dir: PathBuf,
    output: Option<Output>,
    offers: Vec<Offer>,
}

/// What a tool gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) text: String,
    pub(crate) failed: bool,
    /// The file that it changed, as its call named it, and what became of it.
    pub(crate) changed: Option<(String, Change)>,
}

impl Toolbox {
    pub(crate) fn new(settings: &Settings) -> Result<Self, StartError> {
        let env: Vec<(String, String)> = std::env::vars().collect();
        let path = env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.clone());
        let usual = Surroundings::default();
        let servers = settings.servers.iter().map(|it| ToolServer::new(it.clone(), settings.dir.clone(), env.clone()));
        let servers = servers.collect();
        let surroundings = Surroundings { path: path.unwrap_or(usual.path), env };
        let local =
            LocalTools::within(&settings.dir, &settings.local_tools, Limits::default(), surroundings, Vec::new())?;
        let daemon = settings.tools.clone().map(DaemonTools::new).transpose().map_err(StartError::Http)?;
        Ok(Self {
            local,
            daemon,
            servers,
            withheld: Vec::new(),
            permissions: settings.permissions,
            dir: settings.dir.clone(),
            output: settings.output.clone(),
            offers: Vec::new(),
        })
    }

    /// Learns which tools there are. Returns whether the daemon's were there, where there should be some.
    pub(crate) async fn connect(&mut self) -> Result<Option<bool>, Away> {
        let local = self.local.definitions().into_iter();
        self.offers = local
            .map(|it| Offer { name: it.name.to_owned(), description: it.description.to_owned(), schema: it.schema })
            .collect();
        let refused = futures::future::join_all(self.servers.iter_mut().map(ToolServer::connect)).await;
        for (server, refused) in self.servers.iter().zip(refused) {
            self.withheld.extend(refused.map(|why| (server.name().to_owned(), why)));
            self.offers.extend(server.offers().cloned());
        }
        let Some(daemon) = &mut self.daemon else { return Ok(None) };
        let mut offers = daemon.offers().await?;
        if let Some(output) = &self.output {
            let name = daemon.spelt(&output.tool);
            // The model is told the form itself, not that there is one.
            for offer in offers.iter_mut().filter(|it| it.name == name) {
                offer.schema = wrapped(&output.schema);
            }
        }
        self.offers.extend(offers);
        Ok(Some(true))
    }

    /// Returns which servers are not used and why, each once.
    pub(crate) fn withheld(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.withheld)
    }

    /// Returns all tools as the model is told of them.
    pub(crate) fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// Returns the tool that takes the output, if it is there.
    pub(crate) fn output(&self) -> Option<&Offer> {
        let name = self.daemon.as_ref()?.spelt(&self.output.as_ref()?.tool);
        self.offers.iter().find(|it| it.name == name)
    }

    /// Tells whether a call must be asked for first. Reading in its own folder never must.
    pub(crate) fn asks(&self, call: &ToolUse) -> bool {
        if let Some(tool) = self.daemon.as_ref().and_then(|it| it.plain(&call.name)) {
            return !self.daemon.as_ref().is_some_and(|it| it.allows(tool))
                && self.permissions != Permissions::Everything;
        }
        if let Some(server) = self.servers.iter().find(|it| it.has(&call.name)) {
            return match self.permissions {
                Permissions::Everything => false,
                Permissions::Edits => server.writes(),
                Permissions::Ask => true,
            };
        }
        match self.permissions {
            Permissions::Everything => false,
            Permissions::Edits => !READERS.contains(&call.name.as_str()) && !WRITERS.contains(&call.name.as_str()),
            Permissions::Ask => !READERS.contains(&call.name.as_str()),
        }
    }

    /// Tells whether a call may be made again when nobody knows whether it was made: what changes nothing, and what the
    /// daemon knows by the id of the call.
    pub(crate) fn may_repeat(&self, call: &ToolUse) -> bool {
        READERS.contains(&call.name.as_str())
            || self.servers.iter().any(|it| it.has(&call.name) && !it.writes())
            || self.daemon.as_ref().is_some_and(|it| it.plain(&call.name).is_some())
    }

    /// Makes a call.
    pub(crate) async fn call(&mut self, call: &ToolUse, cancel: &CancellationToken) -> Outcome {
        let Some(args) = call.args.as_object().filter(|it| !it.contains_key("_raw")) else {
            let text = "the arguments are no JSON object; call it again with whole JSON".to_owned();
            return Outcome { text, failed: true, changed: None };
        };
        if let Some(daemon) = &mut self.daemon
            && let Some(tool) = daemon.plain(&call.name)
        {
            let (text, failed) = daemon.call(tool, args, &call.id).await;
            return Outcome { text: bounded(text), failed, changed: None };
        }
        if let Some(server) = self.servers.iter_mut().find(|it| it.has(&call.name)) {
            let called = server.call(&call.name, args).await;
            if let Some(why) = called.withheld {
                let name = server.name().to_owned();
                self.offers.retain(|it| !it.name.starts_with(&format!("{name}__")));
                self.withheld.push((name, why));
            }
            return Outcome { text: bounded(called.text), failed: called.failed, changed: None };
        }
        if !self.offers.iter().any(|it| it.name == call.name) {
            let names: Vec<&str> = self.offers.iter().map(|it| it.name.as_str()).collect();
            let text = format!("there is no tool `{}`; there are {}", call.name, names.join(", "));
            return Outcome { text, failed: true, changed: None };
        }
        let path = args.get("path").and_then(Value::as_str).filter(|_| WRITERS.contains(&call.name.as_str()));
        let was_there = path.map(|it| self.dir.join(it).exists());
        let outcome = self.local.call(&call.name, call.args.clone(), cancel).await;
        let change = match (path, was_there) {
            (Some(path), Some(true)) => Some((path.to_owned(), Change::Modified)),
            (Some(path), Some(false)) => Some((path.to_owned(), Change::Added)),
            _ => None,
        };
        Outcome { text: bounded(outcome.text), failed: outcome.is_error, changed: change.filter(|_| !outcome.is_error) }
    }
}

/// Makes the arguments of the tool that takes an output of this form.
pub(crate) fn wrapped(schema: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {"output": schema},
        "required": ["output"],
        "additionalProperties": false,
    })
}

fn bounded(mut text: String) -> String {
    if text.len() > SHOWN {
        text.truncate(text.floor_char_boundary(SHOWN));
        text.push_str("\n[cut off here]");
    }
    crate::voice::clean(text)
}
