//! The rule of the floors: which crate may use which.
//!
//! The table below is the house. A new crate, or a new arrow, is a change here with a decision record.

use super::{Dependency, Finding, Package};
use cargo_metadata::DependencyKind;

struct Room {
    name: &'static str,
    floor: u8,
    may_use: MayUse,
}

#[derive(Clone, Copy)]
enum MayUse {
    Only(&'static [&'static str]),
    /// Every crate of the table below its own floor, except the ones for tests.
    Libraries,
}
use MayUse::{Libraries, Only};

const TESTKIT: &str = "orcha-testkit";

/// Measures everything; nothing uses it.
const BENCH: &str = "orcha-bench";

/// The feature behind which fakes stand.
const FAKE: &str = "fake";

const fn room(name: &'static str, floor: u8, may_use: MayUse) -> Room {
    Room { name, floor, may_use }
}

/// The house, from the ground up.
const HOUSE: &[Room] = &[
    room("orcha-base", 0, Only(&[])),
    room("orcha-model", 1, Only(&["orcha-base"])),
    room("orcha-wire", 1, Only(&["orcha-base"])),
    room("orcha-exec", 1, Only(&["orcha-base"])),
    // Decision 0013: one way out, for whoever goes where somebody else says.
    room("orcha-outbound", 1, Only(&["orcha-base"])),
    // A test program; it stands beside the house and talks to it as any agent does.
    room("orcha-scripted-agent", 2, Only(&["orcha-base"])),
    // The model behind real agent programs in tests: decision 0011.
    room("orcha-scripted-model", 2, Only(&[])),
    room("orcha-plan", 2, Only(&["orcha-base", "orcha-model"])),
    // The search over many runs, and trials of better texts: decision 0019.
    room("orcha-refiner", 2, Only(&["orcha-base", "orcha-model"])),
    room("orcha-store", 2, Only(&["orcha-base", "orcha-model"])),
    room("orcha-agent", 2, Only(&["orcha-base", "orcha-exec"])),
    room("orcha-forge", 2, Only(&["orcha-base", "orcha-exec"])),
    room("orcha-workspace", 2, Only(&["orcha-base", "orcha-exec"])),
    room("orcha-delivery", 2, Only(&["orcha-base", "orcha-outbound"])),
    room("orcha-checks", 2, Only(&["orcha-base", "orcha-exec"])),
    room("orcha-local-tools", 2, Only(&["orcha-base", "orcha-exec", "orcha-outbound"])),
    room(
        "orcha-orch",
        3,
        Only(&[
            "orcha-base",
            "orcha-model",
            "orcha-exec",
            "orcha-plan",
            "orcha-store",
            "orcha-agent",
            "orcha-forge",
            "orcha-workspace",
            "orcha-checks",
            "orcha-delivery",
            // Texts and trials: decision 0021.
            "orcha-refiner",
        ]),
    ),
    // A program of its own beside the wheel: decision 0014.
    room("orcha-llm-agent", 3, Only(&["orcha-base", "orcha-agent", "orcha-local-tools", "orcha-outbound"])),
    // Words of the mind and of code hosts, without a decision: decision 0004.
    room(
        "orcha-api",
        4,
        Only(&["orcha-base", "orcha-model", "orcha-wire", "orcha-store", "orcha-orch", "orcha-plan", "orcha-forge"]),
    ),
    room("orcha-dashboard", 5, Only(&["orcha-base", "orcha-model", "orcha-wire", "orcha-store", "orcha-api"])),
    room("orcha-client", 5, Only(&["orcha-base", "orcha-wire"])),
    room(TESTKIT, 6, Libraries),
    room("orchad", 6, Libraries),
    room("orcha", 6, Only(&["orcha-base", "orcha-wire", "orcha-client"])),
    // Decision 0005.
    room(BENCH, 7, Libraries),
    room("xtask", 7, Libraries),
];

/// Finds crates without a room and arrows that the house does not have.
pub fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let Some(from) = find(&package.name) else {
            findings.push(Finding {
                rule: "floors",
                place: package.name.clone(),
                what: "has no floor; add it to the table in xtask/src/tidy/floors.rs, with a decision record".into(),
            });
            continue;
        };
        for dependency in package.dependencies.iter().filter(|it| it.ours) {
            findings.extend(wrong_arrow(from, dependency).map(|what| Finding {
                rule: "floors",
                place: format!("{} -> {}", package.name, dependency.name),
                what,
            }));
        }
    }
    findings
}

