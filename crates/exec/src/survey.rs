//! What a machine offers to runs: its programs, its folder, and how far it can keep processes apart.
//!
//! It looks and changes nothing but a file of its own that it removes again. What to do about a gap stands beside it,
//! in one line. It knows no agent.

use crate::{Command, CommandError, Host, Isolation, Offer};
use orcha_base::SandboxLevel;
use std::time::Duration;

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// With less room than this nothing can be kept.
const NO_ROOM: u64 = 64 << 20;
/// With less room than this a few checkouts fill the disk.
const LITTLE_ROOM: u64 = 2 << 30;
/// The longest words of a program that are repeated, in characters.
const WORDS: usize = 120;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What: `git`, `disk`.
    pub name: String,
    /// How it stands.
    pub grade: Grade,
    /// What was found, for people.
    pub detail: String,
    /// What to do about it, in a line.
    pub advice: Option<String>,
}

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Fine,
    /// Work goes on without it.
    Gap,
    /// Nothing can be done before it is mended.
    Stops,
}

impl Finding {
    /// Makes one that is as it should be.
    pub fn fine(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), grade: Grade::Fine, detail: detail.into(), advice: None }
    }

    /// Makes one that lacks something, with what to do.
    pub fn lacking(
        grade: Grade,
        name: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { name: name.into(), grade, detail: detail.into(), advice: Some(advice.into()) }
    }
}

/// Looks at a machine. Its parts are asked side by side, each with a time limit.
pub async fn survey(host: &dyn Host) -> Vec<Finding> {
    let (folder, git, tmux, sandboxes, kernel) = tokio::join!(
        folder(host),
        version(host, "git", "--version"),
        version(host, "tmux", "-V"),
        host.sandboxes(),
        run(host, "sh", &["-c", KERNEL]),
    );
    let mut findings = folder;
    findings.push(new_enough(GIT, git));
    findings.push(new_enough(TMUX, tmux));
    findings.push(kept_together(host.isolation()));
    findings.extend(of_sandboxes(sandboxes));
    findings.push(of_kernel(kernel));
    findings
}

/// A program that is needed in some version at least.
struct Needed {
    name: &'static str,
    grade: Grade,
    oldest: (u32, u32),
    advice: &'static str,
}

const GIT: Needed = Needed { name: "git", grade: Grade::Stops, oldest: (2, 40), advice: "install git 2.40 or newer" };
const TMUX: Needed = Needed {
    name: "tmux",
    grade: Grade::Gap,
    oldest: (3, 3),
    advice: "install tmux 3.3 or newer; only agents that are run in a terminal need it",
};

/// Says whether a program is there and not too old. Of a version that cannot be read (a build of its own) the best is
/// thought.
fn new_enough(needed: Needed, said: Result<String, String>) -> Finding {
    let Needed { name, grade, oldest, advice } = needed;
    match said {
        Ok(words) if numbers(&words).is_some_and(|it| it < oldest) => {
            Finding::lacking(grade, name, format!("{words} is too old"), advice)
        }
        Ok(words) => Finding::fine(name, words),
        Err(why) => Finding::lacking(grade, name, why, advice),
    }
}

