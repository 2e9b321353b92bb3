//! Reads what was handed in: first the known shapes are made one, then every rule is kept.

use super::Contract;
use super::documents::{
    ArtifactDraft, Change, Charter, CheckCommand, Component, Constitution, DecisionRecord, Design, DesignAndTasks,
    Digest, Direction, FileSummary, Finish, Improvement, ImprovementChange, Issue, Level, Output, PlannedTask,
    ProposedFile, Repair, Requirement, Requirements, Retrospective, Severity, Specialty, Verdict,
};
use crate::Role;
use crate::casting::{self, Casting};
use crate::workflow::{Action, Mode};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The most characters of a line, of a text, and of a whole file.
const LINE: usize = 300;
const TEXT: usize = 20_000;
const FILE: usize = 400_000;
/// The most items of a list.
const ITEMS: usize = 100;

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The document.
    pub output: Output,
    /// What was in it and belongs to another role; it was left out.
    pub violations: Vec<String>,
    /// What was in it and is asked for by nobody; it was left out, too.
    pub unknown: Vec<String>,
}

/// What a document is read against.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// How many tasks one plan may have.
    pub most_tasks: usize,
    /// The titles of the tasks that are done already.
    pub done_tasks: Vec<String>,
    /// Whether there is no repository, so that a change is what is handed in.
    pub needs_artifacts: bool,
    /// The files of which has to be said what is in them.
    pub files: Vec<String>,
}

/// Why a document was not taken: each rule that it breaks, with the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Wrong(pub Vec<String>);

/// Reads a document of a contract.
pub fn read(contract: Contract, value: Value, around: &Surroundings) -> Result<Read, Wrong> {
    let map = object(value)?;
    let mut wrong = Vec::new();
    let mut fields = Fields::new(String::new(), map, &mut wrong);
    let violations = fields.take_foreign(contract);
    let output = match contract {
        Contract::Digest => Output::Digest(digest(&mut fields, around)),
        Contract::Direction => Output::Direction(direction(&mut fields)),
        Contract::Charter => Output::Charter(charter(&mut fields)),
        Contract::Design => Output::Design(design(&mut fields, around)),
        Contract::Repair => Output::Repair(repair(&mut fields, around)),
        Contract::Change => Output::Change(change(&mut fields, around)),
        Contract::Verdict => Output::Verdict(verdict(&mut fields)),
        Contract::Finish => Output::Finish(finish(&mut fields)),
        Contract::Retrospective => Output::Retrospective(retrospective(&mut fields)),
    };
    let unknown = fields.left();
    if wrong.is_empty() { Ok(Read { output, violations, unknown }) } else { Err(Wrong(wrong)) }
}

/// Whose a field is: what stands in the document of anybody else is left out.
const OWNED: &[(&str, &[Contract])] = &[
    ("mode", &[Contract::Direction]),
    ("constitution", &[Contract::Charter]),
    ("requirements", &[Contract::Charter]),
    ("design", &[Contract::Design]),
    ("tasks", &[Contract::Design, Contract::Repair]),
    ("checks", &[Contract::Design]),
    ("artifacts", &[Contract::Change]),
    ("files", &[Contract::Change, Contract::Digest]),
    ("passed", &[Contract::Verdict]),
    ("verdict", &[Contract::Verdict]),
    ("blocking_issues", &[Contract::Verdict]),
    ("delivery", &[Contract::Direction]),
    ("finalization", &[Contract::Finish]),
    ("improvements", &[Contract::Retrospective]),
    ("health_score", &[Contract::Retrospective]),
];

/// Finds the object: as it is, wrapped in `output`, or as text with a fence or prose around it.
fn object(value: Value) -> Result<Map<String, Value>, Wrong> {
    match value {
        Value::Object(mut map) if map.len() == 1 && map.contains_key("output") => {
            object(map.remove("output").unwrap_or_default())
        }
        Value::Object(map) => Ok(map),
        Value::String(text) => match from_text(&text) {
            Some(map) => object(Value::Object(map)),
            None => Err(Wrong(vec!["`output` must be one JSON object; no whole one was found in the text".into()])),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Err(Wrong(vec!["`output` must be a JSON object".into()]))
        }
    }
}

