//! The programs that tests start: finds them, and installs what is missing where that is possible.
//!
//! It says what it does. A program that cannot be had is no failure here: the tests that need it
//! announce their own skip, and a program that everything needs fails the run.

use crate::{agent_programs, shell};
use anyhow::{Result, bail};
use std::path::PathBuf;

/// The oldest git whose `merge-tree --write-tree --merge-base` the local forge can use.
const GIT_OLDEST: (u32, u32) = (2, 40);

/// Whether a missing program may be installed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// By the system's package manager, when we may use it.
    Install,
    /// Only report it.
    Report,
}

struct Program {
    names: &'static [&'static str],
    package: &'static str,
    /// What cannot be tested without it.
    serves: &'static str,
}

const GIT: Program = Program { names: &["git"], package: "git", serves: "everything" };
const OTHERS: [Program; 3] = [
    Program { names: &["tmux"], package: "tmux", serves: "the tests of agents in a terminal" },
    Program {
        names: &["chromium", "chromium-browser", "google-chrome"],
        package: "chromium",
        serves: "the browser test of the page",
    },
    Program { names: &["chromedriver"], package: "chromium-driver", serves: "the browser test of the page" },
];

impl Program {
    fn find(&self) -> Option<PathBuf> {
        self.names.iter().find_map(|name| shell::find(name))
    }
}

/// Prepares the programs that the tests need.
pub fn prepare(missing: Missing) -> Result<()> {
    let absent: Vec<&Program> = std::iter::once(&GIT).chain(&OTHERS).filter(|it| it.find().is_none()).collect();
    if !absent.is_empty() && missing == Missing::Install {
        install(&absent.iter().map(|it| it.package).collect::<Vec<_>>());
    }
    for program in std::iter::once(&GIT).chain(&OTHERS) {
        match program.find() {
            Some(path) => eprintln!("xtask: {} is at {}", program.names[0], path.display()),
            None => eprintln!("xtask: NO {}: {} will be skipped, and counted", program.names[0], program.serves),
        }
    }
    agent_programs::prepare_for_tests(missing == Missing::Install)?;
    check_git()
}

/// Tries to install packages; the caller looks again afterwards, so a failure is only told.
fn install(packages: &[&str]) {
    let list = packages.join(" ");
    if shell::find("apt-get").is_none() {
        eprintln!("xtask: cannot install {list}: there is no apt-get here");
        return;
    }
    if shell::ask(shell::program("id").arg("-u")).as_deref() != Some("0") {
        eprintln!("xtask: cannot install {list}: not root; try `sudo apt-get install {list}`");
        return;
    }
    eprintln!("xtask: installing {list}");
    let apt = |args: &[&str]| {
        let mut command = shell::program("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-o", "Dpkg::Use-Pty=0"]).args(args);
        // Its progress is of no use in a log; its errors are.
        command.stdout(std::process::Stdio::null()).stdin(std::process::Stdio::null());
        shell::run(&mut command)
    };
    let done = apt(&["update"]).and_then(|()| apt(&[&["install", "-y", "--no-install-recommends"], packages].concat()));
    if let Err(error) = done {
        eprintln!("xtask: installing {list} did not work: {error:#}");
    }
}

fn check_git() -> Result<()> {
    let (major, minor) = GIT_OLDEST;
    let Some(text) = shell::ask(shell::program("git").arg("--version")) else {
        bail!("git is needed, {major}.{minor} or newer");
    };
    match git_version(&text) {
        Some(version) if version >= GIT_OLDEST => Ok(()),
        Some(_) => bail!("{text} is too old: {major}.{minor} or newer is needed"),
        None => bail!("cannot read a version in `{text}`"),
    }
}

fn git_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix("git version ")?.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_versions_of_all_vendors_are_read() {
        assert_eq!(git_version("git version 2.47.3"), Some((2, 47)));
        assert_eq!(git_version("git version 2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert_eq!(git_version("git version 2.40.windows.1"), Some((2, 40)));
        assert_eq!(git_version("hg 6"), None);
        assert!(git_version("git version 2.9.0").is_some_and(|version| version < GIT_OLDEST));
    }
}
