//! A run directory, seen from the daemon: made whole, read, written to, and removed.
//!
//! Synchronous; the host calls it off the async threads. Nothing here waits or signals.

use crate::record::{self, Durability, ExitRecord, FailRecord, ProcessRecord, SpecFile};
use crate::{Grace, InputLine, RunError, RunLabel, RunSpec, Seen, Sent, table};
use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What stands for the run directory in arguments and environment values.
const RUN_DIR: &str = "{run_dir}";

/// One run directory that may or may not be there.
#[derive(Clone, Debug)]
pub(crate) struct RunDir {
    pub(crate) label: RunLabel,
    pub(crate) path: PathBuf,
}

/// What a directory says.
#[derive(Debug)]
pub(crate) enum View {
    /// No directory, or none that a keeper could have used.
    Absent,
    /// Complete, but no process was ever recorded.
    Made,
    /// Nothing could be started in it.
    Failed(FailRecord),
    /// Keeper and process are there.
    Live(ProcessRecord),
    /// The keeper is gone without a status.
    Lost(ProcessRecord),
    /// It is over; the record of the process is missing only if somebody removed it.
    Ended(ExitRecord, Option<ProcessRecord>),
}

/// Names the step that failed.
pub(crate) trait Step<T> {
    fn step(self, label: &RunLabel, step: &'static str) -> Result<T, RunError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, label: &RunLabel, step: &'static str) -> Result<T, RunError> {
        self.map_err(|error| RunError::Files { label: label.clone(), step, source: error.into() })
    }
}

