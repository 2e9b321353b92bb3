//! Unified diffs as models write them: read, and applied to texts. Pure.
//!
//! What the lines say counts, not what the numbers say: counts in a hunk's header are ignored, and its place is
//! looked for near the line that it names. A hunk whose lines are nowhere is refused, never forced.

/// A diff that was not applied.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatchError {
    #[error("diff: it holds no file; each begins with a line `--- a/path` and a line `+++ b/path`")]
    Empty,
    #[error("diff: line {line}: {rule}")]
    Line { line: usize, rule: &'static str },
    #[error("diff: hunk {hunk} of `{path}` does not fit: {why}; read the file again")]
    Fit { path: String, hunk: usize, why: String },
    #[error("diff: `{path}` stands in it twice")]
    Twice { path: String },
}

/// What a diff does to one file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FilePatch {
    /// The file before; none if it is new.
    pub(crate) old: Option<String>,
    /// The file after; none if it goes.
    pub(crate) new: Option<String>,
    hunks: Vec<Hunk>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Hunk {
    /// The first old line, counted from 1; none without numbers.
    at: Option<usize>,
    lines: Vec<(Mark, String)>,
    /// Whether the new file ends here without a line break.
    bare_end: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Same,
    Gone,
    Added,
}

/// Reads a diff.
pub(crate) fn read(diff: &str) -> Result<Vec<FilePatch>, PatchError> {
    let lines: Vec<&str> = diff.lines().collect();
    let begins =
        |at: usize| lines[at].starts_with("--- ") && lines.get(at + 1).is_some_and(|next| next.starts_with("+++ "));
    let mut files: Vec<FilePatch> = Vec::new();
    let mut in_hunk = false;
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let wrong = |rule| Err(PatchError::Line { line: at + 1, rule });
        if begins(at) && lines.get(at + 2).is_none_or(|it| it.starts_with("@@") || !in_hunk) {
            files.push(
                heads(&line[4..], &lines[at + 1][4..])
                    .ok_or(PatchError::Line { line: at + 1, rule: "it names no file" })?,
            );
            in_hunk = false;
            at += 2;
            continue;
        }
        if line.starts_with("diff --git ") {
            in_hunk = false;
        } else if line.starts_with("@@") {
            let Some(file) = files.last_mut() else { return wrong("a hunk before the name of its file") };
            file.hunks.push(Hunk { at: first_line(line), ..Hunk::default() });
            in_hunk = true;
        } else if in_hunk {
            let hunk = files.last_mut().and_then(|it| it.hunks.last_mut());
            let Some(hunk) = hunk else { return wrong("a hunk before the name of its file") };
            let mark = match line.as_bytes().first() {
                None | Some(b' ' | b'\t') => Mark::Same,
                Some(b'-') => Mark::Gone,
                Some(b'+') => Mark::Added,
                Some(b'\\') => {
                    match hunk.lines.last() {
                        Some((Mark::Added | Mark::Same, _)) => hunk.bare_end = Some(true),
                        Some((Mark::Gone, _)) => hunk.bare_end = Some(false),
                        None => return wrong("it stands before any line"),
                    }
                    at += 1;
                    continue;
                }
                Some(_) => return wrong("lines of a hunk begin with a blank, `-` or `+`"),
            };
            let text = if line.is_empty() || line.starts_with('\t') { line } else { &line[1..] };
            hunk.lines.push((mark, text.to_owned()));
        } else if line.starts_with("rename ") || line.starts_with("copy ") {
            return wrong("files are not renamed or copied by a diff here; use `run` with `git mv`");
        } else if line.starts_with("GIT binary patch") || line.starts_with("Binary files ") {
            return wrong("binary files are not patched");
        }
        at += 1;
    }
    if files.is_empty() {
        return Err(PatchError::Empty);
    }
    for file in &mut files {
        // Blank lines at the end of the message are no lines of the file.
        if let Some(hunk) = file.hunks.last_mut() {
            while hunk.lines.last().is_some_and(|(mark, text)| *mark == Mark::Same && text.is_empty()) {
                hunk.lines.pop();
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for path in files.iter().filter_map(|file| file.new.as_ref().or(file.old.as_ref())) {
        if !seen.insert(path) {
            return Err(PatchError::Twice { path: path.clone() });
        }
    }
    Ok(files)
}

impl FilePatch {
    /// The path that people know the file by.
    pub(crate) fn path(&self) -> &str {
        self.new.as_deref().or(self.old.as_deref()).unwrap_or_default()
    }

    /// Applies all hunks to the old text, in order.
    pub(crate) fn apply(&self, old: &str) -> Result<String, PatchError> {
        let carriage = old.contains("\r\n");
        let mut lines: Vec<String> = old.lines().map(str::to_owned).collect();
        let mut break_at_end = old.is_empty() || old.ends_with('\n');
        let (mut cursor, mut shift) = (0usize, 0isize);
        for (number, hunk) in self.hunks.iter().enumerate() {
            let misfit = |why: String| PatchError::Fit { path: self.path().to_owned(), hunk: number + 1, why };
            let before: Vec<&str> = hunk.side(Mark::Added).collect();
            let expected = hunk.at.map(|at| {
                let at = if before.is_empty() { at } else { at.saturating_sub(1) };
                at.saturating_add_signed(shift).min(lines.len())
            });
            let place = find(&lines, &before, cursor, expected).map_err(misfit)?;
            let mut fresh = Vec::new();
            let mut from = place;
            for (mark, text) in &hunk.lines {
                match mark {
                    // What stays is what stands there: its blanks may differ from what the model wrote.
                    Mark::Same => {
                        fresh.push(lines[from].clone());
                        from += 1;
                    }
                    Mark::Gone => from += 1,
                    Mark::Added => fresh.push(text.clone()),
                }
            }
            shift += fresh.len() as isize - before.len() as isize;
            cursor = place + fresh.len();
            let at_end = place + before.len() == lines.len();
            lines.splice(place..place + before.len(), fresh);
            if at_end && let Some(bare) = hunk.bare_end {
                break_at_end = !bare;
            }
        }
        let end = if carriage { "\r\n" } else { "\n" };
        let mut text = lines.join(end);
        if break_at_end && !lines.is_empty() {
            text.push_str(end);
        }
        Ok(text)
    }

    /// Counts the lines that come and go.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let count = |of| self.hunks.iter().flat_map(|it| &it.lines).filter(|(mark, _)| *mark == of).count();
        (count(Mark::Added), count(Mark::Gone))
    }
}

impl Hunk {
    fn side(&self, without: Mark) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(move |(mark, _)| *mark != without).map(|(_, text)| text.as_str())
    }
}

