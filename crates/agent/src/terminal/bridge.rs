//! The process between the daemon and a terminal: it keeps the tmux server of one run, and does what the mind says.
//!
//! It is the process of the run; its keeper ends it, tmux and the program together. It decides nothing.

use super::control::{Control, PANE, Said};
use super::mind::{Act, Mind};
use super::{Order, Orders, Word};
use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep_until};

/// The socket of the run's own tmux server. Its name is taken relative to the run directory: the path of a socket may
/// not be long.
pub const SOCKET: &str = "tmux.sock";
/// The one session of that server.
pub const SESSION: &str = "main";

const CONF: &str = "tmux.conf";
const PASTE: &str = "paste";

/// A server that reads nobody's settings. The end of the program wakes whoever waits for it. Of the keys of tmux a
/// person has those that detach and look back: there is one program here, and no room for others.
const SETTINGS: &str = "set -g remain-on-exit on
set -g remain-on-exit-format ''
set -g status off
set -g update-environment ''
set -g default-terminal screen-256color
set -g history-limit 5000
set -g escape-time 0
set -g window-size latest
set -g allow-rename off
set -g automatic-rename off
set-hook -g pane-died 'wait-for -S ended'
unbind-key -a -T prefix
bind-key -T prefix d detach-client
bind-key -T prefix C-b send-prefix
bind-key -T prefix [ copy-mode
bind-key -T prefix PPage copy-mode -u
";

/// How long a program may take to end once nobody is there any more.
const LAST_BREATH: Duration = Duration::from_secs(3);

/// How long tmux may take to say that the program is over before it is reminded: one that had much else to do was seen
/// to leave it unreaped for ever.
const REMINDER: Duration = Duration::from_secs(1);

/// The end of the program could not be seen.
const GONE: u8 = 70;
/// The program does not take words, or tmux is not there.
const UNAVAILABLE: u8 = 69;
/// The orders could not be read.
const MISUSED: u8 = 64;

/// Something that a bridge could not do.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the orders of this run could not be read")]
    Orders(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("tmux did not start; `orcha doctor` says what is missing")]
    Tmux(#[source] std::io::Error),
    #[error("tmux could not be spoken to")]
    Speak(#[from] std::io::Error),
    #[error("{0}")]
    GaveUp(String),
}

/// Runs the bridge whose orders lie in a file beside which it works, to its end; returns the code to exit with.
///
/// The caller is a program that does nothing else, and does not wait for its standard input afterwards.
pub async fn serve(orders: &Path) -> u8 {
    match run(orders).await {
        Ok(code) => code,
        Err(fault) => {
            let cause = std::error::Error::source(&fault).map(|it| format!(": {it}")).unwrap_or_default();
            eprintln!("{fault}{cause}");
            if matches!(fault, Fault::Orders(_)) { MISUSED } else { UNAVAILABLE }
        }
    }
}

/// What was asked of tmux, in order of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Clients,
    Processes,
    Ended,
}

type Over = Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

struct Bridge {
    /// Whether somebody may still say something.
    listening: bool,
    /// Comes back when tmux says that the program ended; made once tmux has answered.
    ended: Option<Child>,
    /// Comes back when the program's process is over.
    program: Option<Over>,
    /// The process of the tmux server, once it is known.
    server: Option<u32>,
    /// tmux looks for files from the folder of the session on, and ours are elsewhere.
    folder: PathBuf,
    tmux: ChildStdin,
    asked: VecDeque<Asked>,
    began: Instant,
    mind: Mind,
}

/// How a program ended, as tmux saw it; without code or signal its screen is just gone.
#[derive(Default)]
struct End {
    code: Option<i32>,
    signal: Option<i32>,
}

async fn run(path: &Path) -> Result<u8, Fault> {
    let orders = std::fs::read(path).map_err(|it| Fault::Orders(it.into()))?;
    let orders: Orders = serde_json::from_slice(&orders).map_err(|it| Fault::Orders(it.into()))?;
    let folder = path.parent().ok_or_else(|| Fault::Orders("the file has no folder".into()))?;
    std::env::set_current_dir(folder)?;
    private(CONF, SETTINGS.as_bytes())?;
    let own = folder.display().to_string();
    let program = orders.program.iter().map(|it| it.replace("{run_dir}", &own));
    let size = (orders.behaviour.cols.to_string(), orders.behaviour.rows.to_string());
    let mut child = Command::new("tmux")
        .args(["-f", CONF, "-S", SOCKET, "-C", "new-session", "-s", SESSION, "-x", &size.0, "-y", &size.1])
        .args(["-c", &orders.dir])
        // Two words or more are run as they are; one would be a command of a shell.
        .args(["--", "env", "-u", "TMUX", "-u", "TMUX_PANE"])
        .args(program)
        .env_remove("TMUX")
        .env_remove("TMUX_PANE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Fault::Tmux)?;
    let missing = || Fault::Tmux(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    let tmux = child.stdin.take().ok_or_else(missing)?;
    let mut said = BufReader::new(child.stdout.take().ok_or_else(missing)?);
    let mut told = BufReader::new(tokio::io::stdin()).lines();
    let mut bridge = Bridge {
        listening: true,
        ended: None,
        program: None,
        server: None,
        folder: folder.to_owned(),
        tmux,
        asked: VecDeque::new(),
        began: Instant::now(),
        mind: Mind::new(orders.behaviour),
    };
    bridge.ask(&format!("refresh-client -C {}x{}", size.0, size.1), Asked::Nothing).await?;
    bridge.ask("refresh-client -f ignore-size", Asked::Nothing).await?;
    let mut control = Control::default();
    let mut line = Vec::new();
    let mut gone_by: Option<Instant> = None;
    let mut remind_at: Option<Instant> = None;
    loop {
        bridge.act().await?;
        let wakes_at = bridge.mind.wakes_at().map(|at| bridge.began + at);
        tokio::select! {
            read = said.read_until(b'\n', &mut line) => {
                if read? == 0 {
                    return bridge.over(End::default()).await;
                }
                let heard = control.hear(line.strip_suffix(b"\n").unwrap_or(&line));
                line.clear();
                if let Some(heard) = heard
                    && let Some(end) = bridge.hear(heard).await?
                {
                    return bridge.over(end).await;
                }
            }
            order = told.next_line(), if bridge.listening => match order? {
                Some(order) => match serde_json::from_str::<Order>(&order) {
                    Ok(order) => {
                        let acts = bridge.mind.told(order);
                        bridge.perform(acts).await?;
                    }
                    Err(fault) => eprintln!("an order is not understood: {fault}"),
                },
                // Nobody will say anything any more: the program hears what it hears when a terminal is closed.
                None => {
                    bridge.listening = false;
                    gone_by = Some(Instant::now() + LAST_BREATH);
                    bridge.ask(&format!("run-shell -b -t {PANE} 'kill -HUP #{{pane_pid}}'"), Asked::Nothing).await?;
                }
            },
            over = program_over(&mut bridge.program) => {
                bridge.program = None;
                over?;
                remind_at = Some(Instant::now() + REMINDER);
            }
            () = wait(remind_at), if bridge.server.is_some() => {
                if let Some(server) = bridge.server {
                    orcha_exec::remind_parent(server)?;
                }
                remind_at = Some(Instant::now() + REMINDER);
            }
            over = until(&mut bridge.ended) => {
                over?;
                bridge.ended = None;
                let ask = format!("display-message -p -t {PANE} '#{{pane_dead}} #{{pane_dead_status}} #{{pane_dead_signal}}'");
                bridge.ask(&ask, Asked::Ended).await?;
            }
            () = wait(gone_by) => {
                gone_by = None;
                bridge.ask("kill-session", Asked::Nothing).await?;
            }
            () = wait(wakes_at) => {}
        }
    }
}

/// Starts what comes back when the program has ended.
fn waiter() -> std::io::Result<Child> {
    let mut command = Command::new("tmux");
    command.args(["-S", SOCKET, "wait-for", "ended"]).env_remove("TMUX").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

async fn until(ended: &mut Option<Child>) -> std::io::Result<()> {
    match ended {
        Some(waiter) => waiter.wait().await.map(|_| ()),
        None => std::future::pending().await,
    }
}

async fn program_over(program: &mut Option<Over>) -> std::io::Result<()> {
    match program {
        Some(over) => over.await,
        None => std::future::pending().await,
    }
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

impl Bridge {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Does what is to be done until nothing is.
    async fn act(&mut self) -> Result<(), Fault> {
        loop {
            let acts = self.mind.act(self.now());
            if acts.is_empty() {
                return Ok(());
            }
            self.perform(acts).await?;
        }
    }

    async fn perform(&mut self, acts: Vec<Act>) -> Result<(), Fault> {
        for act in acts {
            match act {
                Act::Keys(keys) => {
                    self.leave_modes().await?;
                    self.ask(&format!("send-keys -t {PANE} {}", keys.join(" ")), Asked::Nothing).await?;
                }
                Act::Paste(text) => {
                    private(PASTE, text.as_bytes())?;
                    let file = quoted(&self.folder.join(PASTE).display().to_string());
                    self.ask(&format!("load-buffer -b orcha {file}"), Asked::Nothing).await?;
                    self.leave_modes().await?;
                    self.ask(&format!("paste-buffer -d -p -b orcha -t {PANE}"), Asked::Nothing).await?;
                }
                Act::Say(word) => say(&word)?,
                Act::GiveUp(why) => return Err(Fault::GaveUp(why)),
            }
        }
        Ok(())
    }

    /// A person may have left while looking back: keys would then move through the past and not reach the program.
    async fn leave_modes(&mut self) -> Result<(), Fault> {
        self.ask(&format!("copy-mode -q -t {PANE}"), Asked::Nothing).await
    }

    /// Hears tmux; returns how the program ended, once it has.
    async fn hear(&mut self, said: Said) -> Result<Option<End>, Fault> {
        match said {
            Said::Output(bytes) => self.mind.wrote(&bytes, self.began.elapsed()),
            Said::Size { cols, rows } => self.mind.resized(cols, rows),
            Said::Clients => {
                if self.ended.is_none() {
                    self.ended = Some(waiter().map_err(Fault::Tmux)?);
                }
                if self.server.is_none() {
                    let ask = format!("display-message -p -t {PANE} '#{{pid}} #{{pane_pid}}'");
                    self.ask(&ask, Asked::Processes).await?;
                }
                self.ask("list-clients -F '#{client_flags}'", Asked::Clients).await?;
            }
            Said::Answer(lines) => match self.asked.pop_front() {
                Some(Asked::Clients) => {
                    let by_person = lines.iter().any(|flags| types(flags));
                    let acts = self.mind.held(by_person, self.now());
                    self.perform(acts).await?;
                }
                Some(Asked::Processes) => {
                    let mut pids =
                        lines.first().into_iter().flat_map(|it| it.split(' ')).filter_map(|it| it.parse().ok());
                    if let (None, Some(server), Some(program)) = (self.server, pids.next(), pids.next()) {
                        self.server = Some(server);
                        self.program = Some(Box::pin(orcha_exec::until_over(program)));
                    }
                }
                Some(Asked::Ended) => match lines.first().and_then(|it| end(it)) {
                    Some(end) => return Ok(Some(end)),
                    // It was another pane, or a false alarm.
                    None => self.ended = Some(waiter().map_err(Fault::Tmux)?),
                },
                Some(Asked::Nothing) | None => {}
            },
            Said::Refused(lines) => {
                self.asked.pop_front();
                eprintln!("tmux refused: {}", lines.join(" "));
            }
            Said::Exit => return Ok(Some(End::default())),
        }
        Ok(None)
    }

    /// Tells what stands there last and how it ended, and returns the code to end with: a screen that is just gone is
    /// no success. Whoever closed our input waits for no word.
    async fn over(mut self, end: End) -> Result<u8, Fault> {
        let acts = self.mind.rest();
        self.perform(acts).await?;
        let End { code, signal } = end;
        if self.listening {
            say(&Word::Over { code, signal })?;
        }
        Ok(match (code, signal) {
            // Killed programs may have a code of zero beside their signal.
            (_, Some(signal)) => u8::try_from(128 + signal).unwrap_or(GONE),
            (Some(code), None) => u8::try_from(code).unwrap_or(GONE),
            (None, None) => GONE,
        })
    }

    async fn ask(&mut self, command: &str, asked: Asked) -> Result<(), Fault> {
        self.asked.push_back(asked);
        let written = self.tmux.write_all(format!("{command}\n").as_bytes()).await;
        match written {
            Ok(()) => Ok(()),
            // It is gone; its last words are still to be read, and end the loop.
            Err(fault) if fault.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }
}

/// Reads `1 CODE SIGNAL`, of which one may be missing; anything else is no end.
fn end(answer: &str) -> Option<End> {
    let mut words = answer.split(' ');
    if words.next() != Some("1") {
        return None;
    }
    let mut number = || words.next().and_then(|it| it.parse().ok());
    let (code, signal) = (number(), number());
    Some(End { code, signal })
}

/// Tells by the flags of a client whether somebody types there: neither a person who only looks nor the bridge does.
fn types(flags: &str) -> bool {
    let has = |wanted: &str| flags.split(',').any(|it| it == wanted);
    !(has("read-only") || (has("control-mode") && has("ignore-size")))
}

fn say(word: &Word) -> Result<(), Fault> {
    let mut line = serde_json::to_vec(word).map_err(std::io::Error::from)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

/// Makes one word of a command of tmux.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Writes a file that only its owner reads.
fn private(name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(name)?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_and_who_only_listens_does_not_type() {
        assert!(types("attached,focused,UTF-8"));
        assert!(types("attached,control-mode,UTF-8"), "a person may bring a terminal that speaks control mode");
        assert!(!types("attached,read-only,ignore-size,UTF-8"));
        assert!(!types("attached,control-mode,ignore-size"));
    }

    #[test]
    fn an_end_is_a_code_or_a_signal_and_nothing_else() {
        let read = |answer: &str| end(answer).map(|it| (it.code, it.signal));
        assert_eq!(read("1 0 "), Some((Some(0), None)));
        assert_eq!(read("1  9"), Some((None, Some(9))));
        assert_eq!(read("0  "), None);
        assert_eq!(read(""), None);
    }
}
