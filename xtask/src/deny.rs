//! The dependency gate: runs cargo-deny over `deny.toml`, and installs it when it is missing.
//!
//! Advisories need a database from outside. Where it cannot be fetched, an older copy serves; where
//! there is none, that is said loudly and the other checks still count.

use crate::shell;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

const VERSION: &str = "0.20.2";

/// Runs all the checks that can run here.
pub fn check() -> Result<()> {
    let deny = find_or_install()?;
    let run = |args: &[&str]| shell::run(shell::program(&deny).arg("--locked").args(args));
    run(&["check", "--hide-inclusion-graph", "bans", "licenses", "sources"])?;

    let fetch = shell::program(&deny).args(["fetch", "db"]).output().context("could not start cargo-deny")?;
    if fetch.status.success() {
        return run(&["check", "--disable-fetch", "advisories"]);
    }
    let reason = String::from_utf8_lossy(&fetch.stderr);
    let reason = reason.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given").trim();
    if has_database() {
        eprintln!("xtask: advisories are checked against an OLD database; no new one: {reason}");
        return run(&["check", "--disable-fetch", "advisories"]);
    }
    eprintln!("xtask: ADVISORIES WERE NOT CHECKED: no database here, and none to fetch: {reason}");
    Ok(())
}

/// Returns a cargo-deny of our version: from `PATH`, from `target/tools`, or built into it.
fn find_or_install() -> Result<PathBuf> {
    let tools = shell::root().join("target/tools");
    let own = tools.join("bin/cargo-deny");
    let wanted = format!("cargo-deny {VERSION}");
    let is_wanted = |path: &PathBuf| shell::ask(Command::new(path).arg("--version")).as_ref() == Some(&wanted);
    if let Some(path) = shell::find("cargo-deny").into_iter().chain([own.clone()]).find(is_wanted) {
        return Ok(path);
    }
    eprintln!("xtask: {wanted} is not here; building it into {}, which takes minutes", tools.display());
    // A debug build is there three times sooner, and its checks take a second or two more.
    let args = ["install", "cargo-deny", "--locked", "--version", VERSION, "--debug", "--force", "--root"];
    shell::run(shell::cargo(&args).arg(&tools).env("CARGO_PROFILE_DEV_DEBUG", "0"))?;
    Ok(own)
}

/// Returns whether some copy of the advisory database is where cargo-deny keeps it.
fn has_database() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let databases = home.and_then(|home| std::fs::read_dir(home.join("advisory-dbs")).ok());
    databases.into_iter().flatten().flatten().any(|entry| entry.path().join("crates").is_dir())
}
