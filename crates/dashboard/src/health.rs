//! How finished workflows went, as a chart: one bar for each, the newest on the right.
//!
//! Drawn here as SVG; no script takes part. What a person canceled says nothing about the house and is left out.

use crate::text::cut;
use maud::{Markup, html};
use orcha_model::finished::{End, Run};

/// How many runs the chart looks at.
pub(crate) const RUNS: u32 = 60;

/// How wide a bar is, and how far the next one is away.
const BAR: usize = 8;
const STEP: usize = 11;
/// How high the chart is: as many units as a health may have.
const HIGH: u8 = 100;

/// The chart of finished runs, given the newest first. Without runs it is there and empty, so that it can be filled.
pub(crate) fn chart(runs: &[Run]) -> Markup {
    let mut shown: Vec<&Run> = runs.iter().filter(|it| it.end != End::Canceled).collect();
    shown.reverse();
    html! {
        section #health data-fragment="/fragments/health" aria-label="Health of finished workflows" {
            @if !shown.is_empty() {
                h2 { "Health of finished workflows" }
                div.panel {
                    (bars(&shown))
                    p.meta { (words(&shown)) }
                }
            }
        }
    }
}

fn bars(shown: &[&Run]) -> Markup {
    let wide = (RUNS as usize).max(shown.len()) * STEP;
    // They stand on the right, as if older ones had gone out on the left.
    let first = wide - shown.len() * STEP;
    html! {
        svg.chart viewBox={ "0 0 " (wide) " " (HIGH) } preserveAspectRatio="none" role="img" aria-label=(words(shown)) {
            line.rule x1="0" x2=(wide) y1=(HIGH / 2) y2=(HIGH / 2) {}
            @for (n, run) in shown.iter().enumerate() {
                // Of what nobody judged a stub is there.
                @let high = run.health.unwrap_or(0).clamp(3, HIGH);
                rect x=(first + n * STEP) y=(HIGH - high) width=(BAR) height=(high) data-tone=(tone(run)) {
                    title { (told(run)) }
                }
            }
        }
    }
}

/// Says in a line what the chart shows.
fn words(shown: &[&Run]) -> String {
    let said: Vec<u32> = shown.iter().filter_map(|it| it.health).map(u32::from).collect();
    let failed = shown.iter().filter(|it| it.end == End::Failed).count();
    let count = u32::try_from(said.len()).unwrap_or(u32::MAX);
    let mean = said.iter().sum::<u32>().checked_div(count).map_or_else(String::new, |it| format!(", {it} on average"));
    let last = said.last().map_or_else(String::new, |it| format!(", {it} the last time"));
    format!("{} finished, {failed} of them failed{mean}{last}", shown.len())
}

/// What stands beside one bar.
fn told(run: &Run) -> String {
    let health = run.health.map_or_else(|| "not judged".to_owned(), |it| format!("health {it}"));
    format!("{}: {}, {health}, {} repairs", cut(&run.title, 80).shown, run.end, run.repairs)
}

fn tone(run: &Run) -> &'static str {
    match (run.end, run.health) {
        (End::Failed, _) => "bad",
        (End::Canceled, _) | (_, None) => "quiet",
        (End::Completed, Some(80..)) => "good",
        (End::Completed, Some(_)) => "soon",
    }
}
