//! `cargo xtask live model`: holds an agent of ours against a model server that really exists.
//!
//! The cases are in `crates/llm-agent/tests/backends/live.rs`. A key is named by its variable and stands nowhere else.

use crate::shell;
use anyhow::Result;
use serde_json::json;
use std::process::ExitCode;

/// The options of `live model`.
#[derive(clap::Args)]
pub struct Args {
    /// The language of its API: openai-responses, openai-chat, anthropic, ollama or copilot.
    #[arg(long)]
    api: String,
    /// Where it is, as a provider's `base_url`.
    #[arg(long, value_name = "URL")]
    base_url: String,
    /// The model.
    #[arg(long)]
    model: String,
    /// The variable that holds the key, if it wants one.
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
    /// The longest answer, for a model that knows no end.
    #[arg(long, value_name = "TOKENS", default_value_t = 1000)]
    max_output_tokens: u64,
}

/// Runs the cases.
pub fn run(args: &Args) -> Result<ExitCode> {
    let words = [("api", Some(&args.api)), ("base_url", Some(&args.base_url)), ("model", Some(&args.model))];
    let words = words.into_iter().chain([("key_env", args.key_env.as_ref())]);
    // What JSON makes of a text, TOML reads as the same text.
    let lines = words.filter_map(|(name, text)| Some(format!("{name} = {}\n", json!(text?))));
    let provider = format!("{}max_output_tokens = {}\n", lines.collect::<String>(), args.max_output_tokens);
    let agent = ["-p", "orcha-llm-agent", "--locked", "--all-features"];
    shell::run(shell::cargo(&["build", "--example", "llm-agent"]).args(agent))?;
    let mut test = shell::cargo(&["test", "--test", "backends"]);
    test.args(agent).args(["--", "--exact", "--ignored", "--nocapture", "live::live"]);
    test.env("ORCHA_LIVE_PROVIDER", provider);
    shell::run(&mut test)?;
    Ok(ExitCode::SUCCESS)
}
