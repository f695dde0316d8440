//! parking_lot's `Condvar`, with deadlines, under shuttle, whose own has none.
//!
//! Each sleeper has an entry; a notification takes one entry out, so that it wakes exactly one thread and is never
//! given to one whose wait reports a timeout: what parking_lot promises, and what the wake tree is built on. Which
//! entry is drawn by lot, since no promise is made about that.
//!
//! A wait without a deadline blocks, so that a lost notification is a deadlock the checker reports. A wait with one
//! tosses a coin at each of its turns: heads, the deadline passes. The clock is never asked, so that a schedule can
//! be replayed, and a wait with a deadline always ends.

use super::mutex::MutexGuard;
use crate::sync::{Arc, Instant};
use shuttle::rand::Rng;
use std::sync::PoisonError;

#[derive(Debug, Default)]
pub(crate) struct Condvar {
    sleepers: shuttle::sync::Mutex<Vec<Arc<Sleeper>>>,
}

#[derive(Debug, Default)]
struct Sleeper {
    woken: shuttle::sync::Mutex<bool>,
    bell: shuttle::sync::Condvar,
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_one(&self) {
        let sleeper = {
            let mut sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
            match sleepers.len() {
                0 => return,
                n => sleepers.swap_remove(below(n)),
            }
        };
        sleeper.wake();
    }

    #[allow(dead_code, reason = "part of the shape, for whoever wakes everybody")]
    pub(crate) fn notify_all(&self) {
        let sleepers = std::mem::take(&mut *self.sleepers.lock().unwrap_or_else(PoisonError::into_inner));
        sleepers.iter().for_each(|sleeper| sleeper.wake());
    }

    #[allow(dead_code, reason = "part of the shape, for waits that have no deadline to pass on")]
    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        wait_until(self, guard, None);
    }

    /// Takes a sleeper out again; `false` if a notification was quicker.
    fn give_up(&self, sleeper: &Arc<Sleeper>) -> bool {
        let mut sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        let place = sleepers.iter().position(|other| Arc::ptr_eq(other, sleeper));
        place.map(|place| sleepers.swap_remove(place)).is_some()
    }
}

impl Sleeper {
    fn wake(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_one();
    }
}

/// See [`wait_until`](crate::sync) of the real build.
pub(crate) fn wait_until<T>(condvar: &Condvar, guard: &mut MutexGuard<'_, T>, deadline: Option<Instant>) -> bool {
    let sleeper = Arc::new(Sleeper::default());
    condvar.sleepers.lock().unwrap_or_else(PoisonError::into_inner).push(sleeper.clone());
    guard.held = None;
    let timed_out = sleep(condvar, &sleeper, deadline.is_some());
    guard.held = guard.mutex.lock().held;
    timed_out
}

fn sleep(condvar: &Condvar, sleeper: &Arc<Sleeper>, with_deadline: bool) -> bool {
    if with_deadline {
        loop {
            shuttle::thread::yield_now();
            if *sleeper.woken.lock().unwrap_or_else(PoisonError::into_inner) {
                return false;
            }
            if below(4) == 0 && condvar.give_up(sleeper) {
                return true;
            }
        }
    }
    let mut woken = sleeper.woken.lock().unwrap_or_else(PoisonError::into_inner);
    while !*woken {
        woken = sleeper.bell.wait(woken).unwrap_or_else(PoisonError::into_inner);
    }
    false
}

/// Drawn from the schedule's own randomness.
pub(crate) fn below(n: usize) -> usize {
    shuttle::rand::thread_rng().gen_range(0..n)
}
