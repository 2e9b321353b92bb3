//! What tmux says to a client in control mode, line by line. It reads; it says nothing itself.

/// The pane of the program: the first one of its server. What others show is not heard.
pub(super) const PANE: &str = "%0";
const WINDOW: &str = "@0";

/// Something that tmux said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The pane's program wrote this.
    Output(Vec<u8>),
    /// A client came, left or changed.
    Clients,
    /// The window has another size.
    Size { cols: u16, rows: u16 },
    /// The answer to the oldest command that was not answered yet.
    Answer(Vec<String>),
    /// The oldest command was refused.
    Refused(Vec<String>),
    /// tmux is gone, or has thrown us out.
    Exit,
}

/// Puts lines together to what they mean.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// The answer that is under way: whether it is ours, and its lines.
    answer: Option<(bool, Vec<String>)>,
}

impl Control {
    /// Takes a line without its break.
    pub(super) fn hear(&mut self, line: &[u8]) -> Option<Said> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(output) = line.strip_prefix(b"%output ") {
            let output = output.strip_prefix(PANE.as_bytes())?.strip_prefix(b" ")?;
            return Some(Said::Output(unescape(output)));
        }
        let text = String::from_utf8_lossy(line);
        let mut words = text.split(' ');
        let first = words.next().unwrap_or_default();
        if let Some((ours, lines)) = &mut self.answer {
            if !matches!(first, "%end" | "%error") {
                lines.push(text.into_owned());
                return None;
            }
            let (ours, lines) = (*ours, std::mem::take(lines));
            self.answer = None;
            let said = if first == "%end" { Said::Answer(lines) } else { Said::Refused(lines) };
            return ours.then_some(said);
        }
        match first {
            "%begin" => {
                // The flags tell commands of this client from those of others.
                self.answer = Some((words.nth(2) == Some("1"), Vec::new()));
                None
            }
            "%client-session-changed" | "%client-detached" | "%session-changed" => Some(Said::Clients),
            "%layout-change" if words.next() == Some(WINDOW) => {
                let (cols, rest) = words.next()?.split_once(',')?.1.split_once('x')?;
                let rows = rest.split(',').next()?;
                Some(Said::Size { cols: cols.parse().ok()?, rows: rows.parse().ok()? })
            }
            "%exit" => Some(Said::Exit),
            _ => None,
        }
    }
}

/// Undoes the escapes of output: a backslash and three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let octal = |it: &u8| matches!(it, b'0'..=b'7');
        if *first == b'\\' && tail.len() >= 3 && tail[..3].iter().all(octal) {
            let value = tail[..3].iter().fold(0u32, |sum, it| sum * 8 + u32::from(it - b'0'));
            bytes.push(u8::try_from(value & 0xff).unwrap_or(b'?'));
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tmux_says_is_told_apart() {
        let mut control = Control::default();
        let mut heard = Vec::new();
        for line in [
            "%begin 1 263 0",
            "%end 1 263 0",
            "%window-add @0",
            r"%output %0 hi\015\012 \134 there",
            "%output %1 from another pane",
            "%begin 1 270 1",
            "/dev/pts/0 0 0",
            "%end 1 270 1",
            "%begin 1 271 1",
            "no such file",
            "%error 1 271 1",
            "%client-session-changed /dev/pts/0 $0 main",
            "%layout-change @1 b25d,10x10,0,0,1 b25d,10x10,0,0,1 *",
            "%layout-change @0 b25d,80x24,0,0,0 b25d,80x24,0,0,0 *",
            "%exit",
        ] {
            heard.extend(control.hear(line.as_bytes()));
        }
        assert_eq!(
            heard,
            [
                Said::Output(b"hi\r\n \\ there".to_vec()),
                Said::Answer(vec!["/dev/pts/0 0 0".into()]),
                Said::Refused(vec!["no such file".into()]),
                Said::Clients,
                Said::Size { cols: 80, rows: 24 },
                Said::Exit,
            ]
        );
    }
}
