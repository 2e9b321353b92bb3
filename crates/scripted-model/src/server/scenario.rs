//! The words of a scenario, read strictly: what is not known is refused, with the place where it stands.
//!
//! It only reads. Which reply is given when is decided in `stage`, and how it looks on the wire in `dialect`.

mod read;

use crate::server::ask::{Api, Ask};
use read::{Fields, Place};
use regex::{Regex, RegexBuilder};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why a scenario cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file could not be read.
    #[error("could not read the scenario {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is not JSON.
    #[error("a scenario is JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A field is not what it must be.
    #[error("{at}: {rule}")]
    Field {
        /// Where it stands, as in `replies[2].tools[0].shell`.
        at: String,
        /// What it breaks.
        rule: String,
    },
}

/// What the model says, and to whom.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub(crate) replies: Vec<Reply>,
    pub(crate) otherwise: Reply,
    pub(crate) aux: Option<Reply>,
    pub(crate) main: Main,
    pub(crate) count: Count,
    pub(crate) side: Vec<Regex>,
    pub(crate) require_key: Option<String>,
    pub(crate) model_names: Vec<String>,
    pub(crate) mcp: Mcp,
}

/// Which requests use up replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Main {
    /// Those that declare tools.
    Tools,
    All,
}

/// Who shares what is left of the replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// Everybody who asks.
    Overall,
    /// Nobody: each conversation has all of them.
    Conversation,
}

/// One answer of the model, and when it is given.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub when: When,
    pub unless: Option<When>,
    pub repeat: Repeat,
    pub delay_ms: u64,
    pub act: Act,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    Times(u64),
    Forever,
}

#[derive(Clone, Debug)]
pub(crate) enum Act {
    Say(Box<Say>),
    Fail(Box<Fail>),
}

/// What is said, and how it comes over the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Say {
    pub thinking: String,
    pub text: String,
    pub chunks: Chunks,
    pub tools: Vec<Call>,
    pub usage: Usage,
    pub stop: Stop,
    pub chunk_delay_ms: u64,
    pub hold: Option<String>,
    pub cut: bool,
    pub headers: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Chunks {
    /// Pieces of a fixed size.
    #[default]
    Sized,
    Count(usize),
    List(Vec<String>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stop {
    #[default]
    Natural,
    MaxTokens,
    Refusal,
}

/// What an answer is said to have cost, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Read; in the dialects of OpenAI with the cached ones.
    pub input: u64,
    /// Written, reasoning included.
    pub output: u64,
    /// Read from the cache; Ollama has no word for it.
    pub cache_read: u64,
    /// Written to the cache; Anthropic alone has a word for it.
    pub cache_write: u64,
    /// Those of `output` that were thought and not said.
    pub reasoning: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self { input: 100, output: 20, cache_read: 0, cache_write: 0, reasoning: 0 }
    }
}

/// A tool call. All but the last are in neutral words, which `call` turns into those of the program.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Shell(String),
    Write { path: String, content: String },
    Read { path: String },
    Mcp { server: String, tool: String, args: Value },
    Named { name: String, namespace: Option<String>, input: Input },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Input {
    Args(Value),
    Text(String),
}

/// An answer that is an error.
#[derive(Clone, Debug)]
pub(crate) struct Fail {
    pub kind: Kind,
    pub status: Option<u16>,
    pub message: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub body: Option<Value>,
    pub retry_after: Option<u64>,
    pub resets_in: u64,
    pub in_stream: bool,
}

/// A class of errors; `fault` says how each looks in each dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    RateLimit,
    UsageLimit,
    Billing,
    Payment,
    Overloaded,
    Auth,
    Forbidden,
    NotFound,
    Server,
    ContextLength,
    BadRequest,
}

impl Kind {
    const ALL: [(&'static str, Self); 11] = [
        ("rate_limit", Self::RateLimit),
        ("usage_limit", Self::UsageLimit),
        ("billing", Self::Billing),
        ("payment", Self::Payment),
        ("overloaded", Self::Overloaded),
        ("auth", Self::Auth),
        ("forbidden", Self::Forbidden),
        ("not_found", Self::NotFound),
        ("server", Self::Server),
        ("context_length", Self::ContextLength),
        ("bad_request", Self::BadRequest),
    ];
}

/// For which requests a reply is; all that is said must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct When {
    api: Option<Api>,
    looks: Vec<(Look, Regex)>,
}

