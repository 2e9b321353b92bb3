//! Commands for a model: in the root, with a closed environment, bounded, and gone when they are over.

use crate::arguments::Run;
use crate::error::Fault;
use crate::tools::{Limits, Surroundings};
use orcha_exec::{Command, CommandError};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What a command said, and whether it failed.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) failed: bool,
    pub(crate) truncated: bool,
}

pub(crate) fn build(asked: &Run, dir: PathBuf, surroundings: &Surroundings, limits: &Limits) -> Result<Command, Fault> {
    let mut command = match (&asked.command, &asked.argv) {
        (Some(line), None) if !line.trim().is_empty() => Command::new("sh", dir).args(["-c", line.as_str()]),
        (None, Some(argv)) => match argv.split_first() {
            Some((program, args)) if !program.is_empty() => Command::new(program, dir).args(args.iter().cloned()),
            _ => return Err(Fault::argument("argv", "it names no program")),
        },
        (Some(_), None) => return Err(Fault::argument("command", "it is empty")),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Fault::argument("command", "give either `command` or `argv`"));
        }
    };
    if command.args.iter().chain([&command.program]).any(|it| it.contains('\0')) {
        return Err(Fault::argument("command", "it holds a zero byte"));
    }
    command.env = vec![
        ("PATH".to_owned(), surroundings.path.clone()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("TERM".to_owned(), "dumb".to_owned()),
        // Nobody is there to answer.
        ("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned()),
        ("GIT_PAGER".to_owned(), "cat".to_owned()),
        ("PAGER".to_owned(), "cat".to_owned()),
    ];
    command.env.extend(surroundings.env.iter().cloned());
    let wanted = asked.timeout_s.map_or(limits.command_time, Duration::from_secs);
    command.timeout = wanted.clamp(Duration::from_secs(1), limits.longest_command);
    command.keep = limits.output / 4;
    Ok(command)
}

pub(crate) async fn run(command: Command, limits: &Limits) -> Result<Said, Fault> {
    let began = Instant::now();
    let ended = match orcha_exec::run_whole(&command, limits.output / 4).await {
        Ok(ended) => ended,
        Err(CommandError::Spawn { program, source }) => {
            return Err(Fault::Command(format!("`{program}` did not start: {source}")));
        }
        Err(error) => return Err(Fault::Command(error.to_string())),
    };
    let output = ended.output;
    let seconds = began.elapsed().as_secs_f32();
    let mut text = if ended.in_time {
        format!("[{}, {seconds:.1} s]\n", output.status)
    } else {
        format!("[ended after {} s, with everything that it started]\n", command.timeout.as_secs())
    };
    for (name, bytes) in [("", &output.stdout), ("[standard error]\n", &output.stderr)] {
        if !bytes.is_empty() {
            text.push_str(name);
            text.push_str(&String::from_utf8_lossy(bytes));
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
    }
    Ok(Said { text, failed: !ended.in_time || !output.status.success(), truncated: output.truncated })
}
