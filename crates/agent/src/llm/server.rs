//! Tool servers as an agent over a model's API is told of them, and what such a server says of its tools.
//!
//! What a server says are somebody else's words: they are bounded, brought into one order and known by their hash.
//! Whether a server may be used is not decided here.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt;

/// How many tools a server may have.
pub const MOST_TOOLS: usize = 100;

/// How long all that it says of them may be, in bytes.
pub const LONGEST_TOOLS: usize = 256 * 1024;

/// How long the name of a tool may be, with that of its server: longer ones are taken by no provider.
const LONGEST_NAME: usize = 64;

/// What stands between the name of a server, which has no underscore, and that of its tool.
const BETWEEN: &str = "__";

/// A tool server as an agent reaches it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub reach: Reach,
    /// The hash of what a person approved of; `None` when somebody only wants to see what it says.
    pub hash: Option<String>,
    /// Whether a call may change something: then it is asked for, and never made twice.
    pub writes: bool,
    /// How long it may take until it has said which tools it has, in seconds.
    pub connect_secs: u64,
    /// How long a call may take, in seconds.
    pub call_secs: u64,
}

/// How a tool server is reached. The values of variables and headers are secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reach {
    /// A process of the agent, spoken to over its standard streams.
    Stdio {
        /// The program and its arguments.
        command: Vec<String>,
        /// What it finds in its environment besides what the session's commands find.
        env: Vec<(String, String)>,
    },
    /// A server elsewhere.
    Http {
        /// Its address.
        url: String,
        /// Headers of each request.
        headers: Vec<(String, String)>,
        /// Hosts that may be reached although their addresses are not public.
        allow_hosts: Vec<String>,
    },
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No value of a variable or a header.
        match self {
            Self::Stdio { command, .. } => f.debug_struct("Stdio").field("command", command).finish_non_exhaustive(),
            Self::Http { url, .. } => f.debug_struct("Http").field("url", url).finish_non_exhaustive(),
        }
    }
}

impl Reach {
    /// Returns what must not be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let (Self::Stdio { env: pairs, .. } | Self::Http { headers: pairs, .. }) = self;
        pairs.iter().map(|(_, value)| value.as_str())
    }
}

/// What a server says of one of its tools.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// What a model is told of it.
    pub description: String,
    /// The JSON schema of its arguments.
    pub input_schema: Value,
}

impl Definition {
    fn value(&self) -> Value {
        json!({"name": self.name, "description": self.description, "input_schema": self.input_schema})
    }

    /// Returns the name under which a model knows it, if it can have one: two tools never have the same.
    pub fn spelt(&self, server: &str) -> Option<String> {
        let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'_' || it == b'-';
        let name = format!("{server}{BETWEEN}{}", self.name);
        (!self.name.is_empty() && self.name.bytes().all(plain) && name.len() <= LONGEST_NAME).then_some(name)
    }
}

/// Tells whether a tool is one of a server: no other tool's name has two underscores in a row.
pub fn is_of_a_server(tool: &str) -> bool {
    tool.contains(BETWEEN)
}

/// What a server says of all its tools, by their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Definitions(Vec<Definition>);

/// What a server says of its tools cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There are too many.
    #[error("it has more than {MOST_TOOLS} tools")]
    TooMany,
    /// Two have one name.
    #[error("it has two tools of the name `{name}`")]
    Twice {
        /// The name.
        name: String,
    },
    /// It says too much.
    #[error("what it says of its tools is longer than {} KiB", LONGEST_TOOLS / 1024)]
    TooLong,
    /// It is not what was written down.
    #[error("what was written down of its tools is not understood")]
    Unread,
}

impl Definitions {
    /// Takes what a server says.
    pub fn new(mut all: Vec<Definition>) -> Result<Self, Unusable> {
        if all.len() > MOST_TOOLS {
            return Err(Unusable::TooMany);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = all.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(Unusable::Twice { name: pair[0].name.chars().take(100).collect() });
        }
        let all = Self(all);
        if all.text().len() > LONGEST_TOOLS { Err(Unusable::TooLong) } else { Ok(all) }
    }

    /// Reads what [`text`](Self::text) wrote.
    pub fn read(text: &str) -> Result<Self, Unusable> {
        Self::new(serde_json::from_str(text).map_err(|_| Unusable::Unread)?)
    }