/// Where a rule looks.
#[derive(Clone, Copy, Debug)]
enum Look {
    User,
    ToolResult,
    System,
    Model,
    Opening,
    History,
}

impl Look {
    const ALL: [(&'static str, Self); 6] = [
        ("user", Self::User),
        ("tool_result", Self::ToolResult),
        ("system", Self::System),
        ("model", Self::Model),
        ("opening", Self::Opening),
        ("history", Self::History),
    ];
}

impl When {
    /// Returns the named groups of the rules when all of them hold.
    pub fn holds(&self, ask: &Ask) -> Option<BTreeMap<String, String>> {
        if self.api.is_some_and(|api| api != ask.api) {
            return None;
        }
        let mut found = BTreeMap::new();
        for (look, rule) in &self.looks {
            let results;
            let text = match look {
                Look::User => &ask.talk.user,
                Look::ToolResult => {
                    results = ask.talk.tool_result();
                    &results
                }
                Look::System => &ask.system,
                Look::Model => &ask.model,
                Look::Opening => &ask.talk.opening,
                Look::History => &ask.talk.history,
            };
            let groups = rule.captures(text)?;
            for name in rule.capture_names().flatten() {
                if let Some(group) = groups.name(name) {
                    found.insert(name.to_owned(), group.as_str().to_owned());
                }
            }
        }
        Some(found)
    }
}

/// The MCP server beside the model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mcp {
    pub bearer: Option<String>,
    pub tools: Vec<McpTool>,
}

#[derive(Clone, Debug)]
pub(crate) struct McpTool {
    pub name: String,
    pub description: String,
    pub schema: Value,
    pub result: McpResult,
    pub error: bool,
    pub delay_ms: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum McpResult {
    Text(String),
    Content(Vec<Value>),
}

impl Scenario {
    /// Reads a scenario from a file.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ScenarioError::File { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Reads a scenario from its text.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let value: Value = serde_json::from_str(text)?;
        scenario(&Place::root(&value))
    }
}

impl Reply {
    pub(crate) fn saying(text: &str) -> Self {
        Self::acting(Act::Say(Box::new(Say { text: text.to_owned(), ..Say::default() })))
    }

    pub(crate) fn failing(kind: Kind) -> Self {
        Self::acting(Act::Fail(Box::new(plain(kind))))
    }

    fn acting(act: Act) -> Self {
        Self { when: When::default(), unless: None, repeat: Repeat::Times(1), delay_ms: 0, act }
    }
}

fn plain(kind: Kind) -> Fail {
    Fail {
        kind,
        status: None,
        message: None,
        headers: BTreeMap::new(),
        body: None,
        retry_after: None,
        resets_in: 3600,
        in_stream: false,
    }
}

/// What Claude Code and Qwen Code are known to ask on their own although they declare tools then.
const SIDE: [&str; 4] = [
    "with ONLY the suggestion",
    r"[Mm]anaged memory (directory|index|files)",
    "5-10 word title",
    "Write the title in the predominant",
];

fn scenario(place: &Place) -> Result<Scenario, ScenarioError> {
    let fields = place.fields(&[
        "about",
        "replies",
        "otherwise",
        "aux",
        "main",
        "count",
        "side",
        "require_key",
        "model_names",
        "mcp",
    ])?;
    fields.read("about", Place::text)?;
    let side = match fields.read("side", |it| it.each(rule))? {
        Some(own) => own,
        None => SIDE.iter().map(|text| compile(text)).collect::<Result<_, _>>().map_err(|fault| place.broken(fault))?,
    };
    Ok(Scenario {
        replies: fields.read("replies", |it| it.each(reply))?.unwrap_or_default(),
        otherwise: fields.read("otherwise", reply)?.unwrap_or_else(|| Reply::saying("done")),
        aux: fields.read("aux", reply)?,
        main: fields
            .read("main", |it| it.one_of(&[("tools", Main::Tools), ("all", Main::All)]))?
            .unwrap_or(Main::Tools),
        count: fields
            .read("count", |it| it.one_of(&[("overall", Count::Overall), ("conversation", Count::Conversation)]))?
            .unwrap_or(Count::Overall),
        side,
        require_key: fields.read("require_key", Place::text)?,
        model_names: fields
            .read("model_names", |it| it.each(Place::text))?
            .unwrap_or_else(|| vec!["scripted-model".to_owned()]),
        mcp: fields.read("mcp", mcp)?.unwrap_or_default(),
    })
}

