//! Prints the transition table of every noun from its `decide` into `docs/machines`, and compares.
//!
//! Nothing is written here about what a noun does: each cell is an answer of `decide`. A new state or input
//! does not compile until it is listed.

#![expect(clippy::unwrap_used, reason = "a test says what must be there")]

#[path = "tables/lists.rs"]
mod lists;
#[path = "tables/pipeline.rs"]
mod pipeline;

use orcha_model::{Decision, Refusal};
use std::collections::BTreeMap;
use std::path::Path;

type Decide<'a, N, I> = &'a dyn Fn(&N, I) -> Result<Decision<N>, Refusal>;

/// One noun's table before it is printed.
struct Table<'a, N, I> {
    noun: &'static str,
    intro: &'static str,
    states: Vec<(String, N)>,
    inputs: Vec<(String, I)>,
    name: &'a dyn Fn(&N) -> String,
    decide: Decide<'a, N, I>,
}

const COMMAND: &str = "UPDATE_TABLES=1 cargo test -p orcha-model --test tables";

impl<N: Clone + PartialEq, I: Clone> Table<'_, N, I> {
    fn check(&self) {
        let printed = self.print();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/machines").join(format!("{}.md", self.noun));
        if std::env::var_os("UPDATE_TABLES").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &printed).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        let first = printed.lines().zip(stored.lines().chain(std::iter::repeat(""))).find(|(new, old)| new != old);
        let (new, old) = first.unwrap_or_default();
        assert!(
            stored == printed,
            "docs/machines/{}.md is not what `decide` does any more.\n  it says: {old}\n  it does: {new}\nLook at \
             the difference, then write it anew:\n  {COMMAND}",
            self.noun
        );
    }

    fn print(&self) -> String {
        let mut moves: BTreeMap<(usize, String), Vec<String>> = BTreeMap::new();
        let mut details = String::new();
        for (row, (state, noun)) in self.states.iter().enumerate() {
            details += &format!("\n## {state}\n\n| input | becomes | orders | says |\n|---|---|---|---|\n");
            for (input, value) in &self.inputs {
                let cells = match (self.decide)(noun, value.clone()) {
                    Err(refusal) => ["–".into(), "–".into(), format!("refused: {}", anonymous(&refusal.to_string()))],
                    Ok(decision) => {
                        let to = (self.name)(&decision.next);
                        if to != *state {
                            moves.entry((row, to.clone())).or_default().push(input.clone());
                        }
                        let same = decision.next == *noun;
                        let becomes = match (to == *state, same) {
                            (false, _) => format!("**{to}**"),
                            (true, false) => "the same, changed".into(),
                            (true, true) => "–".into(),
                        };
                        let orders: Vec<&str> = decision.effects.iter().map(|it| it.name()).collect();
                        let orders = if orders.is_empty() { "–".into() } else { orders.join(", ") };
                        let says = match decision.ignored {
                            Some(why) => format!("ignored: {why}"),
                            None => decision.notes.iter().map(|it| it.kind.to_string()).collect::<Vec<_>>().join(", "),
                        };
                        [becomes, orders, says]
                    }
                };
                details += &format!("| {input} | {} |\n", cells.join(" | "));
            }
        }
        let mut overview = String::from("| from | to | by |\n|---|---|---|\n");
        for ((row, to), by) in &moves {
            overview += &format!("| {} | {to} | {} |\n", self.states[*row].0, by.join("; "));
        }
        let title = self.noun.replace('_', " ");
        format!(
            "# The life of a {title}\n\n<!-- Printed from `decide` by `{COMMAND}`; not edited by hand. -->\n\n{}\n\n## Moves\n\n\
             {overview}{details}",
            self.intro
        )
    }
}

/// Leaves out the ids of the examples.
fn anonymous(text: &str) -> String {
    let mut out = Vec::new();
    for word in text.split(' ') {
        if !word.starts_with("00000000-0000-0000") {
            out.push(word);
        }
    }
    out.join(" ")
}

#[test]
fn every_state_meets_every_input_as_docs_machines_say() {
    lists::objective();
    lists::session();
    lists::session_roles();
    lists::workspace();
    lists::pull_request();
    lists::feedback();
    lists::question();
    lists::message();
    lists::target();
    lists::provider();
    pipeline::workflow();
    pipeline::task();
    pipeline::check_run();
    lists::proposal();
}
