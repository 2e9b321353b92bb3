//! Commands as a shell would read them, as far as that is needed to tell one plain command from anything else.
//!
//! Two readings: a narrow one that understands plain words and quotes and nothing else, and a broad one that finds
//! whatever looks like a command. Nothing is run and no file is looked at.

/// How deep a command inside the `-c` of a shell is looked for.
const DEPTH: usize = 3;

const SHELLS: [&str; 5] = ["sh", "bash", "dash", "zsh", "ksh"];

/// Words behind which another command stands.
const WRAPPERS: [&str; 28] = [
    "env", "sudo", "doas", "command", "builtin", "exec", "nohup", "nice", "ionice", "time", "timeout", "stdbuf",
    "setsid", "xargs", "eval", "find", "parallel", "watch", "if", "then", "elif", "else", "while", "until", "do", "!",
    "sh", "bash",
];

/// Splits one plain command into its words. `None` for anything that is more than that, or that cannot be told:
/// operators, redirections, substitutions, variables, escapes, line breaks.
pub(super) fn words(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = command.chars();
    while let Some(it) = letters.next() {
        match it {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        it if it.is_control() => return None,
                        it => word.push(it),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '$' | '`' | '\\' | '!' => return None,
                        it if it.is_control() => return None,
                        it => word.push(it),
                    }
                }
            }
            ';' | '&' | '|' | '<' | '>' | '(' | ')' | '{' | '}' | '$' | '`' | '\\' | '!' => return None,
            // A comment would hide what stands behind it.
            '#' if word.is_none() => return None,
            it if it.is_control() => return None,
            it => word.get_or_insert_default().push(it),
        }
    }
    words.extend(word);
    Some(words)
}

/// Tells whether a command is one plain command that begins with these words; also the one that a shell is given.
pub(super) fn begins_with(command: &str, prefix: &[String]) -> bool {
    plain(command, DEPTH).iter().any(|words| !prefix.is_empty() && words.starts_with(prefix))
}

/// Tells whether a command can be read as one plain command, down to what a shell in it is given.
pub(super) fn is_plain(command: &str) -> bool {
    let mut inner = command.to_owned();
    for _ in 0..DEPTH {
        let Some(words) = words(&inner) else { return false };
        match script(&words) {
            Some(script) => script.clone_into(&mut inner),
            // A shell that is used in any other way does what cannot be seen here.
            None => return words.first().is_some_and(|it| !SHELLS.contains(&base(it))),
        }
    }
    false
}

/// The command and what stands in the `-c` of its shell, each as words, as long as each is plain.
fn plain(command: &str, depth: usize) -> Vec<Vec<String>> {
    let Some(words) = words(command) else { return Vec::new() };
    let inner = script(&words).map(str::to_owned);
    let mut all = vec![words];
    if let (Some(inner), true) = (inner, depth > 0) {
        all.extend(plain(&inner, depth - 1));
    }
    all
}

/// What a shell is told to run, if that is all that it is told.
fn script(words: &[String]) -> Option<&str> {
    match words {
        [shell, flag, script] if SHELLS.contains(&base(shell)) && (flag == "-c" || flag == "-lc") => Some(script),
        _ => None,
    }
}

/// Tells whether anything in a command looks like a command with these words: the first one where a command may
/// begin, the others anywhere behind it, in order.
pub(super) fn looks_like(command: &str, prefix: &[String]) -> bool {
    let Some((name, rest)) = prefix.split_first() else { return false };
    // Once as if quotes only joined letters, and once as if each began a command of its own.
    let joined: String = command.chars().filter(|it| !matches!(it, '\'' | '"' | '\\')).collect();
    let split: String = command.chars().map(|it| if matches!(it, '\'' | '"' | '\\') { ';' } else { it }).collect();
    [joined, split].iter().flat_map(|text| text.split(is_operator)).any(|part| {
        let words: Vec<&str> = part.split_whitespace().collect();
        starts(&words).any(|at| base(words[at]) == base(name) && in_order(&words[at + 1..], rest))
    })
}

fn is_operator(it: char) -> bool {
    matches!(it, ';' | '&' | '|' | '<' | '>' | '(' | ')' | '{' | '}' | '$' | '`') || (it.is_control() && it != '\t')
}

/// Where in these words a command may begin: behind assignments, and anywhere behind a word that runs another.
fn starts<'a>(words: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
    let first = words.iter().position(|it| !is_assignment(it)).unwrap_or(words.len());
    let wraps = words.get(first).is_some_and(|it| WRAPPERS.contains(&base(it)));
    (first..words.len()).take(if wraps { usize::MAX } else { 1 })
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_' || it == '+')
    })
}

fn in_order(words: &[&str], wanted: &[String]) -> bool {
    let mut words = words.iter();
    wanted.iter().all(|it| words.any(|word| word == it))
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}