const ABOUT_WHEN: [&str; 4] = ["when", "unless", "repeat", "delay_ms"];
const ABOUT_SAYING: [&str; 11] =
    ["thinking", "text", "json", "chunks", "tools", "usage", "stop", "chunk_delay_ms", "hold", "cut", "headers"];

fn reply(place: &Place) -> Result<Reply, ScenarioError> {
    let fails = place.value().get("error").is_some();
    let about: &[&str] = if fails { &["error"] } else { &ABOUT_SAYING };
    let fields = place.fields(&[&ABOUT_WHEN, about].concat())?;
    let act = match fields.read("error", fail)? {
        Some(fail) => Act::Fail(Box::new(fail)),
        None => Act::Say(Box::new(say(&fields)?)),
    };
    Ok(Reply {
        when: fields.read("when", when)?.unwrap_or_default(),
        unless: fields.read("unless", when)?,
        repeat: fields.read("repeat", repeat)?.unwrap_or(Repeat::Times(1)),
        delay_ms: fields.read("delay_ms", Place::number)?.unwrap_or_default(),
        act,
    })
}

fn say(fields: &Fields) -> Result<Say, ScenarioError> {
    Ok(Say {
        thinking: fields.read("thinking", Place::text)?.unwrap_or_default(),
        text: said(fields)?,
        chunks: fields.read("chunks", chunks)?.unwrap_or_default(),
        tools: fields.read("tools", |it| it.each(call))?.unwrap_or_default(),
        usage: fields.read("usage", usage)?.unwrap_or_default(),
        stop: fields
            .read("stop", |it| it.one_of(&[("max_tokens", Stop::MaxTokens), ("refusal", Stop::Refusal)]))?
            .unwrap_or_default(),
        chunk_delay_ms: fields.read("chunk_delay_ms", Place::number)?.unwrap_or_default(),
        hold: fields.read("hold", Place::text)?,
        cut: fields.read("cut", Place::flag)?.unwrap_or_default(),
        headers: fields.read("headers", headers)?.unwrap_or_default(),
    })
}

/// The text, or the JSON that is the text.
fn said(fields: &Fields) -> Result<String, ScenarioError> {
    let text = fields.read("text", Place::text)?;
    let json = fields.read("json", |it| match &text {
        Some(_) => Err(it.broken("stands beside `text`; a reply says one of them")),
        None => Ok(it.value().to_string()),
    })?;
    Ok(json.or(text).unwrap_or_default())
}

fn fail(place: &Place) -> Result<Fail, ScenarioError> {
    if place.value().is_string() {
        return place.one_of(&Kind::ALL).map(plain);
    }
    let fields =
        place.fields(&["kind", "status", "message", "headers", "body", "retry_after", "resets_in", "in_stream"])?;
    let usual = plain(fields.read("kind", |it| it.one_of(&Kind::ALL))?.unwrap_or(Kind::Server));
    Ok(Fail {
        status: fields.read("status", status)?,
        message: fields.read("message", Place::text)?,
        headers: fields.read("headers", headers)?.unwrap_or_default(),
        body: fields.read("body", |it| Ok(it.value().clone()))?,
        retry_after: fields.read("retry_after", Place::number)?,
        resets_in: fields.read("resets_in", Place::number)?.unwrap_or(usual.resets_in),
        in_stream: fields.read("in_stream", Place::flag)?.unwrap_or_default(),
        ..usual
    })
}

fn status(place: &Place) -> Result<u16, ScenarioError> {
    let number = place.number()?;
    let status = u16::try_from(number).ok().filter(|it| (400..=599).contains(it));
    status.ok_or_else(|| place.broken("must be a status from 400 to 599"))
}

fn headers(place: &Place) -> Result<BTreeMap<String, String>, ScenarioError> {
    let mut headers = BTreeMap::new();
    for (name, value) in place.entries()? {
        let name_fits = axum::http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        let text = value.text()?;
        if !name_fits || axum::http::HeaderValue::from_str(&text).is_err() {
            return Err(value.broken("cannot stand in a header"));
        }
        headers.insert(name, text);
    }
    Ok(headers)
}

fn when(place: &Place) -> Result<When, ScenarioError> {
    let names: Vec<&str> = Look::ALL.iter().map(|(name, _)| *name).chain(["api"]).collect();
    let fields = place.fields(&names)?;
    let mut looks = Vec::new();
    for (name, look) in Look::ALL {
        if let Some(rule) = fields.read(name, rule)? {
            looks.push((look, rule));
        }
    }
    Ok(When { api: fields.read("api", |it| it.one_of(&Api::ALL))?, looks })
}

