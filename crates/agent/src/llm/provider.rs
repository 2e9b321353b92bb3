//! Providers of models: the four that come with the program, and what a configuration adds or changes.
//!
//! Data, read strictly. A key is named by its variable and taken from the daemon's environment; it is never written
//! into a configuration.

use super::settings::{Api, Behaviour, Call, Price, Settings, Structured, Tools};
use crate::Launch;
use orcha_base::Redacted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

const BUILTIN: &str = include_str!("providers.toml");
const PRICES: &str = include_str!("prices.toml");

/// One provider, ready to be launched.
#[derive(Clone, Debug)]
pub struct Provider {
    /// How it is called; the model may be empty when a launch must name it.
    pub call: Call,
    /// The variable of its key, and the key.
    pub key: Option<(String, Option<Redacted<String>>)>,
    prices: Arc<BTreeMap<String, Price>>,
}

impl Provider {
    /// Puts together what a run is told. An error says what is missing.
    pub(super) fn settings(&self, launch: &Launch) -> Result<Settings, String> {
        let mut call = self.call.clone();
        if let Some(model) = &launch.model {
            call.model.clone_from(model);
        }
        if let Some(effort) = launch.effort {
            call.behaviour.effort = Some(effort.to_string());
        }
        if call.model.is_empty() {
            return Err("no model is named, and its provider has no usual one".to_owned());
        }
        Ok(Settings {
            key: self.key()?,
            price: self.price(&call.model),
            call,
            rules: launch.rules.clone(),
            dir: launch.dir.clone(),
            conversation: launch.resume.clone().unwrap_or_else(|| launch.conversation.clone()),
            resume: launch.resume.is_some(),
            permissions: launch.permissions,
            tools: launch.mcp.as_ref().map(|mcp| Tools {
                name: mcp.name.clone(),
                url: mcp.url.clone(),
                token: mcp.token.expose().clone(),
                allowed: mcp.tools.clone(),
            }),
            local_tools: launch.local_tools.clone(),
            servers: launch.servers.clone(),
            output: launch.output.clone(),
        })
    }

    /// Returns the key. An error names the variable that is not set.
    pub fn key(&self) -> Result<Option<String>, String> {
        match &self.key {
            Some((_, Some(key))) => Ok(Some(key.expose().clone())),
            Some((variable, None)) => Err(format!("the variable {variable} is not set in the daemon's environment")),
            None => Ok(None),
        }
    }

    /// Finds the price of a model: its own, else that of the longest name that begins its name.
    pub fn price(&self, model: &str) -> Option<Price> {
        let begins = |known: &&String| model == known.as_str() || model.starts_with(&format!("{known}-"));
        let known = self.prices.keys().filter(begins).max_by_key(|known| known.len())?;
        self.prices.get(known).copied()
    }
}

/// Providers by the name of their kind.
#[derive(Clone, Debug, Default)]
pub struct Providers {
    all: BTreeMap<String, Provider>,
}

/// What a configuration says of one provider. What it leaves out, the one of the same name that is there has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Words {
    api: Option<Api>,
    base_url: Option<String>,
    base_url_env: Option<String>,
    token_url: Option<String>,
    key_env: Option<String>,
    model: Option<String>,
    headers: BTreeMap<String, String>,
    effort: Option<String>,
    max_output_tokens: Option<u64>,
    context_tokens: Option<u64>,
    structured: Option<Structured>,
    max_calls: Option<u32>,
    retries: Option<u32>,
    retry_ms: Option<u64>,
    wait_secs: Option<u64>,
    connect_secs: Option<u64>,
    idle_secs: Option<u64>,
    call_secs: Option<u64>,
}

/// A configuration of providers that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The providers are not what the format says; the source names line and field.
    #[error("the configuration of providers cannot be read")]
    Providers(#[source] toml::de::Error),
    /// The prices are not.
    #[error("the table of prices cannot be read")]
    Prices(#[source] toml::de::Error),
    /// A field is missing or wrong.
    #[error("provider `{provider}`: `{field}` {rule}")]
    Field {
        /// The provider.
        provider: String,
        /// The field.
        field: &'static str,
        /// What it breaks.
        rule: &'static str,
    },
    /// A price is no amount of money.
    #[error("the price of `{model}` must be dollars for a million tokens, not less than zero")]
    Price {
        /// The model.
        model: String,
    },
}

/// Money as it stands in a price table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Table(BTreeMap<String, Price>);

impl Providers {
    /// Reads providers and prices, both as TOML documents: a table each, whose name is the kind or the model. They
    /// lie over the built-in ones. A built-in provider is there when its variable is set, or when it is named here.
    pub fn read(environment: &[(String, String)], providers: &str, prices: &str) -> Result<Self, ProviderError> {
        let read = |text: &str| toml::from_str::<BTreeMap<String, Words>>(text).map_err(ProviderError::Providers);
        let (mut words, named) = (read(BUILTIN)?, read(providers)?);
        let set = |name: &str| environment.iter().find(|(key, value)| key == name && !value.is_empty());
        words.retain(|name, it| {
            let variables = [&it.key_env, &it.base_url_env].into_iter().flatten();
            let wanted = if it.key_env.is_some() { 1 } else { usize::MAX };
            named.contains_key(name) || variables.take(wanted).any(|variable| set(variable).is_some())
        });
        for (name, more) in named {
            words.entry(name).or_default().lay(more);
        }
        let table = |text: &str| toml::from_str::<Table>(text).map_err(ProviderError::Prices);
        let mut known = table(PRICES)?.0;
        known.extend(table(prices)?.0);
        for (model, price) in &known {
            let all = [Some(price.input), Some(price.output), price.cache_read, price.cache_write];
            if !all.into_iter().flatten().all(|it| (0.0..1e6).contains(&it)) {
                return Err(ProviderError::Price { model: model.clone() });
            }
        }
        let prices = Arc::new(known);
        let ready = |(name, it): (String, Words)| {
            let value = |variable: &str| set(variable).map(|(_, value)| value.clone());
            let provider = it.provider(&name, value, Arc::clone(&prices))?;
            Ok((name, provider))
        };
        Ok(Self { all: words.into_iter().map(ready).collect::<Result<_, _>>()? })
    }

    /// Returns them by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Provider)> {
        self.all.iter().map(|(name, it)| (name.as_str(), it))
    }

    /// Finds one.
    pub fn get(&self, name: &str) -> Option<&Provider> {
        self.all.get(name)
    }
}

