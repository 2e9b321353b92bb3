//! What the agent says: one event a line, and text in pieces that are worth a line.

use orcha_agent::{Event, Usage};
use serde_json::Value;
use std::io::Write;

/// Text is passed on when it is this long and a line of it is whole.
const PIECE: usize = 400;

/// Text is passed on at the latest when it is this long.
const ROOM: usize = 2000;

/// Standard output is gone: nobody will know what this process does.
#[derive(Debug, thiserror::Error)]
#[error("the standard output broke")]
pub(crate) struct Unheard(#[from] std::io::Error);

/// Standard output, and the text that is not yet said.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    text: String,
    thinking: bool,
}

impl Voice {
    /// Says an event, after the text that came before it.
    pub(crate) fn say(&mut self, event: &Event) -> Result<(), Unheard> {
        self.flush()?;
        write(event, None)
    }

    /// Says what a call cost, with the name of the call: by it one can tell later whether it was said.
    pub(crate) fn cost(&mut self, usage: Usage, call: &str) -> Result<(), Unheard> {
        self.flush()?;
        write(&Event::Usage(usage), Some(call))
    }

    /// Takes a piece of text.
    pub(crate) fn piece(&mut self, thinking: bool, piece: &str) -> Result<(), Unheard> {
        if self.thinking != thinking {
            self.flush()?;
            self.thinking = thinking;
        }
        self.text.push_str(piece);
        while self.text.len() > PIECE {
            let at = match self.text.rfind('\n') {
                Some(at) => at + 1,
                None if self.text.len() > ROOM => self.text.floor_char_boundary(ROOM),
                None => break,
            };
            let rest = self.text.split_off(at);
            let part = std::mem::replace(&mut self.text, rest);
            self.write_text(part)?;
        }
        Ok(())
    }

    /// Says the text that is left.
    pub(crate) fn flush(&mut self) -> Result<(), Unheard> {
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() { Ok(()) } else { self.write_text(text) }
    }

    fn write_text(&self, text: String) -> Result<(), Unheard> {
        let text = clean(text);
        write(&if self.thinking { Event::Thinking { text } } else { Event::Text { text } }, None)
    }
}

/// Replaces NUL, which no database takes as text.
pub(crate) fn clean(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// How the name of a call looks in a line.
pub(crate) fn mark(call: &str) -> String {
    format!("\"call\":\"{call}\"")
}

fn write(event: &Event, call: Option<&str>) -> Result<(), Unheard> {
    let mut line = serde_json::to_value(event).map_err(std::io::Error::from)?;
    if let (Some(call), Some(fields)) = (call, line.as_object_mut()) {
        fields.insert("call".to_owned(), Value::String(call.to_owned()));
    }
    // One write: a line is there or it is not.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()?;
    Ok(())
}
