//! One line on stderr that says how far it is and how long it will take.

use std::io::{IsTerminal, Write};
use std::time::Instant;

pub struct Progress {
    began: Instant,
    done: f64,
    total: f64,
    weight: f64,
    terminal: bool,
    last_title: String,
}

impl Progress {
    pub fn new(total: f64) -> Self {
        Self {
            began: Instant::now(),
            done: 0.0,
            total,
            weight: 1.0,
            terminal: std::io::stderr().is_terminal(),
            last_title: String::new(),
        }
    }

    /// How much each of the next steps counts: about its seconds.
    pub fn weigh(&mut self, weight: f64) {
        self.weight = weight;
    }

    pub fn step(&mut self, title: &str, contestant: &str) {
        let share = (self.done / self.total).min(1.0);
        self.done += self.weight;
        let elapsed = self.began.elapsed().as_secs_f64();
        if self.terminal {
            let filled = (share * 24.0) as usize;
            let left = if share > 0.02 { format!("{:.0} s left", elapsed / share - elapsed) } else { String::new() };
            let bar = format!("{}{}", "#".repeat(filled), ".".repeat(24 - filled));
            let _ =
                write!(std::io::stderr(), "\r\x1b[K[{bar}] {:3.0} % {left:>11}  {title}: {contestant}", share * 100.0);
        } else if self.last_title != title {
            self.last_title = title.to_owned();
            let _ = writeln!(std::io::stderr(), "{elapsed:6.1} s {:3.0} %  {title}", share * 100.0);
        }
    }

    pub fn clear(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
