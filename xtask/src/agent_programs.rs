//! `cargo xtask agents`: installs the real agent programs that tests run against the scripted model.
//!
//! They come from npm, pinned, into a cache outside the repository, and none of their install scripts runs. The table
//! of them is `orcha_scripted_model::programs`. Nothing is started here, and a program that cannot be had is told,
//! not hidden: tests that need it skip aloud.

use crate::shell;
use anyhow::{Context, Result, bail};
use orcha_scripted_model::isolation::hindrance;
use orcha_scripted_model::programs::{self, CACHE_VARIABLE, PROGRAMS, Program};
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

/// The options of `agents`.
#[derive(clap::Args)]
pub struct Args {
    /// Install nothing; only say what is there.
    #[arg(long)]
    list: bool,
    /// Which programs; else all that may be used.
    names: Vec<String>,
}

/// Installs or lists programs; one that was asked for by name and cannot be had is a failure.
pub fn run(args: &Args) -> Result<ExitCode> {
    let wanted: Vec<&Program> = if args.names.is_empty() {
        PROGRAMS.iter().collect()
    } else {
        args.names.iter().map(|name| known(name)).collect::<Result<_>>()?
    };
    let cache = cache()?;
    let mut n_absent = 0;
    for program in wanted {
        let standing = if args.list { look(program, &cache) } else { prepare(program, &cache)? };
        match &standing {
            Standing::Ready(command) => {
                let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
                println!("{}: {}", program.spec(), words.join(" "));
            }
            Standing::Absent(reason) => {
                n_absent += 1;
                println!("{}: NOT there: {reason}", program.spec());
            }
        }
    }
    let fine = args.list || args.names.is_empty() || n_absent == 0;
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a program can be used.
#[derive(Debug)]
pub enum Standing {
    /// These words start it.
    Ready(Vec<OsString>),
    /// It cannot be used, for this reason.
    Absent(String),
}

/// Returns the folder in which the programs are.
pub fn cache() -> Result<PathBuf> {
    let found = programs::cache(|name| std::env::var_os(name));
    found.with_context(|| format!("there is no place for agent programs: set HOME or {CACHE_VARIABLE}"))
}

/// Installs a program, unless it is there already; without npm, or out of its reach, it is absent.
pub fn prepare(program: &Program, cache: &Path) -> Result<Standing> {
    if let Some(reason) = hindrance(program) {
        return Ok(Standing::Absent(reason));
    }
    if program.command(cache).is_none()
        && let Some(reason) = install(program, cache)?
    {
        return Ok(Standing::Absent(reason));
    }
    Ok(look(program, cache))
}

/// The programs that a usual run of all tests is made with.
const TESTED: [&str; 3] = ["codex", "gemini", "opencode"];

/// Has the programs there that the tests run, where that is possible, and says what is missing.
pub fn prepare_for_tests(install: bool) -> Result<()> {
    let cache = cache()?;
    for program in TESTED.iter().filter_map(|name| programs::named(name)) {
        let standing = if install { prepare(program, &cache)? } else { look(program, &cache) };
        match standing {
            Standing::Ready(_) => eprintln!("xtask: {} is in {}", program.spec(), program.folder(&cache).display()),
            Standing::Absent(reason) => {
                eprintln!("xtask: NO {}: {reason}; its tests will be skipped, and counted", program.spec())
            }
        }
    }
    Ok(())
}

fn known(name: &str) -> Result<&'static Program> {
    let names: Vec<&str> = PROGRAMS.iter().map(|program| program.name).collect();
    programs::named(name).with_context(|| format!("`{name}` is no known agent program; known are {}", names.join(", ")))
}

fn look(program: &Program, cache: &Path) -> Standing {
    match (hindrance(program), program.command(cache)) {
        (Some(reason), _) => Standing::Absent(reason),
        (None, Some(command)) => Standing::Ready(command),
        (None, None) => Standing::Absent(format!("not installed in {}", program.folder(cache).display())),
    }
}

/// Installs a program; returns why that was not possible.
fn install(program: &Program, cache: &Path) -> Result<Option<String>> {
    if shell::find("npm").is_none() {
        return Ok(Some("npm is not in PATH".to_owned()));
    }
    std::fs::create_dir_all(cache).with_context(|| format!("could not make {}", cache.display()))?;
    // Held until this returns; the lock goes with the file's end.
    let _lock = lock(program, cache)?;
    if program.command(cache).is_some() {
        // Somebody else was faster.
        return Ok(None);
    }
    let folder = program.folder(cache);
    if folder.exists() {
        eprintln!("xtask: {} is incomplete and is made anew", folder.display());
        std::fs::remove_dir_all(&folder).with_context(|| format!("could not remove {}", folder.display()))?;
    }
    eprintln!("xtask: installing {} into {}", program.spec(), folder.display());
    let mut npm = shell::program("npm");
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"]);
    npm.args(["--fetch-retries=1", "--fetch-timeout=60000", "--prefix"]).arg(&folder).arg(program.spec());
    // Its totals are of no use on our output; its errors are.
    npm.stdin(Stdio::null()).stdout(Stdio::null());
    if let Err(error) = shell::run(&mut npm) {
        return Ok(Some(format!("npm could not install it ({error:#}); is the registry within reach?")));
    }
    let entry = program.entry(cache);
    if !entry.is_file() {
        return Ok(Some(format!("its package has no {} for this machine", entry.display())));
    }
    mark(program, cache)?;
    Ok(None)
}

/// Waits until no other process installs this program.
fn lock(program: &Program, cache: &Path) -> Result<File> {
    let path = program.folder(cache).with_added_extension("lock");
    let options = File::options().create(true).truncate(false).write(true).open(&path);
    let file = options.with_context(|| format!("could not open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("xtask: waiting for another process that installs {}", program.spec());
            file.lock().with_context(|| format!("could not lock {}", path.display()))?;
        }
        Err(TryLockError::Error(error)) => bail!("could not lock {}: {error}", path.display()),
    }
    Ok(file)
}

/// Writes the marker, whole or not at all.
fn mark(program: &Program, cache: &Path) -> Result<()> {
    let marker = program.marker(cache);
    let draft = marker.with_added_extension("draft");
    let write = || {
        std::fs::write(&draft, format!("{}\n", program.spec()))?;
        std::fs::rename(&draft, &marker)
    };
    write().with_context(|| format!("could not write {}", marker.display()))
}
