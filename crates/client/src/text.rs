//! Text for people: ages, amounts, tones, and foreign text made harmless for a terminal.
//!
//! What agents and strangers wrote must not move the cursor, set the title of the window or hide what follows.

use crate::Link;
use anstyle::{AnsiColor, Style};
use std::time::Duration;

/// Returns an age in its largest unit: `7s`, `12m`, `3h`, `5d`.
pub fn age(age: Duration) -> String {
    match age.as_secs() {
        secs @ 0..60 => format!("{secs}s"),
        secs @ 60..3600 => format!("{}m", secs / 60),
        secs @ 3600..172_800 => format!("{}h", secs / 3600),
        secs => format!("{}d", secs / 86_400),
    }
}

/// Returns an amount with three digits and a unit: `812`, `12.3k`, `4.5M`.
pub fn amount(amount: u64) -> String {
    let scaled = |unit: u64, name: &str| {
        let tenths = amount / (unit / 10);
        format!("{}.{}{name}", tenths / 10, tenths % 10)
    };
    match amount {
        0..1000 => amount.to_string(),
        1000..1_000_000 => scaled(1000, "k"),
        1_000_000..1_000_000_000 => scaled(1_000_000, "M"),
        _ => scaled(1_000_000_000, "G"),
    }
}

/// Returns foreign text as one harmless line.
pub fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().filter(|it| is_harmless(*it)));
    }
    line
}

/// Returns foreign text with its lines, and without anything else that a terminal would obey.
pub fn block(text: &str) -> String {
    text.chars().filter(|it| matches!(it, '\n' | '\t') || is_harmless(*it)).collect()
}

/// Returns at most so many characters, the last one an ellipsis if something is missing.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Controls, and the marks that turn the direction of writing.
fn is_harmless(it: char) -> bool {
    !it.is_control() && !matches!(it, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns the tone of a state's name, whichever noun it belongs to.
pub fn tone(state: &str) -> Style {
    let colour = match state {
        "running" | "active" | "online" | "open" | "passing" | "ready" | "ok" | "approved" | "acknowledged" => {
            AnsiColor::Green
        }
        "queued" | "starting" | "preparing" | "pending" | "waiting_capacity" | "draining" | "opening" | "draft"
        | "sent" => AnsiColor::Yellow,
        "waiting_user" | "parked" | "paused" | "gap" | "changes_requested" => AnsiColor::BrightYellow,
        "succeeded" | "answered" | "delivered" | "handled" => AnsiColor::Blue,
        "merged" => AnsiColor::Magenta,
        "failed" | "failing" | "stops" | "offline" | "undeliverable" | "storage_full" => AnsiColor::Red,
        _ => return Style::new().dimmed(),
    };
    Style::new().fg_color(Some(colour.into()))
}

/// Returns a state's name in its tone, padded to a width.
pub fn toned(state: &str, width: usize) -> String {
    let tone = tone(state);
    format!("{tone}{state:<width$}{tone:#}")
}

/// Returns what people are told when a stream loses its daemon or finds it again.
pub fn link(link: Link, url: &str) -> String {
    match link {
        Link::Lost => format!("the daemon does not answer; agents go on; waiting for it at {url}"),
        Link::Up => format!("the daemon at {url} is back"),
    }
}

/// Returns an amount of money: `1.23 USD`.
pub fn dollars(micro_usd: u64) -> String {
    match micro_usd {
        1..10_000 => "less than 0.01 USD".to_owned(),
        _ => format!("{}.{:02} USD", micro_usd / 1_000_000, micro_usd % 1_000_000 / 10_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p16_foreign_text_cannot_steer_the_terminal() {
        assert_eq!(line("\x1b]0;owned\x07hello\r\n\x1b[2Jworld"), "]0;ownedhello [2Jworld");
        assert_eq!(line("safe\u{202e}txt"), "safetxt");
        assert_eq!(block("a\n\tb\x1b[1m"), "a\n\tb[1m");
    }

    #[test]
    fn ages_and_amounts_are_short() {
        let ages = [0, 59, 60, 3599, 3600, 172_799, 172_800].map(|secs| age(Duration::from_secs(secs)));
        assert_eq!(ages, ["0s", "59s", "1m", "59m", "1h", "47h", "2d"]);
        assert_eq!([999, 1000, 12_345, 4_500_000, 7_000_000_000].map(amount), ["999", "1.0k", "12.3k", "4.5M", "7.0G"]);
    }

    #[test]
    fn a_little_money_is_not_none() {
        assert_eq!([0, 1, 10_000, 1_239_999].map(dollars), ["0.00 USD", "less than 0.01 USD", "0.01 USD", "1.23 USD"]);
    }

    #[test]
    fn a_cut_text_says_so() {
        assert_eq!((cut("héllo", 5), cut("héllo", 4)), ("héllo".into(), "hél…".into()));
    }
}
