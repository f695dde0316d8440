//! What processes did when: one file they all append to, judged afterwards.
//!
//! The times are of CLOCK_MONOTONIC, which all processes of a machine share. Overlaps are judged from the intervals, and
//! not by a counter that the overlapping ones would have to keep.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) what: String,
    pub(crate) pid: u32,
    pub(crate) key: String,
    pub(crate) fence: u64,
    pub(crate) at: u64,
}

/// One execution.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) pid: u32,
    pub(crate) fence: u64,
    pub(crate) start: u64,
    /// `None` where the process was killed in it.
    pub(crate) end: Option<u64>,
    /// It knew itself that its record was lost when it ended.
    pub(crate) overdue: bool,
}

pub(crate) fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Log {
    pub(crate) fn create() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("flight-group-log-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        File::create(&path).unwrap();
        Self::open(&path)
    }

    pub(crate) fn open(path: &Path) -> Self {
        let file = File::options().append(true).open(path).unwrap();
        Self { path: path.to_owned(), file }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// One write, and so one line, whoever else writes.
    pub(crate) fn put(&self, what: &str, key: &str, fence: u64) {
        let line = format!("{what} {} {key} {fence} {}\n", std::process::id(), now());
        (&self.file).write_all(line.as_bytes()).unwrap();
    }

    pub(crate) fn read(&self) -> Vec<Record> {
        let mut text = String::new();
        File::open(&self.path).unwrap().read_to_string(&mut text).unwrap();
        // A line across the edge of a page can be seen half written.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text[..whole]
            .lines()
            .map(|line| {
                let words: Vec<_> = line.split(' ').collect();
                Record {
                    what: words[0].to_owned(),
                    pid: words[1].parse().unwrap(),
                    key: words[2].to_owned(),
                    fence: words[3].parse().unwrap(),
                    at: words[4].parse().unwrap(),
                }
            })
            .collect()
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.read().iter().filter(|record| record.what == what).count()
    }

    /// The executions by key, each key's in the order of their start. `killed`: when a process was surely dead.
    pub(crate) fn runs(&self, killed: &HashMap<u32, u64>) -> HashMap<String, Vec<Run>> {
        let mut runs: HashMap<String, Vec<Run>> = HashMap::new();
        for record in self.read() {
            let runs = runs.entry(record.key.clone()).or_default();
            match record.what.as_str() {
                "start" => {
                    runs.push(Run {
                        pid: record.pid,
                        fence: record.fence,
                        start: record.at,
                        end: None,
                        overdue: false,
                    });
                }
                "end" => {
                    let open = runs
                        .iter_mut()
                        .find(|run| run.end.is_none() && (run.pid, run.fence) == (record.pid, record.fence));
                    open.expect("an end has a start").end = Some(record.at);
                }
                "overdue" => {
                    let run = runs.iter_mut().find(|run| (run.pid, run.fence) == (record.pid, record.fence));
                    run.expect("what was lost has a start").overdue = true;
                }
                _ => {}
            }
        }
        for runs in runs.values_mut() {
            runs.sort_by_key(|run| run.start);
            for run in runs {
                run.end = run.end.or_else(|| killed.get(&run.pid).copied());
            }
        }
        runs.retain(|_, runs| !runs.is_empty());
        runs
    }

    /// Fails where two executions of one key overlapped although the first had not lost its record, or a fence did not
    /// grow. Returns how many there were.
    #[track_caller]
    pub(crate) fn assert_no_overlap(&self, killed: &HashMap<u32, u64>) -> usize {
        let runs = self.runs(killed);
        for (key, runs) in &runs {
            for pair in runs.windows(2) {
                let end = pair[0].end.unwrap_or(u64::MAX);
                assert!(pair[1].start >= end || pair[0].overdue, "two executions of key {key} overlap: {pair:?}");
                assert!(pair[1].fence > pair[0].fence, "a fence of key {key} did not grow: {pair:?}");
            }
        }
        runs.values().map(Vec::len).sum()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Children open it too; only who made it takes it away.
        if std::env::var_os(crate::children::ROLE).is_none() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
