//! Where the followers of a flight sleep, and how a landing wakes them.
//!
//! A condvar that wakes one thread costs a system call a thread; one that wakes all at once keeps its caller for
//! as long as that takes. So followers are spread over a few gates, [`PLACES`] to a gate before the next one is
//! used. Whoever comes through an open gate opens the next one, which is one call for all who sleep there, before
//! it does anything else.
//!
//! Where there are several gates, the leader opens none. It wakes one follower and goes on its way, and that one
//! wakes one more, who opens the first gate. A thread that is woken may be put on its waker's core and run at once:
//! if the first one opened a gate, a leader that was pushed off its core by it came back after the whole crowd that
//! queued up there (measured with 256 followers: after 700 us in one flight of two, instead of 20).
//!
//! Invariant: *after the outcome is published, as long as anybody sleeps at a gate, somebody who is awake has yet to
//! pass its share on*, and only so many shares go to one follower alone. It holds because
//!
//! * a thread falls asleep only after it looked for the outcome under its gate's lock, which whoever opens the
//!   gate takes after the publication: it sees the outcome, or is seen asleep;
//! * a gate at which nobody sleeps is passed over by the one who claimed it, who goes on to the next;
//! * who is woken alone may have been woken already, so that nobody else is: then it has its own share yet to pass on;
//! * everybody who leaves after the publication passes its share on first, whether it was woken, had never slept, or was
//!   about to time out.
//!
//! Gates are std's mutex and condvar, and not parking_lot's: that wakes one thread and moves the others to the
//! mutex, to be handed over one by one, each by a system call of its own. Measured with 64
//! followers, that is five times later for the last one.

use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sync::{Instant, Monitor};

/// How many gates a flight has: with more followers than `GATES * PLACES` they fill up again from the first, and
/// the leader still wakes no more than its share.
const GATES: usize = if UNDER_A_CHECKER { 3 } else { 8 };
/// How many followers come to a gate before the next one is used.
const PLACES: usize = if UNDER_A_CHECKER { 1 } else { 16 };
/// How many are woken one by one before gates are opened: the leader's share, and that of the first follower.
const SINGLES: usize = 2;

/// With one place a gate, a gate that is forgotten is a hang that a checker finds with three threads.
const UNDER_A_CHECKER: bool = cfg!(any(flight_group_shuttle, flight_group_loom));

/// Which gate a follower waits at; given to it when it boards, under the shard's lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate(usize);

pub(super) struct Gates {
    /// How many sleep at each.
    gates: [Monitor<usize>; GATES],
    /// How many followers were given a gate. Nobody is once the flight has left its key.
    followers: AtomicUsize,
    /// How many gates were opened, or claimed by somebody who is about to.
    opened: AtomicUsize,
    /// How many shares were spent on waking one follower.
    singles: AtomicUsize,
}

impl Gates {
    pub(super) fn new() -> Self {
        Self {
            gates: std::array::from_fn(|_| Monitor::new(0)),
            followers: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            singles: AtomicUsize::new(0),
        }
    }

    /// A gate for one more follower. Relaxed: the shard's lock orders it before the landing.
    pub(super) fn assign(&self) -> Gate {
        Gate(self.followers.fetch_add(1, Relaxed) / PLACES % GATES)
    }

    /// Sleeps at `gate` until `landed` (`true`) or until `until` has passed (`false`: the caller looks once more
    /// as it leaves, since an outcome that is there wins over a timeout).
    pub(super) fn sleep(&self, gate: Gate, until: Option<Instant>, landed: impl Fn() -> bool) -> bool {
        let gate = &self.gates[gate.0];
        let mut sleepers = gate.lock();
        loop {
            if landed() {
                return true;
            }
            *sleepers += 1;
            let timed_out;
            (sleepers, timed_out) = gate.wait(sleepers, until);
            *sleepers -= 1;
            if timed_out {
                return false;
            }
        }
    }

    /// One share of wake-ups, the leader's or a follower's: opens the next gate that somebody sleeps at, or wakes one
    /// follower to do that. The outcome has been published.
    pub(super) fn pass_on(&self) {
        let used = self.used();
        if used > 1 && self.wake_one(used) {
            return;
        }
        while self.opened.load(Relaxed) < used {
            let next = self.opened.fetch_add(1, Relaxed); // whoever draws a number has that gate to itself
            if next >= used || self.open(next) {
                return;
            }
        }
    }

    /// Wakes one at the next gate, if there was not enough of that yet. It may be one that somebody else has woken
    /// meanwhile: then that one has yet to pass its share on.
    fn wake_one(&self, used: usize) -> bool {
        if self.singles.load(Relaxed) >= SINGLES || self.singles.fetch_add(1, Relaxed) >= SINGLES {
            return false;
        }
        loop {
            let next = self.opened.load(Relaxed);
            if next >= used {
                return false;
            }
            if self.is_slept_at(next) {
                self.gates[next].notify_one();
                return true;
            }
            // Nobody left there: on to the next, unless somebody else is quicker.
            let _ = self.opened.compare_exchange(next, next + 1, Relaxed, Relaxed);
        }
    }

    fn open(&self, gate: usize) -> bool {
        let somebody = self.is_slept_at(gate);
        if somebody {
            self.gates[gate].notify_all();
        }
        somebody
    }

