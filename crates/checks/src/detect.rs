//! From files to checks: one table per toolchain. Pure.
//!
//! A lint is a check only where the project has configured it: it would block work by a taste that is not the
//! project's. A script that cannot fail is no check.

use crate::plan::{Check, Hollow, Kind, Line, Plan, Source};
use crate::tree::Tree;
use serde_json::Value;

/// Seconds for what usually takes long.
const LONG: u64 = 1800;
const SHORT: u64 = 600;

/// Finds the checks of a project.
pub(crate) fn detect(tree: &Tree) -> Plan {
    let mut found = Found::default();
    found.cargo(tree);
    found.go(tree);
    found.node(tree);
    found.python(tree);
    found.java(tree);
    // A Makefile often only wraps the others.
    if found.toolchains.is_empty() {
        found.make(tree);
    }
    Plan::ordered(found.checks, found.hollow, Source::Detected(found.toolchains))
}

/// Compares with the checks that there were before the change, and names those that it took away.
pub(crate) fn taken_away(before: &Plan, mut now: Plan) -> Plan {
    for it in &before.checks {
        let known =
            now.checks.iter().any(|check| check.name == it.name) || now.hollow.iter().any(|h| h.name == it.name);
        if !known && it.kind != Kind::Install {
            let why = format!("it was there before the change (`{}`) and is gone", it.command);
            now.hollow.push(Hollow { name: it.name.clone(), why });
        }
    }
    now
}

/// Picks the test files out of the files that a change deleted.
pub fn tests_taken_away<'a>(deleted: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    deleted.into_iter().filter(|path| is_test(path)).map(str::to_owned).collect()
}

fn is_test(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let name = lower.rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let in_folder =
        lower.rsplit('/').skip(1).any(|part| matches!(part, "test" | "tests" | "__tests__" | "spec" | "specs"));
    in_folder
        || stem.starts_with("test_")
        || stem.ends_with("_test")
        || stem.ends_with("_tests")
        || stem.ends_with("_spec")
        || name.contains(".test.")
        || name.contains(".spec.")
        || (name.ends_with("test.java") || name.ends_with("tests.java") || name.ends_with("test.kt"))
}

/// Says why a command could not fail; nothing if it could.
pub(crate) fn does_nothing(command: &Line) -> Option<String> {
    let line = match command {
        Line::Shell(line) => line.clone(),
        Line::Argv(words) => words.join(" "),
    };
    cannot_fail(&line).then(|| format!("`{}` cannot fail, so it checks nothing", line.trim()))
}

fn cannot_fail(line: &str) -> bool {
    let words = |part: &str| part.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let idle = |part: &str| match words(part.trim_start_matches(['@', '-', '(', '{'])).as_slice() {
        [] => true,
        [first, rest @ ..] => match first.as_str() {
            "true" | ":" | "echo" | "printf" | "/bin/true" | "/usr/bin/true" | "cd" | "set" | "#" => true,
            "exit" | "return" => rest.first().is_none_or(|code| code == "0"),
            "sh" | "bash" => {
                matches!(rest, [flag, script @ ..] if flag == "-c" && cannot_fail(script.join(" ").trim_matches(['"', '\''])))
            }
            _ => false,
        },
    };
    // What is swallowed at the end is swallowed: `npm test || true`.
    if let Some((_, last)) = line.rsplit_once("||")
        && idle(last)
        && !last.contains(['&', ';'])
    {
        return true;
    }
    // Under `set -e` every command counts.
    if line.trim_start().starts_with("set -e") {
        return line.split([';', '\n']).flat_map(|it| it.split("&&")).all(idle);
    }
    // Of commands after `;` only the last one's exit counts.
    let last_counts = line.rsplit([';', '\n']).find(|it| !it.trim().is_empty()).unwrap_or_default();
    last_counts.split("&&").flat_map(|it| it.split("||")).all(idle)
}

#[derive(Default)]
struct Found {
    checks: Vec<Check>,
    hollow: Vec<Hollow>,
    toolchains: Vec<String>,
}

impl Found {
    fn add(&mut self, folder: &str, name: &str, kind: Kind, timeout_s: u64, command: Line) {
        let name = if folder.is_empty() { name.to_owned() } else { format!("{folder}: {name}") };
        self.checks.push(Check { name, kind, command, dir: folder.to_owned(), timeout_s, env: Vec::new() });
    }

    fn toolchain(&mut self, name: &str) {
        if !self.toolchains.iter().any(|it| it == name) {
            self.toolchains.push(name.to_owned());
        }
    }

