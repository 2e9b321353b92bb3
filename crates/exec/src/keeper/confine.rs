//! Starts the process of a run, confined as its spec says, and says by what it is.
//!
//! What cannot be had is said in words, or refused where the spec is strict. The keeper itself is never confined.

use crate::execute;
use crate::record::{MARK, SpecFile, TEMP};
use crate::sandbox::{BWRAP, all_but, extent, lack, landlock_changes, landlock_rules, real};
use landlock::{
    AccessFs, BitFlags, PathBeneath, PathFd, PathFdError, RulesetCreated, RulesetCreatedAttr, RulesetError,
};
use orcha_base::{Confinement, SandboxLevel};
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What every program writes to.
const DEVICES: [&str; 10] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/console",
    "/dev/shm",
];

/// Starts the process, and says how it is confined.
pub(super) fn spawn(spec: &SpecFile, program: &Path) -> io::Result<(Child, Confinement)> {
    let confined = |detail| Confinement { level: spec.sandbox.level, read_only: spec.sandbox.read_only, detail };
    let started = match spec.sandbox.level {
        SandboxLevel::None if spec.sandbox.strict => Err(Lack("its level is `none`".to_owned())),
        SandboxLevel::None => return unconfined(spec, program, "nobody wants it confined".to_owned()),
        SandboxLevel::Landlock => landlocked(spec, program)?,
        SandboxLevel::Bubblewrap => bubblewrapped(spec, program)?,
    };
    match started {
        Ok((child, detail)) => Ok((child, confined(detail))),
        Err(Lack(why)) if spec.sandbox.strict => {
            let said = format!("it may only run in a sandbox, and {why}; `orcha doctor` says what to do about it");
            Err(io::Error::new(io::ErrorKind::Unsupported, said))
        }
        Err(Lack(why)) => unconfined(spec, program, why),
    }
}

/// Why a sandbox is not to be had.
struct Lack(String);

type Started = Result<(Child, String), Lack>;

fn unconfined(spec: &SpecFile, program: &Path, why: String) -> io::Result<(Child, Confinement)> {
    let child = command(spec, program, &[], None).spawn()?;
    Ok((child, Confinement { level: SandboxLevel::None, read_only: false, detail: why }))
}

/// Real places, links followed.
struct Places {
    write: Vec<PathBuf>,
    read: Vec<PathBuf>,
    hide: Vec<PathBuf>,
    temp: PathBuf,
}

impl Places {
    fn of(spec: &SpecFile) -> io::Result<Result<Self, Lack>> {
        let sandbox = &spec.sandbox;
        // The keeper works in the run directory.
        let here = std::env::current_dir()?;
        let temp = here.join(TEMP);
        for folder in sandbox.make.iter().chain([&temp]) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let all = |paths: &mut dyn Iterator<Item = &PathBuf>| -> io::Result<Vec<PathBuf>> {
            paths.filter_map(|it| real(it).transpose()).collect()
        };
        let (changed, looked_at) = if sandbox.read_only { (None, Some(&spec.dir)) } else { (Some(&spec.dir), None) };
        let (own, seen) = if sandbox.run_dir { (Some(&here), None) } else { (None, Some(&here)) };
        let mut hide = all(&mut sandbox.hide.iter())?;
        // Whatever lies in another one is hidden after it.
        hide.sort();
        let places = Self {
            write: all(&mut sandbox.write.iter().chain(&sandbox.make).chain([&temp]).chain(changed).chain(own))?,
            read: all(&mut sandbox.read.iter().chain(looked_at).chain(seen))?,
            hide,
            temp: here.join(TEMP),
        };
        let opens = |it: &&PathBuf| places.hide.iter().any(|hidden| hidden.starts_with(it));
        let open = places.write.iter().chain(&places.read).find(opens);
        let lack = open.map(|it| Lack(format!("{} is open to it, and something in it must stay hidden", it.display())));
        Ok(lack.map_or(Ok(places), Err))
    }
}

