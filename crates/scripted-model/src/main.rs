//! The program `orcha-scripted-model`: one scenario, served until the program is ended.
//!
//! The first line on its output is `{"port": N, "url": "http://…"}`. All else is in the library.

use anyhow::{Context, Result};
use clap::Parser;
use orcha_scripted_model::{Options, Scenario, ScriptedModel};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Serves a model that says what a scenario says.
#[derive(Parser)]
#[command(name = "orcha-scripted-model")]
struct Args {
    /// The scenario, a JSON file.
    #[arg(long, value_name = "FILE")]
    scenario: PathBuf,
    /// Where to listen: an address of this machine's loopback; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A value for `{{NAME}}` in the scenario.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    vars: Vec<(String, String)>,
    /// End when standard input ends, so that no server outlives whoever started it.
    #[arg(long)]
    until_stdin_closes: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let scenario = Scenario::read(&args.scenario)?;
    let vars: BTreeMap<String, String> = args.vars.into_iter().collect();
    let model = ScriptedModel::start(scenario, Options { listen: args.listen, vars })?;

    let ready = serde_json::json!({"port": model.addr().port(), "url": model.url()});
    let mut output = std::io::stdout().lock();
    writeln!(output, "{ready}").and_then(|()| output.flush()).context("nobody reads where the server listens")?;

    if args.until_stdin_closes {
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).context("could not read standard input")?;
        return Ok(());
    }
    loop {
        // Until a signal ends the process; nothing needs to be put away.
        std::thread::park();
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
