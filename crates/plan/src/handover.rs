//! What an agent that takes over is told of the conversation that it cannot have: bounded, and written by code.

use crate::prompt::head;
use std::fmt::Write;

/// One line of a transcript, as far as it matters to whoever goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who spoke: `agent`, `tool`, `system`.
    pub source: String,
    /// What it is: `text`, `tool_call`, `tool_result`.
    pub kind: String,
    /// What it says.
    pub content: String,
}

/// How many of the last texts are passed on, and how much of each, in bytes.
const TEXTS: (usize, usize) = (4, 1500);
/// How many of the last actions are passed on, and how much of each.
const ACTIONS: (usize, usize) = (40, 160);
/// The most that all of it takes, in bytes.
const MOST: usize = 14_000;

/// Writes what an agent did and said last, and what it was told besides its task.
pub fn brief(transcript: &[Line], told: &[String]) -> String {
    let mut text = String::new();
    let mut part = |title: &str, lines: Vec<String>| {
        if lines.is_empty() {
            return;
        }
        // Writing to a `String` cannot fail.
        writeln!(text, "\n{title}").unwrap_or_default();
        for line in lines {
            writeln!(text, "{line}").unwrap_or_default();
        }
    };
    let last = |kind: &str, source: &str, (n, most): (usize, usize)| -> Vec<String> {
        let of_kind = transcript.iter().filter(|it| it.kind == kind && it.source == source);
        let mut lines: Vec<String> = of_kind.rev().take(n).map(|it| shown(&it.content, most)).collect();
        lines.reverse();
        lines
    };
    part("It was told besides its task:", told.iter().map(|it| shown(it, TEXTS.1)).collect());
    part("What it did last, oldest first:", last("tool_call", "tool", ACTIONS));
    part("What it said last, oldest first:", last("text", "agent", TEXTS));
    head(&text, MOST).to_owned()
}

/// Quotes a text, cut to so many bytes.
fn shown(text: &str, most: usize) -> String {
    let text = text.trim();
    let short = head(text, most);
    let more = if short.len() < text.len() { " …" } else { "" };
    let quoted: Vec<String> = short.lines().map(|line| format!("> {line}")).collect();
    format!("{}{more}", quoted.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(source: &str, kind: &str, content: &str) -> Line {
        Line { source: source.into(), kind: kind.into(), content: content.into() }
    }

    #[test]
    fn the_last_words_and_actions_are_passed_on_and_noise_is_not() {
        let transcript = [
            line("agent", "text", "I begin."),
            line("tool", "tool_call", r#"Edit {"file":"a"}"#),
            line("tool", "tool_result", "a long listing"),
            line("stdout", "text", "not of the protocol"),
            line("agent", "text", "Half of it\nis done."),
        ];
        let said = brief(&transcript, &["Mind the tests.".into()]);
        assert_eq!(
            said,
            "\nIt was told besides its task:\n> Mind the tests.\n\nWhat it did last, oldest first:\n> Edit {\"file\":\"a\"}\n\
             \nWhat it said last, oldest first:\n> I begin.\n> Half of it\n> is done.\n"
        );
    }

    #[test]
    fn it_is_bounded_whatever_was_said() {
        let long = "ä".repeat(100_000);
        let transcript: Vec<Line> =
            (0..500).flat_map(|_| [line("agent", "text", &long), line("tool", "tool_call", &long)]).collect();
        let said = brief(&transcript, &vec![long; 50]);
        assert!(said.len() <= MOST, "{}", said.len());
    }
}