fn command(spec: &SpecFile, program: &Path, leading: &[OsString], temp: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    if leading.is_empty() {
        command.arg0(&spec.program);
    }
    command
        .args(leading)
        .args(&spec.args)
        .env_clear()
        .envs(spec.env.iter().map(|(key, value)| (key, value)))
        .env(MARK, &spec.mark)
        .envs(temp.map(|it| ("TMPDIR", it)))
        .current_dir(&spec.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

/// Confines one thread and starts the process from there: it inherits that, and the keeper does not have it.
fn landlocked(spec: &SpecFile, program: &Path) -> io::Result<Started> {
    let places = match Places::of(spec)? {
        Ok(places) => places,
        Err(lack) => return Ok(Err(lack)),
    };
    let rules = match landlock_rules() {
        Ok(rules) => rules,
        Err(error) => return Ok(Err(Lack(lack(&error)))),
    };
    let rules = opened(rules, &places)?;
    let confine = || {
        let status = match rules.restrict_self() {
            Ok(status) => status,
            Err(error) => return Ok(Err(Lack(lack(&error)))),
        };
        Ok(Ok((command(spec, program, &[], Some(&places.temp)).spawn()?, extent(&status))))
    };
    std::thread::scope(|scope| scope.spawn(confine).join())
        .unwrap_or_else(|_| Err(io::Error::other("the thread that confines the process broke")))
}

/// Adds to rules what is allowed.
fn opened(mut rules: RulesetCreated, places: &Places) -> io::Result<RulesetCreated> {
    let fault = |error: RulesetError| io::Error::other(format!("the sandbox cannot be made: {error}"));
    let changes = landlock_changes();
    let looks: BitFlags<AccessFs> = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
    let of_folders: BitFlags<AccessFs> = changes & !file_changes();
    let open = all_but(&places.hide)?;
    let reads = open.iter().chain(&places.read).map(|it| (it.as_path(), looks));
    let writes = places.write.iter().map(PathBuf::as_path).chain(DEVICES.map(Path::new)).map(|it| (it, changes));
    for (path, access) in reads.chain(writes) {
        let place = match PathFd::new(path) {
            Ok(place) => place,
            // Gone meanwhile, or never there.
            Err(PathFdError::OpenCall { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io::Error::other(error)),
        };
        let access = if path.is_dir() { access } else { access & !of_folders };
        rules = rules.add_rule(PathBeneath::new(place, access)).map_err(fault)?;
    }
    Ok(rules)
}

/// What can be done with a file that is no folder.
fn file_changes() -> BitFlags<AccessFs> {
    AccessFs::Execute | AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev
}

fn bubblewrapped(spec: &SpecFile, program: &Path) -> io::Result<Started> {
    let places = match Places::of(spec)? {
        Ok(places) => places,
        Err(lack) => return Ok(Err(lack)),
    };
    let Ok(bwrap) = execute::resolve("bwrap", &spec.dir, &spec.env) else {
        return Ok(Err(Lack("there is no `bwrap` in PATH".to_owned())));
    };
    // Whether this machine gives it the namespaces that it needs is found out by trying.
    let trial = Command::new(&bwrap)
        .args(BWRAP)
        .args(["--", "true"])
        .env_clear()
        .envs(spec.env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .output()?;
    if !trial.status.success() {
        let said = crate::first_line(&String::from_utf8_lossy(&trial.stderr));
        return Ok(Err(Lack(format!("`bwrap` does not work here: {said}"))));
    }
    let mut leading: Vec<OsString> = BWRAP.into_iter().chain(["--tmpfs", "/dev/shm"]).map(Into::into).collect();
    for path in &places.hide {
        if path.is_dir() {
            leading.extend(["--tmpfs".into(), path.into()]);
        } else {
            leading.extend(["--ro-bind".into(), "/dev/null".into(), path.into()]);
        }
    }
    // What is read-only comes first: a temporary folder lies in a run directory.
    for (how, paths) in [("--ro-bind", &places.read), ("--bind", &places.write)] {
        for path in paths {
            leading.extend([how.into(), path.into(), path.into()]);
        }
    }
    leading.extend(["--chdir".into(), spec.dir.clone().into(), "--".into(), program.into()]);
    let child = command(spec, &bwrap, &leading, Some(&places.temp)).spawn()?;
    Ok(Ok((child, "namespaces for files and processes".to_owned())))
}