impl Words {
    /// Lays what is said over what was said.
    fn lay(&mut self, over: Self) {
        fn put<T>(place: &mut Option<T>, value: Option<T>) {
            if value.is_some() {
                *place = value;
            }
        }
        // Another address is told another key: one that stands for this address must not go there.
        if over.base_url.is_some() && over.base_url != self.base_url {
            (self.key_env, self.base_url_env, self.token_url) = (None, None, None);
        }
        put(&mut self.api, over.api);
        put(&mut self.base_url, over.base_url);
        put(&mut self.base_url_env, over.base_url_env);
        put(&mut self.token_url, over.token_url);
        put(&mut self.key_env, over.key_env);
        put(&mut self.model, over.model);
        self.headers.extend(over.headers);
        put(&mut self.effort, over.effort);
        put(&mut self.max_output_tokens, over.max_output_tokens);
        put(&mut self.context_tokens, over.context_tokens);
        put(&mut self.structured, over.structured);
        put(&mut self.max_calls, over.max_calls);
        put(&mut self.retries, over.retries);
        put(&mut self.retry_ms, over.retry_ms);
        put(&mut self.wait_secs, over.wait_secs);
        put(&mut self.connect_secs, over.connect_secs);
        put(&mut self.idle_secs, over.idle_secs);
        put(&mut self.call_secs, over.call_secs);
    }

