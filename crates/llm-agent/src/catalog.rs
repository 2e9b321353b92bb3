//! Which models a provider has, and what each can do, asked of the provider itself.
//!
//! It asks and reads; it keeps nothing, and it calls no model.

use crate::backend::Provider;
use crate::fault::Fault;
use futures::StreamExt;
use orcha_agent::llm::{self, Api};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a provider may take.
const WITHIN: Duration = Duration::from_secs(10);

/// How many models are looked at more closely, and how many at once.
const LOOKED_AT: usize = 200;
const AT_ONCE: usize = 8;

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Model {
    /// Its name, as a launch has it.
    pub id: String,
    /// Its name for people, where the provider has one.
    pub name: Option<String>,
    /// Whether it calls tools; `None` when the provider does not say.
    pub tools: Option<bool>,
    /// Whether it reasons before it answers; `None` when the provider does not say.
    pub reasoning: Option<bool>,
    /// How long a conversation may be, in tokens.
    pub context_tokens: Option<u64>,
    /// How long an answer may be, in tokens.
    pub output_tokens: Option<u64>,
    /// How many parameters it has, as its server says: `8.0B`.
    pub size: Option<String>,
    /// Dollars for a million tokens, read and written, where the price table knows it.
    pub price: Option<(f64, f64)>,
}

/// A provider did not say which models it has.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Its key is missing.
    #[error("{0}")]
    Key(String),
    /// The way to it could not be made.
    #[error("the way to the provider could not be made")]
    Http(#[source] reqwest::Error),
    /// It said no, or nothing.
    #[error("{class}: {detail}")]
    Refused {
        /// The class of the error.
        class: &'static str,
        /// The provider's words.
        detail: String,
    },
}

impl From<Fault> for CatalogError {
    fn from(fault: Fault) -> Self {
        Self::Refused { class: fault.name(), detail: fault.detail }
    }
}

/// Asks a provider for its models, by name.
pub async fn models(provider: &llm::Provider) -> Result<Vec<Model>, CatalogError> {
    let key = provider.key().map_err(CatalogError::Key)?;
    let mut way = Provider::new(provider.call.clone(), key).map_err(CatalogError::Http)?;
    let mut models = match provider.call.api {
        Api::Ollama => ollama(&mut way).await?,
        Api::Anthropic => listed(&way.get("/v1/models?limit=1000", WITHIN).await?, anthropic),
        Api::OpenaiResponses | Api::OpenaiChat => listed(&way.get("/models", WITHIN).await?, openai),
        Api::Copilot => listed(&way.get("/models", WITHIN).await?, copilot),
    };
    for model in &mut models {
        model.price = provider.price(&model.id).map(|it| (it.input, it.output));
    }
    models.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(models)
}

fn listed(answer: &Value, read: impl Fn(&Value) -> Model) -> Vec<Model> {
    let all = answer["data"].as_array().into_iter().flatten().map(read);
    all.filter(|it| !it.id.is_empty()).collect()
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

fn flag(value: &Value, pointer: &str) -> Option<bool> {
    value.pointer(pointer).and_then(Value::as_bool)
}

fn openai(it: &Value) -> Model {
    // The list of OpenAI itself says no more than the name; compatible servers say some of the rest.
    Model {
        id: text(it, "/id").unwrap_or_default(),
        name: text(it, "/name"),
        context_tokens: number(it, "/max_model_len").or_else(|| number(it, "/context_length")),
        ..Model::default()
    }
}

fn anthropic(it: &Value) -> Model {
    Model {
        id: text(it, "/id").unwrap_or_default(),
        name: text(it, "/display_name"),
        // All of them call tools.
        tools: Some(true),
        reasoning: flag(it, "/capabilities/thinking/supported"),
        context_tokens: number(it, "/max_input_tokens"),
        output_tokens: number(it, "/max_tokens"),
        ..Model::default()
    }
}

fn copilot(it: &Value) -> Model {
    Model {
        id: text(it, "/id").unwrap_or_default(),
        name: text(it, "/name"),
        tools: flag(it, "/capabilities/supports/tool_calls"),
        context_tokens: number(it, "/capabilities/limits/max_context_window_tokens"),
        output_tokens: number(it, "/capabilities/limits/max_output_tokens"),
        ..Model::default()
    }
}

/// Ollama lists names; what a model can do is said of each one when asked.
async fn ollama(way: &mut Provider) -> Result<Vec<Model>, CatalogError> {
    let tags = way.get("/api/tags", WITHIN).await?;
    let way = &*way;
    let listed = tags["models"].as_array().into_iter().flatten();
    let names: Vec<(String, Option<String>)> = listed
        .filter_map(|it| Some((text(it, "/model").or_else(|| text(it, "/name"))?, text(it, "/details/parameter_size"))))
        .take(LOOKED_AT)
        .collect();
    let look = |(id, size): (String, Option<String>)| async move {
        // One that cannot be looked at is listed all the same.
        let shown = way.post("/api/show", &json!({"model": id}), WITHIN).await.ok();
        let can = |what: &str| {
            let all = shown.as_ref()?.get("capabilities")?.as_array()?;
            Some(all.iter().any(|it| it == what))
        };
        let infos = shown.as_ref().and_then(|it| it.get("model_info")).and_then(Value::as_object);
        let context = infos.into_iter().flatten().find(|(name, _)| name.ends_with(".context_length"));
        let context_tokens = context.and_then(|(_, value)| value.as_u64());
        Model { tools: can("tools"), reasoning: can("thinking"), context_tokens, size, id, ..Model::default() }
    };
    Ok(futures::stream::iter(names).map(look).buffer_unordered(AT_ONCE).collect().await)
}
