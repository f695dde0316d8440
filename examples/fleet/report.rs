//! What the workers say, and what follows from it.

use crate::worker;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The workers that run, and the stories of all that ever did.
#[derive(Default)]
pub(crate) struct Fleet {
    running: Vec<(usize, Child, JoinHandle<()>)>,
    stories: Vec<Arc<Mutex<Story>>>,
}

/// One worker's life.
#[derive(Debug, Clone, Default)]
pub(crate) struct Story {
    pub(crate) calls: u64,
    pub(crate) lost: u64,
    pub(crate) led: u64,
    pub(crate) followed: u64,
    pub(crate) takeovers: u64,
    pub(crate) worst_ms: u64,
    pub(crate) stale: u64,
    pub(crate) runs: Vec<Run>,
    pub(crate) killed_at: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) row: u32,
    pub(crate) fence: u64,
    pub(crate) start: u64,
    pub(crate) end: Option<u64>,
}

impl Story {
    fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        let what = words.next().unwrap_or_default();
        let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        match (what, numbers[..].as_ref()) {
            ("stat", &[calls, lost, led, followed, takeovers, worst]) => {
                (self.calls, self.lost, self.led) = (calls, lost, led);
                (self.followed, self.takeovers, self.worst_ms) = (followed, takeovers, worst);
            }
            ("start", &[row, fence, start]) => self.runs.push(Run { row: row as u32, fence, start, end: None }),
            ("end" | "stale", &[_, fence, end]) => {
                self.stale += u64::from(what == "stale");
                if let Some(run) = self.runs.iter_mut().rev().find(|run| run.fence == fence) {
                    run.end = Some(end);
                }
            }
            _ => {}
        }
    }
}

impl Fleet {
    pub(crate) fn start(&mut self, url: &str, database: &Path) -> Result<(), String> {
        let number = self.stories.len();
        let exe = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut child = Command::new(exe)
            .env(worker::NUMBER, number.to_string())
            .env("URL", url)
            .env("DATABASE", database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start a worker: {error}"))?;
        let output = child.stdout.take().ok_or("a worker without an output")?;
        let story = Arc::new(Mutex::new(Story::default()));
        self.stories.push(Arc::clone(&story));
        let listener = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                story.lock().unwrap().hear(&line);
            }
        });
        self.running.push((number, child, listener));
        Ok(())
    }

    pub(crate) fn calls(&self) -> u64 {
        self.stories.iter().map(|story| story.lock().unwrap().calls).sum()
    }

    pub(crate) fn runs(&self) -> usize {
        self.stories.iter().map(|story| story.lock().unwrap().runs.len()).sum()
    }

    /// Kills a worker that is in the middle of an execution; `None` where nobody is just now.
    pub(crate) fn kill_a_leader(&mut self) -> Option<usize> {
        let leads = |number: usize| self.stories[number].lock().unwrap().runs.iter().any(|run| run.end.is_none());
        let place = self.running.iter().position(|(number, ..)| leads(*number))?;
        let (number, mut child, listener) = self.running.swap_remove(place);
        let _ = (child.kill(), child.wait());
        let killed_at = worker::now();
        let _ = listener.join();
        self.stories[number].lock().unwrap().killed_at = Some(killed_at);
        Some(number)
    }

    /// Stops all that run, and takes stock.
    pub(crate) fn finish(mut self) -> Outcome {
        for (_, child, _) in &mut self.running {
            drop(child.stdin.take());
        }
        for (_, mut child, listener) in self.running {
            let _ = (child.wait(), listener.join());
        }
        Outcome { stories: self.stories.iter().map(|story| story.lock().unwrap().clone()).collect() }
    }
}

pub(crate) struct Outcome {
    pub(crate) stories: Vec<Story>,
}

impl Outcome {
    /// Pairs of executions of one row that overlapped, judged from what was logged.
    pub(crate) fn overlaps(&self) -> usize {
        let mut rows: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
        for story in &self.stories {
            for run in &story.runs {
                let end = run.end.or(story.killed_at).unwrap_or(u64::MAX);
                rows.entry(run.row).or_default().push((run.start, end));
            }
        }
        let count = |runs: &mut Vec<(u64, u64)>| {
            runs.sort_unstable();
            runs.windows(2).filter(|pair| pair[1].0 < pair[0].1).count()
        };
        rows.values_mut().map(count).sum()
    }

    /// Calls that did not return their row.
    pub(crate) fn lost_calls(&self) -> usize {
        self.stories.iter().map(|story| story.lost as usize).sum()
    }

    pub(crate) fn print(&self, database: &Path) -> Result<(), String> {
        println!(
            "  {:<10} {:>8} {:>8} {:>9} {:>10} {:>12}",
            "process", "calls", "led", "followed", "takeovers", "worst call"
        );
        for (number, story) in self.stories.iter().enumerate() {
            let Story { calls, led, followed, takeovers, worst_ms, .. } = story;
            let note = if story.killed_at.is_some() { "  killed in mid-flight" } else { "" };
            println!("  worker {number:<3} {calls:>8} {led:>8} {followed:>9} {takeovers:>10} {worst_ms:>9} ms{note}");
        }
        let calls: u64 = self.stories.iter().map(|story| story.calls).sum();
        let runs: usize = self.stories.iter().map(|story| story.runs.len()).sum();
        let stale: u64 = self.stories.iter().map(|story| story.stale).sum();
        let cut: usize = self.stories.iter().flat_map(|story| &story.runs).filter(|run| run.end.is_none()).count();
        let loads: i64 = rusqlite::Connection::open(database)
            .and_then(|db| db.query_row("SELECT sum(loads) FROM rows", [], |row| row.get(0)))
            .map_err(|error| format!("cannot read the rows: {error}"))?;
        println!(
            "{calls} calls, {runs} executions ({:.3} per call), {cut} cut short by the kill",
            runs as f64 / calls.max(1) as f64
        );
        println!("{loads} stamps in the rows, {stale} stale ones refused");
        println!("{} overlapping executions, {} calls lost", self.overlaps(), self.lost_calls());
        Ok(())
    }
}