impl RunDir {
    pub(crate) fn new(runs: &Path, label: &RunLabel) -> Self {
        Self { label: label.clone(), path: runs.join(label.as_str()) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Says what is known of the run.
    pub(crate) fn view(&self) -> Result<View, RunError> {
        self.try_view().step(&self.label, "reading the records")
    }

    fn try_view(&self) -> io::Result<View> {
        let process: Option<ProcessRecord> = record::read_json(&self.file(record::PROCESS))?;
        let Some(process) = process else {
            if let Some(exit) = self.exit()? {
                return Ok(View::Ended(exit, None));
            }
            if let Some(failed) = record::read_json(&self.file(record::FAILED))? {
                return Ok(View::Failed(failed));
            }
            let made = record::read_json::<SpecFile>(&self.file(record::SPEC))?.is_some();
            return Ok(if made { View::Made } else { View::Absent });
        };
        if let Some(exit) = self.exit()? {
            return Ok(View::Ended(exit, Some(process)));
        }
        if process.boot == table::boot_id()? && process.keeper.alive()? {
            return Ok(View::Live(process));
        }
        // It may have ended in good order between the two looks.
        match self.exit()? {
            Some(exit) => Ok(View::Ended(exit, Some(process))),
            None => Ok(View::Lost(process)),
        }
    }

    fn exit(&self) -> io::Result<Option<ExitRecord>> {
        record::read_json(&self.file(record::EXIT))
    }

    /// Tells whether `exit` is there.
    pub(crate) fn has_exit(&self) -> Result<bool, RunError> {
        self.file(record::EXIT).try_exists().step(&self.label, "looking for the status")
    }

    /// Tells whether a stream is longer than what was seen.
    pub(crate) fn grown(&self, seen: Seen) -> Result<bool, RunError> {
        let longer = |name, than| match fs::metadata(self.file(name)) {
            Ok(facts) => Ok(facts.len() > than),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).step(&self.label, "measuring a stream"),
        };
        Ok(longer(record::OUTPUT, seen.output)? || longer(record::ERROR, seen.error)?)
    }

    /// Makes the directory with everything in it at once, or leaves the one that is there.
    pub(crate) fn make(&self, spec: &RunSpec, cgroup_parent: Option<&Path>) -> Result<(), RunError> {
        refuse_breaks(&self.label, &spec.input)?;
        for (at, (name, _)) in spec.files.iter().enumerate() {
            let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
            let taken = spec.files[..at].iter().any(|(other, _)| other == name);
            if !plain || taken || record::RESERVED.contains(&name.as_str()) {
                let detail = format!("a private file may not be named `{name}`");
                return Err(RunError::Refused { label: self.label.clone(), detail });
            }
        }
        self.try_make(spec, cgroup_parent).step(&self.label, "making the directory")
    }

    fn try_make(&self, spec: &RunSpec, cgroup_parent: Option<&Path>) -> io::Result<()> {
        let (Some(runs), Some(place)) = (self.path.parent(), self.path.to_str()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the work folder's path is not UTF-8"));
        };
        let token = record::token()?;
        let fill = |text: &String| text.replace(RUN_DIR, place);
        let file = SpecFile {
            label: self.label.clone(),
            mark: format!("{}:{token}", self.label),
            program: spec.program.clone(),
            args: spec.args.iter().map(fill).collect(),
            dir: spec.dir.clone(),
            env: spec.env.iter().map(|(key, value)| (key.clone(), fill(value))).collect(),
            line_cap: spec.line_cap,
            backlog_cap: spec.backlog_cap,
            sandbox: spec.sandbox.clone(),
            cgroup: cgroup_parent.map(|parent| parent.join(format!("{}-{}", self.label, &token[..12]))),
        };
        private_dir().recursive(true).create(runs)?;
        let new = runs.join(format!("{NEW}{}-{token}", self.label));
        private_dir().create(&new)?;
        let made = (|| {
            record::create_private(&new.join(record::SPEC), &serde_json::to_vec(&file)?)?;
            let input = if spec.input.is_empty() { Vec::new() } else { record::input_record(&unique(&spec.input))? };
            record::create_private(&new.join(record::INPUT), &input)?;
            record::create_private(&new.join(record::CONSUMED), record::consumed_text(0).as_bytes())?;
            record::create_private(&new.join(record::LOCK), b"")?;
            rustix::fs::mknodat(CWD, new.join(record::BELL), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
            for (name, content) in &spec.files {
                record::create_private(&new.join(name), content.as_bytes())?;
            }
            fs::rename(&new, &self.path)
        })();
        if made.is_err() {
            fs::remove_dir_all(&new)?;
        }
        match made {
            // Somebody else has made it meanwhile: theirs counts.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => other,
        }
    }

    /// Removes a directory in which nothing can be running: torn, or left by a failed start.
    pub(crate) fn clear(&self) -> Result<(), RunError> {
        const STEP: &str = "clearing a failed start";
        let held = loop {
            let Some(lock) = self.open_lock().step(&self.label, STEP)? else { return Ok(()) };
            // A keeper that has reported a failure is on its way out; nobody else holds this for long.
            if matches!(self.view()?, View::Absent | View::Failed(_)) {
                rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).step(&self.label, STEP)?;
                let mine = lock.metadata().step(&self.label, STEP)?.ino();
                match self.open_lock().step(&self.label, STEP)? {
                    Some(now) if now.metadata().step(&self.label, STEP)?.ino() == mine => break lock,
                    Some(_) => {}
                    None => return Ok(()),
                }
            } else {
                return Ok(());
            }
        };
        if matches!(self.view()?, View::Absent | View::Failed(_)) {
            self.remove()?;
        }
        drop(held);
        Ok(())
    }

    /// Opens the keeper's lock, or the directory itself if it is too torn to have one; `None` without a
    /// directory.
    fn open_lock(&self) -> io::Result<Option<File>> {
        for (path, write) in [(self.file(record::LOCK), true), (self.path.clone(), false)] {
            match OpenOptions::new().read(true).write(write).open(path) {
                Ok(lock) => return Ok(Some(lock)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Takes the keeper's lock if no keeper holds it.
    pub(crate) fn lock(&self) -> Result<Option<File>, RunError> {
        const STEP: &str = "taking the lock";
        let Some(lock) = self.open_lock().step(&self.label, STEP)? else { return Ok(None) };
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(lock)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).step(&self.label, STEP),
        }
    }

    /// Reads the spec as the keeper sees it.
    pub(crate) fn spec(&self) -> Result<Option<SpecFile>, RunError> {
        record::read_json(&self.file(record::SPEC)).step(&self.label, "reading the spec")
    }

    /// Tells whether a keeper ever got as far as spawning the process.
    pub(crate) fn was_starting(&self) -> Result<bool, RunError> {
        self.file(record::STARTING).try_exists().step(&self.label, "looking for an earlier start")
    }

    /// Reads at most `max` bytes from an offset on.
    pub(crate) fn read(&self, name: &str, from: u64, max: usize) -> Result<Vec<u8>, RunError> {
        const STEP: &str = "reading a stream";
        let file = match File::open(self.file(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Not opened yet by the keeper, or no such run.
                return if self.path.try_exists().step(&self.label, STEP)? {
                    Ok(Vec::new())
                } else {
                    Err(RunError::Absent { label: self.label.clone() })
                };
            }
            Err(error) => return Err(error).step(&self.label, STEP),
        };
        let there = file.metadata().step(&self.label, STEP)?.len().saturating_sub(from);
        let mut bytes = vec![0; max.min(usize::try_from(there).unwrap_or(usize::MAX))];
        let mut done = 0;
        while done < bytes.len() {
            match file.read_at(&mut bytes[done..], from + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).step(&self.label, STEP),
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }

    /// Writes how far output is stored, and wakes the keeper.
    pub(crate) fn tell_consumed(&self, offset: u64) -> Result<(), RunError> {
        const STEP: &str = "noting how far output is stored";
        let file = match OpenOptions::new().write(true).open(self.file(record::CONSUMED)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RunError::Absent { label: self.label.clone() });
            }
            Err(error) => return Err(error).step(&self.label, STEP),
        };
        file.write_all_at(record::consumed_text(offset).as_bytes(), 0).step(&self.label, STEP)?;
        self.ring()
    }

    /// Asks for the end of input.
    pub(crate) fn end_input(&self) -> Result<(), RunError> {
        match record::create_private(&self.file(record::INPUT_END), b"") {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).step(&self.label, "closing the input");
            }
            Ok(()) | Err(_) => {}
        }
        self.ring()
    }