/// Reads the first two numbers of a version: `git version 2.47.3`, `tmux 3.3a`.
fn numbers(words: &str) -> Option<(u32, u32)> {
    let version = words.split(' ').find(|it| it.starts_with(|first: char| first.is_ascii_digit()))?;
    let mut parts = version.split(|it: char| !it.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Says by what sessions can be confined. What one lacks is a gap of its own, even where another is there: a role or a
/// project may want that very one.
fn of_sandboxes(offers: Vec<Offer>) -> Vec<Finding> {
    let finding = |offer: Offer| {
        let advice = match offer.level {
            SandboxLevel::None => return None,
            SandboxLevel::Landlock => {
                "Linux 6.2 or newer with `landlock` in its `lsm=` parameter; a container must allow its system calls"
            }
            SandboxLevel::Bubblewrap => "install bubblewrap, where user namespaces can be made",
        };
        Some(match offer.there {
            Ok(extent) => Finding::fine(offer.level.name(), format!("sessions can be confined: {extent}")),
            Err(why) => Finding::lacking(Grade::Gap, offer.level.name(), why, advice),
        })
    };
    offers.into_iter().filter_map(finding).collect()
}

/// Prints what the kernel offers, a fact a line.
const KERNEL: &str = r#"
echo "release=$(uname -r)"
if unshare --user --map-root-user true 2>/dev/null; then echo userns=yes; else echo userns=no; fi
"#;

fn of_kernel(said: Result<String, String>) -> Finding {
    let said = match said {
        Ok(said) => said,
        Err(why) => return Finding::lacking(Grade::Gap, "kernel", why, "see that `sh` and `uname` are in PATH"),
    };
    let fact = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let release = fact("release").unwrap_or("of unknown release");
    match fact("userns") {
        Some("yes") => Finding::fine("user namespaces", format!("can be made without rights, Linux {release}")),
        _ => Finding::lacking(
            Grade::Gap,
            "user namespaces",
            format!("cannot be made, Linux {release}"),
            "set user.max_user_namespaces above 0, and kernel.apparmor_restrict_unprivileged_userns=0 where it is set",
        ),
    }
}

fn kept_together(isolation: Isolation) -> Finding {
    match isolation {
        Isolation::Cgroup => Finding::fine("processes", "each run has a cgroup of its own; nothing escapes"),
        Isolation::Subreaper => Finding::lacking(
            Grade::Gap,
            "processes",
            "runs are kept together without cgroups; what changes its user may escape",
            "delegate a cgroup to the daemon: in its systemd unit, `Delegate=yes`",
        ),
    }
}

/// Looks at the work root: whether it can be written, and how much room there is.
async fn folder(host: &dyn Host) -> Vec<Finding> {
    const LOOK: &str = r#"mkdir -p -- "$1" && f="$1/.orcha-doctor.$$" && : >"$f" && rm -f -- "$f" && df -Pk -- "$1""#;
    let root = host.work_root().display().to_string();
    let said = match run(host, "sh", &["-c", LOOK, "sh", &root]).await {
        Ok(said) => said,
        Err(why) => {
            let advice = format!("let the daemon's user write in {root}, or name another folder with --work-root");
            return vec![Finding::lacking(Grade::Stops, "work root", why, advice)];
        }
    };
    let writable = Finding::fine("work root", format!("{root} can be written"));
    vec![writable, room(&root, free_bytes(&said))]
}

/// Says how much room there is in a folder.
pub fn room(folder: &str, free: Option<u64>) -> Finding {
    let Some(free) = free else {
        return Finding::lacking(Grade::Gap, "disk", "cannot be told", format!("look yourself: `df -h {folder}`"));
    };
    let detail = format!("{:.1} GiB are free in {folder}", free as f64 / (1u64 << 30) as f64);
    let advice = || "make room: `orcha workspace reclaim` lets finished checkouts go".to_owned();
    match free {
        ..NO_ROOM => Finding::lacking(Grade::Stops, "disk", detail, advice()),
        NO_ROOM..LITTLE_ROOM => Finding::lacking(Grade::Gap, "disk", detail, advice()),
        _ => Finding::fine("disk", detail),
    }
}

/// Reads the free bytes in what `df -Pk` says of one folder.
fn free_bytes(said: &str) -> Option<u64> {
    let kilobytes: u64 = said.lines().last()?.split_ascii_whitespace().nth(3)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Asks a program for its version.
async fn version(host: &dyn Host, program: &str, flag: &str) -> Result<String, String> {
    run(host, program, &[flag]).await.map(|said| first_line(&said))
}

/// Returns the first line of what a program said that says anything, cut to a bearable length.
pub fn first_line(said: &str) -> String {
    let line = said.lines().find(|it| !it.trim().is_empty()).unwrap_or_default();
    line.trim().chars().filter(|it| !it.is_control()).take(WORDS).collect()
}

/// Runs a program of the host to its end; the error is for people.
async fn run(host: &dyn Host, program: &str, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program, "/").args(args.iter().copied()).env("PATH", host.search_path());
    (command.timeout, command.keep) = (PATIENCE, 16 << 10);
    match host.run(&command).await {
        Ok(output) if output.status.success() => Ok(output.text()),
        Ok(output) => Err(format!("{program}: {}", first_line(&output.complaint()))),
        Err(CommandError::Spawn { .. }) => Err("not in PATH".to_owned()),
        Err(fault) => Err(fault.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grades(findings: &[Finding]) -> Vec<(&str, Grade)> {
        findings.iter().map(|it| (it.name.as_str(), it.grade)).collect()
    }

    #[test]
    fn each_sandbox_that_is_missing_is_a_gap_with_what_to_do() {
        let offers = |landlock, bubblewrap| {
            of_sandboxes(vec![
                Offer { level: SandboxLevel::Landlock, there: landlock },
                Offer { level: SandboxLevel::Bubblewrap, there: bubblewrap },
            ])
        };
        let found = offers(Ok("Landlock ABI 7".to_owned()), Err("there is no `bwrap` in PATH".to_owned()));
        assert_eq!(grades(&found), [("landlock", Grade::Fine), ("bubblewrap", Grade::Gap)]);
        assert_eq!(found[0].detail, "sessions can be confined: Landlock ABI 7");
        assert!(found[1].advice.as_ref().unwrap().contains("install bubblewrap"), "{found:?}");
        let found = of_kernel(Ok("release=5.10.0\nuserns=no".to_owned()));
        assert_eq!((found.grade, found.detail.as_str()), (Grade::Gap, "cannot be made, Linux 5.10.0"));
        assert_eq!(of_kernel(Ok("release=6.12.1\nuserns=yes".to_owned())).grade, Grade::Fine);
    }

    #[test]
    fn what_is_too_old_is_as_good_as_missing() {
        let git = |words: &str| new_enough(GIT, Ok(words.to_owned())).grade;
        assert_eq!(git("git version 2.47.3"), Grade::Fine);
        assert_eq!(git("git version 2.40.windows.1"), Grade::Fine);
        assert_eq!(git("git version 2.9.5 (Apple Git-154)"), Grade::Stops);
        let tmux = |words: &str| new_enough(TMUX, Ok(words.to_owned()));
        assert_eq!(tmux("tmux 3.3a").grade, Grade::Fine);
        assert_eq!(tmux("tmux next-3.6").grade, Grade::Fine);
        assert_eq!(tmux("tmux 3.2a").detail, "tmux 3.2a is too old");
        assert_eq!(new_enough(TMUX, Err("not in PATH".to_owned())).grade, Grade::Gap);
    }

    #[test]
    fn a_full_disk_stops_work_and_a_nearly_full_one_is_a_gap() {
        let said = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/x 10 5 1024 50% /w";
        assert_eq!(free_bytes(said), Some(1 << 20));
        assert_eq!(room("/w", free_bytes(said)).grade, Grade::Stops);
        assert_eq!(room("/w", Some(1 << 30)).grade, Grade::Gap);
        assert_eq!(room("/w", Some(1 << 40)).grade, Grade::Fine);
        assert_eq!(room("/w", free_bytes("nothing")).grade, Grade::Gap);
    }

    #[test]
    fn words_of_a_program_are_one_harmless_line() {
        assert_eq!(first_line("\n  a\u{1b}[1mb  \nc"), "a[1mb");
        assert_eq!(first_line(&"x".repeat(1000)).len(), WORDS);
    }
}
