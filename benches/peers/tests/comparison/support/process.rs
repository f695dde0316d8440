//! The child process that plays a scenario, and the parent that watches it.

use super::threads::{Ticks, ticks};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio, exit};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::spawn;
use std::time::{Duration, Instant};

/// In the environment of a child.
const CHILD: &str = "FLIGHT_GROUP_COMPARISON_CHILD";
/// A process counts as hung when all its threads have slept through all of this, without a switch or a tick of CPU.
/// A process that is merely starved has a thread that is ready to run, and never counts.
const STILL: Duration = Duration::from_millis(800);
/// How long a scenario may take that neither ends nor hangs.
const PATIENCE: Duration = Duration::from_secs(240);

const STEP: &str = "step: ";
const FOUND: &str = "found: ";

/// Says what comes next; a hang is told by the last of these.
pub(crate) fn step(what: &str) {
    println!("\n{STEP}{what}");
}

/// Plays `scenario` in a process of its own and compares what it found; `hangs: ` and the last step if it hung.
#[track_caller]
pub(crate) fn fact(path: &str, scenario: fn() -> String, found: &str) {
    let (_, test) = path.split_once("::").expect("the crate's name, then the test's");
    if std::env::var_os(CHILD).is_some() {
        println!("\n{FOUND}{}", scenario());
        exit(0); // threads of the scenario may still be in the air
    }
    let told = watch(start(test));
    println!("{test}: {told}");
    assert_eq!(told, found, "{test}: is it still what docs::comparison says?");
}

fn start(test: &str) -> Child {
    Command::new(std::env::current_exe().expect("a test knows its program"))
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program can be started once more")
}

/// Kills the child, whatever becomes of the test.
struct Leash(Child);

impl Drop for Leash {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn watch(mut child: Child) -> String {
    let lines = lines(child.stdout.take().expect("it is piped"));
    let mut errors = child.stderr.take().expect("it is piped");
    let errors = spawn(move || {
        let mut text = String::new();
        let _ = errors.read_to_string(&mut text);
        text
    });
    let child = Leash(child);
    let pid = child.0.id();
    let (began, mut last_step) = (Instant::now(), "before the first step".to_owned());
    let (mut since, mut before) = (Instant::now(), None);
    loop {
        match lines.recv_timeout(Duration::from_millis(20)) {
            Ok(line) => {
                if let Some(found) = line.strip_prefix(FOUND) {
                    return found.to_owned();
                }
                if let Some(step) = line.strip_prefix(STEP) {
                    last_step = step.to_owned();
                }
                before = None;
            }
            Err(RecvTimeoutError::Disconnected) => {
                drop(child);
                panic!("the scenario found nothing: {}", errors.join().unwrap_or_default());
            }
            Err(RecvTimeoutError::Timeout) => {
                let now: Option<Vec<Ticks>> = ticks(pid, None);
                if now.is_none() || now != before {
                    (since, before) = (Instant::now(), now);
                } else if since.elapsed() > STILL {
                    return format!("hangs: {last_step}");
                }
            }
        }
        assert!(began.elapsed() < PATIENCE, "neither ends nor hangs, in: {last_step}");
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = channel();
    spawn(move || BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    told
}

/// The watchdog itself: who works is not taken for hung, and who waits is.
mod watch {
    use super::{STILL, step};
    use crate::support::facts;
    use std::time::Instant;

    facts! {
        busy: || {
            step("works");
            let began = Instant::now();
            while began.elapsed() < STILL * 3 / 2 {}
            "done".to_owned()
        } => "done";
        waiting: || {
            step("waits for itself");
            loop {
                std::thread::park();
            }
        } => "hangs: waits for itself";
    }
}
