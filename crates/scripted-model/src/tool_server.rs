//! A tool server as a process: MCP over its standard streams, with the tools of a script, and with the faults that it names.
//!
//! For tests of whoever calls such servers. The script is a JSON file, read again for each message, so that a server may
//! change under its client: `{"tools": [{"name", "description", "inputSchema", "does"}], "silent": BOOL}`. What a tool
//! `does` is one of `{"say": TEXT}`, where `{{args}}` is the arguments, `{"repeat": N}`, `{"variable": NAME}`, `{"write": PATH}`,
//! `{"count": PATH}`, `{"garbage": TEXT}`, `"hang"` and `"die"`. A `silent` server answers nothing; each says on its standard error that it began.

use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

/// Serves the script that is the only argument, until its input ends. It is meant to be the whole process.
pub fn main(args: &[String]) -> ExitCode {
    let [script] = args else {
        eprintln!("usage: scripted-tools SCRIPT");
        return ExitCode::from(2);
    };
    eprintln!("a scripted tool server began");
    match serve(Path::new(script)) {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("the scripted tool server cannot go on: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn serve(path: &Path) -> io::Result<ExitCode> {
    for line in io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let script: Value = serde_json::from_slice(&std::fs::read(path)?)?;
        let Some(id) = message.get("id").filter(|_| script["silent"] != true) else { continue };
        let params = &message["params"];
        let tools = script["tools"].as_array().map_or(&[][..], Vec::as_slice);
        let outcome = match message["method"].as_str().unwrap_or_default() {
            "initialize" => Ok(json!({
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "scripted-tools", "version": env!("CARGO_PKG_VERSION")},
            })),
            "ping" => Ok(json!({})),
            "tools/list" => {
                let shown = |it: &Value| json!({"name": it["name"], "description": it["description"], "inputSchema": it["inputSchema"]});
                Ok(json!({"tools": tools.iter().map(shown).collect::<Vec<_>>()}))
            }
            "tools/call" => match tools.iter().find(|it| it["name"] == params["name"]) {
                Some(tool) => match act(&tool["does"], &params["arguments"])? {
                    Act::Say(text) => Ok(json!({"content": [{"type": "text", "text": text}]})),
                    Act::Hang => continue,
                    Act::Die => return Ok(ExitCode::from(3)),
                },
                None => Err((-32602, "there is no such tool")),
            },
            _ => Err((-32601, "there is no such method")),
        };
        let answer = match outcome {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err((code, what)) => json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": what}}),
        };
        say(&answer.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a call comes to.
enum Act {
    Say(String),
    Hang,
    Die,
}

fn act(does: &Value, args: &Value) -> io::Result<Act> {
    let text = |name: &str| does[name].as_str();
    if does == "hang" {
        return Ok(Act::Hang);
    }
    if does == "die" {
        return Ok(Act::Die);
    }
    if let Some(path) = text("write") {
        std::fs::write(path, args.to_string())?;
        return Ok(Act::Say(format!("written to {path}")));
    }
    if let Some(path) = text("count") {
        writeln!(OpenOptions::new().create(true).append(true).open(path)?, "called")?;
        return Ok(Act::Die);
    }
    if let Some(garbage) = text("garbage") {
        say(garbage)?;
        return Ok(Act::Say("behind the garbage".to_owned()));
    }
    if let Some(name) = text("variable") {
        return Ok(Act::Say(format!("{name} is {}", std::env::var(name).unwrap_or_else(|_| "not there".to_owned()))));
    }
    if let Some(times) = does["repeat"].as_u64().and_then(|it| usize::try_from(it).ok()) {
        return Ok(Act::Say("x".repeat(times)));
    }
    Ok(Act::Say(text("say").unwrap_or_default().replace("{{args}}", &args.to_string())))
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}
