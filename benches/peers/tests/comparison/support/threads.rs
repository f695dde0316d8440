//! What the threads of a process do, and threads that do as they are told.

use std::any::Any;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

/// A thread, how often it was switched in and out, and the CPU it took.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticks {
    thread: String,
    switches: Vec<String>,
    cpu: Vec<String>,
}

/// All threads of the process but one, if each of them is asleep.
pub(crate) fn ticks(pid: u32, but: Option<&str>) -> Option<Vec<Ticks>> {
    let mut all = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let thread = thread.ok()?;
        let name = thread.file_name().into_string().ok()?;
        if but == Some(name.as_str()) {
            continue;
        }
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        // After the name, which is in brackets and may hold anything: state, ten more, utime, stime.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        if *fields.first()? != "S" {
            return None;
        }
        let cpu = fields.get(11..13)?.iter().map(|&field| field.to_owned()).collect();
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let switches = status.lines().filter(|line| line.contains("ctxt_switches")).map(str::to_owned).collect();
        all.push(Ticks { thread: name, switches, cpu });
    }
    Some(all)
}

/// Waits until every other thread of this process sleeps, and goes on sleeping: whoever was to wait does so now.
/// A thread that would run, if only it were let, is not asleep, so that load cannot deceive this.
pub(crate) fn quiet() {
    let own = fs::read_link("/proc/thread-self").expect("Linux has it");
    let own = own.file_name().and_then(|name| name.to_str()).expect("a number").to_owned();
    let (mut before, mut same) = (None, 0);
    while same < 8 {
        sleep(Duration::from_millis(2));
        let now = ticks(std::process::id(), Some(&own));
        same = if now.is_some() && now == before { same + 1 } else { 0 };
        before = now;
    }
}

/// Passed by nobody until it is opened; then by everybody.
#[derive(Default)]
pub(crate) struct Gate(Mutex<bool>, Condvar);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |open| !*open).unwrap());
    }
}

/// A call whose closure is running, and goes on when it is let.
pub(crate) struct Held<T> {
    gate: Arc<Gate>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Held<T> {
    /// Makes the call on a thread of its own, and returns once its closure has called what it was given.
    pub(crate) fn start(call: impl FnOnce(&dyn Fn()) -> T + Send + 'static) -> Self {
        let (entered, gate) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
        let thread = spawn({
            let (entered, gate) = (entered.clone(), gate.clone());
            move || {
                call(&|| {
                    entered.open();
                    gate.pass();
                })
            }
        });
        entered.pass();
        Self { gate, thread }
    }

    /// Lets the closure go on.
    pub(crate) fn let_go(&self) {
        self.gate.open();
    }

    /// Lets the closure go on, and waits for the call.
    pub(crate) fn release(self) -> std::thread::Result<T> {
        self.let_go();
        self.thread.join()
    }
}

/// Counts runs, and how many of them ran at the same time.
#[derive(Default)]
pub(crate) struct Alone {
    runs: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Alone {
    pub(crate) fn run<T>(&self, body: impl FnOnce() -> T) -> T {
        struct Leave<'a>(&'a AtomicUsize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        self.runs.fetch_add(1, SeqCst);
        self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        let _leave = Leave(&self.now);
        std::thread::yield_now(); // so that whoever could overlap has the time to
        body()
    }

    pub(crate) fn now(&self) -> usize {
        self.now.load(SeqCst)
    }

    /// "1 run", "9 runs, one after the other", "3 runs, 2 at a time".
    pub(crate) fn told(&self) -> String {
        match (self.runs.load(SeqCst), self.most.load(SeqCst)) {
            (1, _) => "1 run".to_owned(),
            (runs, 1) => format!("{runs} runs, one after the other"),
            (runs, most) => format!("{runs} runs, {most} at a time"),
        }
    }
}

/// What a panic said.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(|s| &**s)).unwrap_or("?")
}

/// The panics of a scenario are meant.
pub(crate) fn silent_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}
