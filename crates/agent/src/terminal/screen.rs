//! What stands on a screen, and which of its lines are new. An emulator does the work; nothing here waits or types.

use avt::Terminal;
use avt::observer::Transcript;
use std::collections::{HashSet, VecDeque};

/// How many lines are remembered so that none is told twice.
const REMEMBERED: usize = 2000;
/// How many lines that ran off the top are kept until they are told.
const WAITING: usize = 5000;

/// A screen with its memory of what was told.
pub(crate) struct Screen {
    terminal: Terminal,
    transcript: Transcript,
    /// Lines that ran off the top and were not told yet.
    gone: VecDeque<String>,
    /// The beginning of a character that was cut.
    cut: Vec<u8>,
    text: String,
    told: VecDeque<String>,
    known: HashSet<String>,
}

impl Screen {
    /// Makes an empty screen. One without columns or rows gets one of each.
    pub(crate) fn new(cols: u16, rows: u16) -> Self {
        let (cols, rows) = (usize::from(cols.max(1)), usize::from(rows.max(1)));
        let terminal = match Terminal::new(cols, rows) {
            Ok(terminal) => terminal,
            Err(_) => unreachable!("both are at least one"),
        };
        Self {
            terminal,
            transcript: Transcript::new(),
            gone: VecDeque::new(),
            cut: Vec::new(),
            text: String::new(),
            told: VecDeque::new(),
            known: HashSet::new(),
        }
    }

    /// Shows what a program wrote; tells whether the screen's text is another one now.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> bool {
        self.cut.extend_from_slice(bytes);
        let whole = whole(&self.cut);
        let text = String::from_utf8_lossy(&self.cut[..whole]).into_owned();
        self.cut.drain(..whole);
        let gone = self.terminal.feed_with(text.as_str(), &mut self.transcript);
        self.keep(gone);
        self.look()
    }

    /// Follows a change of size.
    pub(crate) fn resize(&mut self, cols: u16, rows: u16) {
        let gone = self.terminal.resize_with(usize::from(cols.max(1)), usize::from(rows.max(1)), &mut self.transcript);
        self.keep(gone);
        self.look();
    }

    /// Returns the text of the screen, its lines trimmed at the end.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Takes what stands there now as told.
    pub(crate) fn pass_over(&mut self) {
        self.news();
    }

    /// Returns the lines that were not told before, in order, and remembers that they are told.
    pub(crate) fn news(&mut self) -> Vec<String> {
        let gone = std::mem::take(&mut self.gone);
        let visible: Vec<String> = self.text.lines().map(str::to_owned).collect();
        let mut news = Vec::new();
        for line in gone.into_iter().chain(visible) {
            if is_frame(&line) || self.known.contains(line.trim()) {
                continue;
            }
            let key = line.trim().to_owned();
            self.known.insert(key.clone());
            self.told.push_back(key);
            if self.told.len() > REMEMBERED
                && let Some(old) = self.told.pop_front()
            {
                self.known.remove(&old);
            }
            news.push(line);
        }
        news
    }

    fn keep(&mut self, gone: Vec<String>) {
        self.gone.extend(gone);
        while self.gone.len() > WAITING {
            self.gone.pop_front();
        }
    }

    fn look(&mut self) -> bool {
        let lines: Vec<String> =
            self.terminal.screen().visible_lines().map(|it| it.text().trim_end().to_owned()).collect();
        let text = lines.join("\n").trim_end().to_owned();
        let changed = text != self.text;
        self.text = text;
        changed
    }
}

/// Returns how many of the bytes are whole characters; broken ones count as whole.
fn whole(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        // Nothing but the end is missing.
        Err(fault) if fault.error_len().is_none() => fault.valid_up_to(),
        Err(_) => {
            let tail = bytes.len().saturating_sub(3);
            let cut = (tail..bytes.len()).find(|at| {
                let rest = &bytes[*at..];
                std::str::from_utf8(rest).is_err_and(|it| it.valid_up_to() == 0 && it.error_len().is_none())
            });
            cut.unwrap_or(bytes.len())
        }
    }
}

/// Tells whether a line holds nothing but what frames others.
fn is_frame(line: &str) -> bool {
    line.chars().all(|it| it.is_whitespace() || matches!(it, '\u{2500}'..='\u{259f}' | '-' | '=' | '_' | '|'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_told_once_however_often_the_screen_is_drawn() {
        let mut screen = Screen::new(20, 3);
        assert!(screen.feed(b"one\r\ntwo\r\n"));
        assert_eq!(screen.news(), ["one", "two"]);
        assert!(screen.feed(b"three\r\nfour\r\nfive\r\n------"));
        assert_eq!(screen.news(), ["three", "four", "five"]);
        assert!(screen.feed(b"\x1b[2J\x1b[Hfour\r\nfive"));
        assert!(screen.news().is_empty());
    }

    #[test]
    fn colours_and_the_cursor_are_no_change_of_the_text() {
        let mut screen = Screen::new(20, 3);
        assert!(screen.feed(b"hi"));
        assert!(!screen.feed(b"\x1b[1;31m\x1b[?25l\x1b[?25h"));
        assert_eq!(screen.text(), "hi");
    }

    #[test]
    fn a_character_that_comes_in_two_pieces_is_one() {
        let mut screen = Screen::new(20, 3);
        screen.feed(&"é".as_bytes()[..1]);
        screen.feed(&"é".as_bytes()[1..]);
        screen.feed(b"\xff!");
        assert_eq!(screen.text(), "é\u{fffd}!");
    }
}