fn wrong_arrow(from: &Room, dependency: &Dependency) -> Option<String> {
    // A crate that is not in the table is named once, as itself.
    let to = find(&dependency.name)?;
    if dependency.kind == DependencyKind::Development {
        let fine = to.name == TESTKIT || to.floor <= from.floor;
        return (!fine).then(|| format!("a test on floor {} must not reach up to floor {}", from.floor, to.floor));
    }
    if to.name == TESTKIT {
        return Some("the testkit is for tests: never a normal dependency".into());
    }
    let serves_tests = [TESTKIT, BENCH, "xtask"].contains(&from.name);
    if !serves_tests && dependency.features.iter().any(|feature| feature == FAKE) {
        return Some("a normal dependency must not turn on fakes".into());
    }
    match from.may_use {
        Only(list) if list.contains(&to.name) => None,
        Only([]) => Some("not an arrow of the house; it may use no other crate of ours".into()),
        Only(list) => Some(format!("not an arrow of the house; it may use {}", list.join(", "))),
        Libraries if to.floor < from.floor => None,
        Libraries => Some("not a library below it".into()),
    }
}

fn find(name: &str) -> Option<&'static Room> {
    HOUSE.iter().find(|room| room.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use DependencyKind::{Build, Development, Normal};

    fn arrow(from: &str, to: &str, kind: DependencyKind, features: &[&str]) -> Vec<String> {
        let features = features.iter().map(|&it| it.to_owned()).collect();
        let dependency = Dependency { name: to.into(), kind, ours: true, features };
        let package = Package { name: from.into(), dependencies: vec![dependency] };
        check(&[package]).into_iter().map(|it| it.to_string()).collect()
    }

    #[test]
    fn a_wrong_arrow_is_named_with_both_ends() {
        assert_eq!(
            arrow("orcha-plan", "orcha-store", Normal, &[]),
            ["floors: orcha-plan -> orcha-store: not an arrow of the house; it may use orcha-base, orcha-model"]
        );
        for (from, to) in [
            ("orcha-base", "orcha-model"),
            ("orcha-forge", "orcha-model"),
            ("orcha-orch", "orcha-wire"),
            ("orcha-agent", "orcha-workspace"),
            ("orcha-client", "orcha-model"),
            ("orcha", "orcha-store"),
            ("orcha-dashboard", "orcha-orch"),
        ] {
            assert_eq!(arrow(from, to, Normal, &[]).len(), 1, "{from} -> {to}");
            assert_eq!(arrow(from, to, Build, &[]).len(), 1, "{from} -> {to}");
        }
    }

    #[test]
    fn the_arrows_of_the_house_are_fine() {
        for (from, to) in [
            ("orcha-orch", "orcha-agent"),
            ("orcha-api", "orcha-store"),
            ("orchad", "orcha-scripted-agent"),
            ("orchad", "orcha-client"),
            ("orcha-testkit", "orcha-orch"),
            ("xtask", "orcha-store"),
        ] {
            assert!(arrow(from, to, Normal, &[]).is_empty(), "{from} -> {to}");
        }
    }

    #[test]
    fn tests_reach_down_and_sideways_and_to_the_testkit() {
        assert!(arrow("orcha-model", "orcha-testkit", Development, &[]).is_empty());
        assert!(arrow("orcha-forge", "orcha-workspace", Development, &[]).is_empty());
        assert!(arrow("orcha-orch", "orcha-exec", Development, &["fake"]).is_empty());
        let up = ["floors: orcha-store -> orcha-orch: a test on floor 2 must not reach up to floor 3"];
        assert_eq!(arrow("orcha-store", "orcha-orch", Development, &[]), up);
    }

    #[test]
    fn nothing_that_ships_has_the_testkit_or_fakes() {
        for from in ["orcha-orch", "orchad", "xtask"] {
            assert_eq!(arrow(from, "orcha-testkit", Normal, &[]).len(), 1, "{from}");
        }
        assert_eq!(arrow("orcha-orch", "orcha-exec", Normal, &["fake"]).len(), 1);
        assert!(arrow("orcha-testkit", "orcha-exec", Normal, &["fake"]).is_empty());
        assert!(arrow("orcha-bench", "orcha-exec", Normal, &["fake"]).is_empty());
        for from in ["orchad", "xtask"] {
            assert_eq!(arrow(from, "orcha-bench", Normal, &[]).len(), 1, "{from}");
        }
    }

    #[test]
    fn a_crate_without_a_room_is_named_once() {
        let package = Package { name: "orcha-attic".into(), dependencies: vec![] };
        let findings: Vec<String> = check(&[package]).iter().map(ToString::to_string).collect();
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("floors: orcha-attic: has no floor; add it to the table"));
        assert!(arrow("orcha-base", "orcha-attic", Normal, &[]).is_empty());
    }

    #[test]
    fn every_arrow_of_the_table_points_down() {
        for room in HOUSE {
            let Only(list) = room.may_use else { continue };
            for to in list {
                assert!(find(to).is_some_and(|to| to.floor < room.floor), "{} -> {to}", room.name);
            }
        }
    }
}
