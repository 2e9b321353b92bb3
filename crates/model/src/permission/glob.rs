//! Patterns of names and paths. Paths are compared part by part, never as text.

/// Tells whether a path fits a pattern. A pattern that does not begin with `/` begins in one of the roots; one
/// without `*` and `?` is a file or a folder with everything in it.
pub(super) fn fits(pattern: &str, roots: &[String], path: &str) -> bool {
    let Some(path) = parts(path) else { return false };
    let open = !pattern.contains(['*', '?']);
    let absolute = pattern.starts_with('/');
    let Some(wanted) = parts(&if absolute { pattern.to_owned() } else { format!("/{pattern}") }) else { return false };
    let fits = |path: &[String]| if open { path.starts_with(&wanted) } else { all_fit(&wanted, path) };
    if absolute {
        return fits(&path);
    }
    roots.iter().filter_map(|root| parts(root)).any(|root| path.strip_prefix(root.as_slice()).is_some_and(fits))
}

/// Tells whether a name fits a pattern in which `*` stands for any letters and `?` for one.
pub(super) fn name_fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut back) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(it) if *it == '?' || *it == name[n] => (p, n) = (p + 1, n + 1),
            Some(_) | None => match back {
                // The last star takes one letter more.
                Some((star, taken)) => {
                    back = Some((star, taken + 1));
                    (p, n) = (star + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|it| *it == '*')
}

/// Splits an absolute path into its parts, `.` and `..` followed; `None` for one that is not absolute.
fn parts(path: &str) -> Option<Vec<String>> {
    let mut parts: Vec<String> = Vec::new();
    for part in path.strip_prefix('/')?.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    Some(parts)
}

/// `**` takes any number of parts, also none; how often it stands there does not make this slow.
fn all_fit(wanted: &[String], path: &[String]) -> bool {
    // Which beginnings of the pattern fit what was read so far.
    let mut reached = vec![false; wanted.len() + 1];
    reached[0] = true;
    let spread = |reached: &mut Vec<bool>| {
        for at in 0..wanted.len() {
            if reached[at] && wanted[at] == "**" {
                reached[at + 1] = true;
            }
        }
    };
    spread(&mut reached);
    for part in path {
        let mut next = vec![false; wanted.len() + 1];
        for at in 0..wanted.len() {
            if !reached[at] {
                continue;
            }
            if wanted[at] == "**" {
                next[at] = true;
            } else if name_fits(&wanted[at], part) {
                next[at + 1] = true;
            }
        }
        spread(&mut next);
        reached = next;
    }
    reached[wanted.len()]
}
