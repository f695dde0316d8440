//! How far a run is: one line that changes on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

pub(crate) struct Progress {
    is_terminal: bool,
    last_line: Instant,
}

/// How often a log gets a line.
const PAUSE: Duration = Duration::from_secs(5);

impl Progress {
    pub(crate) fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), last_line: Instant::now() }
    }

    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        if self.is_terminal {
            put(&format!("\r  {}\x1b[K", text()));
        } else if self.last_line.elapsed() >= PAUSE {
            self.last_line = Instant::now();
            put(&format!("  {}\n", text()));
        }
    }

    pub(crate) fn finish(&self) {
        if self.is_terminal {
            put("\r\x1b[K");
        }
    }
}

/// Progress that cannot be shown is no reason to stop.
fn put(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
