//! The rule that the repository names no place outside itself.

use super::{File, Finding};

/// Places of the machines on which this is written; no clone has them. Cut, so that this file keeps the rule.
const FOREIGN: [&str; 3] = [concat!("/wo", "rk/"), concat!("../sh", "ared"), concat!(".lib", "rary")];

/// Finds the lines that name a foreign place.
pub fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (n, line) in file.text.lines().enumerate() {
        for foreign in FOREIGN.iter().filter(|foreign| stands_in(foreign, line)) {
            findings.push(Finding {
                rule: "paths",
                place: format!("{}:{}", file.path, n + 1),
                what: format!("names `{foreign}`, which is not part of the repository"),
            });
        }
    }
    findings
}

/// Returns whether the path stands there as a path of its own, not as a part of a longer one.
fn stands_in(foreign: &str, line: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    line.match_indices(foreign).any(|(at, found)| {
        let before = line[..at].chars().next_back();
        let after = line[at + found.len()..].chars().next();
        // A folder of that name in a longer path is somebody else's.
        let alone_before = !before.is_some_and(|c| is_name(c) || c == '}');
        let alone_after = found.ends_with('/') || !after.is_some_and(is_name);
        alone_before && alone_after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(line: &str) -> usize {
        check(&File { path: "docs/a.md".into(), text: format!("one\n{line}\n") }).len()
    }

    #[test]
    fn foreign_places_are_found_with_their_line() {
        for foreign in FOREIGN {
            assert_eq!(check_line(&format!("see `{foreign}`")), 1, "{foreign}");
            assert_eq!(check_line(&format!("path = \"{foreign}/x\"")), 1, "{foreign}");
        }
        let text = format!("one\n{}main\n", FOREIGN[0]);
        let findings = check(&File { path: "docs/a.md".into(), text });
        assert_eq!(findings[0].place, "docs/a.md:2");
    }

    #[test]
    fn longer_paths_and_words_are_not_meant() {
        let (own, shared, library) = (FOREIGN[0], FOREIGN[1], FOREIGN[2]);
        for line in
            [format!("target{own}x"), format!("{{root}}{own}x"), format!("{shared}-memory"), format!("a{library}")]
        {
            assert_eq!(check_line(&line), 0, "{line}");
        }
    }
}
