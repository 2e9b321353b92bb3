//! The schemas of the documents: what agents are told. What is checked is in `read`, which takes more shapes.

use super::Contract;
use crate::casting;
use crate::delivery::Action;
use serde_json::{Value, json};

/// Returns the schema of a contract's document.
pub(super) fn of(contract: Contract) -> Value {
    let fields = match contract {
        Contract::Digest => {
            vec![("files", list(object(vec![("name", text()), ("summary", text())]))), ("summary", text())]
        }
        Contract::Direction => return direction(),
        Contract::Charter => vec![
            (
                "constitution",
                object(vec![
                    ("vision", text()),
                    ("goals", texts()),
                    ("constraints", texts()),
                    ("audience", text()),
                    ("output_medium", text()),
                    ("acceptance_criteria", texts()),
                    ("out_of_scope", texts()),
                ]),
            ),
            (
                "requirements",
                object(vec![
                    ("functional", list(requirement())),
                    ("non_functional", list(requirement())),
                    ("dependencies", texts()),
                ]),
            ),
            ("summary", text()),
            ("questions", texts()),
        ],
        Contract::Design => vec![
            (
                "design",
                object(vec![
                    ("overview", text()),
                    (
                        "components",
                        list(object(vec![
                            ("name", text()),
                            ("description", text()),
                            ("inputs", texts()),
                            ("outputs", texts()),
                        ])),
                    ),
                    (
                        "decisions",
                        list(object(vec![("decision", text()), ("rationale", text()), ("tradeoffs", text())])),
                    ),
                    ("tech_stack", texts()),
                ]),
            ),
            ("tasks", list(task())),
            ("checks", list(object(vec![("name", text()), ("command", texts())]))),
            ("summary", text()),
            ("questions", texts()),
        ],
        Contract::Repair => vec![("tasks", list(task())), ("summary", text())],
        Contract::Change => vec![
            ("summary", text()),
            ("artifacts", list(object(vec![("path", text()), ("description", text()), ("content", text())]))),
        ],
        Contract::Verdict => vec![
            ("passed", json!({"type": "boolean"})),
            ("blocking_issues", list(issue())),
            ("warnings", list(issue())),
            ("suggestions", texts()),
            ("summary", text()),
        ],
        Contract::Finish => {
            vec![("title", text()), ("body", text()), ("summary", text()), ("suggestions", texts())]
        }
        Contract::Retrospective => vec![
            (
                "improvements",
                list(object(vec![
                    ("component_type", one_of(&["persona", "prompt", "skill"])),
                    ("component_name", text()),
                    ("problem", text()),
                    ("proposed_fix", text()),
                    ("change_type", one_of(&["create", "update", "advisory"])),
                    ("priority", one_of(&["high", "medium", "low"])),
                    ("files", list(object(vec![("path", text()), ("content", text())]))),
                ])),
            ),
            ("health_score", json!({"type": "number", "minimum": 0, "maximum": 100})),
            ("overall_assessment", text()),
            ("summary", text()),
        ],
    };
    object(fields)
}

/// The only one with a field that may be missing: most requests need no other agents than the usual ones.
fn direction() -> Value {
    let mut schema = object(vec![
        ("mode", one_of(&["software", "content", "docs", "research", "ops", "mixed"])),
        ("title", text()),
        ("delivery", one_of(&Action::names_for_models())),
        ("rationale", text()),
        ("summary", text()),
        ("questions", texts()),
    ]);
    let roles = casting::ROLES.map(crate::Role::name);
    let mut agents = list(object(vec![("role", one_of(&roles)), ("agent", text()), ("model", text())]));
    agents["items"]["required"] = json!(["role"]);
    schema["properties"]["agents"] = agents;
    schema
}

fn object(fields: Vec<(&str, Value)>) -> Value {
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn texts() -> Value {
    list(text())
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn one_of(names: &[&str]) -> Value {
    json!({"type": "string", "enum": names})
}

fn requirement() -> Value {
    object(vec![
        ("id", text()),
        ("title", text()),
        ("description", text()),
        ("priority", one_of(&["must", "should", "could", "wont"])),
        ("source", text()),
    ])
}

fn task() -> Value {
    object(vec![
        ("title", text()),
        ("description", text()),
        ("depends_on", texts()),
        ("specialty", one_of(&["backend", "frontend", "writer", "ops", "data"])),
    ])
}

fn issue() -> Value {
    object(vec![
        ("severity", one_of(&["blocking", "warning", "info"])),
        ("component", text()),
        ("description", text()),
        ("recommendation", text()),
    ])
}