    /// Asks for the end of the run.
    pub(crate) fn ask_stop(&self, grace: Grace) -> Result<(), RunError> {
        const STEP: &str = "asking for the stop";
        let text = serde_json::to_vec(&grace).map_err(io::Error::from).step(&self.label, STEP)?;
        record::replace(&self.path, record::STOP, &text, Durability::Cache).step(&self.label, STEP)?;
        self.ring()
    }

    /// Wakes the keeper; none there is no error, it looks at everything when it comes.
    fn ring(&self) -> Result<(), RunError> {
        const STEP: &str = "waking the keeper";
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut bell = match OpenOptions::new().write(true).custom_flags(flags).open(self.file(record::BELL)) {
            Ok(bell) => bell,
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => return Ok(()),
            Err(error) => return Err(error).step(&self.label, STEP),
        };
        match bell.write(b"!") {
            Ok(_) => Ok(()),
            // Full: it rings already. Broken: the keeper has just gone.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::BrokenPipe) => Ok(()),
            Err(error) => Err(error).step(&self.label, STEP),
        }
    }

    /// Removes the directory; first under its name, so that half of one is never seen.
    pub(crate) fn remove(&self) -> Result<(), RunError> {
        let removed = (|| {
            let runs = self.path.parent().unwrap_or(Path::new("/"));
            let old = runs.join(format!("{OLD}{}-{}", self.label, record::token()?));
            match fs::rename(&self.path, &old) {
                Ok(()) => fs::remove_dir_all(&old),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            }
        })();
        removed.step(&self.label, "removing the directory")
    }
}

const NEW: &str = ".new-";
const OLD: &str = ".old-";

/// Lists the runs that have a directory.
pub(crate) fn labels(runs: &Path) -> io::Result<Vec<RunLabel>> {
    let entries = match fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut labels = Vec::new();
    for entry in entries {
        let entry = entry?;
        // What has no label's name is none: directories in the making or on their way out.
        if let Some(Ok(label)) = entry.file_name().to_str().map(RunLabel::new) {
            labels.push(label);
        }
    }
    labels.sort();
    Ok(labels)
}

