//! The rule that mind and words are pure: no async, clock, randomness or IO.
//!
//! For dependencies there is a list of what each pure crate may have; in its source, outside tests,
//! there is a list of what must not be named.

use super::{Finding, Package, Source};
use cargo_metadata::DependencyKind;

struct Pure {
    package: &'static str,
    sources: &'static str,
    may_have: &'static [&'static str],
}

const PURE: [Pure; 5] = [
    Pure {
        package: "orcha-base",
        sources: "crates/base/",
        may_have: &["jiff", "schemars", "serde", "strum", "thiserror", "uuid"],
    },
    // What roles hand in is JSON: its values and schemas are data like any other.
    Pure {
        package: "orcha-model",
        sources: "crates/model/",
        may_have: &["serde", "serde_json", "strum", "thiserror", "uuid"],
    },
    Pure {
        package: "orcha-plan",
        sources: "crates/plan/",
        may_have: &["serde", "serde_json", "strum", "thiserror", "uuid"],
    },
    Pure { package: "orcha-refiner", sources: "crates/refiner/", may_have: &["serde", "statrs", "thiserror", "uuid"] },
    Pure {
        package: "orcha-wire",
        sources: "crates/wire/",
        may_have: &["schemars", "serde", "serde_json", "strum", "thiserror", "uuid"],
    },
];

/// What reads a clock, draws a number, or touches the world.
const IMPURE: [&str; 17] = [
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "Uuid::new_v4",
    "Uuid::now_v7",
    "rand::",
    "tokio::",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "async",
    "println!",
    "eprintln!",
];

/// Finds dependencies that a pure crate must not have.
pub fn check_dependencies(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let Some(pure) = PURE.iter().find(|pure| pure.package == package.name) else { continue };
        let shipped = package.dependencies.iter().filter(|it| it.kind != DependencyKind::Development && !it.ours);
        for dependency in shipped.filter(|it| !pure.may_have.contains(&it.name.as_str())) {
            findings.push(Finding {
                rule: "pure",
                place: format!("{} -> {}", package.name, dependency.name),
                what: format!("a pure crate; it may have {}", pure.may_have.join(", ")),
            });
        }
    }
    findings
}

/// Finds what a pure crate must not name.
pub fn check_source(source: &Source) -> Vec<Finding> {
    if !PURE.iter().any(|pure| source.path.starts_with(pure.sources)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for name in source.names().iter().filter(|name| !name.test) {
        if IMPURE.iter().any(|impure| name.has(impure)) {
            findings.push(Finding {
                rule: "pure",
                place: format!("{}:{}", source.path, name.line),
                what: format!("`{}` in a pure crate; take it as an argument", name.parts.join("::")),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Dependency;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check_source(&Source::read(path, text)).into_iter().map(|it| it.to_string()).collect()
    }

    fn having(package: &str, name: &str, kind: DependencyKind) -> Vec<String> {
        let dependency = Dependency { name: name.into(), kind, ours: false, features: vec![] };
        let package = Package { name: package.into(), dependencies: vec![dependency] };
        check_dependencies(&[package]).into_iter().map(|it| it.to_string()).collect()
    }

    #[test]
    fn a_forbidden_dependency_is_named() {
        assert_eq!(
            having("orcha-model", "tokio", DependencyKind::Normal),
            ["pure: orcha-model -> tokio: a pure crate; it may have serde, serde_json, strum, thiserror, uuid"]
        );
        assert_eq!(having("orcha-plan", "rand", DependencyKind::Build).len(), 1);
        assert!(having("orcha-model", "serde", DependencyKind::Normal).is_empty());
        assert!(having("orcha-model", "proptest", DependencyKind::Development).is_empty());
        assert!(having("orcha-orch", "tokio", DependencyKind::Normal).is_empty());
    }

    #[test]
    fn a_clock_in_a_pure_crate_is_found() {
        let text = "fn f() {\n  let now = Instant::now();\n}";
        let expected = ["pure: crates/plan/src/a.rs:2: `Instant::now` in a pure crate; take it as an argument"];
        assert_eq!(found("crates/plan/src/a.rs", text), expected);
        assert!(found("crates/orch/src/a.rs", text).is_empty());
    }

    #[test]
    fn each_impure_thing_is_known() {
        for impure in IMPURE {
            let text = if impure.ends_with("::") { format!("{impure}x()") } else { format!("{impure} x") };
            assert_eq!(found("crates/wire/src/a.rs", &text).len(), 1, "{impure}");
        }
        assert_eq!(found("crates/base/src/a.rs", "use std::{fmt, env, fs::File};").len(), 2);
    }

    #[test]
    fn comments_texts_and_tests_are_left_alone() {
        let text = "// std::fs\nfn f() { g(\"std::env\") }\n#[cfg(test)] mod tests { use std::fs; async fn g() {} }";
        assert!(found("crates/model/src/a.rs", text).is_empty());
        assert!(found("crates/model/tests/a.rs", "use std::fs;").is_empty());
    }
}
