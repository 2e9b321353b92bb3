//! Lines that are redrawn in place: only those that changed, and not more often than a person can see.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::stderr;

const REDRAWS_PER_SECOND: u8 = 10;

pub(super) struct Screen {
    all: MultiProgress,
    lines: Vec<(ProgressBar, String)>,
    style: ProgressStyle,
    coloured: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND));
        // Moves over the old lines instead of wiping them first: no flicker.
        all.set_move_cursor(true);
        let style = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let coloured = anstream::AutoStream::choice(&stderr()) != anstream::ColorChoice::Never;
        Self { all, lines: Vec::new(), style, coloured }
    }

    /// Returns how many lines fit, so that the top never scrolls away.
    pub(super) fn height(&self) -> usize {
        let rows = rustix::termios::tcgetwinsize(stderr()).map_or(24, |size| size.ws_row);
        usize::from(rows).saturating_sub(1).max(4)
    }

    pub(super) fn draw(&mut self, lines: Vec<String>) {
        while self.lines.len() > lines.len() {
            if let Some((bar, _)) = self.lines.pop() {
                self.all.remove(&bar);
            }
        }
        for (at, text) in lines.into_iter().enumerate() {
            let text = if self.coloured { text } else { anstream::adapter::strip_str(&text).to_string() };
            match self.lines.get_mut(at) {
                Some((_, old)) if *old == text => {}
                Some((bar, old)) => {
                    bar.set_message(text.clone());
                    *old = text;
                }
                None => {
                    let bar = self.all.add(ProgressBar::new_spinner().with_style(self.style.clone()));
                    bar.set_message(text.clone());
                    self.lines.push((bar, text));
                }
            }
        }
    }

    /// Takes the lines away: the summary takes their place.
    pub(super) fn close(self) {
        for (bar, _) in &self.lines {
            bar.finish_and_clear();
        }
    }
}
