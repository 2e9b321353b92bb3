//! What this process used of the processors, all threads together: beside the time on the clock, because whatever else
//! runs on the machine takes less of that away.

use std::time::Duration;

/// How many of the kernel's ticks, as it tells them to programs, a second has.
const TICKS: f64 = 100.0;

/// Returns what this process used so far; nothing where the system does not say.
pub fn used() -> Duration {
    let told = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program may hold anything but this.
    let fields: Vec<&str> = told.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|it| it.parse::<f64>().ok()).unwrap_or(0.0);
    // In programs and in the kernel: the 14th and the 15th of all fields, of which two stand before the blank.
    Duration::from_secs_f64((ticks(11) + ticks(12)) / TICKS)
}

/// Returns what one of so many used, in microseconds.
pub fn each(used: Duration, of: usize) -> f64 {
    used.as_secs_f64() * 1e6 / of.max(1) as f64
}
