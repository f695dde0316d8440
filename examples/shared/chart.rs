//! What the examples' charts have in common: where they are written, and their letters.

use std::path::{Path, PathBuf};

pub(crate) const TITLE: (&str, u32) = ("sans-serif", 21);
pub(crate) const TEXT: (&str, u32) = ("sans-serif", 16);

/// A file in the `target` folder that this program was built in.
pub(crate) fn default_path() -> PathBuf {
    // target/release/examples/NAME
    let target = std::env::current_exe().ok().and_then(|exe| exe.ancestors().nth(3).map(PathBuf::from));
    let target = target.unwrap_or_default();
    let here = std::env::current_dir().unwrap_or_default();
    target.strip_prefix(&here).unwrap_or(&target).join(concat!(env!("CARGO_CRATE_NAME"), ".svg"))
}

/// Checks before the work, not after it, that the chart can be written. Makes no folders.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
    opened.map(drop).map_err(|error| failed(path, error))
}

/// The error of a program that could not draw its chart.
pub(crate) fn failed(path: &Path, error: impl std::fmt::Display) -> String {
    format!("cannot write the chart to {}: {error}", path.display())
}
