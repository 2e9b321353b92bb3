//! The report for people: one line per figure, with its floor, its ratio and its aim.

use crate::figure::{Aim, Figure, Report};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Draws the report.
pub fn show(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["figure", "unit", "value (min–max)", "floor (min–max)", "ratio", "aim", "met"]);
    for figure in &report.figures {
        table.add_row([
            format!("{}\n  {}", figure.name, figure.title),
            figure.unit.clone(),
            range(figure.value, figure.min, figure.max),
            figure.floor.as_ref().map_or_else(String::new, |it| range(it.value, it.min, it.max)),
            figure.ratio.map_or_else(String::new, |it| ratio(&figure.unit, it)),
            figure.aim.map_or_else(String::new, |it| aim(figure, it)),
            match (figure.aim, figure.met) {
                (None, _) => String::new(),
                (Some(_), None) => "not judged".into(),
                (Some(_), Some(true)) => "yes".into(),
                (Some(_), Some(false)) => "NO".into(),
            },
        ]);
    }
    for column in 2..=4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!(
        "orcha-bench, {} run of {:.0} s on {} processors, {}{}\n{table}\n",
        report.scale,
        report.seconds,
        report.machine.cpus,
        report.machine.kernel,
        if report.machine.optimised { "" } else { "; DEBUG BUILD: the figures mean nothing" }
    );
    for figure in report.figures.iter().filter(|it| !it.details.is_empty()) {
        let details: Vec<String> = figure.details.iter().map(|(name, it)| format!("{name} {}", number(*it))).collect();
        text.push_str(&format!("{}: {}\n", figure.name, details.join(", ")));
    }
    for skipped in &report.skipped {
        text.push_str(&format!("SKIPPED {}: {}\n", skipped.name, skipped.reason));
    }
    text
}

/// A share of the floor where more is better, a multiple of it where less is.
fn ratio(unit: &str, ratio: f64) -> String {
    if unit == "1/s" { format!("{:.0} %", ratio * 100.0) } else { format!("{ratio:.1}×") }
}

fn aim(figure: &Figure, aim: Aim) -> String {
    match aim {
        Aim::RatioAtLeast { number: it } => format!("≥ {:.0} % of the floor", it * 100.0),
        Aim::ValueAtLeast { number: it } => format!("≥ {} {}", number(it), figure.unit),
        Aim::ValueAtMost { number: it } => format!("≤ {} {}", number(it), figure.unit),
    }
}

fn range(value: f64, min: f64, max: f64) -> String {
    if min == max { number(value) } else { format!("{} ({}–{})", number(value), number(min), number(max)) }
}

/// Three digits that count, and no more.
fn number(it: f64) -> String {
    let digits = if it.abs() >= 100.0 {
        0
    } else if it.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{it:.digits$}")
}