/// The largest whole object in a text. A small one behind it is no substitute for it.
fn from_text(text: &str) -> Option<Map<String, Value>> {
    if let Ok(Value::Object(map)) = serde_json::from_str(text.trim()) {
        return Some(map);
    }
    let mut best: Option<(usize, Map<String, Value>)> = None;
    let mut at = 0;
    while let Some(open) = text[at..].find('{').map(|it| it + at) {
        let mut stream = serde_json::Deserializer::from_str(&text[open..]).into_iter::<Value>();
        match stream.next() {
            Some(Ok(Value::Object(map))) => {
                let long = stream.byte_offset();
                if best.as_ref().is_none_or(|(most, _)| long > *most) {
                    best = Some((long, map));
                }
                at = open + long.max(1);
            }
            _ => at = open + 1,
        }
    }
    best.map(|(_, map)| map)
}

/// The fields of one object, as they are taken out one after another.
struct Fields<'w> {
    path: String,
    map: BTreeMap<String, Value>,
    wrong: &'w mut Vec<String>,
}

/// `acceptanceCriteria`, `acceptance criteria` and `Acceptance-Criteria` are one name.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut before = ' ';
    for c in name.trim().chars() {
        if c == ' ' || c == '-' {
            plain.push('_');
        } else if c.is_ascii_uppercase() {
            if before.is_ascii_lowercase() || before.is_ascii_digit() {
                plain.push('_');
            }
            plain.push(c.to_ascii_lowercase());
        } else {
            plain.push(c);
        }
        before = c;
    }
    plain
}

impl<'w> Fields<'w> {
    fn new(path: String, map: Map<String, Value>, wrong: &'w mut Vec<String>) -> Self {
        let map = map.into_iter().filter(|(_, it)| !it.is_null()).map(|(name, it)| (plain(&name), it)).collect();
        Self { path, map, wrong }
    }

    fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn say(&mut self, name: &str, rule: impl std::fmt::Display) {
        let at = self.at(name);
        // One document may break one rule a thousand times; whoever reads this has to mend the first ones first.
        if self.wrong.len() < 20 {
            self.wrong.push(format!("`{at}` {rule}"));
        }
    }

    fn take_foreign(&mut self, contract: Contract) -> Vec<String> {
        let foreign = OWNED.iter().filter(|(_, owners)| !owners.contains(&contract));
        foreign.filter_map(|(name, _)| self.map.remove(*name).map(|_| (*name).to_owned())).collect()
    }

    fn left(&self) -> Vec<String> {
        self.map.keys().map(|it| it.chars().take(60).collect()).take(20).collect()
    }

    fn any(&mut self, names: &[&str]) -> Option<Value> {
        names.iter().find_map(|name| self.map.remove(*name))
    }

    /// A text that must be there and say something.
    fn text(&mut self, names: &[&str], most: usize) -> String {
        let text = self.may(names, most);
        if text.is_empty() {
            self.say(names[0], "must be there and must not be blank");
        }
        text
    }

    /// A text that may be missing.
    fn may(&mut self, names: &[&str], most: usize) -> String {
        let Some(value) = self.any(names) else { return String::new() };
        let text = words(&value).replace('\0', "").trim().to_owned();
        let long = text.chars().count();
        if long > most {
            self.say(names[0], format!("must have at most {most} characters; it has {long}"));
        }
        text
    }

