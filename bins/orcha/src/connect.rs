//! How the daemon is found: options, then environment, then the two files in its data folder.

use crate::cli::Connection;
use crate::say::aside;
use anyhow::{Context, Result};
use orcha_base::Redacted;
use orcha_client::Client;
use serde::Deserialize;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// No daemon has left its address in the data folder.
#[derive(Debug, thiserror::Error)]
#[error(
    "no daemon was started with the data folder {}; start one with `orchad serve`, or name another by --data or --url",
    .data.display()
)]
pub struct NotRunning {
    data: PathBuf,
}

/// There is no token to show to the daemon.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the token from {}; name its file by --token-file or set ORCHA_TOKEN", .path.display())]
pub struct NoToken {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

#[derive(Deserialize)]
struct Address {
    url: String,
}

/// Makes a client of the daemon that is meant.
pub fn client(connection: &Connection) -> Result<Client> {
    let url = match &connection.url {
        Some(url) => url.clone(),
        None => address(&data_dir(connection)?)?,
    };
    let client = Client::new(&url, token(connection)?)?;
    Ok(client.within(connection.tenant.as_deref(), connection.scope.as_deref())?)
}

fn address(data: &Path) -> Result<String> {
    let path = data.join("daemon.json");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(NotRunning { data: data.to_owned() }.into()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let address: Address = serde_json::from_str(&text)
        .with_context(|| format!("{} does not say where the daemon is; name it by --url", path.display()))?;
    Ok(address.url)
}

fn token(connection: &Connection) -> Result<Redacted<String>> {
    let path = match (&connection.token_file, std::env::var("ORCHA_TOKEN")) {
        (Some(path), _) => path.clone(),
        (None, Ok(token)) => return Ok(Redacted::new(token.trim().to_owned())),
        (None, Err(_)) => data_dir(connection)?.join("token"),
    };
    let text = fs::read_to_string(&path).map_err(|source| NoToken { path: path.clone(), source })?;
    if fs::metadata(&path).is_ok_and(|it| it.permissions().mode() & 0o077 != 0) {
        let path = path.display();
        aside(&format!("warning: others can read the token in {path}; `chmod 600 {path}` keeps it yours"));
    }
    Ok(Redacted::new(text.trim().to_owned()))
}

fn data_dir(connection: &Connection) -> Result<PathBuf> {
    use etcetera::BaseStrategy;
    if let Some(data) = &connection.data {
        return Ok(data.clone());
    }
    let dirs = etcetera::choose_base_strategy().context("there is no home folder; name the data folder by --data")?;
    Ok(dirs.data_dir().join("orcha"))
}
