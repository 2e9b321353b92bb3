//! What is taken, and what is not. The known shapes are made one; what must be there is never made up.

use super::{Contract, Output, Surroundings, read};
use serde_json::{Value, json};
use strum::IntoEnumIterator;

fn around() -> Surroundings {
    Surroundings { most_tasks: 40, ..Surroundings::default() }
}

fn wrong(contract: Contract, value: Value) -> String {
    read(contract, value, &around()).unwrap_err().to_string()
}

fn charter(constitution: Value) -> Value {
    json!({"constitution": constitution, "requirements": {}, "summary": "s"})
}

#[test]
fn c06_an_empty_object_is_no_document_of_any_contract() {
    for contract in Contract::iter() {
        assert!(wrong(contract, json!({})).contains("must be there"), "{contract}");
        assert!(read(contract, json!("{}"), &around()).is_err(), "{contract}");
        assert!(read(contract, json!(null), &around()).is_err(), "{contract}");
    }
}

#[test]
fn what_the_schema_requires_is_what_is_told() {
    for contract in Contract::iter() {
        let schema = contract.schema();
        assert_eq!(schema["additionalProperties"], json!(false), "{contract}");
        for name in schema["required"].as_array().unwrap() {
            assert!(schema["properties"].get(name.as_str().unwrap()).is_some(), "{contract}: {name}");
        }
    }
}

#[test]
fn c06_a_verdict_agrees_with_itself() {
    let issue = json!({"component": "c", "description": "d", "recommendation": "r"});
    let both = json!({"passed": true, "blocking_issues": [issue], "summary": "s"});
    assert!(wrong(Contract::Verdict, both).contains("`passed` must be false"));
    let neither = json!({"passed": false, "summary": "s"});
    assert!(wrong(Contract::Verdict, neither).contains("`blocking_issues` must name"));
    assert!(wrong(Contract::Verdict, json!({"passed": "perhaps", "summary": "s"})).contains("true or false"));
    // A title is no matter of taste: nothing is passed over for the words in it.
    let title = json!({"passed": false, "blocking_issues": ["the <title> is missing"], "summary": "s"});
    let Output::Verdict(verdict) = read(Contract::Verdict, title, &around()).unwrap().output else { panic!() };
    assert_eq!(verdict.blocking_issues[0].description, "the <title> is missing");
}

#[test]
fn the_shapes_that_models_write_are_taken() {
    let value = charter(json!({
        "Vision": "v",
        "goals": "one goal",
        "acceptance criteria": {"b": "second", "a": {"title": "first"}},
        "outputMedium": {"name": "a file"},
        "audience": {"description": "people"},
        "out_of_scope": null,
    }));
    let Output::Charter(it) = read(Contract::Charter, value, &around()).unwrap().output else { panic!() };
    let it = it.constitution;
    assert_eq!((it.goals, it.acceptance_criteria), (vec!["one goal".into()], vec!["first".into(), "second".into()]));
    assert_eq!((it.output_medium.as_str(), it.audience.as_str()), ("a file", "people"));
    assert!(it.out_of_scope.is_empty());
}

#[test]
fn c06_text_around_an_object_is_passed_over_and_a_small_one_behind_it_is_no_substitute() {
    let text = "Here it is:\n```json\n{\"output\": {\"passed\": false, \"blocking_issues\": [\"no\"], \"summary\": \"s\"}}\n```\n{}";
    let Output::Verdict(it) = read(Contract::Verdict, json!(text), &around()).unwrap().output else { panic!() };
    assert!(!it.passed);
    assert!(wrong(Contract::Verdict, json!("I could not do it.")).contains("no whole one was found"));
    assert!(
        wrong(Contract::Verdict, json!("{\"passed\": true, \"summary\": \"cut")).contains("no whole one was found")
    );
}

