//! How far a run is, on stderr: a bar on a terminal, one line at the start elsewhere.

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// A bar that is full after `total` steps. It disappears when it is dropped.
pub(crate) fn bar(name: &str, total: usize, steps: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {percent:>3} %, {eta} left {wide_msg}");
    let style = style.expect("the template is right").progress_chars("##.");
    let bar = ProgressBar::new(total as u64).with_style(style).with_prefix(name.to_owned());
    if bar.is_hidden() {
        eprintln!("{name}: {total} {steps}");
    }
    bar.with_finish(ProgressFinish::AndClear)
}
