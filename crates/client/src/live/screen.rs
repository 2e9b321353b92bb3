//! Lines that are redrawn in place, a whole picture in one write: nothing flickers, and nothing of an older picture
//! stays behind.

use std::io::{self, Write, stderr};

/// Lines are cut at the edge of the terminal instead of wrapped, so that a line is a row.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
const ERASE_REST_OF_LINE: &str = "\x1b[K";
const ERASE_BELOW: &str = "\x1b[J";

/// The lower part of the terminal of the standard error stream.
pub(super) struct Screen {
    shown: Vec<String>,
    coloured: bool,
    /// What stands below everything while the daemon is away.
    pub(super) lost: Option<String>,
}

/// The room that a picture has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Lines.
    pub(super) height: usize,
    /// Characters in a line.
    pub(super) width: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        let coloured = anstream::AutoStream::choice(&stderr()) != anstream::ColorChoice::Never;
        Self { shown: Vec::new(), coloured, lost: None }
    }

    /// Returns the room: as many lines as fit without the top scrolling away.
    pub(super) fn size(&self) -> Size {
        let (rows, columns) =
            rustix::termios::tcgetwinsize(stderr()).map_or((24, 80), |size| (size.ws_row, size.ws_col));
        let height = usize::from(rows).saturating_sub(1 + usize::from(self.lost.is_some())).max(4);
        // A terminal that does not know its width says 0. In its last column the rest of a line cannot be erased.
        let columns = if columns == 0 { 80 } else { usize::from(columns) };
        Size { height, width: columns.saturating_sub(1) }
    }

    /// Shows these lines instead of those before.
    pub(super) fn draw(&mut self, mut lines: Vec<String>) -> io::Result<()> {
        lines.extend(self.lost.clone());
        if !self.coloured {
            for line in &mut lines {
                *line = anstream::adapter::strip_str(line).to_string();
            }
        }
        if lines == self.shown {
            return Ok(());
        }
        let picture = picture(self.shown.len(), &lines);
        self.shown = lines;
        write(&picture)
    }

    /// Takes the lines away: the summary takes their place.
    pub(super) fn close(self) -> io::Result<()> {
        write(&picture(self.shown.len(), &[]))
    }
}

/// Draws over as many old lines; the cursor stands below the last line before and after.
fn picture(old: usize, lines: &[String]) -> String {
    let mut picture = String::from(NO_WRAP);
    if old > 0 {
        picture.push_str(&format!("\x1b[{old}A\r"));
    }
    for line in lines {
        picture.push_str(line);
        picture.push_str(ERASE_REST_OF_LINE);
        picture.push_str("\r\n");
    }
    picture.push_str(ERASE_BELOW);
    picture.push_str(WRAP);
    picture
}

fn write(picture: &str) -> io::Result<()> {
    let mut out = stderr().lock();
    out.write_all(picture.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_picture_leaves_nothing_of_the_longer_one() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let first = picture(0, &lines("a\nbb\nccc"));
        assert_eq!(first, "\x1b[?7la\x1b[K\r\nbb\x1b[K\r\nccc\x1b[K\r\n\x1b[J\x1b[?7h");
        assert_eq!(picture(3, &lines("a")), "\x1b[?7l\x1b[3A\ra\x1b[K\r\n\x1b[J\x1b[?7h");
        assert_eq!(picture(1, &[]), "\x1b[?7l\x1b[1A\r\x1b[J\x1b[?7h");
    }
}
