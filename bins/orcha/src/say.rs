//! What comes out: a document for programs, or text for people, on a stream that drops styles where nobody sees them.

use anyhow::Result;
use orcha_wire::Problem;
use serde::Serialize;
use std::io::{self, Write};
use std::time::SystemTime;

/// How the answer of a command is given.
#[derive(Clone, Copy, Debug)]
pub struct Say {
    pub json: bool,
}

impl Say {
    /// Gives a whole answer: as one JSON document, or as text.
    pub fn answer<T: Serialize>(
        self,
        value: &T,
        people: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        let mut out = anstream::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
        } else {
            people(value, &mut out)?;
        }
        Ok(out.flush()?)
    }

    /// Gives one item of many that come one by one: as a line of JSON, or as text.
    pub fn item<T: Serialize>(
        self,
        value: &T,
        people: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        let mut out = anstream::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(value)?)?;
        } else {
            people(value, &mut out)?;
        }
        Ok(out.flush()?)
    }
}

/// Returns a fault as one line of JSON, for the standard error stream of a program that asked for JSON.
pub fn fault(text: &str, exit: u8, causes: &[String], problem: Option<&Problem>) -> String {
    let mut fault = serde_json::json!({"error": text, "exit": exit});
    if !causes.is_empty() {
        fault["because"] = causes.into();
    }
    if let Some(problem) = problem {
        fault["code"] = problem.code.clone().into();
        fault["status"] = problem.status.into();
        if let Some(field) = &problem.field {
            fault["field"] = field.clone().into();
        }
    }
    fault.to_string()
}

/// Says something beside the answer, to people only.
pub fn aside(text: &str) {
    anstream::eprintln!("{text}");
}

/// Returns the present instant.
pub fn now() -> orcha_base::Timestamp {
    SystemTime::now().into()
}