/// Finds where the old lines of a hunk stand: exactly, or else but for blanks at line ends.
fn find(lines: &[String], before: &[&str], cursor: usize, expected: Option<usize>) -> Result<usize, String> {
    if before.is_empty() {
        return match expected {
            Some(at) if at >= cursor => Ok(at),
            Some(_) => Err("it overlaps the hunk before".to_owned()),
            None if lines.is_empty() => Ok(0),
            None => Err("it has no line to find its place by".to_owned()),
        };
    }
    let same: [fn(&str, &str) -> bool; 2] = [|a, b| a == b, |a, b| a.trim_end() == b.trim_end()];
    for same in same {
        let fits = |at: &usize| before.iter().zip(&lines[*at..]).all(|(wanted, there)| same(wanted, there));
        let places: Vec<usize> = (cursor..(lines.len() + 1).saturating_sub(before.len())).filter(fits).collect();
        match (places.as_slice(), expected) {
            ([], _) => {}
            ([only], _) => return Ok(*only),
            (several, Some(at)) => {
                return several.iter().min_by_key(|it| it.abs_diff(at)).copied().ok_or_else(String::new);
            }
            (several, None) => {
                return Err(format!("its lines stand in {} places and its header names none", several.len()));
            }
        }
    }
    let missing = before.iter().find(|wanted| !lines.iter().any(|there| there.trim_end() == wanted.trim_end()));
    Err(match missing {
        Some(line) => format!("there is no line {:?}", line.chars().take(120).collect::<String>()),
        None => "its lines do not follow each other like this".to_owned(),
    })
}

