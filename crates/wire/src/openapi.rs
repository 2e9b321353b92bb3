//! The OpenAPI document, made from the table of routes and the types that stand in it.
//!
//! Nothing is written down twice: a route, a field or a rule that is new in the code is new in the document.

use crate::routes::{Answer, DESCRIBED, Described, Method};
use crate::{LAST_EVENT_ID, NEXT_CURSOR, Problem, problem};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

/// The request header by which a change takes effect once, however often it is asked for.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Returns the document that describes the API of a daemon of some version.
pub fn document(version: &str) -> Value {
    let mut makers = Makers { taken: maker(false), given: maker(true) };
    let mut paths = Map::new();
    for it in DESCRIBED {
        let path = paths.entry(it.route.path).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            if it.route.path.contains("{id}") {
                path.insert("parameters".into(), json!([{"$ref": "#/components/parameters/id"}]));
            }
            path.insert(it.route.method.as_str().to_ascii_lowercase(), makers.operation(it));
        }
    }
    let problem = makers.given.subschema_for::<Problem>().to_value();
    // What requests take is told as they take it, where answers have it too.
    let mut schemas = Map::new();
    for (name, mut schema) in makers.given.take_definitions(true) {
        without_null(&mut schema);
        schemas.insert(name, schema);
    }
    schemas.extend(makers.taken.take_definitions(true));
    let id = json!({
        "name": "id",
        "in": "path",
        "required": true,
        "description": "A full id, or the last eight digits of one that no other has.",
        "schema": {"type": "string"},
    });
    let key = json!({
        "name": IDEMPOTENCY_KEY,
        "in": "header",
        "required": false,
        "description": "A request with the same key at the same address takes effect once and is answered alike; \
            with another body it is refused.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 200},
    });
    let last = json!({
        "name": LAST_EVENT_ID,
        "in": "header",
        "required": false,
        "description": "The `id` of the event that was seen last: the stream goes on behind it.",
        "schema": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
    });
    let on = json!({
        "name": "if-match",
        "in": "header",
        "required": false,
        "description": "The `etag` of what the edit is made on: it is refused with 412 if that was edited since.",
        "schema": {"type": "string"},
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "orcha",
            "version": version,
            "description": "Who is working on what, what they need, what changed, and where it is running.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": {"id": id, "idempotencyKey": key, "ifMatch": on, "lastEventId": last},
            "responses": {
                "problem": {
                    "description": "Why it was not done.",
                    "content": {problem::CONTENT_TYPE: {"schema": problem}},
                },
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of the file `token` in the daemon's data folder.",
                },
            },
        },
    })
}

fn maker(gives: bool) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|it| {
        it.definitions_path = "/components/schemas".into();
        it.meta_schema = None;
    });
    if gives { settings.for_serialize() } else { settings.for_deserialize() }.into_generator()
}

/// Makes schemas of what is taken and of what is given: they differ in what may be left out.
struct Makers {
    taken: SchemaGenerator,
    given: SchemaGenerator,
}

impl Makers {
    fn operation(&mut self, it: &Described) -> Value {
        let says: Vec<&str> = it.says.iter().map(|it| it.trim()).collect();
        let says = says.join(" ");
        let summary = says.split_inclusive(". ").next().unwrap_or_default().trim().trim_end_matches('.');
        let mut operation = json!({
            "operationId": it.name.to_ascii_lowercase(),
            "summary": summary,
            "description": says,
            "tags": [it.route.path.split('/').filter(|it| *it != "api").nth(1).unwrap_or("daemon")],
            "parameters": self.parameters(it),
            "responses": {it.status.to_string(): self.answer(&it.answer), "default": {"$ref": "#/components/responses/problem"}},
        });
        if let (Some(body), Value::Object(operation)) = (it.body, &mut operation) {
            let schema = body(&mut self.taken).to_value();
            let body = json!({"required": !it.may_be_empty, "content": {"application/json": {"schema": schema}}});
            operation.insert("requestBody".into(), body);
        }
        if let (Answer::Redirect, Value::Object(operation)) = (&it.answer, &mut operation) {
            operation.insert("security".into(), json!([]));
        }
        operation
    }

