//! What the bridge does next: from what stands on the screen, who is attached, and what it was told.
//!
//! Pure. Time is handed in, as time since the start. What it wants done comes out as acts.

use super::behaviour::Behaviour;
use super::screen::Screen;
use super::{Order, Word};
use regex::Regex;
use std::collections::VecDeque;
use std::time::Duration;

/// A screen that has not changed for so long is looked at.
const SETTLED: Duration = Duration::from_millis(300);
/// Without an expression that says so, a program is taken to be ready when its screen stands still for so long.
const STILL: Duration = Duration::from_secs(2);
/// How long a typed text may take to stand on the screen before it is sent off all the same.
const TYPING: Duration = Duration::from_secs(2);
/// How long a screen stands still after the keys that cut it off.
const CUT_OFF: Duration = Duration::from_secs(2);
/// How many answers a start is worth: a dialog that always comes back is not answered by these keys.
const ANSWERS: u32 = 10;
/// How many orders wait at most.
const ORDERS: usize = 100;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Press keys.
    Keys(Vec<String>),
    /// Type a text as one paste.
    Paste(String),
    /// Tell the daemon.
    Say(Word),
    /// Give up, with a word for people.
    GiveUp(String),
}

/// Where the bridge stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// The program does not take words yet.
    Starting,
    /// It takes words.
    Open,
    /// A text is being typed: since when, and on behalf of which key.
    Typing { since: Duration, key: String },
    /// A turn runs; whether it was cut off.
    Turn { cut_off: bool },
}

pub(super) struct Mind {
    behaviour: Behaviour,
    ready: Option<Regex>,
    screen: Screen,
    stage: Stage,
    orders: VecDeque<Order>,
    held: bool,
    changed_at: Duration,
    /// Whether the lines of the present screen were told.
    told: bool,
    /// Whether the program has shown anything.
    shown: bool,
    /// The dialogs that were answered and still stand on the screen.
    answered: Vec<usize>,
    answers: u32,
    answered_at: Option<Duration>,
    /// When it is given up if it takes no words until then.
    start_by: Duration,
}

impl Mind {
    pub(super) fn new(behaviour: Behaviour) -> Self {
        let ready = behaviour.ready.as_deref().and_then(|it| Regex::new(it).ok());
        let screen = Screen::new(behaviour.cols, behaviour.rows);
        let start_by = Duration::from_secs(behaviour.start_secs);
        Self {
            start_by,
            behaviour,
            ready,
            screen,
            stage: Stage::Starting,
            orders: VecDeque::new(),
            held: false,
            changed_at: Duration::ZERO,
            told: true,
            shown: false,
            answered: Vec::new(),
            answers: 0,
            answered_at: None,
        }
    }

    /// Takes what the program wrote.
    pub(super) fn wrote(&mut self, bytes: &[u8], now: Duration) {
        if self.screen.feed(bytes) {
            (self.changed_at, self.told, self.shown) = (now, false, true);
        }
    }

    /// Follows the size of the screen. That is no sign of life, and lines that only break elsewhere are no news.
    pub(super) fn resized(&mut self, cols: u16, rows: u16) {
        self.screen.resize(cols, rows);
        if self.told {
            self.screen.pass_over();
        }
    }

    /// Tells what was not told yet, when nothing more will come.
    pub(super) fn rest(&mut self) -> Vec<Act> {
        self.tell().into_iter().collect()
    }

    /// Takes an order. Beyond reason it gives up: words that are dropped would be lost.
    pub(super) fn told(&mut self, order: Order) -> Vec<Act> {
        if self.orders.len() >= ORDERS {
            return vec![Act::GiveUp("too many words wait to be typed".into())];
        }
        match (&order, &self.stage) {
            // Whoever cuts off does not wait for his turn.
            (Order::Interrupt { .. }, Stage::Typing { .. } | Stage::Turn { .. }) => self.orders.push_front(order),
            // It is the words before it that are to be cut off, once they are typed.
            (Order::Interrupt { .. }, Stage::Starting | Stage::Open) | (Order::Prompt { .. }, _) => {
                self.orders.push_back(order);
            }
        }
        Vec::new()
    }

    /// Learns whether a person is attached and may type.
    pub(super) fn held(&mut self, by_person: bool, now: Duration) -> Vec<Act> {
        if self.held == by_person {
            return Vec::new();
        }
        (self.held, self.changed_at) = (by_person, now);
        if !by_person {
            // While a person did what it wants to begin with, its time stood still.
            self.start_by = self.start_by.max(now + Duration::from_secs(self.behaviour.start_secs));
        }
        vec![Act::Say(Word::Held { by_person })]
    }