    /// A line that must be there.
    fn line(&mut self, names: &[&str]) -> String {
        self.text(names, LINE).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A list of texts in any of the shapes that models give it.
    fn list(&mut self, names: &[&str]) -> Vec<String> {
        let Some(value) = self.any(names) else { return Vec::new() };
        let texts = match value {
            Value::Array(items) => items.iter().map(words).collect(),
            Value::Object(map) => {
                let sorted: BTreeMap<_, _> = map.into_iter().collect();
                sorted.values().map(words).collect()
            }
            other => vec![words(&other)],
        };
        let texts: Vec<String> =
            texts.into_iter().map(|it: String| it.trim().replace('\0', "")).filter(|it| !it.is_empty()).collect();
        if texts.len() > ITEMS {
            self.say(names[0], format!("must have at most {ITEMS} items; it has {}", texts.len()));
        }
        if let Some(long) = texts.iter().map(|it| it.chars().count()).find(|it| *it > TEXT) {
            self.say(names[0], format!("must have items of at most {TEXT} characters; one has {long}"));
        }
        texts
    }

    /// Objects, each read on its own. A bare text is an object with that text under `bare`.
    fn objects<T>(
        &mut self,
        names: &[&str],
        most: usize,
        bare: &str,
        mut one: impl FnMut(&mut Fields<'_>) -> T,
    ) -> Vec<T> {
        let items = match self.any(names) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(Value::Object(map)) if map.values().all(Value::is_object) && !map.is_empty() => {
                map.into_iter().map(|(_, it)| it).collect()
            }
            Some(only) => vec![only],
        };
        if items.len() > most {
            self.say(names[0], format!("must have at most {most} items; it has {}", items.len()));
            return Vec::new();
        }
        let path = self.at(names[0]);
        let mut read = Vec::new();
        for (at, item) in items.into_iter().enumerate() {
            let map = match item {
                Value::Object(map) => map,
                Value::String(text) => Map::from_iter([(bare.to_owned(), Value::String(text))]),
                _ => {
                    self.say(names[0], format!("must be a list of objects; item {at} is none"));
                    continue;
                }
            };
            let mut fields = Fields::new(format!("{path}[{at}]"), map, &mut *self.wrong);
            read.push(one(&mut fields));
        }
        read
    }

    /// An object inside.
    fn inner<T>(&mut self, name: &str, one: impl FnOnce(&mut Fields<'_>) -> T) -> Option<T> {
        let path = self.at(name);
        match self.any(&[name]) {
            Some(Value::Object(map)) => Some(one(&mut Fields::new(path, map, &mut *self.wrong))),
            Some(Value::String(text)) if from_text(&text).is_some() => {
                let map = from_text(&text).unwrap_or_default();
                Some(one(&mut Fields::new(path, map, &mut *self.wrong)))
            }
            Some(_) => {
                self.say(name, "must be an object");
                None
            }
            None => {
                self.say(name, "must be there");
                None
            }
        }
    }

    /// Yes or no, said as such. Nothing else is taken for a yes.
    fn flag(&mut self, name: &str) -> bool {
        match self.any(&[name]) {
            Some(Value::Bool(flag)) => flag,
            Some(Value::String(text)) if text.trim().eq_ignore_ascii_case("true") => true,
            Some(Value::String(text)) if text.trim().eq_ignore_ascii_case("false") => false,
            Some(_) => {
                self.say(name, "must be true or false");
                false
            }
            None => {
                self.say(name, "must be there, true or false");
                false
            }
        }
    }
}

/// The text that a value stands for: objects by what models call their text.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(it) => it.to_string(),
        Value::Number(it) => it.to_string(),
        Value::Null => String::new(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(map) => {
            let known = ["title", "description", "text", "message", "criterion", "name", "type", "label", "id"];
            let found = known.iter().filter_map(|name| map.get(*name)).map(words).find(|it| !it.trim().is_empty());
            found.unwrap_or_else(|| Value::Object(map.clone()).to_string())
        }
    }
}

/// How long the summary of one file may be, in characters.
const FILE_SUMMARY: usize = 4000;

fn digest(fields: &mut Fields<'_>, around: &Surroundings) -> Digest {
    let mut files: Vec<FileSummary> = fields.objects(&["files"], ITEMS, "summary", |it| FileSummary {
        name: it.line(&["name", "file", "filename", "path"]),
        summary: it.text(&["summary", "content", "description"], FILE_SUMMARY),
    });
    let missing: Vec<&str> =
        around.files.iter().filter(|name| !files.iter().any(|it| it.name == **name)).map(String::as_str).collect();
    if !missing.is_empty() {
        fields.say("files", format!("must have one item for each file; there is none for {}", missing.join(", ")));
    }
    // Nobody asked for what is said of other files; of one that is named twice the first counts.
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|it| around.files.contains(&it.name) && seen.insert(it.name.clone()));
    Digest { files, summary: fields.text(&["summary"], TEXT) }
}

