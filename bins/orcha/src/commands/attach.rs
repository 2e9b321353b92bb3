//! `orcha attach`: taking part in a session. A terminal is attached to; everything else is a live view of the transcript
//! with a line to type in, whose words go the way of all messages.

use super::{Noun, find, look};
use crate::say::{Say, aside};
use anyhow::{Context, Result, bail};
use orcha_client::Client;
use orcha_wire::{Code, IdRef, Steer, Terminal};
use std::io::{BufRead, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use tokio::sync::mpsc;

/// What is said for an interrupt without words of its own.
const STOP: &str = "Stop what you are doing, and wait for what I say next.";
const NO_TMUX: &str = "tmux could not be run; `orcha doctor` says what is missing";
/// How many entries of the past a live view begins with.
const PAST: u32 = 20;

/// Attaches to a session's terminal, or shows it live.
pub async fn attach(client: &Client, say: Say, id: IdRef, view: bool) -> Result<ExitCode> {
    let id = session(client, id).await?;
    match terminal(client, &id).await? {
        Some(terminal) => enter(&terminal, view),
        None => live(client, say, id, view).await,
    }
}

/// Detaches every person who may type in a session's terminal.
pub async fn release(client: &Client, say: Say, id: IdRef) -> Result<()> {
    let id = session(client, id).await?;
    let Some(terminal) = terminal(client, &id).await? else {
        bail!("session {id} has no terminal that somebody could hold");
    };
    let list = tmux(&terminal)?.args(["list-clients", "-F", "#{client_flags} #{client_name}"]).output();
    let list = list.context(NO_TMUX)?;
    if !list.status.success() {
        bail!("its tmux does not answer: {}", String::from_utf8_lossy(&list.stderr).trim());
    }
    let mut released = Vec::new();
    for line in String::from_utf8_lossy(&list.stdout).lines() {
        let Some((flags, name)) = line.split_once(' ') else { continue };
        // One who left by himself meanwhile is none the less gone.
        if types(flags) && tmux(&terminal)?.args(["detach-client", "-t", name]).status().context(NO_TMUX)?.success() {
            released.push(name.to_owned());
        }
    }
    say.answer(&released, |released, out| match released.len() {
        0 => writeln!(out, "nobody holds it"),
        n => writeln!(out, "{n} detached"),
    })
}

/// Tells by the flags of a client whether somebody types there: neither a person who only looks does, nor orcha's own
/// listener.
fn types(flags: &str) -> bool {
    let has = |wanted: &str| flags.split(',').any(|it| it == wanted);
    !(has("read-only") || (has("control-mode") && has("ignore-size")))
}

async fn session(client: &Client, id: IdRef) -> Result<IdRef> {
    match find(client, id).await? {
        (Noun::Session, id) => Ok(id),
        (_, id) => bail!("{id} is no session; `orcha ls sessions` shows which there are"),
    }
}

/// Asks where the session's terminal is; none if it has none now.
async fn terminal(client: &Client, id: &IdRef) -> Result<Option<Terminal>> {
    match client.session_terminal(id.clone()).await {
        Ok(terminal) => Ok(Some(terminal)),
        Err(fault) if fault.problem().and_then(|it| it.known()) == Some(Code::State) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

/// Makes a command of the session's own tmux server.
fn tmux(terminal: &Terminal) -> Result<Command> {
    let folder = Path::new(&terminal.folder);
    if !folder.join(&terminal.socket).exists() {
        bail!("the terminal is not on this machine: there is no {}", folder.join(&terminal.socket).display());
    }
    let mut command = Command::new("tmux");
    // Without this tmux would refuse to run inside another one.
    command.args(["-S", &terminal.socket]).current_dir(folder).env_remove("TMUX");
    Ok(command)
}

/// Becomes tmux. Comes back only if that fails.
fn enter(terminal: &Terminal, view: bool) -> Result<ExitCode> {
    if !std::io::stdin().is_terminal() {
        bail!("a terminal can be attached to from a terminal only; `orcha logs --follow` shows what stands there");
    }
    let mut command = tmux(terminal)?;
    command.args(["attach-session", "-t", &terminal.session]);
    if view {
        command.arg("-r");
    }
    Err(command.exec()).context(NO_TMUX)
}

/// Shows what is said as it comes, and says what is typed.
async fn live(client: &Client, say: Say, id: IdRef, view: bool) -> Result<ExitCode> {
    let people = std::io::stdin().is_terminal();
    if people && !view {
        aside("each line is a message to the agent; /interrupt TEXT cuts its turn off, /quit leaves");
    }
    let (words, mut typed) = mpsc::channel(16);
    if !view {
        // Reading blocks, and nothing ends it but its own end: the process does not wait for this thread.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if words.blocking_send(line).is_err() {
                    return;
                }
            }
        });
    }
    let shown = look::transcript(client, say, id.clone(), true, Some(PAST));
    tokio::pin!(shown);
    let mut listening = !view;
    loop {
        tokio::select! {
            over = &mut shown => {
                over?;
                return Ok(ExitCode::SUCCESS);
            }
            line = typed.recv(), if listening => match line {
                Some(line) => match line.trim() {
                    "" => {}
                    "/quit" => return Ok(ExitCode::SUCCESS),
                    line => speak(client, &id, line).await?,
                },
                // A person who closes the input leaves; a script that has said everything goes on to listen.
                None if people => return Ok(ExitCode::SUCCESS),
                None => listening = false,
            },
        }
    }
}

async fn speak(client: &Client, id: &IdRef, line: &str) -> Result<()> {
    let (message, interrupt) = match line.strip_prefix("/interrupt") {
        Some("") => (STOP, true),
        Some(words) if words.starts_with(' ') => (words.trim(), true),
        Some(_) | None if line.starts_with('/') => {
            aside("that is no command; there are /interrupt TEXT and /quit");
            return Ok(());
        }
        Some(_) | None => (line, false),
    };
    client.steer_session(id.clone(), &Steer { message: message.to_owned(), interrupt }).await?;
    Ok(())
}