    fn cargo(&mut self, tree: &Tree) {
        for at in tree.places(&["Cargo.toml"]) {
            self.toolchain("cargo");
            self.add(
                &at,
                "cargo build",
                Kind::Build,
                LONG,
                Line::argv(["cargo", "build", "--workspace", "--all-targets"]),
            );
            self.add(
                &at,
                "cargo test",
                Kind::Test,
                LONG,
                Line::argv(["cargo", "test", "--workspace", "--no-fail-fast"]),
            );
            let manifest = tree.get(&at, "Cargo.toml").unwrap_or_default();
            if tree.has(&at, &["clippy.toml", ".clippy.toml"]) || manifest.contains("lints.clippy]") {
                let line = Line::argv(["cargo", "clippy", "--workspace", "--all-targets"]);
                self.add(&at, "cargo clippy", Kind::Lint, LONG, line);
            }
            if tree.has(&at, &["rustfmt.toml", ".rustfmt.toml"]) {
                self.add(&at, "cargo fmt", Kind::Lint, SHORT, Line::argv(["cargo", "fmt", "--all", "--check"]));
            }
        }
    }

    fn go(&mut self, tree: &Tree) {
        for at in tree.places(&["go.mod"]) {
            self.toolchain("go");
            self.add(&at, "go build", Kind::Build, LONG, Line::argv(["go", "build", "./..."]));
            self.add(&at, "go test", Kind::Test, LONG, Line::argv(["go", "test", "./..."]));
            self.add(&at, "go vet", Kind::Lint, SHORT, Line::argv(["go", "vet", "./..."]));
        }
    }

    fn node(&mut self, tree: &Tree) {
        for at in tree.places(&["package.json"]) {
            self.toolchain("node");
            let text = tree.get(&at, "package.json").unwrap_or_default();
            let manifest: Value = match serde_json::from_str(text) {
                Ok(manifest) => manifest,
                Err(error) => {
                    let why = format!("it is not JSON: {error}");
                    let name = if at.is_empty() { "package.json".to_owned() } else { format!("{at}: package.json") };
                    self.hollow.push(Hollow { name, why });
                    continue;
                }
            };
            let named = manifest["packageManager"].as_str().unwrap_or_default();
            let tool = if tree.has(&at, &["pnpm-lock.yaml"]) || named.starts_with("pnpm") {
                "pnpm"
            } else if tree.has(&at, &["yarn.lock"]) || named.starts_with("yarn") {
                "yarn"
            } else {
                "npm"
            };
            let needs = |key: &str| manifest[key].as_object().is_some_and(|it| !it.is_empty());
            if needs("dependencies") || needs("devDependencies") || needs("workspaces") {
                let locked =
                    tree.has(&at, &["package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock"]);
                let line = match (tool, locked) {
                    ("npm", true) => Line::argv(["npm", "ci", "--no-audit", "--no-fund"]),
                    ("npm", false) => Line::argv(["npm", "install", "--no-audit", "--no-fund"]),
                    ("pnpm", true) => Line::argv(["pnpm", "install", "--frozen-lockfile"]),
                    (tool, _) => Line::argv([tool, "install"]),
                };
                self.add(&at, &format!("{tool} install"), Kind::Install, LONG, line);
            }
            let scripts =
                [("build", Kind::Build), ("test", Kind::Test), ("typecheck", Kind::Lint), ("lint", Kind::Lint)];
            for (script, kind) in scripts {
                let Some(body) = manifest["scripts"][script].as_str() else { continue };
                // What `npm init` writes is no test that somebody has hollowed out.
                if body.contains("no test specified") {
                    continue;
                }
                let name = format!("{tool} run {script}");
                if cannot_fail(body) {
                    let name = if at.is_empty() { name } else { format!("{at}: {name}") };
                    self.hollow
                        .push(Hollow { name, why: format!("the script `{body}` cannot fail, so it checks nothing") });
                } else {
                    self.add(&at, &name, kind, LONG, Line::argv([tool, "run", script]));
                }
            }
        }
    }

    fn python(&mut self, tree: &Tree) {
        let markers = [
            "pyproject.toml",
            "setup.cfg",
            "tox.ini",
            "pytest.ini",
            "conftest.py",
            "requirements.txt",
            "ruff.toml",
            ".ruff.toml",
        ];
        for at in tree.places(&markers) {
            let text = |name| tree.get(&at, name).unwrap_or_default();
            let pytest = tree.has(&at, &["pytest.ini", "conftest.py"])
                || text("pyproject.toml").contains("[tool.pytest")
                || text("setup.cfg").contains("[tool:pytest]")
                || text("tox.ini").contains("[pytest]");
            let ruff = tree.has(&at, &["ruff.toml", ".ruff.toml"]) || text("pyproject.toml").contains("[tool.ruff");
            if pytest {
                self.add(&at, "pytest", Kind::Test, LONG, Line::argv(["python3", "-m", "pytest", "-q"]));
            } else if tree.has_python_tests(&at) {
                self.add(&at, "unittest", Kind::Test, LONG, Line::argv(["python3", "-m", "unittest", "discover"]));
            }
            if ruff {
                self.add(&at, "ruff", Kind::Lint, SHORT, Line::argv(["ruff", "check", "."]));
            }
            if pytest || ruff || tree.has_python_tests(&at) {
                self.toolchain("python");
            }
        }
        if self.toolchains.is_empty() && tree.places(&markers).is_empty() && tree.has_python_tests("") {
            self.toolchain("python");
            self.add("", "unittest", Kind::Test, LONG, Line::argv(["python3", "-m", "unittest", "discover"]));
        }
    }

