//! The daemon's own files in its data folder: the token, and where it serves.

use anyhow::{Context, Result};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where a running daemon can be reached: `daemon.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Address {
    /// The base address of its API.
    pub url: String,
    /// Its process id.
    pub pid: u32,
}

/// Returns the data folder that is used when none is named.
pub fn default_data() -> Result<PathBuf> {
    use etcetera::BaseStrategy;
    let dirs =
        etcetera::choose_base_strategy().context("there is no home directory; name a data folder with --data")?;
    Ok(dirs.data_dir().join("orcha"))
}

/// Makes a private folder if it is not there.
pub fn private_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
        format!("the folder {} could not be made; choose another with --data or --work-root", path.display())
    })
}

/// Reads the daemon's token, or makes one: 256 random bits in a file that only its owner reads.
pub fn token(data: &Path) -> Result<String> {
    let path = data.join("token");
    match fs::read_to_string(&path) {
        Ok(token) if token.trim().len() >= 32 => {
            let mode = fs::metadata(&path)?.permissions().mode();
            if mode & 0o077 != 0 {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
                    .with_context(|| format!("{} is readable by others and could not be closed", path.display()))?;
            }
            Ok(token.trim().to_owned())
        }
        Ok(_) => anyhow::bail!("{} does not hold a token; delete it to get a new one", path.display()),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {
            let token = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
            write_private(&path, &token)?;
            Ok(token)
        }
        Err(fault) => Err(fault).with_context(|| format!("{} could not be read", path.display())),
    }
}

/// Says where the daemon serves.
pub fn write_address(data: &Path, address: &Address) -> Result<()> {
    write_private(&data.join("daemon.json"), &serde_json::to_string(address)?)
}

/// Reads where the last daemon served, if it said so.
pub fn last_address(data: &Path) -> Option<Address> {
    serde_json::from_str(&fs::read_to_string(data.join("daemon.json")).ok()?).ok()
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let aside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().with_context(|| format!("{} could not be written", path.display()))
}
