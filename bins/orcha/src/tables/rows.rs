//! The machine of the tables: columns that share a terminal's width, one line per row.

use anstream::ColorChoice;
use comfy_table::Width::Fixed;
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Row, Table, presets};
use orcha_client::text;
use std::io::{self, Write};

/// The space between two columns.
const GAP: u16 = 2;
/// What a column that gives width keeps at least.
const NARROW: u16 = 10;

/// What a column does for the others when the terminal is too narrow for all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    Nothing,
    /// It is cut.
    Width,
    /// It is left out, the last one first.
    Place,
}

use Gives::{Place, Width};

/// A table that fits its terminal with one line per row. Where nobody measures, in a pipe, everything is whole.
pub(super) struct Rows {
    table: Table,
    columns: Vec<Gives>,
    coloured: bool,
}

impl Rows {
    pub(super) fn new<const N: usize>(header: [(&str, Gives); N]) -> Self {
        let stdout = io::stdout();
        let coloured = anstream::AutoStream::choice(&stdout) != ColorChoice::Never;
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_truncation_indicator("…");
        if coloured {
            table.enforce_styling();
        }
        let bold = |text: &str| if coloured { Cell::new(text).add_attribute(Attribute::Bold) } else { Cell::new(text) };
        table.set_header(header.map(|(name, _)| bold(name)).to_vec());
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        Self { table, columns: header.map(|(_, gives)| gives).to_vec(), coloured }
    }

    pub(super) fn state(&self, state: &str) -> Cell {
        let colour = text::tone(state).get_fg_color().map_or(Color::DarkGrey, comfy);
        if self.coloured { Cell::new(state).fg(colour) } else { Cell::new(state) }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        let mut row = Row::from(cells);
        row.max_height(1);
        self.table.add_row(row);
    }

    pub(super) fn write(mut self, empty: &str, out: &mut dyn Write) -> io::Result<()> {
        if self.table.is_empty() {
            return writeln!(out, "{empty}");
        }
        // A terminal that does not know its width says 0.
        if let Some(width) = self.table.width().filter(|it| *it > 0) {
            let widths = fit(&self.columns, &self.table.column_max_content_widths(), width);
            for (column, width) in self.table.column_iter_mut().zip(widths) {
                column.set_constraint(match width {
                    0 => ColumnConstraint::Hidden,
                    width => ColumnConstraint::Absolute(Fixed(width + GAP)),
                });
            }
        }
        for line in self.table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Shares a terminal's width among columns that want theirs; none for a column that is left out.
fn fit(columns: &[Gives], wanted: &[u16], width: u16) -> Vec<u16> {
    let mut widths = wanted.to_vec();
    let total = |widths: &[u16]| -> u16 {
        let shown = widths.iter().filter(|it| **it > 0);
        shown.fold(0_u16, |sum, it| sum.saturating_add(*it).saturating_add(GAP)).saturating_sub(GAP)
    };
    // The widest of those that can be cut gives a little, again and again.
    let squeeze = |widths: &mut [u16]| {
        while total(widths) > width {
            let cut = columns.iter().zip(widths.iter_mut()).filter(|(gives, it)| **gives == Width && **it > NARROW);
            match cut.max_by_key(|(_, it)| **it) {
                Some((_, it)) => *it -= 1,
                None => return,
            }
        }
    };
    squeeze(&mut widths);
    for gone in [Place, Width] {
        for last in (1..columns.len()).rev().filter(|it| columns.get(*it) == Some(&gone)) {
            if total(&widths) <= width {
                break;
            }
            widths[last] = 0;
        }
    }
    // What was left out may be more than was needed.
    let left: Vec<u16> = wanted.iter().zip(&widths).map(|(wanted, it)| if *it == 0 { 0 } else { *wanted }).collect();
    widths = left;
    squeeze(&mut widths);
    widths
}

fn comfy(colour: anstyle::Color) -> Color {
    use anstyle::{AnsiColor, Color as From};
    match colour {
        From::Ansi(AnsiColor::Green) => Color::Green,
        From::Ansi(AnsiColor::Yellow) => Color::DarkYellow,
        From::Ansi(AnsiColor::BrightYellow) => Color::Yellow,
        From::Ansi(AnsiColor::Blue) => Color::Blue,
        From::Ansi(AnsiColor::Magenta) => Color::Magenta,
        From::Ansi(AnsiColor::Red) => Color::Red,
        From::Ansi(_) | From::Ansi256(_) | From::Rgb(_) => Color::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::Gives::Nothing;
    use super::*;

    const COLUMNS: [Gives; 5] = [Nothing, Nothing, Width, Place, Width];
    const WANTED: [u16; 5] = [8, 12, 40, 8, 30];

    #[test]
    fn a_wide_terminal_shows_everything() {
        assert_eq!(fit(&COLUMNS, &WANTED, 106), WANTED);
    }

    #[test]
    fn the_widest_texts_are_cut_first() {
        assert_eq!(fit(&COLUMNS, &WANTED, 100), [8, 12, 34, 8, 30]);
        assert_eq!(fit(&COLUMNS, &WANTED, 80), [8, 12, 22, 8, 22]);
    }

    #[test]
    fn a_narrow_terminal_leaves_columns_out_before_it_spoils_what_matters() {
        assert_eq!(fit(&COLUMNS, &WANTED, 50), [8, 12, 12, 0, 12]);
        assert_eq!(fit(&COLUMNS, &WANTED, 40), [8, 12, 16, 0, 0]);
        assert_eq!(fit(&COLUMNS, &WANTED, 22), [8, 12, 0, 0, 0]);
    }

    #[test]
    fn a_row_is_one_line_that_fits() {
        let mut rows = Rows::new([("ID", Nothing), ("TITLE", Width), ("AGE", Place)]);
        rows.table.set_width(24);
        rows.row(vec![Cell::new("12345678"), Cell::new("a title that is too long"), Cell::new("3s")]);
        let mut out = Vec::new();
        rows.write("", &mut out).unwrap();
        let text = anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(|it| it.chars().count() <= 24) && text.contains('…'), "{text}");
    }
}
