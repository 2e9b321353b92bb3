//! Ends what a measured wheel or daemon left running: agents outlive those who started them, as they should.

use anyhow::{Context, Result};
use orcha_exec::{Grace, Host, LocalHost, LocalSettings};
use std::path::Path;

/// Opens the runs below a work folder, as the daemon does.
pub fn host(program: &Path, work: &Path) -> Result<LocalHost> {
    let keeper = vec![program.display().to_string(), "keeper".to_owned()];
    LocalHost::new(LocalSettings::detect(work, keeper)).context("this machine cannot keep runs")
}

/// Ends every run below a work folder. Nobody else may start any there meanwhile.
pub async fn sweep(program: &Path, work: &Path) -> Result<()> {
    let host = host(program, work)?;
    for run in host.runs().await? {
        host.stop(&run.label, Grace::QUICK).await?;
    }
    Ok(())
}
