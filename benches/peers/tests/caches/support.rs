//! A source that counts and can be held, a key that can be held, and patience.

#[path = "../common/patience.rs"]
mod patience;

pub(crate) use patience::{until, within};

use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

/// Passed by nobody while it is shut.
#[derive(Default)]
pub(crate) struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
    arrived: AtomicUsize,
}

impl Gate {
    pub(crate) fn shut(&self) {
        *self.shut.lock().unwrap() = true;
    }

    pub(crate) fn open(&self) {
        *self.shut.lock().unwrap() = false;
        self.opened.notify_all();
    }

    pub(crate) fn pass(&self) {
        self.arrived.fetch_add(1, SeqCst);
        drop(self.opened.wait_while(self.shut.lock().unwrap(), |shut| *shut).unwrap());
    }

    /// How often somebody came to it, let through or not.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived.load(SeqCst)
    }
}

/// What is behind the cache: the n-th answer is n, or what it was told to be.
#[derive(Default)]
pub(crate) struct Source {
    calls: AtomicUsize,
    pub(crate) gate: Gate,
    pub(crate) fails: Mutex<bool>,
    pub(crate) panics: Mutex<bool>,
}

impl Source {
    pub(crate) fn ask(&self) -> Result<usize, &'static str> {
        let call = self.calls.fetch_add(1, SeqCst) + 1;
        self.gate.pass();
        assert!(!*self.panics.lock().unwrap(), "the source panics, as it was told");
        if *self.fails.lock().unwrap() { Err("down") } else { Ok(call) }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

thread_local! {
    /// How often this thread may still hash a key before it must pass the gate.
    static HOLD: RefCell<Option<(usize, Arc<Gate>)>> = const { RefCell::new(None) };
    static HASHES: RefCell<usize> = const { RefCell::new(0) };
}

/// A key whose hashing can be held on a thread, which is how a caller is stopped between its miss and its boarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        HASHES.with_borrow_mut(|hashes| *hashes += 1);
        let gate = HOLD.with_borrow_mut(|hold| {
            let (left, gate) = hold.as_mut()?;
            *left = left.checked_sub(1)?;
            (*left == 0).then(|| gate.clone())
        });
        if let Some(gate) = gate {
            gate.pass();
        }
        self.0.hash(state);
    }
}

/// How often `body` hashes a [`Key`] on this thread.
pub(crate) fn hashes(body: impl FnOnce()) -> usize {
    HASHES.set(0);
    body();
    HASHES.take()
}

/// This thread's `n`-th hash of a [`Key`] from now on waits for the gate.
pub(crate) fn hold_hash(n: usize, gate: &Arc<Gate>) {
    HOLD.set(Some((n, gate.clone())));
}
