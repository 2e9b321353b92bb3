//! How a program behaves on its screen: when it takes words, what it asks when it starts, how it is cut off.
//!
//! Data, and the one table of known start-up dialogs. Nothing else here decides on what a screen says.

use regex::Regex;
use serde::{Deserialize, Serialize};

/// How a screen is understood. Times are seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Behaviour {
    /// A regular expression that some line of the screen fits when the program takes words. Without one it is taken
    /// to be ready once its screen stands still.
    pub ready: Option<String>,
    /// How long a start may take.
    pub start_secs: u64,
    /// After so long without a change, ready or not, the turn counts as quiet.
    pub quiet_secs: u64,
    /// The same while the screen shows that it takes words.
    pub idle_secs: u64,
    /// The keys that cut a turn off, as tmux names them.
    pub interrupt: Vec<String>,
    /// Further start-up dialogs.
    pub dialogs: Vec<Dialog>,
    /// Columns of the screen.
    pub cols: u16,
    /// Rows of the screen.
    pub rows: u16,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            ready: None,
            start_secs: 90,
            quiet_secs: 120,
            idle_secs: 8,
            interrupt: vec!["C-c".to_owned()],
            dialogs: Vec::new(),
            cols: 200,
            rows: 50,
        }
    }
}

/// Something that a program asks before it takes words, and the keys that answer it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialog {
    /// Texts that all stand on the screen.
    pub shows: Vec<String>,
    /// The keys, as tmux names them.
    pub keys: Vec<String>,
}

/// What known programs ask: whose folder it is, which colours, whether to update. An update is never made.
/// Nor is another model taken than the one that was chosen.
const KNOWN: [(&[&str], &[&str]); 12] = [
    (&["Update now", "Skip until next version"], &["Down", "Enter"]),
    (&["Update available", "Skip this version"], &["Down", "Enter"]),
    (&["Do you trust the files in this folder?", "Yes, proceed"], &["Enter"]),
    (&["Yes, I trust this folder"], &["Enter"]),
    (&["Do you trust the contents of this directory?"], &["Enter"]),
    (&["Do you trust this folder?", "Trust folder"], &["Enter"]),
    (&["Trust this folder?", "Trust and continue"], &["Enter"]),
    (&["Try new model", "Use existing model"], &["Down", "Enter"]),
    (&["Choose the text style that looks best with your terminal"], &["Enter"]),
    (&["Select Theme", "Use Enter to select"], &["Enter"]),
    (&["Use Claude Code's terminal setup?"], &["Down", "Enter"]),
    (&["Press Enter to continue", "Security notes"], &["Enter"]),
];

impl Behaviour {
    /// Says what is wrong with it, for people.
    pub(crate) fn fault(&self) -> Option<String> {
        if let Some(Err(fault)) = self.ready.as_deref().map(Regex::new) {
            return Some(format!("`ready` is no regular expression: {fault}"));
        }
        if !(20..=500).contains(&self.cols) || !(5..=200).contains(&self.rows) {
            return Some("`cols` must be between 20 and 500, `rows` between 5 and 200".to_owned());
        }
        if self.quiet_secs == 0 || self.start_secs == 0 {
            return Some("`quiet_secs` and `start_secs` must be at least 1".to_owned());
        }
        let keys = self.dialogs.iter().flat_map(|it| &it.keys).chain(&self.interrupt);
        if let Some(key) = keys.into_iter().find(|it| !is_key(it)) {
            return Some(format!("`{key}` is no key: letters, digits and `-`, as in `Enter` or `C-c`"));
        }
        let empty = self.dialogs.iter().any(|it| it.shows.iter().all(|text| text.trim().is_empty()));
        empty.then(|| "a dialog must name what it shows".to_owned())
    }

    /// Finds the dialogs that a screen shows, each with its number and the keys that answer it. Those of the settings
    /// come first.
    pub(crate) fn dialogs(&self, screen: &str) -> Vec<(usize, Vec<String>)> {
        let own = self.dialogs.iter().map(|it| {
            let shown = it.shows.iter().all(|text| screen.contains(text.as_str()));
            (shown, it.keys.clone())
        });
        let known = KNOWN.iter().map(|(texts, keys)| {
            let shown = texts.iter().all(|text| screen.contains(text));
            (shown, keys.iter().map(|it| (*it).to_owned()).collect())
        });
        own.chain(known).enumerate().filter(|(_, (shown, _))| *shown).map(|(at, (_, keys))| (at, keys)).collect()
    }
}

/// A key's name goes into a command of tmux: nothing but a name may.
fn is_key(text: &str) -> bool {
    !text.is_empty() && text.len() <= 20 && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dialogs_are_answered_and_what_agents_say_is_not() {
        let trust = "╭──────╮\n│ Do you trust the files in this folder? │\n│ ❯ 1. Yes, proceed │\n│   2. No, exit │";
        let update = "✨ Update available! 1.2 -> 1.3\n› 1. Update now\n  2. Skip\n  3. Skip until next version";
        let theme = " Choose the text style that looks best with your terminal\n ❯ 1. Dark mode";
        let behaviour = Behaviour::default();
        let keys = |behaviour: &Behaviour, screen: &str| behaviour.dialogs(screen).into_iter().map(|it| it.1).next();
        assert_eq!(keys(&behaviour, trust).unwrap(), ["Enter"]);
        assert_eq!(keys(&behaviour, update).unwrap(), ["Down", "Enter"]);
        assert_eq!(keys(&behaviour, theme).unwrap(), ["Enter"]);
        let folder = "  Folder access\n  Trust this folder? Codex can read\n› 1. Trust and continue\n  2. Back";
        let model = "  Our latest is better.\n› 1. Try new model\n  2. Use existing model\n  enter/esc confirm";
        assert_eq!(keys(&behaviour, folder).unwrap(), ["Enter"]);
        assert_eq!(keys(&behaviour, model).unwrap(), ["Down", "Enter"]);
        assert_eq!(keys(&behaviour, "› Ask me to do anything\n I can update now or later"), None);
        let own = Dialog { shows: vec!["trust".into()], keys: vec!["y".into()] };
        assert_eq!(keys(&Behaviour { dialogs: vec![own], ..behaviour }, trust).unwrap(), ["y"]);
    }

    #[test]
    fn nothing_but_keys_and_expressions_gets_through() {
        let fault = |behaviour: Behaviour| behaviour.fault().unwrap_or_default();
        assert_eq!(fault(Behaviour::default()), "");
        assert!(fault(Behaviour { ready: Some("(".into()), ..Behaviour::default() }).contains("`ready`"));
        assert!(
            fault(Behaviour { interrupt: vec!["C-c; kill-server".into()], ..Behaviour::default() }).contains("no key")
        );
        assert!(fault(Behaviour { cols: 1, ..Behaviour::default() }).contains("`cols`"));
        let blind = Dialog { shows: vec![], keys: vec!["y".into()] };
        assert!(fault(Behaviour { dialogs: vec![blind], ..Behaviour::default() }).contains("dialog"));
    }
}
