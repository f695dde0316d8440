//! How far a run is.

use std::io::IsTerminal;

/// A line on a terminal, overwritten as it goes; nothing elsewhere, because a run takes a few seconds.
pub(crate) struct Progress<'a> {
    name: &'a str,
    total: usize,
    is_terminal: bool,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(name: &'a str, total: usize) -> Self {
        Self { name, total, is_terminal: std::io::stderr().is_terminal() }
    }

    pub(crate) fn show(&self, done: usize) {
        if self.is_terminal {
            eprint!("\r{}: {done} of {} changes\x1b[K", self.name, self.total);
        }
    }

    pub(crate) fn finish(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}
