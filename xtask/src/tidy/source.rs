//! A Rust file as tokens, enough to tell code from comments, text and tests.
//!
//! It does not parse: it knows comments, literals, names, the paths they form, and which items
//! stand behind a test attribute. A file that does not compile gives tokens too, of no value.

/// A Rust file as the rules see it.
pub struct Source {
    /// The path from the root of the repository.
    pub path: String,
    tokens: Vec<Token>,
    /// Modules in files of their own that were declared for tests only.
    test_modules: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Token {
    line: usize,
    kind: Kind,
    /// Whether it stands in code that is only built for tests.
    test: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Word(String),
    Text(String),
    /// `::`
    Step,
    Mark(char),
}

/// A name or a path of names, with the prefix of its `use` group: `std::fs::File`.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    /// The line where it ends.
    pub line: usize,
    /// Its parts, in order.
    pub parts: Vec<String>,
    /// Whether `!` follows: the call of a macro.
    pub is_macro: bool,
    /// Whether it stands in code that is only built for tests.
    pub test: bool,
}

impl Name {
    /// Returns whether the pattern is in the path: `fs::read` is in `std::fs::read`. With `::` at its
    /// end, the path must begin with it; with `!`, it is a macro.
    pub fn has(&self, pattern: &str) -> bool {
        if let Some(name) = pattern.strip_suffix('!') {
            return self.is_macro && self.parts.last().is_some_and(|part| part == name);
        }
        let first = pattern.strip_suffix("::");
        let wanted: Vec<&str> = first.unwrap_or(pattern).split("::").collect();
        match first {
            Some(_) => self.parts.len() > wanted.len() && self.parts.starts_with(&wanted_strings(&wanted)),
            None => self.parts.windows(wanted.len()).any(|it| it == wanted),
        }
    }
}

impl Source {
    /// Reads a file into tokens.
    pub fn read(path: &str, text: &str) -> Self {
        let mut source = Self { path: path.to_owned(), tokens: Lexer::new(text).tokens(), test_modules: Vec::new() };
        source.mark_tests();
        if path.split('/').any(|part| part == "tests" || part == "benches") {
            source.mark_all();
        }
        source
    }

