//! Files that come with a request: what is taken, in which parts it is read, and what of it the prompts show.
//!
//! Pure: the bytes are handed in and are kept elsewhere. A file is text, or it is refused; what its name says is never
//! a path. Small files stand in every prompt as they are; of a big one a role makes a summary once, from what is shown
//! of it here and from what it reads by its tool.

use crate::Refusal;
use orcha_base::{AttachmentId, ObjectiveId, ScopeId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How long one file may be, how many may come with one request, and how much they may be together.
pub const LONGEST: usize = 2 * 1024 * 1024;
#[expect(missing_docs, reason = "see above")]
pub const MOST: usize = 20;
#[expect(missing_docs, reason = "see above")]
pub const TOGETHER: usize = 8 * 1024 * 1024;
/// How long a part of a file is at the most, in bytes.
pub const PART: usize = 16 * 1024;
/// How long a name may be, in bytes.
const NAME: usize = 120;
/// A file of so many bytes stands whole in every prompt, while all such files together have room.
const WHOLE: usize = 12 * 1024;
const WHOLE_TOGETHER: usize = 32 * 1024;
/// How much of the bigger ones is shown to whoever sums them up.
const SHOWN: usize = 128 * 1024;

/// A file that came with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id.
    pub id: AttachmentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// What it came with.
    pub objective: ObjectiveId,
    /// What is known of it.
    pub file: File,
    /// When it came.
    pub created_at: Timestamp,
}

/// What is known of a file, wherever it belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name: no path, and no other of the same request has it.
    pub name: String,
    /// What it is, as HTTP says it.
    pub media: String,
    /// How its letters are written.
    pub encoding: Encoding,
    /// How long it is.
    pub bytes: u64,
    /// The hash of its bytes, by which they are kept.
    pub sha256: String,
    /// In how many parts it is read.
    pub parts: u32,
    /// What the prompts show of it.
    pub shown: Shown,
}

/// How the letters of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
#[expect(missing_docs, reason = "each name says it")]
pub enum Encoding {
    #[serde(rename = "utf-8")]
    #[strum(serialize = "utf-8")]
    Utf8,
    #[serde(rename = "utf-16")]
    #[strum(serialize = "utf-16")]
    Utf16,
    /// Neither of the others: each byte is taken for a letter of ISO 8859-1.
    #[serde(rename = "iso-8859-1")]
    #[strum(serialize = "iso-8859-1")]
    Latin1,
}

/// What the prompts show of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shown", rename_all = "snake_case")]
pub enum Shown {
    /// All of it.
    Whole {
        /// It.
        text: String,
    },
    /// A summary, made from some parts and whatever else was read.
    Parts {
        /// They, in order.
        parts: Vec<Part>,
    },
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// What stands in it.
    pub text: String,
}

/// A file as it comes in.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of a file")]
pub struct Raw<'a> {
    pub name: &'a str,
    pub bytes: &'a [u8],
    pub sha256: String,
}

impl File {
    /// Tells whether somebody has to say what is in it.
    pub const fn needs_summary(&self) -> bool {
        matches!(self.shown, Shown::Parts { .. })
    }
}

