//! How far a run is: a bar on a terminal, a line now and then elsewhere.

use crate::report::thousands;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

pub(crate) struct Progress<'a> {
    name: &'a str,
    total: usize,
    is_terminal: bool,
    start: Instant,
    last_line: Instant,
}

/// How often a log gets a line.
const PAUSE: Duration = Duration::from_secs(10);
const WIDTH: usize = 30;

impl<'a> Progress<'a> {
    pub(crate) fn new(name: &'a str, total: usize) -> Self {
        let now = Instant::now();
        Self { name, total, is_terminal: std::io::stderr().is_terminal(), start: now, last_line: now }
    }

    pub(crate) fn show(&mut self, done: usize, queries: usize) {
        if self.is_terminal {
            let filled = WIDTH * done / self.total;
            let left = self.start.elapsed().as_secs_f64() * (self.total - done) as f64 / done.max(1) as f64;
            self.put(&format!(
                "\r{:<14}[{}{}] {:>3}%  {} queries, {left:.0} s left \x1b[K",
                self.name,
                "#".repeat(filled),
                ".".repeat(WIDTH - filled),
                100 * done / self.total,
                thousands(queries),
            ));
        } else if self.last_line.elapsed() >= PAUSE {
            self.last_line = Instant::now();
            self.line(done, queries);
        }
    }

    pub(crate) fn finish(&mut self, done: usize, queries: usize) {
        if self.is_terminal {
            self.put("\r\x1b[K");
        } else {
            self.line(done, queries);
        }
    }

    fn line(&self, done: usize, queries: usize) {
        let (done, total) = (thousands(done), thousands(self.total));
        self.put(&format!("{:<14}{done} of {total} requests, {} queries\n", self.name, thousands(queries)));
    }

    fn put(&self, text: &str) {
        // Progress that cannot be shown is no reason to stop.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}
