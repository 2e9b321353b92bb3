//! Names that git commands are built from, checked once at the border.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A name that is not allowed to reach a git command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: {rule}")]
pub struct InvalidName {
    what: &'static str,
    text: String,
    rule: &'static str,
}

impl InvalidName {
    fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        Self { what, text: text.chars().take(120).collect(), rule }
    }
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

/// A branch: `main`, `orcha/implementer-1a2b3c4d`. Never starts with `-` and never carries `refs/`.
///
/// Stricter than git itself, which accepts `;id` and lets `update-ref` make `-x`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);
text_newtype!(BranchName);

impl BranchName {
    /// Returns the full ref: `refs/heads/…`.
    pub fn full_ref(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl FromStr for BranchName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse = |rule| Err(InvalidName::new("branch name", text, rule));
        let Some(first) = text.bytes().next() else {
            return refuse("it is empty");
        };
        if text.len() > 200 {
            return refuse("it is longer than 200 bytes");
        }
        if !first.is_ascii_alphanumeric() {
            return refuse("it must start with a letter or a digit");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b)) {
            return refuse("only letters, digits, `.`, `_`, `/` and `-` are allowed");
        }
        if text.starts_with("refs/") || text == "HEAD" {
            return refuse("a branch is named without `refs/`, and `HEAD` is taken");
        }
        let component_is_bad = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
        if text.contains("..") || text.ends_with('.') || text.split('/').any(component_is_bad) {
            return refuse(
                "git does not allow `..`, `//`, a trailing `/` or `.`, or a part that starts with `.` or ends with `.lock`",
            );
        }
        Ok(Self(text.to_owned()))
    }
}

/// A full object name: 40 lower-case hexadecimal digits, or 64 in a SHA-256 repository.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha(String);
text_newtype!(Sha);

impl Sha {
    /// Returns the first ten digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl FromStr for Sha {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && (text.len() == 40 || text.len() == 64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName::new("commit", text, "expected 40 or 64 lower-case hexadecimal digits"))
        }
    }
}

/// Where a repository is cloned from: an absolute path, `file://`, `https://`, `http://`, `ssh://` or
/// `user@host:path`. Nothing that git would take for an option or a remote helper (`ext::…`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoUrl(String);
text_newtype!(RepoUrl);

impl RepoUrl {
    /// Returns the path if the repository lies on this machine.
    pub fn local_path(&self) -> Option<&str> {
        if self.0.starts_with('/') { Some(&self.0) } else { self.0.strip_prefix("file://") }
    }

    /// Returns the last part of the path without `.git`: a name for people and folders.
    pub fn name(&self) -> &str {
        let last = self.0.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or("repository");
        last.strip_suffix(".git").unwrap_or(last)
    }
}

impl FromStr for RepoUrl {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse = |rule| Err(InvalidName::new("repository address", text, rule));
        if text.is_empty() || text.len() > 2000 {
            return refuse("expected between 1 and 2000 bytes");
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return refuse("it holds a blank or a control character");
        }
        if text.starts_with('-') || text.contains("::") {
            return refuse("it must not start with `-` or name a remote helper");
        }
        if text.starts_with('/') {
            return Ok(Self(text.to_owned()));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let host = rest.split('/').next().unwrap_or_default();
            let host = host.rsplit('@').next().unwrap_or_default();
            return match scheme {
                "file" if rest.starts_with('/') => Ok(Self(text.to_owned())),
                "https" | "http" | "ssh" if !host.is_empty() && !host.starts_with('-') => Ok(Self(text.to_owned())),
                _ => refuse("expected file:///…, https://…, http://… or ssh://…"),
            };
        }
        match text.split_once(':') {
            Some((host, path)) if host.contains('@') && !path.is_empty() && !host.contains("@-") => {
                Ok(Self(text.to_owned()))
            }
            _ => refuse("expected an absolute path, a URL, or user@host:path"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_branch_names_are_refused() {
        for bad in [
            "",
            "-x",
            "--upload-pack=touch pwn",
            "a b",
            "a..b",
            ";id",
            "refs/heads/x",
            "HEAD",
            "a//b",
            "a/",
            "a.lock",
            "a/.b",
            "x\ny",
            "é",
        ] {
            assert!(bad.parse::<BranchName>().is_err(), "{bad:?} was accepted");
        }
        for good in ["main", "orcha/implementer-1a2b3c4d", "feature/A_1.2"] {
            assert!(good.parse::<BranchName>().is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn hostile_repository_addresses_are_refused() {
        for bad in [
            "",
            "--upload-pack=x",
            "ext::sh -c id",
            "ext::id",
            "ssh://-oProxyCommand=x/y",
            "a b",
            "relative/path",
            "-oX@host:p",
            "git@-oX:p",
        ] {
            assert!(bad.parse::<RepoUrl>().is_err(), "{bad:?} was accepted");
        }
        for good in
            ["/srv/a.git", "file:///srv/a.git", "https://host/a/b.git", "ssh://git@host:22/a", "git@host:a/b.git"]
        {
            assert!(good.parse::<RepoUrl>().is_ok(), "{good:?} was refused");
        }
        assert_eq!("git@host:a/b.git".parse::<RepoUrl>().unwrap().name(), "b");
    }

    #[test]
    fn a_sha_is_complete_or_refused() {
        assert!("abc".parse::<Sha>().is_err());
        assert!("0123456789abcdef0123456789abcdef01234567".parse::<Sha>().is_ok());
        assert!(serde_json::from_str::<Sha>("\"HEAD\"").is_err());
    }
}
