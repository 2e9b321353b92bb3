//! What agents really did, kept where the daemon does not reach: each run's whole output under a second name, and a
//! line for each process that was started.

use anyhow::Context;
use orcha_agent::{Dialect, Event};
use orchad::demo::sample::Sample;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of what was witnessed.
pub struct Witness {
    folder: PathBuf,
    agent: PathBuf,
}

impl Witness {
    /// Prepares the agents' wrapper. A second process for the same run finds its name taken, and does not start.
    pub fn prepare(root: &Path, sample: &Sample) -> anyhow::Result<Self> {
        let it = Self { folder: root.join("witness"), agent: root.join("agent.sh") };
        std::fs::create_dir_all(&it.folder)?;
        let runs = runs(sample);
        let script = format!(
            "#!/bin/sh\nset -eu\nrun=${{ORCHA_RUN%%:*}}\necho \"$run\" >> '{0}/starts'\n\
             ln '{1}'/\"$run\"/output '{0}'/\"$run\".output\n\
             [ ! -e '{1}'/\"$run\"/brief.json ] || ln '{1}'/\"$run\"/brief.json '{0}'/\"$run\".brief\nexec \"$@\"\n",
            it.folder.display(),
            runs.display()
        );
        std::fs::write(&it.agent, script)?;
        std::fs::set_permissions(&it.agent, std::fs::Permissions::from_mode(0o700))?;
        Ok(it)
    }

    /// Lets agents be started through the wrapper.
    pub fn watch(&self, program: &mut Option<Vec<String>>) {
        if let Some(program) = program {
            program.insert(0, self.wrapper());
        }
    }

    /// Returns the program that stands before an agent's own.
    pub fn wrapper(&self) -> String {
        self.agent.display().to_string()
    }

    /// Returns the name of the run of each process that was started, in order.
    pub fn starts(&self) -> anyhow::Result<Vec<String>> {
        Ok(std::fs::read_to_string(self.folder.join("starts"))?.lines().map(str::to_owned).collect())
    }

    /// Returns what each run wrote, as its events. `dialect` says how a run is understood.
    pub fn events(
        &self,
        dialect: impl Fn(&str) -> Option<Arc<dyn Dialect>>,
    ) -> anyhow::Result<BTreeMap<String, Vec<Event>>> {
        let mut runs = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let Some(run) = path.file_name().and_then(|it| it.to_str()?.strip_suffix(".output")) else { continue };
            // From the first line to the last without a pause, as a daemon reads that is never killed.
            let dialect = dialect(run).with_context(|| format!("the run {run} belongs to no session"))?;
            let mut dialogue = dialect.dialogue(&Value::Null);
            if dialogue.wants_brief() {
                dialogue.brief(&std::fs::read_to_string(path.with_extension("brief"))?);
            }
            let bytes = std::fs::read(&path)?;
            let lines = bytes.split(|it| *it == b'\n').filter(|it| !it.is_empty());
            let mut events: Vec<Event> = lines.flat_map(|it| dialogue.hear(it, false).events).collect();
            events.extend(dialogue.finish(None));
            runs.insert(run.to_owned(), events);
        }
        Ok(runs)
    }
}

/// Returns where a sample's run directories lie.
pub fn runs(sample: &Sample) -> PathBuf {
    sample.data.join("work/.orcha/runs")
}