    /// Says what is to be done now.
    pub(super) fn act(&mut self, now: Duration) -> Vec<Act> {
        let mut acts = Vec::new();
        let still = now.saturating_sub(self.changed_at);
        if still >= SETTLED {
            acts.extend(self.tell());
        }
        if self.held {
            // A person has the keyboard.
            return acts;
        }
        match self.stage.clone() {
            Stage::Starting => acts.extend(self.start(still, now)),
            Stage::Open => acts.extend(self.obey(now)),
            Stage::Typing { since, key } => {
                let stands = self.changed_at > since && still >= SETTLED;
                if stands || now.saturating_sub(since) >= TYPING {
                    (self.stage, self.changed_at) = (Stage::Turn { cut_off: false }, now);
                    acts.extend([Act::Keys(vec!["Enter".into()]), Act::Say(Word::Accepted { key })]);
                }
            }
            Stage::Turn { cut_off } => {
                if matches!(self.orders.front(), Some(Order::Interrupt { .. })) {
                    self.orders.pop_front();
                    (self.stage, self.changed_at) = (Stage::Turn { cut_off: true }, now);
                    acts.push(Act::Keys(self.behaviour.interrupt.clone()));
                } else if still >= self.patience(cut_off) {
                    self.stage = Stage::Open;
                    acts.push(Act::Say(if cut_off { Word::Interrupted } else { Word::Quiet }));
                }
            }
        }
        acts
    }

    fn tell(&mut self) -> Option<Act> {
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        let lines = self.screen.news();
        (!lines.is_empty()).then(|| Act::Say(Word::Lines { text: lines.join("\n") }))
    }

    /// Returns when it should be asked again if nothing else happens before.
    pub(super) fn wakes_at(&self) -> Option<Duration> {
        let settles = (!self.told).then(|| self.changed_at + SETTLED);
        let stage = match &self.stage {
            _ if self.held => None,
            Stage::Starting => {
                // An answer that changed nothing may not have been heard.
                let unheard = self.answered_at.filter(|at| self.changed_at <= *at && self.answers < ANSWERS);
                let again = unheard.map(|at| at + STILL);
                let looked = (self.changed_at + SETTLED).max(self.looked_at());
                Some(again.map_or(looked, |at| at.min(looked)))
            }
            Stage::Open => (!self.orders.is_empty()).then_some(Duration::ZERO),
            Stage::Typing { since, .. } if self.changed_at > *since => Some(self.changed_at + SETTLED),
            Stage::Typing { since, .. } => Some(*since + TYPING),
            Stage::Turn { .. } if matches!(self.orders.front(), Some(Order::Interrupt { .. })) => Some(Duration::ZERO),
            Stage::Turn { cut_off } => Some(self.changed_at + self.patience(*cut_off)),
        };
        settles.into_iter().chain(stage).min()
    }

    /// When a start whose screen has settled is worth another look: when it would count as still, and at its end.
    fn looked_at(&self) -> Duration {
        let end = self.start_by;
        if self.told && self.ready.is_none() && self.shown {
            (self.changed_at + STILL).min(end)
        } else if self.told {
            end
        } else {
            Duration::ZERO
        }
    }

    fn start(&mut self, still: Duration, now: Duration) -> Vec<Act> {
        let settled = self.shown && still >= SETTLED;
        let dialogs = self.behaviour.dialogs(self.screen.text());
        // What was answered may stay on the screen; once it is gone it may come again.
        self.answered.retain(|it| dialogs.iter().any(|(at, _)| at == it));
        let unheard = self.answered_at.is_some_and(|at| self.changed_at <= at && now.saturating_sub(at) >= STILL);
        let next = dialogs.into_iter().find(|(at, _)| unheard || !self.answered.contains(at));
        if settled
            && self.answers < ANSWERS
            && let Some((at, keys)) = next
        {
            if !self.answered.contains(&at) {
                self.answered.push(at);
            }
            self.answers += 1;
            self.answered_at = Some(now);
            return vec![Act::Keys(keys)];
        }
        let open = match &self.ready {
            Some(_) => settled && self.takes_words(),
            None => self.shown && still >= STILL,
        };
        if open {
            self.stage = Stage::Open;
            return self.obey(now);
        }
        if now >= self.start_by {
            let secs = self.behaviour.start_secs;
            return vec![Act::GiveUp(format!("the program did not take words within {secs} s of its start"))];
        }
        Vec::new()
    }