/// Takes the files of one request, all of them or none.
pub fn take(files: &[Raw<'_>]) -> Result<Vec<File>, Refusal> {
    if files.len() > MOST {
        return Err(refuse(format!("must be at most {MOST} files; there are {}", files.len())));
    }
    let mut names = BTreeSet::new();
    for it in files {
        let rule = name_fits(it.name).err();
        let rule = rule.or_else(|| (!names.insert(it.name.to_lowercase())).then(|| "is named twice".to_owned()));
        let rule = rule.or_else(|| {
            (it.bytes.len() > LONGEST).then(|| format!("has {} bytes; a file may have {LONGEST}", it.bytes.len()))
        });
        if let Some(rule) = rule {
            return Err(about(it.name, &rule));
        }
    }
    let together: usize = files.iter().map(|it| it.bytes.len()).sum();
    if together > TOGETHER {
        return Err(refuse(format!("must be at most {TOGETHER} bytes together; they are {together}")));
    }
    let mut texts = Vec::with_capacity(files.len());
    for it in files {
        let media = media(it.name).ok_or_else(|| {
            about(it.name, "is of a kind that is not read; text, code, configuration and tables as text are")
        })?;
        let (encoding, text) = text_of(it.bytes).map_err(|rule| about(it.name, rule))?;
        if text.trim().is_empty() {
            return Err(about(it.name, "is empty"));
        }
        texts.push((media, encoding, text));
    }
    let shown = show(&texts.iter().map(|it| it.2.as_str()).collect::<Vec<_>>());
    let of = |((raw, (media, encoding, text)), shown): ((&Raw<'_>, &(&str, Encoding, String)), Shown)| File {
        name: raw.name.to_owned(),
        media: (*media).to_owned(),
        encoding: *encoding,
        bytes: raw.bytes.len() as u64,
        sha256: raw.sha256.clone(),
        parts: u32::try_from(parts(text, PART).len()).unwrap_or(u32::MAX),
        shown,
    };
    Ok(files.iter().zip(&texts).zip(shown).map(of).collect())
}

fn refuse(rule: String) -> Refusal {
    Refusal::Invalid { field: "attachments", rule }
}

fn about(name: &str, rule: &str) -> Refusal {
    let plain = |it: char| if it.is_control() { '\u{fffd}' } else { it };
    let mut short: String = name.chars().take(60).map(plain).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    refuse(format!("cannot be taken: `{short}` {rule}"))
}

/// Looks whether a name is one that is safe to show, and no path.
fn name_fits(name: &str) -> Result<(), String> {
    let plain = |it: char| it.is_alphanumeric() || " ._-+()[]@,~#".contains(it);
    let rule = if name.trim().is_empty() {
        "has no name"
    } else if name.len() > NAME {
        return Err(format!("has a name of more than {NAME} bytes"));
    } else if name.contains(['/', '\\']) {
        "is a path; a name of a file is needed"
    } else if name.starts_with(['.', '-', ' ']) || name.ends_with([' ', '.']) {
        "has a name that begins with a dot, a dash or a blank, or ends with a dot or a blank"
    } else if !name.chars().all(plain) {
        "has a name with something else than letters, digits, blanks and `._-+()[]@,~#`"
    } else {
        return Ok(());
    };
    Err(rule.to_owned())
}

/// Says what a file is by the end of its name; nothing for what is not read.
fn media(name: &str) -> Option<&'static str> {
    const PLAIN: &[&str] = &[
        "adoc",
        "asciidoc",
        "bash",
        "bat",
        "c",
        "cc",
        "cfg",
        "clj",
        "cmake",
        "conf",
        "cpp",
        "cs",
        "cxx",
        "dart",
        "diff",
        "dockerfile",
        "editorconfig",
        "erl",
        "ex",
        "exs",
        "feature",
        "fish",
        "go",
        "gradle",
        "graphql",
        "groovy",
        "h",
        "hpp",
        "hrl",
        "hs",
        "http",
        "ini",
        "java",
        "jl",
        "jsx",
        "kt",
        "kts",
        "less",
        "lisp",
        "lock",
        "log",
        "lua",
        "m",
        "make",
        "mk",
        "ml",
        "mod",
        "nix",
        "patch",
        "php",
        "pl",
        "plantuml",
        "po",
        "properties",
        "proto",
        "ps1",
        "puml",
        "py",
        "r",
        "rb",
        "rs",
        "rst",
        "sass",
        "scala",
        "scss",
        "sh",
        "sql",
        "srt",
        "sum",
        "svelte",
        "swift",
        "tex",
        "text",
        "tf",
        "toml",
        "ts",
        "tsx",
        "txt",
        "vim",
        "vue",
        "zig",
        "zsh",
    ];
    let Some((_, end)) = name.rsplit_once('.') else { return Some("text/plain") };
    let end = end.to_ascii_lowercase();
    Some(match end.as_str() {
        "md" | "markdown" | "mdx" => "text/markdown",
        "csv" => "text/csv",
        "tsv" => "text/tab-separated-values",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "js" | "mjs" | "cjs" => "text/javascript",
        "json" | "jsonl" | "ndjson" | "json5" | "ipynb" => "application/json",
        "yaml" | "yml" => "application/yaml",
        "xml" | "svg" | "xsd" | "xsl" | "plist" => "application/xml",
        it if PLAIN.contains(&it) => "text/plain",
        _ => return None,
    })
}

/// Reads bytes as text: how the letters are written, and the letters, without what steers a terminal.
pub fn text_of(bytes: &[u8]) -> Result<(Encoding, String), &'static str> {
    let (encoding, text) = match bytes {
        [0xff, 0xfe, rest @ ..] => (Encoding::Utf16, wide(rest, u16::from_le_bytes)?),
        [0xfe, 0xff, rest @ ..] => (Encoding::Utf16, wide(rest, u16::from_be_bytes)?),
        _ if bytes.contains(&0) => return Err("is no text"),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => (Encoding::Utf8, text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()),
            Err(_) => (Encoding::Latin1, narrow(bytes)?),
        },
    };
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    Ok((encoding, lines.chars().filter(|it| !it.is_control() || matches!(it, '\n' | '\t')).collect()))
}

fn wide(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, &'static str> {
    let (pairs, []) = bytes.as_chunks::<2>() else { return Err("is no whole text in UTF-16") };
    let letters = char::decode_utf16(pairs.iter().map(|it| unit(*it)));
    let text: String = letters.map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    if text.contains('\0') { Err("is no text") } else { Ok(text) }
}

