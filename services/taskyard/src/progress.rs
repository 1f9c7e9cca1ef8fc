//! Bars that show how far work has come: on standard error, and only to people.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(120);

/// A bar for work of a known size in bytes.
pub fn bytes(total: u64) -> ProgressBar {
    styled(ProgressBar::new(total), "{bar:30} {bytes} of {total_bytes}  {msg}")
}

/// A sign of life for work of unknown size.
pub fn spinner() -> ProgressBar {
    styled(ProgressBar::new_spinner(), "{spinner} {elapsed}  {msg}")
}

/// A bar that goes to 100.
pub fn percent() -> ProgressBar {
    styled(ProgressBar::new(100), "{bar:30} {pos:>3} %  {elapsed}  {msg}")
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    // Hidden where standard error is no terminal; then a thread that redraws it is not wanted either.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    if !bar.is_hidden() {
        bar.enable_steady_tick(TICK);
    }
    bar
}
