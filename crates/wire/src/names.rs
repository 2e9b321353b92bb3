//! The one way in which a closed set of names becomes an enum: JSON, text and listing agree by construction.

/// A text that is none of the names that are allowed in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: expected one of {allowed}")]
pub struct UnknownName {
    pub(crate) what: &'static str,
    pub(crate) text: String,
    pub(crate) allowed: String,
}

macro_rules! names {
    ($(#[$doc:meta])* $name:ident, $what:literal: $($variant:ident = $text:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[expect(missing_docs, reason = "the names are the published ones and speak for themselves")]
        pub enum $name {
            $(#[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Lists every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the name as it stands in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::UnknownName;
            fn from_str(text: &str) -> Result<Self, crate::UnknownName> {
                Self::ALL.iter().find(|it| it.as_str() == text).copied().ok_or_else(|| crate::UnknownName {
                    what: $what,
                    text: text.chars().take(80).collect(),
                    allowed: [$($text),+].join(", "),
                })
            }
        }
    };
}

pub(crate) use names;