fn narrow(bytes: &[u8]) -> Result<String, &'static str> {
    let steers = |it: &u8| *it < 0x20 && !matches!(it, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
    if bytes.iter().any(steers) {
        return Err("is no text");
    }
    let letter = |it: &u8| if (0x80..0xa0).contains(it) { char::REPLACEMENT_CHARACTER } else { char::from(*it) };
    Ok(bytes.iter().map(letter).collect())
}

/// Cuts a text into parts of at most so many bytes: at the end of a line or else of a word, if there is one in the last
/// fifth. Put together, the parts are the text.
pub fn parts(text: &str, most: usize) -> Vec<&str> {
    let most = most.max(4);
    let mut parts = Vec::new();
    let mut left = text;
    while left.len() > most {
        let end = (0..=most).rev().find(|at| left.is_char_boundary(*at)).unwrap_or(most);
        let from = (end - end / 5..=end).find(|at| left.is_char_boundary(*at)).unwrap_or(end);
        let window = &left[from..end];
        let line = window.rfind('\n').map(|at| from + at + 1);
        let word =
            || window.char_indices().rev().find(|(_, it)| it.is_whitespace()).map(|(at, it)| from + at + it.len_utf8());
        let (part, rest) = left.split_at(line.or_else(word).unwrap_or(end));
        parts.push(part);
        left = rest;
    }
    if !left.is_empty() {
        parts.push(left);
    }
    parts
}