fn direction(fields: &mut Fields<'_>) -> Direction {
    let said = fields.line(&["mode"]);
    let mode = Mode::said(&said);
    if mode.is_none() && !said.is_empty() {
        fields.say("mode", "must be one of software, content, docs, research, ops, mixed");
    }
    let said = match fields.any(&["delivery", "delivery_action", "finalizer_action"]) {
        Some(Value::Object(map)) => map.get("action").map(words).unwrap_or_default(),
        Some(other) => words(&other),
        None => String::new(),
    };
    let delivery = Action::said(&said).filter(|it| it.is_for_models());
    if delivery.is_none() && !said.trim().is_empty() {
        fields.say("delivery", format!("must be one of {}", Action::names_for_models().join(", ")));
    }
    Direction {
        mode: mode.unwrap_or(Mode::Software),
        title: fields.line(&["title"]),
        delivery,
        agents: fields.objects(&["agents"], ITEMS, "role", part).into_iter().flatten().collect(),
        rationale: fields.may(&["rationale", "reason"], TEXT),
        summary: fields.text(&["summary"], TEXT),
        questions: fields.list(&["questions"]),
    }
}

/// Who plays a role; none when there is no such role.
fn part(fields: &mut Fields<'_>) -> Option<Casting> {
    let said = fields.line(&["role", "persona"]);
    let role = match plain(&said).as_str() {
        "pod" => Some(Role::Implementer),
        name => casting::ROLES.into_iter().find(|it| it.name() == name),
    };
    if role.is_none() && !said.is_empty() {
        let names = casting::ROLES.map(Role::name).join(", ");
        fields.say("role", format!("must be one of {names}"));
    }
    let some = |text: String| (!text.is_empty()).then_some(text);
    let (agent, model) = (some(fields.may(&["agent", "provider", "kind"], LINE)), some(fields.may(&["model"], LINE)));
    Some(Casting { role: role?, agent, model })
}

fn charter(fields: &mut Fields<'_>) -> Charter {
    let constitution = fields.inner("constitution", |it| {
        let constitution = Constitution {
            vision: it.text(&["vision"], TEXT),
            goals: it.list(&["goals"]),
            constraints: it.list(&["constraints"]),
            audience: it.may(&["audience"], TEXT),
            output_medium: it.may(&["output_medium", "medium"], TEXT),
            acceptance_criteria: it.list(&["acceptance_criteria", "acceptance"]),
            out_of_scope: it.list(&["out_of_scope"]),
        };
        if constitution.goals.is_empty() {
            it.say("goals", "must name at least one");
        }
        if constitution.acceptance_criteria.is_empty() {
            it.say("acceptance_criteria", "must name at least one that can be checked");
        }
        constitution
    });
    let requirements = fields.inner("requirements", |it| Requirements {
        functional: it.objects(&["functional"], ITEMS, "title", requirement),
        non_functional: it.objects(&["non_functional", "nonfunctional"], ITEMS, "title", requirement),
        dependencies: it.list(&["dependencies"]),
    });
    Charter {
        constitution: constitution.unwrap_or_else(|| Constitution {
            vision: String::new(),
            goals: Vec::new(),
            constraints: Vec::new(),
            audience: String::new(),
            output_medium: String::new(),
            acceptance_criteria: Vec::new(),
            out_of_scope: Vec::new(),
        }),
        requirements: requirements.unwrap_or_default(),
        summary: fields.text(&["summary"], TEXT),
        questions: fields.list(&["questions"]),
    }
}

