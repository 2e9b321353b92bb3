//! Secrets by reference: read when they are needed, forgotten afterwards.

use crate::Invalid;
use orcha_base::Redacted;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A shorter secret can be guessed.
const SHORTEST: usize = 16;

/// A longer one is some other file.
const LONGEST: u64 = 4096;

/// Where a secret lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// In a variable of the daemon's environment.
    Env(String),
    /// In a file on the daemon's machine.
    File(PathBuf),
}

impl<'de> Deserialize<'de> for SecretRef {
    /// By hand, so that a secret given in its place is not repeated in the complaint.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Named {
            Env(String),
            File(PathBuf),
        }
        let value = serde_json::Value::deserialize(deserializer)?;
        match serde_json::from_value(value) {
            Ok(Named::Env(name)) => Ok(Self::Env(name)),
            Ok(Named::File(path)) => Ok(Self::File(path)),
            Err(_) => Err(serde::de::Error::custom(
                "a secret is named, not given: expected {\"env\": \"NAME\"} or {\"file\": \"/path\"}",
            )),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

/// How the daemon's environment is asked.
#[derive(Clone)]
pub struct Lookup(Arc<Ask>);

type Ask = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Lookup {
    /// Takes a function that knows the environment.
    pub fn new(ask: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookup")
    }
}

impl SecretRef {
    pub(crate) fn plausible(&self) -> Result<(), Invalid> {
        let fine = match self {
            Self::Env(name) => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                !name.is_empty() && name.len() <= 100 && name.bytes().all(plain)
            }
            Self::File(path) => path.is_absolute(),
        };
        let rule = "expected the name of a variable, or an absolute path of a file";
        if fine { Ok(()) } else { Err(Invalid::new("delivery.config.secret", rule)) }
    }

    /// Reads the secret. The complaint names the reference and the rule, never what was read.
    pub(crate) fn read(&self, lookup: &Lookup) -> Result<Redacted<Vec<u8>>, Invalid> {
        let wrong = |rule: String| Err(Invalid::new("delivery.config.secret", rule));
        let bytes = match self {
            Self::Env(name) => match (lookup.0)(name) {
                Some(value) => value.into_bytes(),
                None => return wrong(format!("{self} is not set")),
            },
            Self::File(path) => {
                let mut options = std::fs::OpenOptions::new();
                // A pipe must not hold us.
                let opened =
                    options.read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(path);
                let mut bytes = Vec::new();
                let read = opened.and_then(|file| {
                    if !file.metadata()?.is_file() {
                        return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput));
                    }
                    file.take(LONGEST + 1).read_to_end(&mut bytes)
                });
                if let Err(error) = read {
                    return wrong(format!("{self} cannot be read: {}", error.kind()));
                }
                bytes
            }
        };
        let bytes = bytes.trim_ascii().to_vec();
        if bytes.len() < SHORTEST || bytes.len() as u64 > LONGEST {
            return wrong(format!("{self} must hold {SHORTEST} to {LONGEST} bytes"));
        }
        Ok(Redacted::new(bytes))
    }
}