    fn java(&mut self, tree: &Tree) {
        for at in tree.places(&["pom.xml"]) {
            self.toolchain("maven");
            let tool = if tree.has(&at, &["mvnw"]) { "./mvnw" } else { "mvn" };
            let words = |goal| Line::argv([tool, "--batch-mode", "--no-transfer-progress", goal]);
            self.add(&at, "maven test-compile", Kind::Build, LONG, words("test-compile"));
            self.add(&at, "maven test", Kind::Test, LONG, words("test"));
        }
        for at in tree.places(&["build.gradle", "build.gradle.kts"]) {
            self.toolchain("gradle");
            let tool = if tree.has(&at, &["gradlew"]) { "./gradlew" } else { "gradle" };
            let words = |task| Line::argv([tool, "--no-daemon", "--console=plain", task]);
            self.add(&at, "gradle testClasses", Kind::Build, LONG, words("testClasses"));
            self.add(&at, "gradle test", Kind::Test, LONG, words("test"));
        }
    }

    fn make(&mut self, tree: &Tree) {
        let names = ["GNUmakefile", "makefile", "Makefile"];
        for at in tree.places(&names) {
            let Some(text) = names.iter().find_map(|name| tree.get(&at, name)) else { continue };
            let targets = [("build", Kind::Build), ("test", Kind::Test), ("check", Kind::Test), ("lint", Kind::Lint)];
            for (target, kind) in targets {
                let Some(recipe) = recipe(text, target) else { continue };
                self.toolchain("make");
                let name = format!("make {target}");
                if let Some(line) = recipe.filter(|it| cannot_fail(it)) {
                    let name = if at.is_empty() { name } else { format!("{at}: {name}") };
                    let why = format!("the recipe `{}` cannot fail, so it checks nothing", line.trim());
                    self.hollow.push(Hollow { name, why });
                } else {
                    self.add(&at, &name, kind, LONG, Line::argv(["make", target]));
                }
            }
        }
    }
}