fn requirement(it: &mut Fields<'_>) -> Requirement {
    let title = it.line(&["title", "name", "description"]);
    let priority = it.may(&["priority"], LINE).to_ascii_lowercase().replace(['\'', '’'], "");
    let priority = match priority.as_str() {
        "must" | "high" | "critical" | "" => "must",
        "should" | "medium" => "should",
        "could" | "low" => "could",
        "wont" | "will not" => "wont",
        _ => {
            it.say("priority", "must be one of must, should, could, wont");
            "must"
        }
    };
    Requirement {
        id: it.may(&["id"], LINE),
        description: it.may(&["description"], TEXT),
        priority: priority.to_owned(),
        source: it.may(&["source"], LINE),
        title,
    }
}

fn design(fields: &mut Fields<'_>, around: &Surroundings) -> DesignAndTasks {
    let design = fields.inner("design", |it| Design {
        overview: it.text(&["overview", "summary"], TEXT),
        components: it.objects(&["components"], ITEMS, "name", |it| {
            let name = it.line(&["name", "title"]);
            let description = it.may(&["description"], TEXT);
            Component {
                description: if description.is_empty() { name.clone() } else { description },
                inputs: it.list(&["inputs"]),
                outputs: it.list(&["outputs"]),
                name,
            }
        }),
        decisions: it.objects(&["decisions"], ITEMS, "decision", |it| DecisionRecord {
            decision: it.text(&["decision", "title"], TEXT),
            rationale: it.may(&["rationale", "reason"], TEXT),
            tradeoffs: it.may(&["tradeoffs", "trade_offs"], TEXT),
        }),
        tech_stack: it.list(&["tech_stack", "stack"]),
    });
    DesignAndTasks {
        design: design.unwrap_or_else(|| Design {
            overview: String::new(),
            components: Vec::new(),
            decisions: Vec::new(),
            tech_stack: Vec::new(),
        }),
        tasks: tasks(fields, around),
        checks: checks(fields),
        summary: fields.text(&["summary"], TEXT),
        questions: fields.list(&["questions"]),
    }
}

fn repair(fields: &mut Fields<'_>, around: &Surroundings) -> Repair {
    Repair { tasks: tasks(fields, around), summary: fields.text(&["summary"], TEXT) }
}

