//! How hard a model shall think before it answers: the words that providers have for it.
//!
//! Words only. Which of them a model knows is its provider's to say, and differs from model to model.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How hard a model thinks, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as there is.
    Minimal,
    /// Little.
    Low,
    /// As usual.
    Medium,
    /// Much.
    High,
    /// More than that.
    Xhigh,
    /// As much as there is.
    Max,
}

/// A word that is no effort.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no effort: expected none, minimal, low, medium, high, xhigh or max")]
pub struct UnknownEffort {
    text: String,
}

impl Effort {
    /// Lists every effort.
    pub const ALL: [Self; 7] = [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Xhigh, Self::Max];

    /// Returns the word as it stands in JSON, settings and requests to providers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Effort {
    type Err = UnknownEffort;
    fn from_str(text: &str) -> Result<Self, UnknownEffort> {
        let known = Self::ALL.into_iter().find(|it| it.name() == text);
        known.ok_or_else(|| UnknownEffort { text: text.chars().take(80).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_the_same_in_text_and_in_json() {
        for it in Effort::ALL {
            assert_eq!(it.to_string().parse(), Ok(it));
            assert_eq!(serde_json::to_string(&it).unwrap(), format!("\"{it}\""));
        }
        assert!(Effort::ALL.is_sorted());
    }

    #[test]
    fn another_word_is_refused_by_what_there_is() {
        let fault = "turbo".parse::<Effort>().unwrap_err();
        assert_eq!(fault.to_string(), "`turbo` is no effort: expected none, minimal, low, medium, high, xhigh or max");
        assert!("High".parse::<Effort>().is_err() && "".parse::<Effort>().is_err());
    }
}
