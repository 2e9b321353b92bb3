//! Exact replacement in a text. Pure.

/// An edit that was not made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    #[error("old: it must not be empty; use `write` for a new file")]
    Empty,
    #[error("old and new are the same")]
    Same,
    #[error("old: this text is not in the file; read the file again and copy it exactly, blanks included")]
    Absent,
    #[error("old: this text occurs {count} times, at lines {lines}; add lines around it, or set `all`")]
    Ambiguous { count: usize, lines: String },
}

/// Replaces the one occurrence of a text, or all of them. Returns the new text and the count.
pub(crate) fn replace(text: &str, old: &str, new: &str, all: bool) -> Result<(String, usize), EditError> {
    if old.is_empty() {
        return Err(EditError::Empty);
    }
    if old == new {
        return Err(EditError::Same);
    }
    // Models write line feeds; a file with carriage returns keeps its own.
    if !text.contains(old) && text.contains("\r\n") && !old.contains('\r') {
        let old = old.replace('\n', "\r\n");
        if text.contains(&old) {
            return replace(text, &old, &new.replace("\r\n", "\n").replace('\n', "\r\n"), all);
        }
    }
    let places: Vec<usize> = text.match_indices(old).map(|(at, _)| at).collect();
    match places.len() {
        0 => Err(EditError::Absent),
        1 => Ok((text.replacen(old, new, 1), 1)),
        count if all => Ok((text.replace(old, new), count)),
        count => {
            let line = |at: &usize| (text[..*at].matches('\n').count() + 1).to_string();
            let mut lines = places.iter().take(10).map(line).collect::<Vec<_>>().join(", ");
            if count > 10 {
                lines.push_str(", …");
            }
            Err(EditError::Ambiguous { count, lines })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_occurrence_is_replaced_and_several_are_refused_with_their_lines() {
        assert_eq!(replace("a b c", "b", "x", false), Ok(("a x c".into(), 1)));
        let error = replace("b\nb\n\nb", "b", "x", false).unwrap_err();
        assert_eq!(error, EditError::Ambiguous { count: 3, lines: "1, 2, 4".into() });
        assert_eq!(replace("b b", "b", "bb", true), Ok(("bb bb".into(), 2)));
        assert_eq!(replace("a", "b", "x", false), Err(EditError::Absent));
        assert_eq!(replace("a", "", "x", true), Err(EditError::Empty));
        assert_eq!(replace("a", "a", "a", true), Err(EditError::Same));
    }

    #[test]
    fn a_file_keeps_its_line_ends() {
        assert_eq!(replace("a\r\nb\r\nc", "a\nb", "x\ny", false), Ok(("x\r\ny\r\nc".into(), 1)));
    }
}
