//! Where an example writes its chart.

use std::path::{Path, PathBuf};

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
    opened.map(drop).map_err(|error| format!("cannot write the chart to {}: {error}", path.display()))
}