    fn provider(
        self,
        name: &str,
        value: impl Fn(&str) -> Option<String>,
        prices: Arc<BTreeMap<String, Price>>,
    ) -> Result<Provider, ProviderError> {
        let wrong = |field, rule| ProviderError::Field { provider: name.to_owned(), field, rule };
        let api = self.api.ok_or_else(|| wrong("api", "must be named"))?;
        let url = self.base_url_env.as_deref().and_then(&value).or(self.base_url);
        let mut url = url.ok_or_else(|| wrong("base_url", "must be named"))?;
        if api == Api::Ollama && !url.contains("://") {
            // As Ollama's own variable has it.
            url = format!("http://{url}");
        }
        let is_url = |it: &str| it.starts_with("http://") || it.starts_with("https://");
        if !is_url(&url) || url.contains(char::is_whitespace) {
            return Err(wrong("base_url", "must be an address that begins with http:// or https://"));
        }
        if self.token_url.as_deref().is_some_and(|it| !is_url(it)) {
            return Err(wrong("token_url", "must be an address that begins with http:// or https://"));
        }
        if api == Api::Copilot && self.token_url.is_none() {
            return Err(wrong("token_url", "must be named for Copilot"));
        }
        let usual = Behaviour::default();
        let behaviour = Behaviour {
            effort: self.effort,
            max_output_tokens: self.max_output_tokens,
            context_tokens: self.context_tokens,
            structured: self.structured,
            max_calls: self.max_calls.unwrap_or(usual.max_calls),
            retries: self.retries.unwrap_or(usual.retries),
            retry_ms: self.retry_ms.unwrap_or(usual.retry_ms),
            wait_secs: self.wait_secs.unwrap_or(usual.wait_secs),
            connect_secs: self.connect_secs.unwrap_or(usual.connect_secs),
            idle_secs: self.idle_secs.unwrap_or(usual.idle_secs),
            call_secs: self.call_secs.unwrap_or(usual.call_secs),
        };
        if behaviour.max_calls == 0 {
            return Err(wrong("max_calls", "must be at least 1"));
        }
        if behaviour.retries > 10 {
            return Err(wrong("retries", "must be at most 10"));
        }
        for (field, secs) in [
            ("connect_secs", behaviour.connect_secs),
            ("idle_secs", behaviour.idle_secs),
            ("call_secs", behaviour.call_secs),
        ] {
            if !(1..=86_400).contains(&secs) {
                return Err(wrong(field, "must be from 1 to 86400"));
            }
        }
        if behaviour.wait_secs > 600 || behaviour.retry_ms > 60_000 {
            return Err(wrong("wait_secs", "must be at most 600, and `retry_ms` at most 60000"));
        }
        let call = Call {
            api,
            base_url: url.trim_end_matches('/').to_owned(),
            token_url: self.token_url,
            model: self.model.unwrap_or_default(),
            headers: self.headers,
            behaviour,
        };
        let key = self.key_env.map(|variable| {
            let key = value(&variable).map(Redacted::new);
            (variable, key)
        });
        Ok(Provider { call, key, prices })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(environment: &[(&str, &str)], providers: &str, prices: &str) -> Result<Providers, ProviderError> {
        let environment: Vec<_> = environment.iter().map(|(key, it)| ((*key).to_owned(), (*it).to_owned())).collect();
        Providers::read(&environment, providers, prices)
    }

    fn names(providers: &Providers) -> Vec<&str> {
        providers.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_built_in_provider_is_there_when_its_variable_is_set() {
        assert!(names(&read(&[], "", "").unwrap()).is_empty());
        let environment = [("ANTHROPIC_API_KEY", "a"), ("OPENAI_API_KEY", ""), ("OLLAMA_HOST", "10.0.0.7:11434")];
        let known = read(&environment, "", "").unwrap();
        assert_eq!(names(&known), ["anthropic", "ollama"]);
        assert_eq!(known.get("ollama").unwrap().call.base_url, "http://10.0.0.7:11434");
        assert_eq!(known.get("anthropic").unwrap().key().unwrap().as_deref(), Some("a"));
    }

    #[test]
    fn a_configuration_adds_and_changes_and_no_key_follows_to_another_address() {
        let text = "[mine]\napi = \"openai-chat\"\nbase_url = \"http://gpu:8000/v1/\"\nmodel = \"m\"\n[openai]\neffort = \"low\"\n[anthropic]\nbase_url = \"http://elsewhere\"\n";
        let known = read(&[("OPENAI_API_KEY", "o"), ("ANTHROPIC_API_KEY", "a")], text, "").unwrap();
        assert_eq!(names(&known), ["anthropic", "mine", "openai"]);
        let mine = known.get("mine").unwrap();
        assert_eq!((mine.call.base_url.as_str(), mine.key().unwrap()), ("http://gpu:8000/v1", None));
        assert_eq!(known.get("openai").unwrap().call.behaviour.effort.as_deref(), Some("low"));
        assert_eq!(known.get("openai").unwrap().key().unwrap().as_deref(), Some("o"));
        assert_eq!(known.get("anthropic").unwrap().key().unwrap(), None);
    }

    #[test]
    fn a_named_variable_that_is_not_set_is_said_when_the_agent_is_launched() {
        let known = read(&[], "[openai]\n", "").unwrap();
        assert_eq!(
            known.get("openai").unwrap().key().unwrap_err(),
            "the variable OPENAI_API_KEY is not set in the daemon's environment"
        );
    }

    #[test]
    fn p17_a_wrong_field_is_refused_by_its_name() {
        for (text, name) in [
            ("[x]\nbase_url = \"http://a\"\n", "`api` must be named"),
            ("[x]\napi = \"ollama\"\n", "`base_url` must be named"),
            ("[x]\napi = \"ollama\"\nbase_url = \"ftp://a\"\n", "`base_url` must be an address"),
            ("[x]\napi = \"copilot\"\nbase_url = \"http://a\"\n", "`token_url` must be named"),
            ("[openai]\nretries = 11\n", "`retries` must be at most 10"),
            ("[openai]\nidle_secs = 0\n", "`idle_secs` must be from 1 to 86400"),
            ("[openai]\nkey = \"secret\"\n", "unknown field `key`"),
            ("[x]\napi = \"smoke\"\n", "unknown variant `smoke`"),
        ] {
            let fault = read(&[], text, "").unwrap_err();
            let cause = std::error::Error::source(&fault).map(ToString::to_string).unwrap_or_default();
            let said = format!("{fault}: {cause}");
            assert!(said.contains(name), "{said}");
        }
        assert!(read(&[], "", "[m]\ninput = -1.0\noutput = 1.0\n").unwrap_err().to_string().contains("price of `m`"));
    }

    #[test]
    fn a_price_is_the_models_own_or_that_of_its_family_and_can_be_edited() {
        let known = read(&[("OPENAI_API_KEY", "o")], "", "[\"gpt-5\"]\ninput = 9.0\noutput = 10.0\n").unwrap();
        let openai = known.get("openai").unwrap();
        assert_eq!(openai.price("gpt-5").unwrap().input, 9.0);
        assert_eq!(openai.price("gpt-5-2025-08-07").unwrap().input, 9.0);
        assert!(openai.price("gpt-5-mini").unwrap().input < 9.0);
        assert_eq!(openai.price("gpt-50"), None);
    }
}