fn rule(place: &Place) -> Result<Regex, ScenarioError> {
    compile(&place.text()?).map_err(|fault| place.broken(fault))
}

fn compile(text: &str) -> Result<Regex, String> {
    let regex = RegexBuilder::new(text).dot_matches_new_line(true).build();
    regex.map_err(|fault| format!("is no regular expression: {fault}"))
}

fn repeat(place: &Place) -> Result<Repeat, ScenarioError> {
    if place.value().is_string() {
        return place.one_of(&[("forever", Repeat::Forever)]);
    }
    place.number().map(Repeat::Times)
}

fn chunks(place: &Place) -> Result<Chunks, ScenarioError> {
    if place.value().is_array() {
        return place.each(Place::text).map(Chunks::List);
    }
    match usize::try_from(place.number()?) {
        Ok(count) if count > 0 => Ok(Chunks::Count(count)),
        _ => Err(place.broken("must be at least 1")),
    }
}

fn usage(place: &Place) -> Result<Usage, ScenarioError> {
    let fields = place.fields(&["input", "output", "cache_read", "cache_write", "reasoning"])?;
    let usual = Usage::default();
    Ok(Usage {
        input: fields.read("input", Place::number)?.unwrap_or(usual.input),
        output: fields.read("output", Place::number)?.unwrap_or(usual.output),
        cache_read: fields.read("cache_read", Place::number)?.unwrap_or(usual.cache_read),
        cache_write: fields.read("cache_write", Place::number)?.unwrap_or(usual.cache_write),
        reasoning: fields.read("reasoning", Place::number)?.unwrap_or(usual.reasoning),
    })
}

fn call(place: &Place) -> Result<Call, ScenarioError> {
    const WORDS: [&str; 5] = ["shell", "write", "read", "mcp", "name"];
    let word = WORDS.iter().find(|word| place.value().get(**word).is_some());
    match word {
        Some(&"shell") => Ok(Call::Shell(place.fields(&["shell"])?.need("shell", Place::text)?)),
        Some(&"write") => place.fields(&["write"])?.need("write", |it| {
            let fields = it.fields(&["path", "content"])?;
            Ok(Call::Write { path: fields.need("path", Place::text)?, content: fields.need("content", Place::text)? })
        }),
        Some(&"read") => place
            .fields(&["read"])?
            .need("read", |it| Ok(Call::Read { path: it.fields(&["path"])?.need("path", Place::text)? })),
        Some(&"mcp") => place.fields(&["mcp"])?.need("mcp", |it| {
            let fields = it.fields(&["server", "tool", "args"])?;
            Ok(Call::Mcp {
                server: fields.need("server", Place::text)?,
                tool: fields.need("tool", Place::text)?,
                args: fields.read("args", Place::object)?.unwrap_or_else(|| Value::Object(Default::default())),
            })
        }),
        Some(_) => {
            let fields = place.fields(&["name", "namespace", "args", "input"])?;
            let args = fields.read("args", Place::object)?;
            let input = match (fields.read("input", Place::text)?, args) {
                (Some(_), Some(_)) => return Err(place.broken("has `args` and `input`; a tool takes one of them")),
                (Some(text), None) => Input::Text(text),
                (None, args) => Input::Args(args.unwrap_or_else(|| Value::Object(Default::default()))),
            };
            let namespace = fields.read("namespace", Place::text)?;
            Ok(Call::Named { name: fields.need("name", Place::text)?, namespace, input })
        }
        None => Err(place.broken("must be a call: `shell`, `write`, `read`, `mcp`, or `name` with `args` or `input`")),
    }
}

fn mcp(place: &Place) -> Result<Mcp, ScenarioError> {
    let fields = place.fields(&["bearer", "tools"])?;
    Ok(Mcp {
        bearer: fields.read("bearer", Place::text)?,
        tools: fields.read("tools", |it| it.each(mcp_tool))?.unwrap_or_default(),
    })
}

