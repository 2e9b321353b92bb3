//! Which role has which tools, and how they are described.

use super::stage::{Agent, Stage};
use orcha_model::{Role, Tool};
use serde_json::{Value, json};
use strum::IntoEnumIterator;

/// One running session of each role.
async fn one_of_each(stage: &Stage) -> Vec<(Role, Agent)> {
    let manager = stage.manager().await;
    let (_, pr) = stage.published(&manager).await;
    let mut all = Vec::new();
    for role in [Role::Implementer, Role::Reviewer, Role::Validator, Role::Researcher, Role::Custom] {
        all.push((role, stage.worker(manager.objective, role).await));
    }
    manager.get("address_pr_feedback", json!({"pr_id": pr.number, "instructions": "Rename it."})).await;
    all.push((Role::PrFollowup, stage.follow_up(manager.objective, pr.id).await));
    let (_, red) = stage.published(&manager).await;
    let wish = json!({"pr_id": red.id, "instructions": "Make it green.", "role": "ci_followup"});
    manager.get("address_pr_feedback", wish).await;
    all.push((Role::CiFollowup, stage.follow_up(manager.objective, red.id).await));
    all.push((Role::Manager, manager));
    all
}

#[tokio::test]
async fn promise_15_each_role_has_its_tools_and_no_other() {
    let stage = Stage::open().await;
    let sessions = one_of_each(&stage).await;
    // The roles of a workflow have one tool more; see the tests of workflows.
    let of_workflows = Role::iter().filter(|it| it.traits().tools.contains(&Tool::HandIn) && *it != Role::Implementer);
    assert_eq!(sessions.len() + of_workflows.count(), Role::iter().count());
    for (role, agent) in &sessions {
        assert_eq!(stage.session(agent).await.role, *role);
        let mine: Vec<String> = role.traits().tools.iter().map(ToString::to_string).collect();
        assert_eq!(agent.client.tools().await, mine, "{role}");
        for tool in Tool::iter() {
            // Wrong on purpose: a tool that is there complains about this argument, and does nothing.
            let said = agent.refusal(&tool.to_string(), json!({"no_such_argument": true})).await;
            if role.traits().tools.contains(&tool) {
                assert!(said.contains("`no_such_argument` is not an argument"), "{role}: {said}");
            } else {
                assert!(said.contains(&format!("there is no tool `{tool}` for")), "{role}: {said}");
                assert!(mine.iter().all(|it| said.contains(it)), "{role}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn every_schema_is_complete() {
    let stage = Stage::open().await;
    let mut seen = std::collections::BTreeSet::new();
    let manager = stage.manager().await;
    for agent in [&manager, &stage.worker(manager.objective, Role::Reviewer).await] {
        let listed = agent.client.request("tools/list", json!({})).await.json();
        for tool in listed["result"]["tools"].as_array().unwrap() {
            let (name, schema) = (tool["name"].as_str().unwrap(), &tool["inputSchema"]);
            seen.insert(name.to_owned());
            assert!(tool["description"].as_str().is_some_and(|it| it.len() > 20), "{name}");
            assert_eq!(schema["type"], "object", "{name}");
            assert_eq!(schema["additionalProperties"], json!(false), "{name}");
            assert!(schema["required"].is_array(), "{name}");
            for (property, rule) in schema["properties"].as_object().unwrap() {
                assert!(rule["description"].is_string(), "{name}.{property}: {rule}");
                assert!(rule["type"].is_string() || rule["type"].is_array(), "{name}.{property}: {rule}");
                let text = rule.to_string();
                assert!(!text.contains("null") && !text.contains("$ref"), "{name}.{property}: {rule}");
            }
        }
    }
    // Only a part of a workflow hands in, and only who was given files reads them.
    let special = [Tool::HandIn, Tool::ReadAttachment];
    assert_eq!(seen.len(), Tool::iter().filter(|it| !special.contains(it)).count());
}

#[tokio::test]
async fn a_tool_that_nobody_has_is_answered_with_those_that_there_are() {
    let stage = Stage::open().await;
    let agent = stage.alone(Role::Researcher).await;
    for name in ["", "exec", "Report_Result", "mcp__orcha__report_result", "\0"] {
        let said = agent.refusal(name, Value::Null).await;
        assert!(said.ends_with("for a researcher; there are report_result, create_note, ask_user"), "{said}");
    }
}

#[tokio::test]
async fn a_file_that_came_with_the_request_is_read_part_by_part() {
    let stage = Stage::open().await;
    let text: String = (0..4000).map(|n| format!("line {n}\n")).collect();
    let files = orcha_orch::Files::take(vec![("run.log".to_owned(), text.clone().into_bytes())]).unwrap();
    let wish = orcha_orch::NewObjective { files, ..orcha_orch::NewObjective::new("Do it.") };
    let (objective, made) = stage.orch.create_objective(&orcha_orch::Actor::default(), wish).await.unwrap();
    let agent = stage.launched(objective.id, made[0]).await;
    assert!(agent.client.tools().await.contains(&"read_attachment".to_owned()));
    let first = agent.get("read_attachment", json!({"name": "run.log"})).await;
    let mut read = String::new();
    for part in 1..=first["of"].as_u64().unwrap() {
        let said = agent.get("read_attachment", json!({"name": "run.log", "part": part})).await;
        read.push_str(said["text"].as_str().unwrap());
    }
    assert_eq!(read, text);
    let behind = agent.refusal("read_attachment", json!({"name": "run.log", "part": 99})).await;
    assert!(behind.contains("there is no part 99"), "{behind}");
    for name in ["../run.log", "/etc/passwd", "RUN.LOG"] {
        let said = agent.refusal("read_attachment", json!({"name": name})).await;
        assert!(said.contains("there are run.log"), "{said}");
    }
}