/// Finds a target of a Makefile: its recipe, or nothing if it only has prerequisites.
fn recipe(text: &str, target: &str) -> Option<Option<String>> {
    let mut lines = text.lines().skip_while(|line| {
        let head = line.split_once(':').filter(|(_, rest)| !rest.starts_with('='));
        !head.is_some_and(|(names, _)| !names.starts_with('\t') && names.split_whitespace().any(|name| name == target))
    });
    let head = lines.next()?;
    let prerequisites = head.split_once(':').is_some_and(|(_, rest)| !rest.trim().is_empty());
    let body: Vec<&str> = lines.take_while(|line| line.starts_with('\t')).map(str::trim).collect();
    // Each line counts by itself.
    Some((!prerequisites && !body.is_empty()).then(|| body.join(" && ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        Tree(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    fn show(plan: &Plan) -> Vec<String> {
        let mut lines: Vec<String> =
            plan.checks.iter().map(|it| format!("{:?} {} = {}", it.kind, it.name, it.command)).collect();
        lines.extend(plan.hollow.iter().map(|it| format!("hollow {}", it.name)));
        lines
    }

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        show(&detect(&tree(files)))
    }

    #[test]
    fn each_toolchain_has_its_checks_in_order() {
        assert_eq!(
            found(&[("Cargo.toml", "[workspace.lints.clippy]"), ("rustfmt.toml", "")]),
            [
                "Build cargo build = cargo build --workspace --all-targets",
                "Test cargo test = cargo test --workspace --no-fail-fast",
                "Lint cargo clippy = cargo clippy --workspace --all-targets",
                "Lint cargo fmt = cargo fmt --all --check"
            ]
        );
        assert_eq!(
            found(&[("go.mod", "")]),
            ["Build go build = go build ./...", "Test go test = go test ./...", "Lint go vet = go vet ./..."]
        );
        assert_eq!(
            found(&[("pom.xml", ""), ("mvnw", "")])[1],
            "Test maven test = ./mvnw --batch-mode --no-transfer-progress test"
        );
        assert_eq!(found(&[("build.gradle.kts", "")])[1], "Test gradle test = gradle --no-daemon --console=plain test");
        assert_eq!(
            found(&[("pyproject.toml", "[tool.pytest.ini_options]\n[tool.ruff]\n")]),
            ["Test pytest = python3 -m pytest -q", "Lint ruff = ruff check ."]
        );
        assert_eq!(found(&[("tests/test_a.py", "")]), ["Test unittest = python3 -m unittest discover"]);
        assert_eq!(found(&[("pyproject.toml", "[project]")]), [""; 0]);
        assert_eq!(
            found(&[("Makefile", "all: x\n\ntest:\n\tsh check.sh\nlint: a b\n")]),
            ["Test make test = make test", "Lint make lint = make lint"]
        );
        assert_eq!(found(&[("README", "")]), [""; 0]);
    }

    #[test]
    fn node_uses_the_package_manager_and_the_scripts_of_the_project() {
        let manifest =
            r#"{"scripts":{"build":"tsc","test":"vitest run","lint":"eslint ."},"devDependencies":{"x":"1"}}"#;
        assert_eq!(
            found(&[("package.json", manifest), ("pnpm-lock.yaml", "")]),
            [
                "Install pnpm install = pnpm install --frozen-lockfile",
                "Build pnpm run build = pnpm run build",
                "Test pnpm run test = pnpm run test",
                "Lint pnpm run lint = pnpm run lint"
            ]
        );
        assert_eq!(found(&[("package.json", manifest)])[0], "Install npm install = npm install --no-audit --no-fund");
        assert_eq!(
            found(&[("package.json", manifest), ("package-lock.json", "")])[0],
            "Install npm install = npm ci --no-audit --no-fund"
        );
        assert_eq!(found(&[("package.json", "// no\n{}")]), ["hollow package.json"]);
        let fresh = r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1"}}"#;
        assert_eq!(found(&[("package.json", fresh)]), [""; 0]);
    }

    #[test]
    fn a_project_in_a_folder_is_found_beside_one_at_the_root() {
        let files =
            [("Cargo.toml", ""), ("web/package.json", r#"{"scripts":{"test":"jest"}}"#), ("crates/a/Cargo.toml", "")];
        let found = found(&files);
        assert_eq!(
            found,
            [
                "Build cargo build = cargo build --workspace --all-targets",
                "Test cargo test = cargo test --workspace --no-fail-fast",
                "Test web: npm run test = npm run test"
            ]
        );
    }

    #[test]
    fn c06_a_script_that_cannot_fail_is_no_check() {
        for body in [
            "exit 0",
            "true",
            ":",
            "echo ok",
            "echo all tests passed && exit 0",
            "jest || true",
            "jest; exit 0",
            "jest; true",
            "sh -c 'exit 0'",
            "",
        ] {
            let manifest = serde_json::json!({"scripts": {"test": body}}).to_string();
            assert_eq!(found(&[("package.json", &manifest)]), ["hollow npm run test"], "{body}");
        }
        for body in ["jest", "exit 1", "echo go && jest", "true && jest", "jest || exit 1", "cd web && jest", "false"] {
            let manifest = serde_json::json!({"scripts": {"test": body}}).to_string();
            assert_eq!(found(&[("package.json", &manifest)]), ["Test npm run test = npm run test"], "{body}");
        }
        assert_eq!(found(&[("Makefile", "test:\n\t@echo fine\n")]), ["hollow make test"]);
        assert_eq!(found(&[("Makefile", "test:\n\tsh t.sh\n\t@echo fine\n")]), ["Test make test = make test"]);
        assert!(!cannot_fail("set -e; jest; echo fine"));
    }

    #[test]
    fn c06_a_check_that_the_change_took_away_is_named() {
        let before = detect(&tree(&[("package.json", r#"{"scripts":{"test":"jest","build":"tsc"}}"#)]));
        let now = detect(&tree(&[("package.json", r#"{"scripts":{"build":"tsc"}}"#)]));
        let plan = taken_away(&before, now);
        assert_eq!(show(&plan), ["Build npm run build = npm run build", "hollow npm run test"]);
        assert!(plan.hollow[0].why.contains("is gone"));
    }

    #[test]
    fn deleted_tests_are_told_from_other_files() {
        let deleted = [
            "src/lib.rs",
            "tests/api.rs",
            "src/a_test.go",
            "web/x.test.ts",
            "src/test/java/ATest.java",
            "test_x.py",
            "latest.md",
            "docs/contest.md",
        ];
        assert_eq!(
            tests_taken_away(deleted),
            ["tests/api.rs", "src/a_test.go", "web/x.test.ts", "src/test/java/ATest.java", "test_x.py"]
        );
    }
}