    /// Writes it down so that a person can read all of it, and always in the same way. What an eye does not see is
    /// written as its number.
    pub fn text(&self) -> String {
        let json = format!("{:#}", self.0.iter().map(Definition::value).collect::<Value>());
        let mut text = String::with_capacity(json.len());
        for it in json.chars() {
            if it != '\n' && (it.is_control() || is_hidden(it)) {
                // Outside of its strings JSON has no such character, and in them this is the same one.
                let mut units = [0; 2];
                it.encode_utf16(&mut units).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
            } else {
                text.push(it);
            }
        }
        text.push('\n');
        text
    }

    /// Returns the hash of its text.
    pub fn hash(&self) -> String {
        hash_of(&self.text())
    }

    /// Returns the tools.
    pub fn iter(&self) -> impl Iterator<Item = &Definition> {
        self.0.iter()
    }
}

/// Returns the hash of what was written down of a server's tools.
pub fn hash_of(text: &str) -> String {
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(text.as_bytes())))
}

/// Tells whether a character shows nothing, or turns what stands beside it.
fn is_hidden(it: char) -> bool {
    matches!(it,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, description: &str) -> Definition {
        Definition { name: name.into(), description: description.into(), input_schema: json!({"type": "object"}) }
    }

    #[test]
    fn the_order_of_tools_is_nothing_and_each_word_of_them_is_something() {
        let hash = |all: &[Definition]| Definitions::new(all.to_vec()).unwrap().hash();
        let (a, b) = (tool("a", "Reads."), tool("b", "Writes."));
        assert_eq!(hash(&[a.clone(), b.clone()]), hash(&[b.clone(), a.clone()]));
        let schema = Definition { input_schema: json!({"type": "object", "required": ["x"]}), ..a.clone() };
        for other in [vec![a.clone()], vec![tool("a", "Reads. "), b.clone()], vec![schema, b], vec![]] {
            assert_ne!(hash(&other), hash(&[a.clone(), tool("b", "Writes.")]));
        }
    }

    #[test]
    fn what_is_not_seen_is_written_out_and_reads_back_as_it_was() {
        let sly = "Adds.\u{e0041}\u{200b}\u{202e}\u{7f}\u{9b}\u{1b}[2J \u{fc}ber";
        let all = Definitions::new(vec![tool("add", sly)]).unwrap();
        let text = all.text();
        assert!(text.contains("Adds.\\udb40\\udc41\\u200b\\u202e\\u007f\\u009b\\u001b[2J \u{fc}ber"), "{text}");
        assert!(text.chars().all(|it| it == '\n' || !it.is_control() && !is_hidden(it)), "{text}");
        assert_eq!(Definitions::read(&text), Ok(all));
    }

    #[test]
    fn what_cannot_be_told_apart_or_reviewed_is_refused() {
        let twice = Definitions::new(vec![tool("a", "1"), tool("b", ""), tool("a", "2")]);
        assert_eq!(twice, Err(Unusable::Twice { name: "a".into() }));
        let many = (0..=MOST_TOOLS).map(|n| tool(&n.to_string(), "")).collect();
        assert_eq!(Definitions::new(many), Err(Unusable::TooMany));
        assert_eq!(Definitions::new(vec![tool("a", &"x".repeat(LONGEST_TOOLS))]), Err(Unusable::TooLong));
        assert_eq!(Definitions::read("[{}]"), Err(Unusable::Unread));
    }

    #[test]
    fn names_lead_to_one_server_and_one_tool() {
        let spelt = |server: &str, name: &str| tool(name, "").spelt(server);
        assert_eq!(spelt("tickets", "create").as_deref(), Some("tickets__create"));
        assert_eq!(spelt("a", "_b__c").as_deref(), Some("a___b__c"));
        for none in ["", "a.b", "a/b", "a b", "\u{e4}", &"x".repeat(60)] {
            assert_eq!(spelt("tickets", none), None, "{none}");
        }
        assert!(is_of_a_server("tickets__create") && is_of_a_server("mcp__orcha__hand_in"));
        assert!(!is_of_a_server("read") && !is_of_a_server("hand_in"));
    }

    #[test]
    fn no_secret_is_printed() {
        let env = vec![("TOKEN".to_owned(), "hunter2".to_owned())];
        let reach = Reach::Stdio { command: vec!["tickets".into()], env };
        assert_eq!(format!("{reach:?}"), r#"Stdio { command: ["tickets"], .. }"#);
        assert_eq!(reach.secrets().collect::<Vec<_>>(), ["hunter2"]);
    }
}
