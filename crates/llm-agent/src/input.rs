//! The lines of standard input, read by a thread of their own: a turn must be stopped while it waits for a model.

use orcha_agent::llm::Line;
use std::io::BufRead;
use tokio::sync::mpsc::{Receiver, channel};

/// How many lines may wait; then whoever writes waits.
const WAITING: usize = 64;

/// Listens to standard input. The channel ends with it.
pub(crate) fn listen() -> std::io::Result<Receiver<Line>> {
    let (lines, heard) = channel(WAITING);
    std::thread::Builder::new().name("input".to_owned()).spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let line = match line {
                Ok(line) => line,
                Err(fault) => {
                    eprintln!("orchad llm-agent: its input broke: {fault}");
                    return;
                }
            };
            if line.trim().is_empty() {
                continue;
            }
            match serde_json::from_str(&line) {
                Ok(line) => {
                    if lines.blocking_send(line).is_err() {
                        return;
                    }
                }
                Err(fault) => eprintln!("orchad llm-agent: a line of its input is not understood: {fault}"),
            }
        }
    })?;
    Ok(heard)
}
