//! The next step after a refusal whose own words do not name it. It goes by the command, and never by what was said.

use crate::cli::{Command, Workflow};
use orcha_wire::Code;

/// What helps whoever gave a command.
#[derive(Clone, Copy, Debug)]
pub struct Hints {
    /// Where the ids or names are that it takes.
    ids: &'static str,
    /// How what has ended is made once more.
    anew: Option<&'static str>,
}

impl Hints {
    /// Returns what helps with a command.
    pub fn of(command: &Command) -> Self {
        let ids = match command {
            Command::Run(_) | Command::Workflow(Workflow::Run(_)) | Command::Project(_) => {
                "`orcha project list` shows ids"
            }
            Command::Workflow(Workflow::Skip { .. }) => {
                "`orcha workflow ls` shows ids, `orcha workflow show ID` the tasks of one"
            }
            Command::Workflow(Workflow::Fetch { .. }) => {
                "`orcha workflow ls` shows ids, `orcha workflow show ID` how one was delivered"
            }
            Command::Workflow(_) => "`orcha workflow ls` shows ids",
            Command::Customization(_) => "`orcha customization ls --all` shows names and versions",
            Command::Mcp(_) => "`orcha mcp ls` shows names; one of a narrower scope wants --scope",
            Command::Proposals(_) => "`orcha proposals ls` shows ids",
            Command::Providers { .. } => "`orchad models`, where the daemon runs, lists what each provider has",
            Command::Pr(_) => "`orcha pr list --all` shows ids",
            Command::Target(_) => "`orcha target list` shows ids",
            Command::Token(_) => "`orcha token list` shows ids",
            Command::Workspace(_) => "`orcha workspace list --all` shows ids",
            Command::Answer { .. } => "`orcha ls questions` shows ids",
            Command::Attachments { .. } => "`orcha ls --all` shows ids",
            _ => "`orcha ls objectives|sessions|questions|prs|targets|projects|workspaces --all` shows ids",
        };
        let anew = match command {
            Command::Workflow(Workflow::Cancel { .. }) => None,
            Command::Workflow(_) => Some("`orcha workflow clone ID` makes it anew"),
            Command::Steer { .. } | Command::Pause { .. } | Command::Resume { .. } | Command::Edit { .. } => {
                Some("`orcha retry ID` makes it anew")
            }
            _ => None,
        };
        Self { ids, anew }
    }

    /// Returns the next step after a refusal.
    pub fn after(self, code: Code) -> Option<&'static str> {
        match code {
            Code::NotFound => Some(self.ids),
            Code::AmbiguousId => Some("name it by its full id, as --json prints it"),
            Code::Over => self.anew,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    #[test]
    fn every_hint_names_a_command_that_there_is() {
        for given in [
            "run x",
            "workflow run x",
            "workflow show deadbeef",
            "workflow cancel deadbeef",
            "workflow skip deadbeef 1 --reason x",
            "workflow fetch deadbeef",
            "customization rm skill x",
            "mcp show x",
            "proposals show deadbeef",
            "pr show deadbeef",
            "target show deadbeef",
            "project rm deadbeef",
            "token rm deadbeef",
            "workspace show deadbeef",
            "answer deadbeef yes",
            "attachments deadbeef",
            "pause deadbeef",
            "show deadbeef",
        ] {
            let words = ["orcha"].into_iter().chain(given.split(' '));
            let hints = Hints::of(&Cli::try_parse_from(words).unwrap().command);
            for hint in [hints.after(Code::NotFound), hints.after(Code::Over)].into_iter().flatten() {
                for named in hint.split('`').skip(1).step_by(2) {
                    let words = named.split(' ').map(|it| it.split('|').next().unwrap().replace("ID", "deadbeef"));
                    Cli::try_parse_from(words).unwrap_or_else(|wrong| panic!("{given}: `{named}`: {wrong}"));
                }
            }
        }
    }
}