    fn is_slept_at(&self, gate: usize) -> bool {
        *self.gates[gate].lock() > 0
    }

    fn used(&self) -> usize {
        self.followers.load(Relaxed).div_ceil(PLACES).min(GATES)
    }
}

#[cfg(all(test, flight_group_loom))]
mod tests {
    //! `cargo test --release --lib engine::gates` with `--cfg flight_group_loom`.

    use super::Gates;
    use crate::sync::Arc;
    use crate::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
    use loom::thread::spawn;

    /// In every schedule, and whatever the memory model lets them see: two followers at two gates, and the leader.
    #[test]
    fn p6_nobody_is_left_asleep_at_a_gate() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let shared = Arc::new((Gates::new(), AtomicBool::new(false)));
            let followers = [(); 2].map(|()| {
                let (gate, shared) = (shared.0.assign(), shared.clone());
                spawn(move || {
                    let (gates, landed) = &*shared;
                    assert!(gates.sleep(gate, None, || landed.load(Acquire)));
                    gates.pass_on();
                })
            });
            shared.1.store(true, Release);
            shared.0.pass_on();
            followers.into_iter().for_each(|follower| follower.join().unwrap());
        });
    }
}

#[cfg(test)] // by itself, or else cargo-mutants takes what is in here for the crate's
#[cfg(not(any(flight_group_shuttle, flight_group_loom)))]
mod shares {
    //! Who wakes whom, with as many places as users get. A landing that spreads its wake-ups badly is only late, and no
    //! test from outside sees it.

    use super::*;
    use crate::sync::{Arc, Duration};
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::sync::mpsc::{Receiver, channel};
    use std::thread::{spawn, yield_now};

    /// Longer than any of this takes.
    const PATIENCE: Duration = Duration::from_secs(25);

    /// Followers asleep, who say at which gate they slept when they are woken, and leave it to the test to pass their
    /// shares on.
    struct Crowd {
        gates: Arc<Gates>,
        woken: Receiver<usize>,
    }

    impl Crowd {
        /// All gates but the last are full, and at each so many sleep; the others there came and left again.
        fn asleep<const N: usize>(at_each: [usize; N]) -> Self {
            let (gates, landed) = (Arc::new(Gates::new()), Arc::new(AtomicBool::new(false)));
            let (tell, woken) = channel();
            for (at, sleepers) in at_each.into_iter().enumerate() {
                for place in 0..if at + 1 < N { PLACES } else { sleepers } {
                    let gate = gates.assign();
                    if place >= sleepers {
                        assert!(!gates.sleep(gate, Some(Instant::now()), || false), "its time is over");
                        continue;
                    }
                    let (gates, landed, tell) = (gates.clone(), landed.clone(), tell.clone());
                    spawn(move || {
                        assert!(gates.sleep(gate, None, || landed.load(SeqCst)));
                        let _ = tell.send(gate.0);
                    });
                }
                let began = Instant::now();
                while *gates.gates[at].lock() != sleepers {
                    assert!(began.elapsed() < PATIENCE, "they never fell asleep");
                    yield_now();
                }
            }
            landed.store(true, SeqCst);
            Self { gates, woken }
        }

        /// One share is passed on, and so many come out, all from one gate.
        #[track_caller]
        fn passes_on_to(&self, sleepers: usize, at: usize) {
            let (done, passed_on) = channel();
            let gates = self.gates.clone();
            spawn(move || {
                gates.pass_on();
                let _ = done.send(());
            });
            passed_on.recv_timeout(PATIENCE).expect("passes its share on and returns");
            for _ in 0..sleepers {
                assert_eq!(self.woken.recv_timeout(PATIENCE), Ok(at), "somebody at that gate is woken");
            }
        }

        fn opened(&self) -> usize {
            self.gates.opened.load(SeqCst)
        }
    }

    #[test]
    fn followers_fill_one_gate_after_the_other_and_begin_again() {
        let gates = Gates::new();
        assert_eq!(gates.used(), 0);
        for gate in (0..GATES).chain(0..GATES) {
            for _ in 0..PLACES {
                assert_eq!(gates.assign().0, gate);
                assert!(gates.used() > gate);
            }
        }
        assert_eq!(gates.used(), GATES);
    }

    #[test]
    fn p6_a_single_gate_is_opened_by_the_leader() {
        let crowd = Crowd::asleep([3]);
        crowd.passes_on_to(3, 0);
        assert_eq!(crowd.opened(), 1);
    }

    /// The leader opens no gate where there are several, and neither does the first it wakes.
    #[test]
    fn p6_two_are_woken_one_by_one_and_then_gate_after_gate() {
        let crowd = Crowd::asleep([PLACES, 3]);
        for _ in 0..SINGLES {
            crowd.passes_on_to(1, 0);
            assert_eq!(crowd.opened(), 0);
        }
        crowd.passes_on_to(PLACES - SINGLES, 0);
        assert_eq!(crowd.opened(), 1);
        crowd.passes_on_to(3, 1);
    }

    #[test]
    fn p6_a_gate_that_everybody_left_is_passed_over() {
        let crowd = Crowd::asleep([0, 0, 1]);
        crowd.passes_on_to(1, 2);
        let crowd = Crowd::asleep([SINGLES, 0, 1]);
        (0..SINGLES).for_each(|_| crowd.passes_on_to(1, 0));
        crowd.passes_on_to(1, 2);
    }
}