/// Reads the two names of a file.
fn heads(old: &str, new: &str) -> Option<FilePatch> {
    let name = |text: &str| {
        let text = text.split('\t').next().unwrap_or_default().trim();
        let text = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(text);
        (text != "/dev/null" && !text.is_empty()).then(|| text.to_owned())
    };
    let (old, new) = (name(old), name(new));
    let bare = |text: &Option<String>, prefix| match text {
        Some(text) => text.strip_prefix(prefix).map(str::to_owned),
        None => None,
    };
    let (short_old, short_new) = (bare(&old, "a/"), bare(&new, "b/"));
    let prefixed = old.is_some() == short_old.is_some() && new.is_some() == short_new.is_some();
    let (old, new) = if prefixed { (short_old, short_new) } else { (old, new) };
    (old.is_some() || new.is_some()).then(|| FilePatch { old, new, hunks: Vec::new() })
}

fn first_line(header: &str) -> Option<usize> {
    let digits: String = header.split('-').nth(1)?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(old: &str, diff: &str) -> Result<String, PatchError> {
        let files = read(diff)?;
        files[0].apply(old)
    }

    const HEAD: &str = "--- a/f\n+++ b/f\n";

    #[test]
    fn a_plain_diff_applies_and_wrong_numbers_do_not_matter() {
        let old = "one\ntwo\nthree\nfour\n";
        for at in ["-2,2 +2,2", "-1 +1", "-9,7 +1,1"] {
            let diff = format!("{HEAD}@@ {at} @@\n two\n-three\n+3\n+drei\n");
            assert_eq!(apply(old, &diff).unwrap(), "one\ntwo\n3\ndrei\nfour\n", "{at}");
        }
        assert_eq!(apply(old, &format!("{HEAD}@@\n-two\n+2\n")).unwrap(), "one\n2\nthree\nfour\n");
    }

    #[test]
    fn several_hunks_and_equal_places() {
        let old = "x\na\nx\nb\nx\n";
        let diff = format!("{HEAD}@@ -1 +1,2 @@\n-x\n+y\n+z\n@@ -5 +6 @@\n-x\n+end\n");
        assert_eq!(apply(old, &diff).unwrap(), "y\nz\na\nx\nb\nend\n");
        let error = apply(old, &format!("{HEAD}@@\n-x\n+y\n")).unwrap_err();
        assert!(error.to_string().contains("3 places"), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_line_that_is_missing() {
        let error = apply("one\n", &format!("{HEAD}@@ -1 +1 @@\n-two\n+2\n")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "diff: hunk 1 of `f` does not fit: there is no line \"two\"; read the file again"
        );
        assert_eq!(read("hello"), Err(PatchError::Empty));
        assert!(read("@@ -1 +1 @@\n-x\n").is_err());
        assert!(read(&format!("{HEAD}@@ -1 +1 @@\nodd\n")).is_err());
        assert!(read("diff --git a/x b/y\nrename from x\nrename to y\n").is_err());
    }

    #[test]
    fn files_are_made_and_taken_away_and_removed_lines_may_look_like_heads() {
        let files =
            read("--- /dev/null\n+++ b/new\n@@ -0,0 +1,2 @@\n+a\n+b\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n")
                .unwrap();
        assert_eq!((files[0].old.as_deref(), files[0].new.as_deref()), (None, Some("new")));
        assert_eq!(files[0].apply("").unwrap(), "a\nb\n");
        assert_eq!((files[1].old.as_deref(), files[1].new.as_deref()), (Some("gone"), None));
        let sql = apply("a\n-- note\nb\n", &format!("{HEAD}@@ -1,3 +1,3 @@\n a\n--- note\n+++ more\n b\n")).unwrap();
        assert_eq!(sql, "a\n++ more\nb\n");
    }

    #[test]
    fn line_ends_and_the_end_of_the_file_are_kept() {
        let diff = format!("{HEAD}@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
        assert_eq!(apply("a\r\nb\r\n", &diff).unwrap(), "a\r\nc\r\n");
        assert_eq!(apply("a\nb", &diff).unwrap(), "a\nc");
        let bare = format!("{HEAD}@@ -1,2 +1,2 @@\n a\n-b\n+c\n\\ No newline at end of file\n");
        assert_eq!(apply("a\nb\n", &bare).unwrap(), "a\nc");
        let fixed = format!("{HEAD}@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n");
        assert_eq!(apply("a\nb", &fixed).unwrap(), "a\nb\n");
    }
}