#[test]
fn c06_an_empty_constitution_is_refused_with_every_rule_that_it_breaks() {
    let said = wrong(Contract::Charter, charter(json!({"vision": " ", "goals": []})));
    for rule in ["`constitution.vision` must be there", "`constitution.goals`", "`constitution.acceptance_criteria`"] {
        assert!(said.contains(rule), "{said}");
    }
}

#[test]
fn c06_tasks_are_found_by_title_id_or_place_and_nothing_else() {
    let task = |title: &str, after: Value| json!({"title": title, "description": "d", "depends_on": after, "id": format!("T-{title}")});
    let plan = |tasks: Vec<Value>| json!({"design": {"overview": "o"}, "tasks": tasks, "summary": "s"});
    let good = plan(vec![task("One", json!([])), task("Two", json!(["one", "1"])), task("Three", json!(["T-Two"]))]);
    let Output::Design(it) = read(Contract::Design, good, &around()).unwrap().output else { panic!() };
    let after: Vec<&[usize]> = it.tasks.iter().map(|it| it.depends_on.as_slice()).collect();
    assert_eq!(after, [&[] as &[usize], &[0], &[1]]);
    let said = |tasks| wrong(Contract::Design, plan(tasks));
    assert!(said(vec![task("One", json!(["e"]))]).contains("names `e`, which is no title"));
    assert!(said(vec![task("One", json!(["One"]))]).contains("must not name the task itself"));
    assert!(said(vec![task("One", json!([])), task(" one ", json!([]))]).contains("must not be that of tasks[0]"));
    assert!(said(vec![task("A", json!(["B"])), task("B", json!(["A"]))]).contains("in a circle: A → B → A"));
    assert!(said(vec![]).contains("`tasks` must name at least one"));
}

#[test]
fn c06_five_hundred_tasks_are_refused_and_read_where_so_many_may_be() {
    let task = |n: usize| {
        let after: Vec<String> = n.checked_sub(1).map(|it| format!("T{it}")).into_iter().collect();
        json!({"title": format!("T{n}"), "description": "d", "depends_on": after})
    };
    let plan = |last: Value| {
        let mut tasks: Vec<Value> = (0..500).map(task).collect();
        tasks[0] = last;
        json!({"design": {"overview": "o"}, "tasks": tasks, "summary": "s"})
    };
    assert!(wrong(Contract::Design, plan(task(0))).contains("`tasks` must have at most 40 items; it has 500"));
    let around = Surroundings { most_tasks: 500, ..Surroundings::default() };
    let Output::Design(it) = read(Contract::Design, plan(task(0)), &around).unwrap().output else { panic!() };
    assert_eq!((it.tasks.len(), it.tasks[499].depends_on.as_slice()), (500, [498].as_slice()));
    // The first waits for the last: a circle of all of them.
    let circle = json!({"title": "T0", "description": "d", "depends_on": ["T499"]});
    assert!(read(Contract::Design, plan(circle), &around).unwrap_err().to_string().contains("in a circle: T0 → T499"));
}

#[test]
fn c12_what_belongs_to_another_role_is_left_out_and_what_belongs_to_nobody_is_named() {
    let value = json!({"passed": true, "summary": "s", "tasks": [], "artifacts": [1], "mood": "good"});
    let read = read(Contract::Verdict, value, &around()).unwrap();
    assert_eq!(
        (read.violations, read.unknown),
        (vec!["tasks".to_owned(), "artifacts".to_owned()], vec!["mood".to_owned()])
    );
}

#[test]
fn texts_do_not_lead_out_of_their_folder() {
    for path in ["/etc/passwd", "a/../b", "./a", "a\\b", "a//b"] {
        let value = json!({"summary": "s", "artifacts": [{"path": path, "content": "c"}]});
        assert!(wrong(Contract::Change, value).contains("must not lead out"), "{path}");
    }
    let around = Surroundings { needs_artifacts: true, ..around() };
    assert!(read(Contract::Change, json!({"summary": "s"}), &around).is_err());
}