    /// Returns every name and path, macros included.
    pub fn names(&self) -> Vec<Name> {
        let mut names = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            at = self.name(at, &[], &mut names).max(at + 1);
        }
        names
    }

    /// Returns every string literal with its line.
    pub fn texts(&self) -> impl Iterator<Item = (usize, &str)> {
        self.tokens.iter().filter_map(|token| match &token.kind {
            Kind::Text(text) => Some((token.line, text.as_str())),
            Kind::Word(_) | Kind::Step | Kind::Mark(_) => None,
        })
    }

    /// Returns the functions that are tests, each with its line.
    pub fn tests(&self) -> impl Iterator<Item = (usize, &str)> {
        (0..self.tokens.len()).filter_map(|at| {
            let is_attribute = self.is(at, '#') && self.is(at + 1, '[');
            let is_test = match self.word(at + 2) {
                Some("test") => true,
                Some(_) => self.kind(at + 3) == Some(&Kind::Step) && self.word(at + 4) == Some("test"),
                None => false,
            };
            if !(is_attribute && is_test) {
                return None;
            }
            let mut after = self.group_end(at + 1);
            while self.is(after, '#') {
                after = self.group_end(after + 1);
            }
            let name = (after..after + 4).find(|it| self.word(*it) == Some("fn"))? + 1;
            Some((self.tokens.get(name)?.line, self.word(name)?))
        })
    }

    /// Reads one path, or one group of paths, from a token on; returns where it ends.
    fn name(&self, mut at: usize, prefix: &[String], names: &mut Vec<Name>) -> usize {
        let mut parts = prefix.to_vec();
        if self.kind(at) == Some(&Kind::Step) && self.word(at + 1).is_some() {
            at += 1;
        }
        while let Some(word) = self.word(at) {
            parts.push(word.to_owned());
            if self.kind(at + 1) != Some(&Kind::Step) {
                let is_macro = self.is(at + 1, '!') && !self.is(at + 2, '=');
                let Token { line, test, .. } = self.tokens[at];
                names.push(Name { line, parts, is_macro, test });
                return at + 1;
            }
            at += 2;
        }
        if parts.is_empty() || !self.is(at, '{') {
            return at;
        }
        at += 1;
        while at < self.tokens.len() && !self.is(at, '}') {
            at = self.name(at, &parts, names).max(at + 1);
        }
        at + 1
    }

    fn mark_tests(&mut self) {
        let mut at = 0;
        while at < self.tokens.len() {
            let inner = self.is(at + 1, '!');
            let open = if inner { at + 2 } else { at + 1 };
            if !(self.is(at, '#') && self.is(open, '[')) {
                at += 1;
                continue;
            }
            let after = self.group_end(open);
            if !self.is_for_tests(open + 1, after) {
                at = after;
            } else if inner {
                self.mark_all();
                return;
            } else {
                let end = self.item_end(after);
                if end >= 3 && self.is(end - 1, ';') && self.word(end - 3) == Some("mod") {
                    self.test_modules.extend(self.word(end - 2).map(str::to_owned));
                }
                self.tokens[at..end].iter_mut().for_each(|token| token.test = true);
                at = end;
            }
        }
    }

    fn mark_all(&mut self) {
        self.tokens.iter_mut().for_each(|token| token.test = true);
    }

    /// Returns whether an attribute's tokens say `test`, `cfg(test)` or `cfg(feature = "fake")`.
    fn is_for_tests(&self, from: usize, to: usize) -> bool {
        let has = |word| (from..to).any(|at| self.word(at) == Some(word));
        let fake = (from..to).any(|at| self.kind(at) == Some(&Kind::Text("fake".into())));
        match self.word(from) {
            Some("cfg") => !has("not") && (has("test") || fake),
            Some("test") => true,
            // `tokio::test`, with or without arguments.
            Some(_) => self.kind(from + 1) == Some(&Kind::Step) && self.word(from + 2) == Some("test"),
            None => false,
        }
    }

    /// Returns the end of the item that begins here: behind its `;`, or behind its closing brace.
    fn item_end(&self, mut at: usize) -> usize {
        while at < self.tokens.len() {
            match self.kind(at) {
                Some(Kind::Mark('{')) => return self.group_end(at),
                Some(Kind::Mark('(' | '[')) => at = self.group_end(at),
                Some(Kind::Mark(';')) => return at + 1,
                // A field or an arm: it ends with what holds it.
                Some(Kind::Mark('}')) => return at,
                _ => at += 1,
            }
        }
        at
    }

    /// Returns where the group that opens here ends, behind its closing mark.
    fn group_end(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for at in open..self.tokens.len() {
            match self.kind(at) {
                Some(Kind::Mark('(' | '[' | '{')) => depth += 1,
                Some(Kind::Mark(')' | ']' | '}')) => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return at + 1;
            }
        }
        self.tokens.len()
    }

    fn kind(&self, at: usize) -> Option<&Kind> {
        self.tokens.get(at).map(|token| &token.kind)
    }

    fn word(&self, at: usize) -> Option<&str> {
        match self.kind(at) {
            Some(Kind::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn is(&self, at: usize, mark: char) -> bool {
        self.kind(at) == Some(&Kind::Mark(mark))
    }

    /// Returns the folder in which the modules of this file have theirs.
    fn module_folder(&self) -> String {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let is_root = matches!(file, "lib.rs" | "main.rs" | "mod.rs") || folder.ends_with("src/bin");
        if is_root { folder.to_owned() } else { self.path.trim_end_matches(".rs").to_owned() }
    }
}

/// Marks the files of modules that another file declares for tests only.
pub fn mark_test_files(sources: &mut [Source]) {
    let mut modules = Vec::new();
    for source in sources.iter() {
        modules.extend(source.test_modules.iter().map(|name| format!("{}/{name}", source.module_folder())));
    }
    for source in sources {
        let path = source.path.trim_end_matches(".rs");
        let inside = |module: &String| path.strip_prefix(module).is_some_and(|it| it.is_empty() || it.starts_with('/'));
        if modules.iter().any(inside) {
            source.mark_all();
        }
    }
}

fn wanted_strings(wanted: &[&str]) -> Vec<String> {
    wanted.iter().map(|&part| part.to_owned()).collect()
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Lexer {
    fn new(text: &str) -> Self {
        Self { chars: text.chars().collect(), at: 0, line: 1 }
    }

    fn tokens(mut self) -> Vec<Token> {
        let mut tokens = Vec::new();
        while let Some(c) = self.peek(0) {
            let line = self.line;
            let kind = match c {
                '/' if self.peek(1) == Some('/') => self.skip_line(),
                '/' if self.peek(1) == Some('*') => self.skip_block(),
                '"' => Some(self.text()),
                '\'' => self.quote(),
                ':' if self.peek(1) == Some(':') => {
                    self.step();
                    self.step();
                    Some(Kind::Step)
                }
                _ if c.is_alphanumeric() || c == '_' => Some(self.word()),
                _ => {
                    self.step();
                    (!c.is_whitespace()).then_some(Kind::Mark(c))
                }
            };
            tokens.extend(kind.map(|kind| Token { line, kind, test: false }));
        }
        tokens
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn step(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn skip_line(&mut self) -> Option<Kind> {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.step();
        }
        None
    }

    fn skip_block(&mut self) -> Option<Kind> {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => {
                    depth += 1;
                    self.step();
                }
                (Some('*'), Some('/')) => {
                    depth -= 1;
                    self.step();
                }
                (None, _) => return None,
                _ => {}
            }
            self.step();
            if depth == 0 {
                return None;
            }
        }
    }

    /// A name or a number; or a literal with a prefix, as in `br"…"`; or a raw name.
    fn word(&mut self) -> Kind {
        let mut word = String::new();
        while let Some(c) = self.peek(0).filter(|&c| c.is_alphanumeric() || c == '_') {
            word.push(c);
            self.step();
        }
        let n_hashes = (0..).take_while(|&ahead| self.peek(ahead) == Some('#')).count();
        match word.as_str() {
            "r" | "br" | "cr" if self.peek(n_hashes) == Some('"') => self.raw_text(n_hashes),
            "b" | "c" if self.peek(0) == Some('"') => self.text(),
            "r" if n_hashes == 1 => {
                self.step();
                self.word()
            }
            _ => Kind::Word(word),
        }
    }

    fn text(&mut self) -> Kind {
        let mut text = String::new();
        self.step();
        while let Some(c) = self.step() {
            match c {
                '"' => break,
                '\\' => match self.step() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    // A line that goes on: the break and the indentation are not in the text.
                    Some('\n') => {
                        while self.peek(0).is_some_and(char::is_whitespace) {
                            self.step();
                        }
                    }
                    other => text.extend(other),
                },
                _ => text.push(c),
            }
        }
        Kind::Text(text)
    }

    fn raw_text(&mut self, n_hashes: usize) -> Kind {
        let mut text = String::new();
        (0..=n_hashes).for_each(|_| {
            self.step();
        });
        while let Some(c) = self.step() {
            if c == '"' && (0..n_hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                (0..n_hashes).for_each(|_| {
                    self.step();
                });
                break;
            }
            text.push(c);
        }
        Kind::Text(text)
    }

    /// A character, which is no token here, or a lifetime, which is none either.
    fn quote(&mut self) -> Option<Kind> {
        self.step();
        if self.peek(0) == Some('\\') {
            self.step();
            self.step();
            while self.step().is_some_and(|c| c != '\'') {}
        } else if self.peek(1) == Some('\'') {
            self.step();
            self.step();
        } else {
            while self.peek(0).is_some_and(|c| c.is_alphanumeric() || c == '_') {
                self.step();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        Source::read("crates/x/src/a.rs", text).names().iter().map(|it| it.parts.join("::")).collect()
    }

    fn shipped(text: &str) -> Vec<String> {
        let names = Source::read("crates/x/src/a.rs", text).names();
        names.iter().filter(|it| !it.test).map(|it| it.parts.join("::")).collect()
    }

    #[test]
    fn comments_texts_and_characters_are_not_code() {
        let text = r##"
            // a /* b
            /* c /* d */ e */ f
            "g \" h" r#"i " j"# b"k" 'l' '\'' '\u{1F600}' &'m n r#type br"\" o
        "##;
        assert_eq!(names(text), ["f", "n", "type", "o"]);
    }

    #[test]
    fn groups_are_written_out() {
        let text = "use std::{fs, io::{self, Read}, net::*};\nlet a = b::c(d);\n::e::f";
        let expected = ["use", "std::fs", "std::io::self", "std::io::Read", "let", "a", "b::c", "d", "e::f"];
        assert_eq!(names(text), expected);
    }

    #[test]
    fn lines_are_counted_through_texts_and_comments() {
        let source = Source::read("a.rs", "/* 1\n2 */ \"3\n\\\n 4\"\nx");
        assert_eq!(source.names()[0].line, 5);
        assert_eq!(source.texts().collect::<Vec<_>>(), [(2, "3\n4")]);
    }

    #[test]
    fn items_behind_a_test_attribute_are_tests() {
        let text = "
            fn a() {}
            #[cfg(test)] mod tests { fn b() { [1]; } }
            #[cfg(any(test, feature = \"x\"))] #[derive(C)] pub fn c<A, B>(d: [u8; 2]) -> E { F }
            #[cfg(feature = \"fake\")] pub mod fake;
            #[tokio::test(flavor = \"g\")] async fn h() {}
            #[test] fn i() {}
            #[cfg(not(test))] fn j() {}
            #[cfg(test)] use k::l;
            struct M { #[cfg(test)] n: O }
            fn p() {}
        ";
        let shipped = shipped(text);
        assert_eq!(shipped, ["fn", "a", "cfg", "not", "test", "fn", "j", "struct", "M", "fn", "p"]);
    }

    #[test]
    fn files_of_test_modules_are_tests() {
        let file = |path, text| Source::read(path, text);
        let mut sources = [
            file("crates/x/src/lib.rs", "#[cfg(test)] mod t; mod u;"),
            file("crates/x/src/t.rs", "a"),
            file("crates/x/src/t/v.rs", "a"),
            file("crates/x/src/u.rs", "#[cfg(test)] mod w;"),
            file("crates/x/src/u/w.rs", "a"),
            file("crates/x/src/tt.rs", "a"),
            file("crates/x/tests/y.rs", "a"),
            file("crates/x/src/z.rs", "#![cfg(test)] a"),
        ];
        mark_test_files(&mut sources);
        let tests = sources.iter().filter(|it| it.names().iter().all(|name| name.test));
        let tests: Vec<&str> = tests.map(|it| it.path.trim_start_matches("crates/x/")).collect();
        assert_eq!(tests, ["src/t.rs", "src/t/v.rs", "src/u.rs", "src/u/w.rs", "tests/y.rs", "src/z.rs"]);
    }

    #[test]
    fn patterns_match_whole_parts() {
        let name = |text| Source::read("a.rs", text).names().remove(0);
        assert!(name("std::time::Instant::now").has("Instant::now"));
        assert!(!name("MyInstant::now").has("Instant::now"));
        assert!(name("rand::rng").has("rand::"));
        assert!(!name("my::rand::rng").has("rand::"));
        assert!(name("println!(x)").has("println!"));
        assert!(!name("println != x").has("println!"));
    }
}
