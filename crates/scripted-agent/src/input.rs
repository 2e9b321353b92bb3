//! Standard input and signals, each read by a thread of its own: a performance that hangs or floods does not keep
//! them from their work.

use serde_json::Value;
use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Something that came in.
#[derive(Debug)]
pub(crate) enum Input {
    /// A turn.
    Prompt { uuid: Option<String>, text: String },
    /// A request of the client.
    Control { id: String, request: Value },
    /// An answer to a request of ours.
    Answer { id: String, response: Value },
    /// SIGINT.
    Interrupted,
    /// There will be no more.
    End,
}

/// Whether standard input is still read.
static READING: AtomicBool = AtomicBool::new(true);

/// The signals that are ignored: TERM, INT, HUP.
static IGNORED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

/// Stops reading standard input for good.
pub(crate) fn stop_reading() {
    READING.store(false, Ordering::SeqCst);
}

/// Ignores a signal from now on; tells whether it knows the name.
pub(crate) fn ignore(name: &str) -> bool {
    let place = match name {
        "TERM" => 0,
        "INT" => 1,
        "HUP" => 2,
        _ => return false,
    };
    IGNORED[place].store(true, Ordering::SeqCst);
    true
}

/// Begins to listen.
pub(crate) fn listen() -> std::io::Result<Receiver<Input>> {
    let (to, inputs) = channel(64);
    watch_signals(Some(to.clone()))?;
    std::thread::Builder::new().name("input".to_owned()).spawn(move || read(&to))?;
    Ok(inputs)
}

fn read(to: &Sender<Input>) {
    let mut lines = std::io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        let got = lines.read_until(b'\n', &mut line);
        while !READING.load(Ordering::SeqCst) {
            std::thread::park();
        }
        let input = match got {
            Ok(0) | Err(_) => Input::End,
            Ok(_) => match understand(&line) {
                Some(input) => input,
                None => continue,
            },
        };
        let over = matches!(input, Input::End);
        if to.blocking_send(input).is_err() || over {
            return;
        }
    }
}

fn understand(line: &[u8]) -> Option<Input> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    let mut line: Value = match serde_json::from_slice(line) {
        Ok(line) => line,
        Err(fault) => {
            eprintln!("orcha-scripted-agent: a line of input is not JSON: {fault}");
            return None;
        }
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match line["type"].as_str()? {
        "user" => {
            let content = &line["message"]["content"];
            let parts = content.as_array().into_iter().flatten().filter_map(|it| it["text"].as_str());
            let joined = parts.collect::<Vec<_>>().join("\n");
            Some(Input::Prompt { uuid: text(&line["uuid"]), text: text(content).unwrap_or(joined) })
        }
        "control_request" => Some(Input::Control { id: text(&line["request_id"])?, request: line["request"].take() }),
        "control_response" => {
            let response = &mut line["response"];
            Some(Input::Answer { id: text(&response["request_id"])?, response: response.take() })
        }
        _ => None,
    }
}

/// Handles TERM, INT and HUP as the real program does. Without a listener INT ends the process, too.
pub(crate) fn watch_signals(to: Option<Sender<Input>>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let guard = runtime.enter();
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    drop(guard);
    let watch = async move {
        loop {
            let (place, code) = tokio::select! {
                _ = term.recv() => (0, 143),
                _ = int.recv() => (1, 130),
                _ = hup.recv() => (2, 129),
            };
            if IGNORED[place].load(Ordering::SeqCst) {
                continue;
            }
            match &to {
                Some(to) if place == 1 && to.send(Input::Interrupted).await.is_ok() => {}
                _ => std::process::exit(code),
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(watch))?;
    Ok(())
}
