//! Bytes as text for a model: bounded, and honest about what is missing.

use crate::error::Fault;
use crate::root::{Opened, shown};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// So many bytes at the beginning tell text from other things.
const LOOK: usize = 8 << 10;

/// What lies further into a file than this is not reached by lines.
const FAR: u64 = 64 << 20;

/// Text, and whether there was more.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) text: String,
    pub(crate) truncated: bool,
}

/// Tells whether bytes are something else than text.
pub(crate) fn binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(LOOK)].contains(&0)
}

/// Cuts text to so many bytes, at the end of a character.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Shows lines of a file.
pub(crate) fn lines(path: &Path, opened: Opened, from: u64, count: u64, most: usize) -> Result<Shown, Fault> {
    let broken = |source| Fault::Io { path: shown(path), source };
    let bytes = opened.bytes;
    let mut reader = BufReader::with_capacity(LOOK, opened.file.take(FAR));
    if binary(reader.fill_buf().map_err(broken)?) {
        return Err(Fault::Binary { path: shown(path), bytes });
    }
    let (mut text, mut number, mut shown_lines, mut full) = (String::new(), 0u64, 0u64, false);
    let (mut replaced, mut more) = (false, false);
    loop {
        let mut line = Vec::new();
        // A single line can be as long as the file.
        if reader.by_ref().take(most as u64 + 4).read_until(b'\n', &mut line).map_err(broken)? == 0 {
            break;
        }
        let cut_short = !line.ends_with(b"\n") && line.len() > most;
        if cut_short {
            skip_line(&mut reader).map_err(broken)?;
        }
        number += 1;
        if number < from {
            continue;
        }
        if full || shown_lines >= count {
            more = true;
            break;
        }
        let line = match String::from_utf8(line) {
            Ok(line) => line,
            Err(odd) => {
                replaced = true;
                String::from_utf8_lossy(odd.as_bytes()).into_owned()
            }
        };
        if text.len() + line.len() > most {
            if text.is_empty() {
                text.push_str(cut(&line, most));
                text.push_str("[… this line is longer]\n");
                shown_lines += 1;
            } else {
                more = true;
                break;
            }
            full = true;
            continue;
        }
        text.push_str(&line);
        shown_lines += 1;
    }
    let mut notes = Vec::new();
    if shown_lines == 0 && from > 1 {
        notes.push(format!("`{}` has {number} lines", shown(path)));
    }
    if more {
        notes.push(format!("there is more: continue with from = {}", from + shown_lines));
    }
    if replaced {
        notes.push("some bytes are not UTF-8 and are shown as \u{fffd}".to_owned());
    }
    if !notes.is_empty() {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("[{}]", notes.join("; ")));
    }
    if text.is_empty() {
        text.push_str("[the file is empty]");
    }
    Ok(Shown { text, truncated: more || full })
}

fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                reader.consume(at + 1);
                return Ok(());
            }
            None => {
                let all = buffer.len();
                reader.consume(all);
            }
        }
    }
}