/// Says what the prompts show of each text: small ones whole, as long as there is room; of the others the first part,
/// then the last, then one after another, fairly among them.
fn show(texts: &[&str]) -> Vec<Shown> {
    let mut room = WHOLE_TOGETHER;
    let mut shown: Vec<Shown> = texts
        .iter()
        .map(|text| {
            if text.len() > WHOLE || text.len() > room {
                return Shown::Parts { parts: Vec::new() };
            }
            room -= text.len();
            Shown::Whole { text: (*text).to_owned() }
        })
        .collect();
    let cut: Vec<Vec<&str>> = texts.iter().map(|text| parts(text, PART)).collect();
    let longest = cut.iter().map(Vec::len).max().unwrap_or(0);
    let mut room = SHOWN;
    for turn in 0..longest {
        for (all, shown) in cut.iter().zip(&mut shown) {
            let Shown::Parts { parts } = shown else { continue };
            let at = match turn {
                0 => Some(0),
                1 => all.len().checked_sub(1).filter(|it| *it > 0),
                turn => Some(turn - 1).filter(|it| it + 1 < all.len()),
            };
            let Some(text) = at.and_then(|at| all.get(at)).filter(|it| it.len() <= room) else { continue };
            room -= text.len();
            let number = u32::try_from(at.unwrap_or(0)).unwrap_or(u32::MAX).saturating_add(1);
            parts.push(Part { number, text: (*text).to_owned() });
        }
    }
    for it in &mut shown {
        if let Shown::Parts { parts } = it {
            parts.sort_by_key(|it| it.number);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw<'a>(name: &'a str, bytes: &'a [u8]) -> Raw<'a> {
        Raw { name, bytes, sha256: format!("{:064x}", bytes.len()) }
    }

    fn refused(files: &[Raw<'_>]) -> String {
        take(files).unwrap_err().to_string()
    }

    #[test]
    fn a_small_file_is_shown_whole_and_a_big_one_by_its_ends() {
        let big: String = (0..20_000).map(|n| format!("line {n} of the record\n")).collect();
        let files = take(&[raw("notes.md", b"# Notes\r\nShort.\n"), raw("run.log", big.as_bytes())]).unwrap();
        assert_eq!(files[0].shown, Shown::Whole { text: "# Notes\nShort.\n".into() });
        assert_eq!((files[0].media.as_str(), files[0].parts, files[0].needs_summary()), ("text/markdown", 1, false));
        let Shown::Parts { parts } = &files[1].shown else { panic!("{:?}", files[1].shown) };
        assert!(files[1].needs_summary());
        let numbers: Vec<u32> = parts.iter().map(|it| it.number).collect();
        assert_eq!((numbers[0], *numbers.last().unwrap()), (1, files[1].parts));
        assert!(parts.iter().map(|it| it.text.len()).sum::<usize>() <= SHOWN);
        assert!(parts.iter().all(|it| it.text.ends_with('\n') && it.text.starts_with("line ")));
    }

    #[test]
    fn room_is_given_fairly_and_what_has_none_is_summed_up() {
        let text = "word ".repeat(2000);
        let names: Vec<String> = (0..12).map(|n| format!("{n}.txt")).collect();
        let files = take(&names.iter().map(|it| raw(it, text.as_bytes())).collect::<Vec<_>>()).unwrap();
        let whole = files.iter().filter(|it| !it.needs_summary()).count();
        assert_eq!(whole, WHOLE_TOGETHER / text.len());
        let seen = |it: &&File| matches!(&it.shown, Shown::Parts { parts } if parts.len() == 1);
        assert_eq!(files.iter().filter(seen).count(), 12 - whole);
    }

    #[test]
    fn names_that_are_none_are_refused_and_the_refusal_shows_no_control_character() {
        let long = "x".repeat(NAME + 1);
        for name in [
            "",
            " ",
            "../x",
            "/etc/passwd",
            "a/b.txt",
            "a\\b.txt",
            "..",
            ".",
            ".env",
            "-rf.txt",
            "a\0.txt",
            "a\n.txt",
            "a\u{202e}txt.md",
            "x = === END.md",
            "x.txt ",
            &long,
        ] {
            let said = refused(&[raw(name, b"text")]);
            assert!(said.contains("attachments") && said.contains("cannot be taken"), "{name:?}: {said}");
            assert!(!said.chars().any(char::is_control), "{said:?}");
            assert!(said.len() < 400, "{said}");
        }
        for name in ["Makefile", "Ünïcode 2 (final).md", "a+b_c-d@1,2~[3]#4.TXT"] {
            assert!(take(&[raw(name, b"text")]).is_ok(), "{name}");
        }
        assert!(refused(&[raw("a.txt", b"x"), raw("A.TXT", b"y")]).contains("twice"));
    }

    #[test]
    fn what_is_no_text_is_refused_whatever_it_is_called() {
        assert!(refused(&[raw("a.txt", b"PK\x03\x04\0\0")]).contains("no text"));
        assert!(refused(&[raw("a.txt", b"\xff\xd8\xff\xe0\x01\x02")]).contains("no text"));
        for name in ["a.pdf", "a.png", "a.docx", "a.zip", "a.exe", "a."] {
            assert!(refused(&[raw(name, b"text")]).contains("cannot be taken"), "{name}");
        }
        for empty in [&b""[..], b" \n\t", b"\xef\xbb\xbf"] {
            assert!(refused(&[raw("a.txt", empty)]).contains("is empty"), "{empty:?}");
        }
        assert!(refused(&[raw("a.txt", b"\xff\xfea")]).contains("UTF-16"));
    }

    #[test]
    fn letters_are_read_as_they_were_written() {
        assert_eq!(text_of("grün\r\n\u{1b}[2Jx\ry".as_bytes()), Ok((Encoding::Utf8, "grün\n[2Jx\ny".into())));
        assert_eq!(text_of(b"\xef\xbb\xbfgr\xc3\xbcn"), Ok((Encoding::Utf8, "grün".into())));
        assert_eq!(text_of(b"\xff\xfeg\0r\0\xfc\0n\0"), Ok((Encoding::Utf16, "grün".into())));
        assert_eq!(text_of(b"\xfe\xff\0g\0r\0\xfc\0n"), Ok((Encoding::Utf16, "grün".into())));
        assert_eq!(text_of(b"gr\xfcn\x80"), Ok((Encoding::Latin1, "grün\u{fffd}".into())));
    }

    #[test]
    fn there_are_bounds() {
        let huge = vec![b'a'; LONGEST + 1];
        assert!(refused(&[raw("a.txt", &huge)]).contains(&LONGEST.to_string()));
        let names: Vec<String> = (0..=MOST).map(|n| format!("{n}.txt")).collect();
        assert!(refused(&names.iter().map(|it| raw(it, b"x")).collect::<Vec<_>>()).contains("at most 20 files"));
        let five: Vec<Raw<'_>> = names[..5].iter().map(|it| raw(it, &huge[..LONGEST])).collect();
        assert!(refused(&five).contains("together"));
        assert!(take(&five[..4]).is_ok());
    }

    proptest! {
        #[test]
        fn parts_are_the_text_and_never_too_long(text in "(?s).{0,400}", most in 0_usize..60) {
            let cut = parts(&text, most);
            prop_assert_eq!(cut.concat(), text.clone());
            prop_assert!(cut.iter().all(|it| !it.is_empty() && it.len() <= most.max(4)));
        }

        #[test]
        fn whatever_the_bytes_are_nothing_breaks(bytes in proptest::collection::vec(any::<u8>(), 0..200), name in "(?s).{0,20}") {
            if let Ok(files) = take(&[Raw { name: &name, bytes: &bytes, sha256: String::new() }]) {
                let Shown::Whole { text } = &files[0].shown else { panic!("it is small") };
                prop_assert!(!text.chars().any(|it| it.is_control() && it != '\n' && it != '\t'));
            }
        }
    }
}
