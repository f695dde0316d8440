//! Waiting for conditions, and for nothing else.

use rustix::process::{Pid, Signal, kill_process};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Processes that must not outlive this one when a test hangs.
static CHILDREN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

pub(crate) fn end_with_us(pid: u32) {
    CHILDREN.lock().unwrap().push(pid);
}

pub(crate) fn ended(pid: u32) {
    CHILDREN.lock().unwrap().retain(|child| *child != pid);
}

/// Waits until `condition` holds; a minute of it not holding is a failure.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) {
    until_within(Duration::from_secs(60), what, condition);
}

/// Like [`until`], with another limit: one that tells a hang from what was to be waited for.
#[track_caller]
pub(crate) fn until_within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < end, "waited {limit:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs a scenario; one that hangs takes the whole binary down with its name, instead of hanging it.
pub(crate) fn watched<R: Send>(name: &str, scenario: impl FnOnce() -> R + Send) -> R {
    let (done, watch) = channel::<()>();
    let name = name.to_owned();
    std::thread::spawn(move || {
        if watch.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
            for pid in CHILDREN.lock().unwrap().iter() {
                if let Some(pid) = Pid::from_raw(i32::try_from(*pid).unwrap_or(0)) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "the scenario {name} hangs");
            std::process::exit(101);
        }
    });
    let outcome = scenario();
    drop(done);
    outcome
}
