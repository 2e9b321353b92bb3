//! Texts on their way to a code host: keys, hidden markers, titles, and the rules that they must keep.
//!
//! Pure. A text that breaks a rule is refused with the rule; it is never repaired in silence, except by
//! [`clean_title`], whose purpose that is.

use crate::ForgeError;
use orcha_exec::git::Identity;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest title, in characters.
pub const MAX_TITLE: usize = 256;
/// The longest body of a pull request or comment, in bytes. The big code hosts stop at the same figure.
pub const MAX_BODY: usize = 65_536;
/// The longest name of an author, a check or a file.
const MAX_NAME: usize = 500;

/// The identity of one intended effect, for ever: what was done under a key is never done again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

impl Key {
    /// Takes a key of letters, digits and `. _ : / -`, at most 200 of them, that starts with a letter or a digit
    /// and holds no `--` (it has to fit into an HTML comment).
    pub fn new(text: &str) -> Result<Self, ForgeError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/-".contains(&b);
        let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if starts_well && text.len() <= 200 && text.bytes().all(plain) && !text.contains("--") && !text.ends_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(ForgeError::Invalid {
                field: "key",
                rule: "expected 1 to 200 letters, digits or `. _ : / -`, first a letter or digit, no `--`, no `-` at the end",
            })
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Key {
    type Error = ForgeError;
    fn try_from(text: String) -> Result<Self, ForgeError> {
        Self::new(&text)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        key.0
    }
}

const MARKER_OPENS: &str = "<!-- orcha:";
const MARKER_CLOSES: &str = " -->";

/// Appends the hidden marker of a key. Markers that the text brought along are removed first, so that there is
/// exactly one and a quoted one cannot pass for ours.
pub fn add_marker(body: &str, key: &Key) -> String {
    let body = without_markers(body);
    let blank = if body.is_empty() { "" } else { "\n\n" };
    format!("{body}{blank}{MARKER_OPENS}{key}{MARKER_CLOSES}")
}

/// Returns the key of the marker that ends a text. A marker in the middle, such as in a quotation, does not count.
pub fn find_marker(body: &str) -> Option<Key> {
    let inner = body.trim_end().strip_suffix(MARKER_CLOSES)?;
    let (_, key) = inner.rsplit_once(MARKER_OPENS)?;
    Key::new(key).ok()
}

/// Returns a text without any marker. A blank takes the place of each, so that its neighbours do not form another
/// one; if there was a marker, the text also loses the blank space at its end.
pub fn without_markers(body: &str) -> String {
    let mut text = String::with_capacity(body.len());
    let mut rest = body;
    let mut found = false;
    while let Some(at) = rest.find(MARKER_OPENS) {
        let (before, from) = rest.split_at(at);
        let inside = &from[MARKER_OPENS.len()..];
        text.push_str(before);
        match inside.split_once(MARKER_CLOSES).filter(|(key, _)| Key::new(key).is_ok()) {
            Some((_, after)) => {
                found = true;
                text.push(' ');
                rest = after;
            }
            None => {
                text.push_str(MARKER_OPENS);
                rest = inside;
            }
        }
    }
    text.push_str(rest);
    if found {
        text.truncate(text.trim_end().len());
    }
    text
}

/// Makes a title fit to be shown: one line, no tag that names a tool (`[codex]`, `[bot]: …`), at most
/// [`MAX_TITLE`] characters. Other tags stay, and so does a title that is nothing but tags.
pub fn clean_title(title: &str) -> String {
    const TOOLS: [&str; 7] = ["codex", "claude", "orcha", "agent", "bot", "ai", "assistant"];
    let spaced: String = title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = line.as_str();
    while let Some((tag, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        if !TOOLS.iter().any(|tool| tag.trim().eq_ignore_ascii_case(tool)) {
            break;
        }
        rest = after.trim_start_matches([' ', ':', '-']);
    }
    let kept = if rest.is_empty() { line.as_str() } else { rest };
    kept.chars().take(MAX_TITLE).collect::<String>().trim_end().to_owned()
}

/// Checks that git can write a name and an address into a commit as they are.
pub(crate) fn check_identity(who: &Identity) -> Result<(), ForgeError> {
    const RULE: &str = "expected 1 to 500 bytes without control characters, `<`, `>` or blank space at either end";
    let fits = |text: &str| {
        !text.is_empty()
            && text.trim() == text
            && text.len() <= MAX_NAME
            && !text.chars().any(|c| c.is_control() || c == '<' || c == '>')
    };
    if !fits(&who.name) {
        return Err(ForgeError::Invalid { field: "identity.name", rule: RULE });
    }
    if !fits(&who.email) {
        return Err(ForgeError::Invalid { field: "identity.email", rule: RULE });
    }
    Ok(())
}

/// Checks the title of a pull request.
pub(crate) fn check_title(title: &str) -> Result<(), ForgeError> {
    let refuse = |rule| Err(ForgeError::Invalid { field: "title", rule });
    if title.trim().is_empty() {
        return refuse("it is empty");
    }
    if title.chars().count() > MAX_TITLE {
        return refuse("it is longer than 256 characters");
    }
    if title.chars().any(char::is_control) {
        return refuse("it holds a line break or another control character");
    }
    Ok(())
}

/// Checks the body of a pull request, a comment, a review or a commit message.
pub(crate) fn check_body(field: &'static str, body: &str) -> Result<(), ForgeError> {
    let refuse = |rule| Err(ForgeError::Invalid { field, rule });
    if body.len() > MAX_BODY {
        return refuse("it is longer than 65536 bytes");
    }
    if body.contains('\0') {
        return refuse("it holds a NUL character");
    }
    Ok(())
}

/// Checks a body that must say something.
pub(crate) fn check_words(field: &'static str, body: &str) -> Result<(), ForgeError> {
    if body.trim().is_empty() {
        return Err(ForgeError::Invalid { field, rule: "it is empty" });
    }
    check_body(field, body)
}

/// Checks a name: one line, not empty.
pub(crate) fn check_name(field: &'static str, name: &str) -> Result<(), ForgeError> {
    let refuse = |rule| Err(ForgeError::Invalid { field, rule });
    if name.trim().is_empty() {
        return refuse("it is empty");
    }
    if name.len() > MAX_NAME {
        return refuse("it is longer than 500 bytes");
    }
    if name.chars().any(char::is_control) {
        return refuse("it holds a line break or another control character");
    }
    Ok(())
}

/// Checks a link: `http://` or `https://`, without blanks.
pub(crate) fn check_link(field: &'static str, link: &str) -> Result<(), ForgeError> {
    let known = link.starts_with("https://") || link.starts_with("http://");
    if known && link.len() <= 2000 && !link.chars().any(|c| c.is_control() || c.is_whitespace()) {
        Ok(())
    } else {
        Err(ForgeError::Invalid { field, rule: "expected http:// or https://, at most 2000 bytes, no blanks" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    #[test]
    fn a_marker_is_added_exactly_once() {
        let once = add_marker("Done.", &key("session:1:3:0"));
        assert_eq!(once, "Done.\n\n<!-- orcha:session:1:3:0 -->");
        assert_eq!(add_marker(&once, &key("session:1:3:0")), once);
        assert_eq!(add_marker(&once, &key("other")), "Done.\n\n<!-- orcha:other -->");
        assert_eq!(add_marker("", &key("k")), "<!-- orcha:k -->");
    }

    #[test]
    fn a_marker_counts_only_at_the_end() {
        assert_eq!(find_marker("Done.\n\n<!-- orcha:k:1 -->\n "), Some(key("k:1")));
        assert_eq!(find_marker("> <!-- orcha:k:1 -->\nI disagree"), None);
        assert_eq!(find_marker("<!-- orcha:not a key -->"), None);
        assert_eq!(find_marker("plain"), None);
    }

    #[test]
    fn nested_markers_leave_none_behind() {
        let nested = "a <!-- or<!-- orcha:x -->cha:y --> b";
        assert_eq!(without_markers(nested), "a <!-- or cha:y --> b");
        assert_eq!(find_marker("<!-- or<!-- orcha:x -->cha:y -->"), None);
        assert_eq!(
            without_markers("keeps <!-- orcha:not a key --> and its end  "),
            "keeps <!-- orcha:not a key --> and its end  "
        );
    }

    #[test]
    fn keys_fit_into_an_html_comment() {
        for bad in ["", "-a", "a--b", "a-", "a b", "a>b", "ä", &"x".repeat(201)] {
            assert!(Key::new(bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["a", "0189-aa:3:0", "pr/7.1_x"] {
            assert!(Key::new(good).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn titles_lose_the_tags_of_tools_only() {
        let cases = [
            ("[codex] Fix it", "Fix it"),
            ("[Claude][BOT]: - Fix it", "Fix it"),
            ("[ai] [infra] Fix it", "[infra] Fix it"),
            ("[infra] [ai] Fix it", "[infra] [ai] Fix it"),
            ("[orcha]", "[orcha]"),
            ("[orcha] [bot]", "[orcha] [bot]"),
            ("two\nlines\tand\0more", "two lines and more"),
            ("[unclosed", "[unclosed"),
            ("  ", ""),
            ("Größe 🦀", "Größe 🦀"),
        ];
        for (title, expected) in cases {
            assert_eq!(clean_title(title), expected, "{title:?}");
        }
        assert_eq!(clean_title(&"é".repeat(1000)).chars().count(), MAX_TITLE);
    }

    #[test]
    fn an_identity_cannot_break_out_of_its_line() {
        let check =
            |name: &str, email: &str| check_identity(&Identity { name: name.to_owned(), email: email.to_owned() });
        for bad in ["", " ", "a\nb", "a <b", "a>", "\0", " a", &"x".repeat(501)] {
            assert!(check(bad, "a@b").is_err(), "{bad:?} was accepted as a name");
            assert!(check("a", bad).is_err(), "{bad:?} was accepted as an address");
        }
        assert!(check("Zoë --x", "z@x").is_ok());
    }
}
