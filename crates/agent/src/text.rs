//! Small things that every dialect needs when it reads: fields, names of bearable length, and text in pieces.
//!
//! Nothing here knows a protocol.

use crate::{Event, Usage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How many ids of each sort are remembered: enough for what can be open at once.
const KEPT: usize = 64;

/// A name or an id is not longer than this; what lies beyond is cut.
const LONG: usize = 200;

/// How much of an agent's own words is kept as the detail of a failure.
const DETAIL: usize = 2000;

/// Text that comes in pieces is passed on at the latest when it is this long.
const ROOM: usize = 2000;

/// Returns a field that is text.
pub(crate) fn str_of<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str)
}

/// Returns a field that is a count; anything else is zero.
pub(crate) fn count(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or(0)
}

/// Cuts a name to a length that is bearable in rows and keys.
pub(crate) fn short(text: &str) -> String {
    clean(text.chars().take(LONG).collect())
}

/// Cuts an agent's words for the detail of a failure.
pub(crate) fn detail(text: &str) -> String {
    clean(text.chars().take(DETAIL).collect())
}

/// Replaces NUL, which no database takes as text.
pub(crate) fn clean(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

pub(crate) fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Turns dollars into millionths; what is no amount of money counts as not said.
pub(crate) fn micros(value: &Value) -> Option<u64> {
    let micros = (value.as_f64()? * 1e6).round();
    // Up to 2^53 a float holds whole numbers exactly.
    (0.0..=9_007_199_254_740_992.0).contains(&micros).then_some(micros as u64)
}

/// Remembers an id; one of unlikely length is not worth the room.
pub(crate) fn remember(ids: &mut Vec<String>, id: &str) {
    if id.len() > LONG {
        return;
    }
    if ids.len() >= KEPT {
        ids.remove(0);
    }
    ids.push(id.to_owned());
}

/// Makes the entry of a line that is not of the protocol.
pub(crate) fn raw(line: &[u8], truncated: bool) -> Event {
    Event::Raw { text: clean(String::from_utf8_lossy(line).into_owned()), truncated }
}

/// Reads a line as a JSON object. A blank line is `None`; anything else that is none comes back as it was.
pub(crate) fn object(line: &[u8], truncated: bool) -> Option<Result<Value, Event>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    let parsed = if truncated { None } else { serde_json::from_slice::<Map<String, Value>>(line).ok() };
    Some(parsed.map(Value::Object).ok_or_else(|| raw(line, truncated)))
}

/// Tells whether tokens or money were counted at all.
pub(crate) fn counted(usage: &Usage) -> bool {
    *usage != Usage::default()
}

/// Text that an agent sends in pieces, put together so that a paragraph is one entry. It is part of what a
/// dialogue remembers, and therefore never long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Flow {
    /// Whether it is reasoning.
    thinking: bool,
    /// The message that it belongs to, where the agent says so.
    message: Option<String>,
    text: String,
}

impl Flow {
    /// Takes a piece; what belongs to another message, or is long enough, comes out.
    pub(crate) fn push(&mut self, thinking: bool, message: Option<&str>, piece: &str) -> Vec<Event> {
        let message = message.map(short);
        let mut events = Vec::new();
        if self.thinking != thinking || self.message != message {
            events.extend(self.flush());
            (self.thinking, self.message) = (thinking, message);
        }
        self.text.push_str(piece);
        while self.text.len() > ROOM {
            // At the end of a line where there is one, else where a character ends.
            let at = match self.text[..self.text.floor_char_boundary(ROOM)].rfind('\n') {
                Some(at) => at + 1,
                None => self.text.floor_char_boundary(ROOM),
            };
            let rest = self.text.split_off(at);
            let part = std::mem::replace(&mut self.text, rest);
            events.push(self.event(part));
        }
        events
    }

    /// Gives out what is left.
    pub(crate) fn flush(&mut self) -> Option<Event> {
        let text = std::mem::take(&mut self.text);
        (!text.is_empty()).then(|| self.event(text))
    }

    fn event(&self, text: String) -> Event {
        let text = clean(text);
        if self.thinking { Event::Thinking { text } } else { Event::Text { text } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_messages_and_no_character_is_lost_or_split() {
        let mut flow = Flow::default();
        let mut events = Vec::new();
        let long = format!("{}\n{}", "ä".repeat(900), "b".repeat(5000));
        for piece in ["a", "b", &long, "end"] {
            events.extend(flow.push(false, None, piece));
        }
        events.extend(flow.push(true, None, "hm"));
        events.extend(flow.push(true, Some("2"), "again"));
        events.extend(flow.flush());
        assert_eq!(flow.flush(), None);
        let text: Vec<&str> = events
            .iter()
            .map(|it| match it {
                Event::Text { text } | Event::Thinking { text } => text.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(text.concat(), format!("ab{long}endhmagain"));
        assert_eq!(text[0], format!("ab{}\n", "ä".repeat(900)));
        assert_eq!(text[text.len() - 2..], ["hm", "again"]);
        assert!(text.iter().all(|it| it.len() <= ROOM));
    }
}
