//! Words for people: states, figures, spans of time, and texts cut to what fits.

use std::time::Duration;

/// Returns the colour that a state has everywhere.
pub(crate) fn tone(state: &str) -> &'static str {
    match state {
        "running" | "active" | "online" | "open" | "passing" => "good",
        "queued" | "starting" | "pending" | "opening" | "waiting_capacity" | "draining" => "soon",
        "waiting_user" | "changes_requested" => "you",
        "succeeded" | "approved" => "done",
        "merged" => "merged",
        "failed" | "failing" | "offline" => "bad",
        _ => "quiet",
    }
}

/// Returns a state as people say it.
pub(crate) fn words(state: &str) -> String {
    match state {
        "waiting_user" => "needs you".to_owned(),
        "waiting_capacity" => "waiting".to_owned(),
        other => other.replace('_', " "),
    }
}

/// A text that may have been cut.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut<'a> {
    /// What is shown.
    pub shown: std::borrow::Cow<'a, str>,
    /// More of it, when it was cut: still not without end.
    pub title: Option<&'a str>,
}

/// However long a text is, no more characters of it stand in a page.
const TITLE: usize = 2_000;

/// Cuts a text to so many characters, visibly.
pub(crate) fn cut(text: &str, limit: usize) -> Cut<'_> {
    match text.char_indices().nth(limit) {
        None => Cut { shown: text.into(), title: None },
        Some(_) => {
            let end = text.char_indices().nth(limit.saturating_sub(1)).map_or(0, |(at, _)| at);
            let title_end = text.char_indices().nth(TITLE).map_or(text.len(), |(at, _)| at);
            Cut { shown: format!("{}…", text[..end].trim_end()).into(), title: Some(&text[..title_end]) }
        }
    }
}

/// Returns the last parts of a repository's address: what tells it from others.
pub(crate) fn short_repo(repo: &str) -> String {
    let parts: Vec<&str> = repo.trim_end_matches('/').rsplit(['/', ':']).take(2).collect();
    let name = parts.first().map_or(repo, |name| name.strip_suffix(".git").unwrap_or(name));
    match parts.get(1) {
        Some(owner) if !owner.is_empty() => format!("{owner}/{name}"),
        Some(_) | None => name.to_owned(),
    }
}

/// Returns a count in at most five characters.
pub(crate) fn count(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{}.{}k", n / 1_000, n % 1_000 / 100),
        _ => format!("{}.{}M", n / 1_000_000, n % 1_000_000 / 100_000),
    }
}

/// Returns a span in its two greatest units. The script says ages in the same way.
pub(crate) fn span(of: Duration) -> String {
    let secs = of.as_secs();
    match secs {
        0..60 => format!("{secs}s"),
        60..3_600 => format!("{}m {:02}s", secs / 60, secs % 60),
        3_600..86_400 => format!("{}h {:02}m", secs / 3_600, secs % 3_600 / 60),
        _ => format!("{}d {:02}h", secs / 86_400, secs % 86_400 / 3_600),
    }
}

/// Tells whether an address can stand behind a link: other schemes can do things when they are followed.
pub(crate) fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_visibly_and_keep_their_characters_whole() {
        assert_eq!(cut("äöü", 3), Cut { shown: "äöü".into(), title: None });
        assert_eq!(cut("äöüß", 3), Cut { shown: "äö…".into(), title: Some("äöüß") });
        let long = "ß".repeat(10_000);
        assert_eq!(cut(&long, 10).title.map(|it| it.chars().count()), Some(TITLE));
    }

    #[test]
    fn figures_are_short() {
        let counts = [0, 999, 1_000, 12_345, 999_999, 1_250_000].map(count);
        assert_eq!(counts, ["0", "999", "1.0k", "12.3k", "999.9k", "1.2M"]);
        let spans = [0, 59, 61, 3_599, 3_600, 90_000].map(|secs| span(Duration::from_secs(secs)));
        assert_eq!(spans, ["0s", "59s", "1m 01s", "59m 59s", "1h 00m", "1d 01h"]);
    }

    #[test]
    fn repositories_are_told_apart_by_their_last_parts() {
        let short = ["/srv/git/a.git", "https://host/o/r.git", "git@host:o/r", "file:///x", "r"].map(short_repo);
        assert_eq!(short, ["git/a", "o/r", "o/r", "x", "r"]);
    }

    #[test]
    fn only_web_addresses_are_links() {
        assert!(is_web("https://host/1") && is_web("http://host/1"));
        assert!(!is_web("javascript:alert(1)") && !is_web("/srv/a.git#pr/1") && !is_web(" https://x"));
    }
}
