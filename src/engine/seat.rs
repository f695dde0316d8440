//! Where a caller waits that may be called to lead: each has a bell of its own, so that a promotion wakes exactly
//! one thread (P11), and stands in a queue, so that it is the newest one still there (P4).
//!
//! A seat belongs to one thread at a time and is used again for that thread's next wait: after a thread's first
//! queued call, queueing allocates nothing.
//!
//! The queue is a doubly linked list through the seats, because the two ends are all a promotion and a landing
//! need, and because a caller that times out must get out of the middle at once: a stuck write behind which
//! callers come and go must not collect what they left. Every link is changed under the lock of the flight whose
//! queue it is (`Crowd`); the small mutex around each seat's links is there because the compiler cannot know
//! that, and is never contended.

use crate::engine::deadlock::thread_number;
use crate::sync::{Arc, Instant, Monitor, Mutex, per_thread};
use std::cell::Cell;

pub(crate) struct Seat {
    /// The thread that waits here.
    pub(crate) owner: u64,
    state: Monitor<State>,
    links: Mutex<Links>,
}

/// How the wait of a caller in a seat ended.
pub(crate) enum Seated {
    Landed,
    Called,
    TimedOut,
}

#[derive(Default)]
struct State {
    /// Its flight has been promoted, and this caller is to lead it. Set once, under the lock of the queue the
    /// seat stands in.
    called: bool,
    /// Whether the bell would wake anybody: ringing it costs a system call in any case.
    asleep: bool,
}

#[derive(Default)]
struct Links {
    /// The arrival order among all who queued for one flight.
    ticket: u64,
    queued: bool,
    older: Option<Arc<Seat>>,
    newer: Option<Arc<Seat>>,
}

per_thread! {
    static SPARE: Cell<Option<Arc<Seat>>> = Cell::new(None);
}

impl Seat {
    /// The calling thread's seat, or a new one: on a thread's first queued call, and inside a destructor that
    /// runs while the thread ends.
    pub(crate) fn take() -> Arc<Self> {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        spare.unwrap_or_else(|| {
            Arc::new(Self {
                owner: thread_number(),
                state: Monitor::new(State::default()),
                links: Mutex::new(Links::default()),
            })
        })
    }

    /// Keeps the seat for the thread's next wait. It must be out of every queue. Somebody may still be about to
    /// ring it for the wait that is over: the next one then wakes once for nothing, as any condvar may.
    pub(crate) fn put_back(self: Arc<Self>) {
        self.answer();
        let _ = SPARE.try_with(|spare| spare.set(Some(self)));
    }

    /// Whether this caller is to lead.
    pub(crate) fn called(&self) -> bool {
        self.state.lock().called
    }

    /// Makes the owner, asleep or about to sleep, look at the world again. [`ring`](Self::ring) follows, outside
    /// locks.
    ///
    /// Only while the caller holds a lock that the owner must take before it puts the seat back: a call that came
    /// later would be taken for one to the seat's next wait.
    pub(crate) fn call(&self) {
        self.state.lock().called = true;
    }

    /// The owner is about to look: calls made until now are answered by that.
    pub(crate) fn answer(&self) {
        self.state.lock().called = false;
    }

    /// Sleeps until called, until `landed`, or until `until` has passed; what is true at the end counts, in this
    /// order (P6).
    #[cold]
    pub(crate) fn sleep(&self, until: Option<Instant>, landed: impl Fn() -> bool) -> Seated {
        let mut state = self.state.lock();
        let mut timed_out = false;
        loop {
            if state.called {
                return Seated::Called;
            }
            if landed() {
                return Seated::Landed;
            }
            if timed_out {
                return Seated::TimedOut;
            }
            state.asleep = true;
            (state, timed_out) = self.state.wait(state, until);
            state.asleep = false;
        }
    }

    /// Wakes the owner, if it sleeps. What it is woken for was made visible before.
    pub(crate) fn ring(&self) {
        // Between the owner's look at the world and its sleep there is this lock: without it the bell could
        // ring in between and be missed.
        let asleep = self.state.lock().asleep;
        if asleep {
            self.state.notify_one();
        }
    }
}

/// Seats in the order of their arrival.
#[derive(Default)]
pub(crate) struct Queue {
    newest: Option<Arc<Seat>>,
    len: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn newest_ticket(&self) -> Option<u64> {
        self.newest.as_ref().map(|seat| seat.links.lock().ticket)
    }

    pub(crate) fn push(&mut self, seat: &Arc<Seat>, ticket: u64) {
        if let Some(before) = &self.newest {
            before.links.lock().newer = Some(seat.clone());
        }
        *seat.links.lock() = Links { ticket, queued: true, older: self.newest.take(), newer: None };
        self.newest = Some(seat.clone());
        self.len += 1;
    }

    /// Takes `seat` out, wherever it stands; `false` if it had been taken out already.
    pub(crate) fn remove(&mut self, seat: &Seat) -> bool {
        let Links { queued, older, newer, .. } = std::mem::take(&mut *seat.links.lock());
        if !queued {
            return false;
        }
        if let Some(older) = &older {
            older.links.lock().newer.clone_from(&newer);
        }
        match newer {
            Some(newer) => newer.links.lock().older = older,
            None => self.newest = older,
        }
        self.len -= 1;
        true
    }

    pub(crate) fn pop_newest(&mut self) -> Option<Arc<Seat>> {
        let seat = self.newest.clone()?;
        self.remove(&seat);
        Some(seat)
    }

    /// Takes the newest out and marks it as the one that leads.
    pub(crate) fn call_newest(&mut self) -> Option<Arc<Seat>> {
        let seat = self.pop_newest()?;
        seat.call();
        Some(seat)
    }
}