/// Removes directories that a dead daemon had half removed, and those that it had half made if they are older than
/// `age`: a younger one may become a run. What was being removed holds a credential, and nobody misses it.
pub(crate) fn sweep(runs: &Path, age: std::time::Duration) -> io::Result<()> {
    let entries = match fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with(NEW) && !name.starts_with(OLD) {
            continue;
        }
        let swept = entry.metadata().and_then(|facts| facts.modified()).and_then(|modified| {
            let old = name.starts_with(OLD) || modified.elapsed().is_ok_and(|elapsed| elapsed > age);
            if old { fs::remove_dir_all(entry.path()) } else { Ok(()) }
        });
        match swept {
            // Whoever made it has finished with it meanwhile.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The input log of a run, as its only writer knows it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    keys: HashSet<String>,
    /// Where the log ends, behind its last complete record; `None` before it was read.
    end: Option<u64>,
}

impl Ledger {
    /// Appends the lines whose keys are new, all or none. `open` says whether the run takes input.
    pub(crate) fn append(
        &mut self,
        dir: &RunDir,
        lines: &[InputLine],
        open: impl FnOnce() -> Result<bool, RunError>,
    ) -> Result<Sent, RunError> {
        const STEP: &str = "appending to the input";
        refuse_breaks(&dir.label, lines)?;
        let mut log = match OpenOptions::new().read(true).append(true).open(dir.file(record::INPUT)) {
            Ok(log) => log,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RunError::Absent { label: dir.label.clone() });
            }
            Err(error) => return Err(error).step(&dir.label, STEP),
        };
        let length = log.metadata().step(&dir.label, STEP)?.len();
        let end = match self.end {
            Some(end) if end == length => end,
            // Not read yet, torn by a write that failed, or another daemon's: read it anew.
            Some(_) | None => self.load(&mut log).step(&dir.label, "reading the input log")?,
        };
        let new: Vec<_> = unique(lines).into_iter().filter(|line| !self.keys.contains(&line.key)).collect();
        if new.is_empty() {
            // Whoever appended them may have died before it could ring.
            dir.ring()?;
            return Ok(Sent::AlreadyThere);
        }
        if !open()? {
            return Err(RunError::Over { label: dir.label.clone() });
        }
        if length > end {
            log.set_len(end).step(&dir.label, "cutting off a torn record")?;
        }
        let record = record::input_record(&new).step(&dir.label, STEP)?;
        self.end = None;
        log.write_all(&record).step(&dir.label, STEP)?;
        self.end = Some(end + record.len() as u64);
        self.keys.extend(new.into_iter().map(|line| line.key.clone()));
        dir.ring()?;
        Ok(Sent::Appended)
    }

    /// Reads the keys of every complete record, and returns where the last one ends.
    fn load(&mut self, log: &mut File) -> io::Result<u64> {
        let mut text = Vec::new();
        log.read_to_end(&mut text)?;
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.keys.clear();
        for record in text[..end].split(|byte| *byte == b'\n').filter(|record| !record.is_empty()) {
            self.keys.extend(record::parse_input(record)?.into_iter().map(|line| line.key));
        }
        self.end = Some(end as u64);
        Ok(end as u64)
    }
}

/// Tells whether a run still takes input: it lives and its input was not closed.
pub(crate) fn takes_input(dir: &RunDir) -> Result<bool, RunError> {
    let closed = dir.file(record::INPUT_END).try_exists().step(&dir.label, "looking for the end of input")?;
    Ok(!closed && matches!(dir.view()?, View::Live(_) | View::Made))
}

fn unique(lines: &[InputLine]) -> Vec<&InputLine> {
    let mut keys = HashSet::new();
    lines.iter().filter(|line| keys.insert(&line.key)).collect()
}

fn refuse_breaks(label: &RunLabel, lines: &[InputLine]) -> Result<(), RunError> {
    match lines.iter().find(|line| line.text.contains('\n')) {
        None => Ok(()),
        Some(line) => {
            let detail = format!("input line `{}` holds a line break", line.key);
            Err(RunError::Refused { label: label.clone(), detail })
        }
    }
}

fn private_dir() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}
