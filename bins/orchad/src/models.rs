//! Which models each provider of the settings has, asked of the provider itself: for `orchad models`, which needs no
//! running daemon, and for the daemon.
//!
//! It calls no model and costs nothing.

use crate::config::Config;
use crate::{files, serve};
use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use clap::Args;
use orcha_agent::llm::Providers;
use orcha_llm_agent::catalog::{CatalogError, Model, models};
use orcha_model::casting::OfferedModel;
use orcha_orch::{Models, NoModels};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The providers of the settings, as the daemon asks them.
#[derive(Debug)]
pub struct Asked(pub Providers);

#[async_trait]
impl Models for Asked {
    fn kinds(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.to_owned()).collect()
    }

    async fn models(&self, kind: &str) -> Result<Vec<OfferedModel>, NoModels> {
        let found = self.0.iter().find(|(name, _)| *name == kind);
        let (_, provider) = found.ok_or_else(|| NoModels::Unknown(kind.to_owned()))?;
        let models = models(provider).await.map_err(|fault| NoModels::Refused(fault.to_string()))?;
        let offered = |it: &Model| OfferedModel { id: it.id.clone(), tools: it.tools, about: about(it).join(", ") };
        Ok(models.iter().map(offered).collect())
    }
}

/// Which providers are asked.
#[derive(Debug, Args)]
pub struct Options {
    /// Only this provider.
    provider: Option<String>,
    /// The data folder, for its settings file.
    #[arg(long, env = "ORCHA_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// The settings file. By default `orchad.toml` in the data folder, if it is there.
    #[arg(long, env = "ORCHA_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Asks and prints. It fails when nobody answered.
pub fn main(options: &Options) -> Result<ExitCode> {
    let data = options.data.clone().map_or_else(files::default_data, Ok)?;
    let providers = Config::load(options.config.as_deref(), &data)?.providers(&serve::environment())?;
    let asked: Vec<_> =
        providers.iter().filter(|(name, _)| options.provider.as_deref().is_none_or(|it| it == *name)).collect();
    if asked.is_empty() {
        match &options.provider {
            Some(name) => bail!("there is no provider `{name}`; its key may not be set in the environment"),
            None => bail!(
                "there is no provider: set OPENAI_API_KEY, ANTHROPIC_API_KEY, OLLAMA_HOST or GITHUB_COPILOT_TOKEN, or name one as [providers.NAME] in the settings file"
            ),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let answers: Vec<_> = runtime.block_on(futures::future::join_all(
        asked.into_iter().map(|(name, provider)| async move { (name, models(provider).await) }),
    ));
    let mut out = std::io::stdout();
    if options.json {
        let one = |(name, answer): &(&str, Result<Vec<Model>, CatalogError>)| match answer {
            Ok(models) => ((*name).to_owned(), json!({"models": models})),
            Err(fault) => ((*name).to_owned(), json!({"error": fault.to_string()})),
        };
        writeln!(out, "{}", serde_json::Value::Object(answers.iter().map(one).collect()))?;
    } else {
        for (name, answer) in &answers {
            match answer {
                Ok(models) => models.iter().try_for_each(|it| writeln!(out, "{name}  {}", line(it)))?,
                Err(fault) => writeln!(out, "{name}  {fault}")?,
            }
        }
    }
    let somebody = answers.iter().any(|(_, answer)| answer.is_ok());
    Ok(if somebody { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(model: &Model) -> String {
    let tools = model.tools.map(|it| if it { "tools" } else { "no tools" }.to_owned());
    std::iter::once(model.id.clone()).chain(tools).chain(about(model)).collect::<Vec<_>>().join("  ")
}

/// Says what else is known of a model, and nothing of what is not.
fn about(model: &Model) -> Vec<String> {
    let known = [
        model.reasoning.filter(|it| *it).map(|_| "reasoning".to_owned()),
        model.context_tokens.map(|it| format!("context {it}")),
        model.output_tokens.map(|it| format!("output {it}")),
        model.size.clone(),
        model.price.map(|(input, output)| format!("${input} in, ${output} out")),
    ];
    known.into_iter().flatten().collect()
}