fn checks(fields: &mut Fields<'_>) -> Vec<CheckCommand> {
    fields.objects(&["checks"], 20, "command", |it| {
        let command = match it.any(&["command"]) {
            Some(Value::Array(items)) => items.iter().map(words).collect(),
            Some(Value::String(line)) => line.split_whitespace().map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        if command.is_empty() || command.iter().any(|it| it.contains('\0')) {
            it.say("command", "must be a program with its arguments, as a list of texts");
        }
        let name = it.may(&["name", "title"], LINE);
        CheckCommand { name: if name.is_empty() { command.join(" ") } else { name }, command }
    })
}

fn key(title: &str) -> String {
    title.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Reads the list of tasks, resolves what each depends on, and refuses what can never be worked off.
fn tasks(fields: &mut Fields<'_>, around: &Surroundings) -> Vec<PlannedTask> {
    struct Named {
        id: String,
        after: Vec<String>,
        task: PlannedTask,
    }
    let before = fields.wrong.len();
    let named = fields.objects(&["tasks"], around.most_tasks, "title", |it| Named {
        id: it.may(&["id", "number"], LINE),
        after: it.list(&["depends_on", "dependencies", "after"]),
        task: PlannedTask {
            title: it.line(&["title", "name"]),
            description: it.text(&["description", "goal"], TEXT),
            depends_on: Vec::new(),
            specialty: specialty(&it.may(&["specialty"], LINE)),
        },
    });
    if fields.wrong.len() > before {
        return Vec::new();
    }
    if named.is_empty() {
        fields.say("tasks", "must name at least one");
        return Vec::new();
    }
    let find = |name: &str| {
        let by_title = named.iter().position(|it| key(&it.task.title) == key(name));
        let by_id = || named.iter().position(|it| !it.id.is_empty() && key(&it.id) == key(name));
        let by_place =
            || name.trim().parse::<usize>().ok().filter(|it| (1..=named.len()).contains(it)).map(|it| it - 1);
        by_title.or_else(by_id).or_else(by_place)
    };
    let mut planned: Vec<PlannedTask> = Vec::with_capacity(named.len());
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (at, it) in named.iter().enumerate() {
        if let Some(first) = seen.insert(key(&it.task.title), at) {
            fields.say(&format!("tasks[{at}].title"), format!("must not be that of tasks[{first}]"));
        }
        let mut task = it.task.clone();
        for name in &it.after {
            match find(name) {
                Some(other) if other == at => {
                    fields.say(&format!("tasks[{at}].depends_on"), "must not name the task itself");
                }
                Some(other) if !task.depends_on.contains(&other) => task.depends_on.push(other),
                Some(_) => {}
                // What is done already is what everybody goes on from.
                None if around.done_tasks.iter().any(|it| key(it) == key(name)) => {}
                None => {
                    let name: String = name.chars().take(80).collect();
                    fields.say(
                        &format!("tasks[{at}].depends_on"),
                        format!("names `{name}`, which is no title in `tasks`"),
                    );
                }
            }
        }
        planned.push(task);
    }
    if let Some(round) = cycle(&planned) {
        let names: Vec<&str> = round.iter().map(|at| planned[*at].title.as_str()).collect();
        fields.say("tasks", format!("must not depend on each other in a circle: {}", names.join(" → ")));
    }
    planned
}

/// Finds tasks that wait for each other.
fn cycle(tasks: &[PlannedTask]) -> Option<Vec<usize>> {
    // 0 not seen, 1 on the way, 2 done.
    fn visit(at: usize, tasks: &[PlannedTask], seen: &mut [u8], way: &mut Vec<usize>) -> bool {
        seen[at] = 1;
        way.push(at);
        for next in &tasks[at].depends_on {
            let met = seen[*next];
            if met == 0 && visit(*next, tasks, seen, way) {
                return true;
            }
            if met == 1 {
                let from = way.iter().position(|it| it == next).unwrap_or(0);
                way.drain(..from);
                way.push(*next);
                return true;
            }
        }
        way.pop();
        seen[at] = 2;
        false
    }
    let mut seen = vec![0; tasks.len()];
    for at in 0..tasks.len() {
        let mut way = Vec::new();
        if seen[at] == 0 && visit(at, tasks, &mut seen, &mut way) {
            return Some(way);
        }
    }
    None
}

fn specialty(said: &str) -> Option<Specialty> {
    match key(said).as_str() {
        "backend" | "back-end" | "server" | "api" => Some(Specialty::Backend),
        "frontend" | "front-end" | "ui" | "web" => Some(Specialty::Frontend),
        "writer" | "docs" | "documentation" | "content" | "blog" => Some(Specialty::Writer),
        "ops" | "devops" | "infra" | "platform" => Some(Specialty::Ops),
        "data" | "etl" | "analytics" | "ml" => Some(Specialty::Data),
        _ => None,
    }
}

fn change(fields: &mut Fields<'_>, around: &Surroundings) -> Change {
    let artifacts = fields.objects(&["artifacts", "files"], 50, "content", |it| {
        let path = it.line(&["path", "name", "artifact_name"]);
        let parts = path.split('/');
        if path.starts_with('/')
            || path.contains('\\')
            || parts.clone().any(|it| it.is_empty() || it == "." || it == "..")
        {
            it.say("path", "must be relative, with forward slashes, and must not lead out");
        }
        ArtifactDraft {
            description: it.may(&["description", "artifact_description"], TEXT),
            content: it.text(&["content"], FILE),
            path,
        }
    });
    if around.needs_artifacts && artifacts.is_empty() {
        fields.say("artifacts", "must hold what you wrote: there is no repository");
    }
    Change { summary: fields.text(&["summary"], TEXT), artifacts }
}

fn issue(it: &mut Fields<'_>, usual: Severity) -> Issue {
    let said = key(&it.may(&["severity"], LINE));
    let severity = match said.as_str() {
        "" => usual,
        "blocking" | "blocker" | "critical" | "high" | "error" => Severity::Blocking,
        "warning" | "medium" | "minor" => Severity::Warning,
        "info" | "low" | "suggestion" => Severity::Info,
        _ => {
            it.say("severity", "must be one of blocking, warning, info");
            usual
        }
    };
    Issue {
        severity,
        component: it.may(&["component", "file", "path"], LINE),
        description: it.text(&["description", "message", "issue"], TEXT),
        recommendation: it.may(&["recommendation", "fix"], TEXT),
    }
}

fn verdict(fields: &mut Fields<'_>) -> Verdict {
    let passed = fields.flag("passed");
    let said = fields.objects(&["blocking_issues", "issues"], ITEMS, "description", |it| issue(it, Severity::Blocking));
    let more = fields.objects(&["warnings"], ITEMS, "description", |it| issue(it, Severity::Warning));
    // What weighs less than its list says is a warning; what weighs more stands in the right list.
    let (blocking_issues, mut warnings): (Vec<Issue>, Vec<Issue>) =
        said.into_iter().partition(|it| it.severity == Severity::Blocking);
    warnings.extend(more.into_iter().map(|it| Issue { severity: it.severity.min_warning(), ..it }));
    if fields.wrong.is_empty() {
        if passed && !blocking_issues.is_empty() {
            fields.say("passed", "must be false while `blocking_issues` names something");
        }
        if !passed && blocking_issues.is_empty() {
            fields.say("blocking_issues", "must name what stands against it when `passed` is false");
        }
    }
    Verdict {
        passed,
        blocking_issues,
        warnings,
        suggestions: fields.list(&["suggestions"]),
        summary: fields.text(&["summary"], TEXT),
    }
}

impl Severity {
    /// What stands among the warnings never blocks.
    const fn min_warning(self) -> Self {
        match self {
            Self::Blocking | Self::Warning => Self::Warning,
            Self::Info => Self::Info,
        }
    }
}

fn finish(fields: &mut Fields<'_>) -> Finish {
    let title = fields.line(&["title"]);
    Finish {
        title,
        body: fields.text(&["body", "description"], TEXT),
        summary: fields.text(&["summary"], TEXT),
        suggestions: fields.list(&["suggestions"]),
    }
}

fn retrospective(fields: &mut Fields<'_>) -> Retrospective {
    let improvements = fields.objects(&["improvements"], 20, "problem", |it| {
        let change_type = match key(&it.may(&["change_type"], LINE)).as_str() {
            "create" => ImprovementChange::Create,
            "update" => ImprovementChange::Update,
            "advisory" | "" => ImprovementChange::Advisory,
            _ => {
                it.say("change_type", "must be one of create, update, advisory");
                ImprovementChange::Advisory
            }
        };
        let priority = match key(&it.may(&["priority"], LINE)).as_str() {
            "high" => Level::High,
            "medium" => Level::Medium,
            "low" => Level::Low,
            _ => {
                it.say("priority", "must be one of high, medium, low");
                Level::Low
            }
        };
        Improvement {
            component_type: it.line(&["component_type"]),
            component_name: it.line(&["component_name"]),
            problem: it.text(&["problem"], TEXT),
            proposed_fix: it.text(&["proposed_fix", "fix"], TEXT),
            change_type,
            priority,
            files: it.objects(&["files"], 20, "content", |it| ProposedFile {
                path: it.line(&["path", "name"]),
                content: it.text(&["content"], FILE),
            }),
        }
    });
    let health_score = match fields.any(&["health_score", "health"]) {
        Some(Value::Number(it)) => it.as_f64().filter(|it| (0.0..=100.0).contains(it)),
        Some(Value::String(text)) => text.trim().parse::<f64>().ok().filter(|it| (0.0..=100.0).contains(it)),
        _ => None,
    };
    if health_score.is_none() {
        fields.say("health_score", "must be a number from 0 to 100");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and 100")]
    let health_score = health_score.unwrap_or(0.0).round() as u8;
    Retrospective {
        improvements,
        health_score,
        overall_assessment: fields.text(&["overall_assessment", "assessment"], TEXT),
        summary: fields.text(&["summary"], TEXT),
    }
}
