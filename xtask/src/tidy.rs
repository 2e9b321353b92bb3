//! `cargo xtask tidy`: the rules of the house that the compiler does not check.
//!
//! Each rule is one module with a pure `check`; this file only gathers what they look at. It scans
//! tokens and does not understand types: a rule names the place, and a person reads it.

mod floors;
mod guarantees;
mod headers;
mod paths;
mod pure;
mod source;
mod sql;
mod tasks;

use crate::shell;
use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand};
use source::Source;
use std::fmt;
use std::process::ExitCode;

/// The options of `tidy`.
#[derive(clap::Args)]
pub struct Args {}

/// Checks the repository and prints what it found.
pub fn run(_: &Args) -> Result<ExitCode> {
    check()?;
    Ok(ExitCode::SUCCESS)
}

/// Checks the repository; an error when a rule is broken.
pub fn check() -> Result<()> {
    let packages = packages()?;
    let files = files()?;
    let findings = findings(&packages, &files);
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("tidy found {} broken rules", findings.len());
    }
    eprintln!("tidy: {} crates and {} files keep the rules", packages.len(), files.len());
    Ok(())
}

/// A broken rule: which, where, and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    rule: &'static str,
    /// An edge between crates, or a file with its line.
    place: String,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.rule, self.place, self.what)
    }
}

/// A crate of the workspace, as its manifest declares it.
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    kind: DependencyKind,
    /// Whether it is a crate of this workspace.
    ours: bool,
    features: Vec<String>,
}

/// A text file of the repository, with its path from the root.
struct File {
    path: String,
    text: String,
}

fn findings(packages: &[Package], files: &[File]) -> Vec<Finding> {
    let mut findings = floors::check(packages);
    findings.extend(pure::check_dependencies(packages));
    findings.extend(files.iter().flat_map(paths::check));

    let rust = files.iter().filter(|file| file.path.ends_with(".rs"));
    let mut sources: Vec<Source> = rust.clone().map(|file| Source::read(&file.path, &file.text)).collect();
    source::mark_test_files(&mut sources);
    findings.extend(rust.flat_map(headers::check));
    for source in &sources {
        findings.extend(pure::check_source(source));
        findings.extend(sql::check(source));
        findings.extend(tasks::check(source));
    }
    findings.extend(guarantees::check(files, &sources));
    findings.sort();
    findings
}

fn packages() -> Result<Vec<Package>> {
    let mut command = MetadataCommand::new();
    let metadata = command.current_dir(shell::root()).no_deps().exec().context("could not read cargo metadata")?;
    let dependency = |it: &cargo_metadata::Dependency| Dependency {
        name: it.name.to_string(),
        kind: it.kind,
        ours: it.path.is_some(),
        features: it.features.clone(),
    };
    let package = |it: &cargo_metadata::Package| Package {
        name: it.name.to_string(),
        dependencies: it.dependencies.iter().map(dependency).collect(),
    };
    Ok(metadata.workspace_packages().into_iter().map(package).collect())
}

/// Reads each file that is or could be committed.
fn files() -> Result<Vec<File>> {
    let root = shell::root();
    let mut list = shell::program("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]);
    let list = shell::ask(&mut list).context("`git ls-files` failed; is this a git checkout?")?;
    let mut files = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        let bytes = match std::fs::read(root.join(path)) {
            Ok(bytes) => bytes,
            // Deleted, but not committed as deleted.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("could not read {path}")),
        };
        // What is not text has nothing to say to these rules.
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_gathers_the_findings_of_every_rule() {
        let packages = [
            Package {
                name: "orcha-plan".into(),
                dependencies: vec![
                    Dependency {
                        name: "orcha-store".into(),
                        kind: DependencyKind::Normal,
                        ours: true,
                        features: vec![],
                    },
                    Dependency { name: "tokio".into(), kind: DependencyKind::Normal, ours: false, features: vec![] },
                ],
            },
            Package { name: "orcha-store".into(), dependencies: vec![] },
        ];
        let text = "use std::time::Instant;\nfn f() { tokio::spawn(q(\"SELECT 1\")); Instant::now(); }\n".to_owned();
        let notes = concat!("see /wo", "rk/notes").to_owned();
        let files = [File { path: "crates/plan/src/lib.rs".into(), text }, File { path: "a.md".into(), text: notes }];
        let rules: Vec<&str> = findings(&packages, &files).iter().map(|it| it.rule).collect();
        // Impure are the dependency, the clock and the runtime.
        assert_eq!(rules, ["floors", "headers", "paths", "pure", "pure", "pure", "sql", "tasks"]);
    }
}
