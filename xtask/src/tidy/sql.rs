//! The rule that SQL stands in `store` and nowhere else, tests included.
//!
//! It looks at string literals that begin like a statement, in the upper case that we write.

use super::{Finding, Source};

/// Where SQL may stand, and why.
const MAY: &[(&str, &str)] = &[
    ("crates/store/", "it is the room of the database"),
    ("crates/bench/", "measures the raw floor of SQLite, which is what the store is compared with"),
    ("xtask/src/tidy/sql.rs", "names the statements it looks for"),
];

/// How statements begin, and what must follow somewhere for it to be one.
const STATEMENTS: &[(&str, &str)] = &[
    ("SELECT ", ""),
    ("INSERT INTO ", ""),
    ("INSERT OR ", ""),
    ("REPLACE INTO ", ""),
    ("UPDATE ", " SET "),
    ("DELETE FROM ", ""),
    ("WITH ", " AS ("),
    ("CREATE TABLE ", ""),
    ("CREATE TEMP ", ""),
    ("CREATE INDEX ", ""),
    ("CREATE UNIQUE ", ""),
    ("CREATE TRIGGER ", ""),
    ("CREATE VIEW ", ""),
    ("CREATE VIRTUAL ", ""),
    ("ALTER TABLE ", ""),
    ("DROP TABLE ", ""),
    ("DROP INDEX ", ""),
    ("PRAGMA ", ""),
    ("BEGIN IMMEDIATE", ""),
    ("BEGIN EXCLUSIVE", ""),
    ("ATTACH DATABASE ", ""),
];

/// Finds SQL outside its room.
pub fn check(source: &Source) -> Vec<Finding> {
    if MAY.iter().any(|(place, _)| source.path.starts_with(place)) {
        return Vec::new();
    }
    let statement = |text: &str| {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ") + " ";
        STATEMENTS.iter().any(|(begin, then)| words.starts_with(begin) && words.contains(then))
    };
    let found = source.texts().filter(|(_, text)| statement(text));
    let finding = |(line, text): (usize, &str)| Finding {
        rule: "sql",
        place: format!("{}:{line}", source.path),
        what: format!("SQL outside `store`: `{}…`", text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")),
    };
    found.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Source::read(path, text)).into_iter().map(|it| it.to_string()).collect()
    }

    #[test]
    fn statements_are_found_outside_store_even_in_tests() {
        let text = "//! x\nfn f() {\n    db.run(r#\"\n  SELECT a\n FROM b\"#);\n}\n#[test] fn t() { q(\"UPDATE a\\n SET b\") }\n";
        assert_eq!(
            found("crates/orch/src/a.rs", text),
            [
                "sql: crates/orch/src/a.rs:3: SQL outside `store`: `SELECT a FROM…`",
                "sql: crates/orch/src/a.rs:7: SQL outside `store`: `UPDATE a SET…`",
            ]
        );
        assert_eq!(found("crates/orch/tests/a.rs", "x(\"PRAGMA integrity_check\")").len(), 1);
    }

    #[test]
    fn each_kind_of_statement_is_known() {
        for (begin, then) in STATEMENTS {
            assert_eq!(found("bins/orchad/src/main.rs", &format!("x(\"{begin}x{then}\")")).len(), 1, "{begin}");
        }
    }

    #[test]
    fn the_store_may_and_prose_is_not_sql() {
        assert!(found("crates/store/src/a.rs", "x(\"SELECT 1\")").is_empty());
        let prose = "// SELECT 1\nx(\"Select a host\"); x(\"UPDATE the pull request\"); x(\"no SELECT here\"); x(\"WITH care\")";
        assert!(found("crates/orch/src/a.rs", prose).is_empty());
    }
}