    fn obey(&mut self, now: Duration) -> Vec<Act> {
        match self.orders.pop_front() {
            Some(Order::Prompt { key, text }) => {
                self.stage = Stage::Typing { since: now, key };
                vec![Act::Paste(plain(&text))]
            }
            // There is nothing to cut off.
            Some(Order::Interrupt { .. }) => self.obey(now),
            None => Vec::new(),
        }
    }

    fn patience(&self, cut_off: bool) -> Duration {
        if cut_off {
            return CUT_OFF;
        }
        let secs = if self.takes_words() { self.behaviour.idle_secs } else { self.behaviour.quiet_secs };
        Duration::from_secs(secs).max(SETTLED)
    }

    fn takes_words(&self) -> bool {
        self.ready.as_ref().is_some_and(|ready| {
            self.screen.text().lines().any(|line| ready.is_match(line) || ready.is_match(&format!("{line} ")))
        })
    }
}

/// Leaves out everything that a terminal would obey: a text must not end its own paste, or press keys.
fn plain(text: &str) -> String {
    let kept = |it: &char| *it == '\n' || *it == '\t' || !it.is_control();
    text.replace("\r\n", "\n").chars().filter(kept).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn prompt(text: &str) -> Order {
        Order::Prompt { key: "k".into(), text: text.into() }
    }

    fn mind(ready: Option<&str>) -> Mind {
        Mind::new(Behaviour { ready: ready.map(str::to_owned), ..Behaviour::default() })
    }

    fn keys(keys: &[&str]) -> Act {
        Act::Keys(keys.iter().map(|it| (*it).to_owned()).collect())
    }

    fn lines(text: &str) -> Act {
        Act::Say(Word::Lines { text: text.into() })
    }

    /// Brings a mind into a turn that began at 2 s.
    fn in_turn() -> Mind {
        let mut mind = mind(Some("^> "));
        assert!(mind.told(prompt("go")).is_empty());
        mind.wrote(b"> ", ms(0));
        // Trailing blanks are no text: the prompt is what stands before them.
        mind.wrote(b"ready", ms(1000));
        assert_eq!(mind.act(ms(1300)), [lines("> ready"), Act::Paste("go".into())]);
        mind.wrote(b" go", ms(1500));
        let accepted = Act::Say(Word::Accepted { key: "k".into() });
        assert_eq!(mind.act(ms(2000)), [lines("> ready go"), keys(&["Enter"]), accepted]);
        mind
    }

    #[test]
    fn a_dialog_is_answered_before_anything_is_typed() {
        let mut mind = mind(Some("^> "));
        mind.told(prompt("go"));
        mind.wrote(b"Yes, I trust this folder", ms(0));
        assert!(mind.act(ms(100)).is_empty());
        assert_eq!(mind.act(ms(300)), [lines("Yes, I trust this folder"), keys(&["Enter"])]);
        assert!(mind.act(ms(400)).is_empty());
        mind.wrote(b"\x1b[2J\x1b[H> ask me", ms(1000));
        assert_eq!(mind.act(ms(1300)), [lines("> ask me"), Act::Paste("go".into())]);
    }

    #[test]
    fn a_dialog_that_stays_on_the_screen_is_answered_once_and_one_that_did_not_hear_again() {
        let mut mind = mind(Some("^> $"));
        mind.wrote(b"Yes, I trust this folder\r\n", ms(0));
        assert_eq!(mind.act(ms(300)).pop(), Some(keys(&["Enter"])));
        assert_eq!(mind.wakes_at(), Some(ms(2300)));
        assert_eq!(mind.act(ms(2300)), [keys(&["Enter"])]);
        mind.wrote(b"thank you\r\n> ", ms(2500));
        assert_eq!(mind.act(ms(2800)), [lines("thank you\n>")]);
        assert_eq!(mind.stage, Stage::Open);
    }

    #[test]
    fn p5_a_screen_that_says_done_and_stands_still_is_quiet_and_no_more() {
        let mut mind = in_turn();
        mind.wrote(b"\r\nAll done! Everything is finished.", ms(3000));
        assert_eq!(mind.act(ms(3300)), [lines("All done! Everything is finished.")]);
        assert!(mind.act(ms(9000)).is_empty());
        assert_eq!(mind.wakes_at(), Some(ms(11_000)));
        assert_eq!(mind.act(ms(11_000)), [Act::Say(Word::Quiet)]);
        assert!(mind.act(ms(90_000)).is_empty());
    }

    #[test]
    fn while_a_person_is_attached_nothing_is_typed_and_nothing_counts_as_quiet() {
        let mut mind = in_turn();
        assert_eq!(mind.held(true, ms(3000)), [Act::Say(Word::Held { by_person: true })]);
        mind.told(prompt("more"));
        assert!(mind.act(ms(500_000)).is_empty());
        assert_eq!(mind.wakes_at(), None);
        assert_eq!(mind.held(false, ms(600_000)), [Act::Say(Word::Held { by_person: false })]);
        assert!(mind.act(ms(600_000)).is_empty());
        assert_eq!(mind.act(ms(608_000)), [Act::Say(Word::Quiet)]);
        assert_eq!(mind.act(ms(608_000)), [Act::Paste("more".into())]);
    }

    #[test]
    fn a_turn_is_cut_off_by_its_keys_and_says_so_when_the_screen_rests() {
        let mut mind = in_turn();
        mind.told(Order::Interrupt { key: "i".into() });
        assert_eq!(mind.wakes_at(), Some(Duration::ZERO));
        assert_eq!(mind.act(ms(3000)), [keys(&["C-c"])]);
        assert_eq!(mind.act(ms(5000)), [Act::Say(Word::Interrupted)]);
    }

    #[test]
    fn what_is_cut_off_before_it_is_typed_is_cut_off_then_and_nothing_else_is() {
        let interrupt = || Order::Interrupt { key: "i".into() };
        let mut mind = mind(Some("^> "));
        mind.told(prompt("go"));
        mind.told(interrupt());
        mind.wrote(b"> ready", ms(0));
        assert_eq!(mind.act(ms(300)), [lines("> ready"), Act::Paste("go".into())]);
        let accepted = Act::Say(Word::Accepted { key: "k".into() });
        assert_eq!(mind.act(ms(2300)), [keys(&["Enter"]), accepted]);
        assert_eq!(mind.act(ms(2300)), [keys(&["C-c"])]);
        assert_eq!(mind.act(ms(4300)), [Act::Say(Word::Interrupted)]);
        // Nothing runs now that could be cut off.
        mind.told(interrupt());
        assert!(mind.act(ms(4400)).is_empty());
        assert_eq!(mind.stage, Stage::Open);
    }

    #[test]
    fn a_program_that_never_takes_words_is_given_up() {
        let mut mind = mind(Some("^> "));
        mind.wrote(b"loading", ms(0));
        mind.act(ms(300));
        assert_eq!(mind.wakes_at(), Some(ms(90_000)));
        assert!(matches!(mind.act(ms(90_000))[..], [Act::GiveUp(_)]));
        let mut silent = super::tests::mind(None);
        assert!(matches!(silent.act(ms(90_000))[..], [Act::GiveUp(_)]));
    }

    #[test]
    fn a_person_who_logs_in_first_does_not_use_up_the_time_of_the_start() {
        let mut mind = mind(Some("^> "));
        mind.wrote(b"please log in", ms(0));
        mind.held(true, ms(1000));
        mind.held(false, ms(200_000));
        assert_eq!(mind.act(ms(200_300)), [lines("please log in")]);
        assert_eq!(mind.wakes_at(), Some(ms(290_000)));
    }

    #[test]
    fn the_last_words_are_told_before_the_end() {
        let mut mind = in_turn();
        mind.wrote(b"\r\ngood bye", ms(3000));
        assert_eq!(mind.rest(), [lines("good bye")]);
        assert!(mind.rest().is_empty());
    }

    #[test]
    fn lines_that_break_elsewhere_are_no_news() {
        let mut mind = in_turn();
        mind.resized(5, 10);
        mind.wrote(b"\r\nnew", ms(3000));
        assert_eq!(mind.act(ms(3300)), [lines("new")]);
    }

    #[test]
    fn without_an_expression_a_still_screen_takes_words() {
        let mut mind = mind(None);
        mind.told(prompt("go"));
        mind.wrote(b"hello", ms(0));
        assert_eq!(mind.act(ms(300)), [lines("hello")]);
        assert_eq!(mind.wakes_at(), Some(ms(2000)));
        assert_eq!(mind.act(ms(2000)), [Act::Paste("go".into())]);
    }

    #[test]
    fn p16_a_text_cannot_press_keys() {
        assert_eq!(plain("a\u{1b}[201~\r\nb\u{3}\tc\u{9b}\n"), "a[201~\nb\tc");
    }
}