    fn parameters(&mut self, it: &Described) -> Vec<Value> {
        let mut all = Vec::new();
        if let Some(query) = it.query {
            let schema = query(&mut self.taken).to_value();
            let name = schema["$ref"].as_str().and_then(|it| it.rsplit('/').next()).unwrap_or_default().to_owned();
            // A query is no document: its fields are parameters.
            let fields = self.taken.definitions_mut().remove(&name).unwrap_or_default();
            for (name, schema) in fields["properties"].as_object().into_iter().flatten() {
                let mut schema = schema.clone();
                without_null(&mut schema);
                let says = schema.as_object_mut().and_then(|it| it.remove("description"));
                all.push(
                    json!({"name": name, "in": "query", "required": false, "description": says, "schema": schema}),
                );
            }
        }
        match (&it.answer, it.route.method) {
            (Answer::Stream(_), _) => all.push(json!({"$ref": "#/components/parameters/lastEventId"})),
            (_, Method::Post) => all.push(json!({"$ref": "#/components/parameters/idempotencyKey"})),
            (_, Method::Put | Method::Patch) => all.push(json!({"$ref": "#/components/parameters/ifMatch"})),
            (_, Method::Get | Method::Delete) => {}
        }
        all
    }

    fn answer(&mut self, answer: &Answer) -> Value {
        let mut schema = |of: crate::routes::Type| {
            let mut schema = of(&mut self.given).to_value();
            without_null(&mut schema);
            schema
        };
        let json = |schema: Value| json!({"application/json": {"schema": schema}});
        match answer {
            Answer::One(of) => json!({"description": "It is done.", "content": json(schema(*of))}),
            Answer::List(of) => json!({
                "description": "A part of the list.",
                "headers": {NEXT_CURSOR: {
                    "description": "Where the list goes on, for `after`; absent when there is nothing more.",
                    "schema": {"type": "string"},
                }},
                "content": json(json!({"type": "array", "items": schema(*of)})),
            }),
            Answer::Stream(of) => json!({
                "description": "Server-sent events, each with one such document in `data`.",
                "content": {"text/event-stream": {"schema": {"type": "string"}, "x-data": schema(*of)}},
            }),
            Answer::File => json!({
                "description": "The file.",
                "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
            }),
            Answer::OpenApi => json!({"description": "The document.", "content": json(json!({"type": "object"}))}),
            Answer::Redirect => json!({"description": "The browser is logged in and goes to the first page."}),
        }
    }
}

/// An optional field that is empty is left out, so `null` never stands in an answer or a query.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|it| it != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|it| it["type"] != "null");
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    for (key, value) in only {
                        object.entry(key).or_insert(value);
                    }
                }
            }
            if object.get("default") == Some(&Value::Null) {
                object.remove("default");
            }
            object.values_mut().for_each(without_null);
        }
        Value::Array(all) => all.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes;

    #[test]
    fn every_route_stands_in_the_document_once() {
        let document = document("1.2.3");
        let operations: Vec<&Value> =
            routes::ALL.iter().map(|it| &document["paths"][it.path][it.method.as_str().to_ascii_lowercase()]).collect();
        assert!(operations.iter().all(|it| it["responses"]["default"].is_object()));
        let there: usize = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .map(|it| it.as_object().unwrap().keys().filter(|it| *it != "parameters").count())
            .sum();
        assert_eq!(there, routes::ALL.len());
        assert_eq!(document["info"]["version"], "1.2.3");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document("0");
        let text = document.to_string();
        let mut names: Vec<&str> = text.split("\"$ref\":\"#").skip(1).filter_map(|it| it.split('"').next()).collect();
        names.sort_unstable();
        names.dedup();
        assert!(names.len() > 30);
        for name in names {
            assert!(document.pointer(name).is_some(), "{name}");
        }
    }

    #[test]
    fn requests_take_nothing_that_is_not_known_and_answers_hold_no_null() {
        let document = document("0");
        let body = |path: &str, method: &str| {
            let schema = &document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"];
            document.pointer(schema["$ref"].as_str().unwrap().strip_prefix('#').unwrap()).unwrap().clone()
        };
        let create = body("/api/objectives", "post");
        assert_eq!((&create["additionalProperties"], &create["required"]), (&json!(false), &json!(["prompt"])));
        let row = &document["components"]["schemas"]["SessionRow"];
        assert!(!row.to_string().contains("null"), "{row}");
        assert!(row["required"].as_array().unwrap().iter().all(|it| it != "reason"), "{row}");
        let query = &document["paths"]["/api/objectives"]["get"]["parameters"];
        assert!(query.as_array().unwrap().iter().any(|it| it["name"] == "limit" && it["schema"]["maximum"] == 1000));
    }
}
