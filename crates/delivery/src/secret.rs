//! Secrets by reference: read when they are needed, forgotten afterwards. What the settings give a name belongs to one
//! tenant: for all others it does not exist.

use crate::Invalid;
use orcha_base::{Redacted, TenantId};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
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
    /// Where the settings say that this one of the tenant lies.
    Name(String),
}

impl<'de> Deserialize<'de> for SecretRef {
    /// By hand, so that a secret given in its place is not repeated in the complaint.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Named {
            Env(String),
            File(PathBuf),
            Name(String),
        }
        let value = serde_json::Value::deserialize(deserializer)?;
        match serde_json::from_value(value) {
            Ok(Named::Env(name)) => Ok(Self::Env(name)),
            Ok(Named::File(path)) => Ok(Self::File(path)),
            Ok(Named::Name(name)) => Ok(Self::Name(name)),
            Err(_) => Err(serde::de::Error::custom(
                "a secret is named, not given: expected {\"name\": \"…\"}, {\"env\": \"NAME\"} or {\"file\": \"/path\"}",
            )),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Name(name) => write!(f, "the secret `{name}`"),
        }
    }
}

/// The secrets that the settings give names, each tenant's by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NamedSecrets(BTreeMap<TenantId, BTreeMap<String, SecretRef>>);

impl NamedSecrets {
    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses names that nobody could use, and references that lead nowhere.
    pub fn check(&self) -> Result<(), String> {
        for (tenant, secrets) in &self.0 {
            for (name, place) in secrets {
                let wrong = |rule: &str| Err(format!("secrets.{tenant}.{name}: {rule}"));
                if !is_name(name) {
                    return wrong("its name must be of letters, digits, `-` and `_`, at most 100");
                }
                if matches!(place, SecretRef::Name(_)) || place.plausible().is_err() {
                    return wrong("expected { env = \"NAME\" } or { file = \"/path\" }");
                }
            }
        }
        Ok(())
    }

    /// Returns the tenants that have some.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.0.keys()
    }

    fn of(&self, tenant: &TenantId, name: &str) -> Option<&SecretRef> {
        self.0.get(tenant)?.get(name)
    }
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !name.is_empty() && name.len() <= 100 && name.bytes().all(plain)
}

/// Where secrets are looked for: in the daemon's environment, and by what the settings call them.
#[derive(Clone)]
pub struct Lookup {
    ask: Arc<Ask>,
    named: Arc<NamedSecrets>,
}

type Ask = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Lookup {
    /// Takes a function that knows the environment.
    pub fn new(ask: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { ask: Arc::new(ask), named: Arc::default() }
    }

    /// Takes the secrets that have names.
    #[must_use]
    pub fn with(self, named: NamedSecrets) -> Self {
        Self { named: Arc::new(named), ..self }
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
            Self::Name(name) => is_name(name),
        };
        let rule = "expected the name of a secret or of a variable, or an absolute path of a file";
        if fine { Ok(()) } else { Err(Invalid::new("delivery.config.secret", rule)) }
    }

    /// Reads the secret for a tenant. The complaint names the reference and the rule, never what was read, nor where the
    /// settings say that a named one lies.
    pub(crate) fn read(&self, tenant: &TenantId, lookup: &Lookup) -> Result<Redacted<Vec<u8>>, Invalid> {
        let wrong = |rule: String| Invalid::new("delivery.config.secret", format!("{self} {rule}"));
        let place = match self {
            Self::Name(name) => lookup.named.of(tenant, name).ok_or_else(|| wrong("is none of this tenant".into()))?,
            Self::Env(_) | Self::File(_) => self,
        };
        let bytes = match place {
            Self::Env(name) => (lookup.ask)(name).ok_or_else(|| wrong("is not set".into()))?.into_bytes(),
            Self::File(path) => read(path).map_err(|error| wrong(format!("cannot be read: {}", error.kind())))?,
            Self::Name(_) => return Err(wrong("leads to another one".into())),
        };
        let bytes = bytes.trim_ascii().to_vec();
        if bytes.len() < SHORTEST || bytes.len() as u64 > LONGEST {
            return Err(wrong(format!("must hold {SHORTEST} to {LONGEST} bytes")));
        }
        Ok(Redacted::new(bytes))
    }
}

/// Reads the beginning of a file. A pipe must not hold us.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