fn mcp_tool(place: &Place) -> Result<McpTool, ScenarioError> {
    let fields = place.fields(&["name", "description", "inputSchema", "result", "error", "delay_ms"])?;
    let name = fields.need("name", Place::text)?;
    let result = fields.read("result", |it| match it.value() {
        Value::Array(content) => Ok(McpResult::Content(content.clone())),
        _ => it.text().map(McpResult::Text),
    })?;
    Ok(McpTool {
        description: fields.read("description", Place::text)?.unwrap_or_else(|| name.clone()),
        schema: fields
            .read("inputSchema", Place::object)?
            .unwrap_or_else(|| serde_json::json!({"type": "object", "properties": {}})),
        result: result.unwrap_or_else(|| McpResult::Text("ok".to_owned())),
        error: fields.read("error", Place::flag)?.unwrap_or_default(),
        delay_ms: fields.read("delay_ms", Place::number)?.unwrap_or_default(),
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Scenario::parse(text).expect_err("it must be refused").to_string()
    }

    #[test]
    fn a_refusal_names_the_field_and_the_rule() {
        for (text, expected) in [
            (
                r#"{"reply": []}"#,
                "the scenario: has no field `reply`; it knows about, replies, otherwise, aux, main, count, side, require_key, model_names, mcp",
            ),
            (r#"{"replies": {}}"#, "replies: must be a list"),
            (r#"{"replies": [{"text": 1}]}"#, "replies[0].text: must be a text"),
            (
                r#"{"replies": [{}, {"tools": [{"shel": "x"}]}]}"#,
                "replies[1].tools[0]: must be a call: `shell`, `write`, `read`, `mcp`, or `name` with `args` or `input`",
            ),
            (r#"{"replies": [{"tools": [{"write": {"path": "x"}}]}]}"#, "replies[0].tools[0].write: needs `content`"),
            (
                r#"{"replies": [{"error": "quota"}]}"#,
                "replies[0].error: must be one of rate_limit, usage_limit, billing, payment, overloaded, auth, forbidden, not_found, server, context_length, bad_request",
            ),
            (
                r#"{"replies": [{"error": "auth", "text": "x"}]}"#,
                "replies[0]: has no field `text`; it knows when, unless, repeat, delay_ms, error",
            ),
            (
                r#"{"replies": [{"error": {"status": 200}}]}"#,
                "replies[0].error.status: must be a status from 400 to 599",
            ),
            (
                r#"{"replies": [{"text": "x", "json": {}}]}"#,
                "replies[0].json: stands beside `text`; a reply says one of them",
            ),
            (r#"{"replies": [{"repeat": "always"}]}"#, "replies[0].repeat: must be one of forever"),
            (r#"{"replies": [{"chunks": 0}]}"#, "replies[0].chunks: must be at least 1"),
            (r#"{"replies": [{"headers": {"a b": "c"}}]}"#, "replies[0].headers.a b: cannot stand in a header"),
            (
                r#"{"otherwise": {"when": {"users": "x"}}}"#,
                "otherwise.when: has no field `users`; it knows user, tool_result, system, model, opening, history, api",
            ),
            (r#"{"mcp": {"tools": [{}]}}"#, "mcp.tools[0]: needs `name`"),
        ] {
            assert_eq!(refused(text), expected);
        }
        assert!(refused(r#"{"side": ["("]}"#).starts_with("side[0]: is no regular expression"));
        assert!(refused("{").starts_with("a scenario is JSON:"));
    }

    #[test]
    fn what_is_not_said_has_its_usual_value() {
        let scenario = Scenario::parse(r#"{"replies": [{"error": "rate_limit"}, {}]}"#).unwrap();
        assert_eq!(scenario.main, Main::Tools);
        assert_eq!(scenario.count, Count::Overall);
        assert_eq!(scenario.model_names, ["scripted-model"]);
        assert_eq!(scenario.side.len(), SIDE.len());
        assert_eq!(scenario.replies[0].repeat, Repeat::Times(1));
        let Act::Fail(fail) = &scenario.replies[0].act else { panic!("not an error") };
        assert_eq!((fail.kind, fail.resets_in, fail.in_stream), (Kind::RateLimit, 3600, false));
        let Act::Say(say) = &scenario.replies[1].act else { panic!("not said") };
        assert_eq!((say.usage.input, say.usage.output), (100, 20));
    }

    #[test]
    fn what_is_to_be_json_may_stand_there_as_itself() {
        let scenario = Scenario::parse(r#"{"replies": [{"json": {"passed": true, "a": {"b": {}}}}]}"#).unwrap();
        let Act::Say(say) = &scenario.replies[0].act else { panic!("not said") };
        assert_eq!(
            serde_json::from_str::<Value>(&say.text).unwrap(),
            serde_json::json!({"passed": true, "a": {"b": {}}})
        );
    }
}
