//! The rule that a file opens with what it is and what it will not do.

use super::{File, Finding};

/// Checks that a Rust file begins with `//!` and some words.
pub fn check(file: &File) -> Option<Finding> {
    let first = file.text.lines().next().unwrap_or_default();
    let is_header = first.strip_prefix("//!").is_some_and(|words| !words.trim().is_empty());
    (!is_header).then(|| Finding {
        rule: "headers",
        place: format!("{}:1", file.path),
        what: "the first line is not `//!` with what the file is".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_opens_with_what_it_is() {
        let check = |text: &str| check(&File { path: "a.rs".into(), text: text.into() });
        assert_eq!(check("//! The ids.\nfn f() {}\n"), None);
        for text in ["", "fn f() {}\n", "//!\n//! The ids.\n", "\n//! The ids.\n", "// The ids.\n"] {
            assert_eq!(check(text).expect(text).place, "a.rs:1");
        }
    }
}
