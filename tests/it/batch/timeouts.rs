//! Callers that give up: what becomes of them, of their keys, and of those who stay.

use super::{Act, Gated};
use crate::support::{until, within};
use flight_group::Error;
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(2);

#[test]
fn a_follower_of_a_running_batch_gives_up_alone() {
    within(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        gated.started();
        let stays = gated.queue(2);
        let batcher = gated.batcher.clone();
        // Queues first, so that it is aboard when the batch starts; it may be the one that is woken to lead.
        let leaves = thread::spawn(move || batcher.call(&2).timeout(Duration::from_millis(400)).load());
        until(|| gated.batcher.waiting() == 2);
        gated.tell(Act::Answer);
        let (keys, leader) = gated.started();
        assert_eq!(keys, [2]);
        if leaves.thread().id() == leader {
            // Whoever leads is never interrupted.
            gated.tell(Act::Answer);
            assert_eq!(leaves.join().unwrap(), Ok(20));
        } else {
            assert_eq!(leaves.join().unwrap(), Err(Error::timed_out()));
            gated.tell(Act::Answer);
        }
        assert_eq!((first.join().unwrap(), stays.join().unwrap()), (Ok(10), Ok(20)));
        gated.assert_idle();
    });
}

#[test]
fn the_key_of_a_caller_that_gave_up_is_withdrawn() {
    within(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        gated.started();
        let others = [2, 3].map(|key| gated.queue(key));
        assert_eq!(gated.batcher.call(&4).timeout(SOON).load(), Err(Error::timed_out()));
        let last = gated.queue(5);
        assert_eq!((gated.batcher.waiting(), gated.batcher.queued()), (3, 3));
        gated.tell(Act::Answer);
        assert_eq!(gated.started().0, [2, 3, 5]);
        gated.tell(Act::Answer);
        assert_eq!(first.join().unwrap(), Ok(10));
        assert_eq!(others.map(|thread| thread.join().unwrap()), [Ok(20), Ok(30)]);
        assert_eq!(last.join().unwrap(), Ok(50));
        let stats = gated.batcher.stats();
        assert_eq!((stats.timed_out, stats.withdrawn), (1, 1));
        gated.assert_idle();
    });
}

/// The last key moves into the gap that a withdrawn one leaves: it has to be found there.
#[test]
fn a_key_that_moved_is_still_shared_and_withdrawn() {
    within(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        gated.started();
        let two = {
            let batcher = gated.batcher.clone();
            thread::spawn(move || batcher.call(&2).timeout(Duration::from_millis(400)).load())
        };
        until(|| gated.batcher.waiting() == 1);
        let three = gated.queue(3);
        let four = gated.queue(4);
        assert_eq!(two.join().unwrap(), Err(Error::timed_out())); // 4 moves to the front
        let four_again = gated.queue(4);
        assert_eq!(gated.batcher.queued(), 2, "4 is shared");
        assert_eq!(gated.batcher.call(&5).timeout(SOON).load(), Err(Error::timed_out()));
        gated.tell(Act::Answer);
        let (mut keys, _) = gated.started();
        keys.sort_unstable();
        assert_eq!(keys, [3, 4]);
        gated.tell(Act::Answer);
        assert_eq!(first.join().unwrap(), Ok(10));
        assert_eq!([three, four, four_again].map(|thread| thread.join().unwrap()), [Ok(30), Ok(40), Ok(40)]);
        gated.assert_idle();
    });
}

#[test]
fn a_key_that_somebody_else_wants_stays() {
    within(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        gated.started();
        let stays = gated.queue(2);
        assert_eq!(gated.batcher.call(&2).timeout(SOON).load(), Err(Error::timed_out()));
        gated.tell(Act::Answer);
        assert_eq!(gated.started().0, [2]);
        gated.tell(Act::Answer);
        assert_eq!((first.join().unwrap(), stays.join().unwrap()), (Ok(10), Ok(20)));
        assert_eq!(gated.batcher.stats().withdrawn, 0);
        gated.assert_idle();
    });
}

#[test]
fn a_batch_that_everybody_left_never_runs() {
    within(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        gated.started();
        thread::scope(|scope| {
            for key in [2, 3, 2] {
                let batcher = &gated.batcher;
                scope.spawn(move || assert_eq!(batcher.call(&key).timeout(SOON).load(), Err(Error::timed_out())));
            }
        });
        assert_eq!((gated.batcher.waiting(), gated.batcher.queued()), (0, 0));
        gated.tell(Act::Answer);
        assert_eq!(first.join().unwrap(), Ok(10));
        gated.assert_idle();
        assert_eq!(gated.batcher.stats().batches, 2);
    });
}

/// With `max_batch` a batch in the middle of the queue may be left by everybody.
#[test]
fn a_batch_in_the_middle_of_the_queue_may_vanish() {
    within(|| {
        let gated = Gated::with(|builder| builder.max_batch(1));
        let first = gated.spawn(1);
        gated.started();
        let two = gated.queue(2);
        let batcher = gated.batcher.clone();
        let three = thread::spawn(move || batcher.call(&3).timeout(Duration::from_millis(400)).load());
        until(|| gated.batcher.waiting() == 2);
        let four = gated.queue(4);
        assert_eq!(three.join().unwrap(), Err(Error::timed_out()));
        let four_again = gated.queue(4);
        for expected in [2, 4] {
            gated.tell(Act::Answer);
            assert_eq!(gated.started().0, [expected]);
        }
        gated.tell(Act::Answer);
        assert_eq!(first.join().unwrap(), Ok(10));
        assert_eq!([two, four, four_again].map(|thread| thread.join().unwrap()), [Ok(20), Ok(40), Ok(40)]);
        gated.assert_idle();
    });
}

#[test]
fn zero_does_not_wait_and_for_ever_does_not_overflow() {
    within(|| {
        let gated = Gated::new();
        gated.tell(Act::Answer);
        assert_eq!(gated.batcher.call(&1).timeout(Duration::ZERO).load(), Ok(10), "an idle batcher asks for no wait");
        gated.started();
        let first = gated.spawn(1);
        gated.started();
        assert_eq!(gated.batcher.call(&2).timeout(Duration::ZERO).load(), Err(Error::timed_out()));
        assert_eq!(gated.batcher.call(&2).deadline(Instant::now()).load(), Err(Error::timed_out()));
        let batcher = gated.batcher.clone();
        let forever = thread::spawn(move || batcher.call(&2).timeout(Duration::MAX).load());
        until(|| gated.batcher.waiting() == 1);
        gated.tell(Act::Answer);
        gated.tell(Act::Answer);
        assert_eq!((first.join().unwrap(), forever.join().unwrap()), (Ok(10), Ok(20)));
        gated.started();
        gated.assert_idle();
    });
}

/// Those who give up while batches come and go take nobody with them.
#[test]
fn under_load_only_those_with_a_deadline_time_out() {
    within(|| {
        let batcher: flight_group::Batcher<u32, u32> =
            flight_group::Batcher::builder().max_batch(3).build(|keys: &[u32]| {
                let until = Instant::now() + Duration::from_micros(50);
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
                Ok(keys.iter().map(|&key| (key, key)).collect())
            });
        let timed_out: u64 = thread::scope(|scope| {
            let threads: Vec<_> = (0..12_u32)
                .map(|thread| {
                    let batcher = &batcher;
                    scope.spawn(move || {
                        let mut timed_out = 0;
                        for n in 0..300 {
                            let key = (thread + n) % 9;
                            let timeout = Duration::from_micros(u64::from(n % 5) * 60);
                            let patient = thread % 2 == 0;
                            let call = batcher.call(&key);
                            match if patient { call } else { call.timeout(timeout) }.load() {
                                Ok(value) => assert_eq!(value, key),
                                Err(error) => {
                                    assert_eq!((error, patient), (Error::timed_out(), false));
                                    timed_out += 1;
                                }
                            }
                        }
                        timed_out
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(batcher.stats().timed_out, timed_out);
        assert_eq!((batcher.waiting(), batcher.queued()), (0, 0));
    });
}

/// Compares as its number, and, when it is the `slow` one, holds the batcher's lock until it may go on (its
/// channel is closed): `Eq` is the
/// one piece of user code that runs under it.
#[derive(Clone)]
struct Slow {
    number: u32,
    gate: Option<(crossbeam_channel::Sender<()>, crossbeam_channel::Receiver<()>)>,
}

impl Slow {
    fn quick(number: u32) -> Self {
        Self { number, gate: None }
    }
}

impl std::hash::Hash for Slow {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl PartialEq for Slow {
    fn eq(&self, other: &Self) -> bool {
        for key in [self, other] {
            if let Some((inside, go_on)) = &key.gate {
                inside.send(()).unwrap();
                let _ = go_on.recv_timeout(super::HANG);
            }
        }
        self.number == other.number
    }
}

impl Eq for Slow {}

/// P6. The lock is held while a follower's deadline passes and its batch lands, so that it finds both.
#[test]
#[allow(clippy::mutable_key_type, reason = "the channels in a key take no part in its hash")]
fn an_outcome_that_is_there_wins_over_the_deadline() {
    fn attempt() -> bool {
        let (tell, started) = crossbeam_channel::unbounded();
        let (act, may_answer) = crossbeam_channel::unbounded::<()>();
        let (answers, answered) = crossbeam_channel::unbounded();
        let batcher: flight_group::Batcher<Slow, u32> = flight_group::Batcher::new(move |keys: &[Slow]| {
            tell.send(()).unwrap();
            may_answer.recv_timeout(super::HANG).unwrap();
            let values = keys.iter().map(|key| (Slow::quick(key.number), key.number)).collect();
            answers.send(()).unwrap();
            Ok(values)
        });
        thread::scope(|scope| {
            let batcher = &batcher;
            let load = |number| scope.spawn(move || batcher.load(&Slow::quick(number)));
            let wait = |channel: &crossbeam_channel::Receiver<()>| channel.recv_timeout(super::HANG).unwrap();

            let first = load(0);
            wait(&started);
            let leader = load(1);
            until(|| batcher.waiting() == 1);
            // Long enough for a busy machine to come as far as `queued` before.
            let deadline = Instant::now() + Duration::from_secs(1);
            let follower = scope.spawn(move || batcher.call(&Slow::quick(2)).deadline(deadline).load());
            until(|| batcher.waiting() == 2);
            act.send(()).unwrap();
            wait(&answered);
            wait(&started); // 1 and 2 are aboard, led by one of them
            let queued = load(3);
            until(|| batcher.waiting() == 2);

            let (inside, is_inside) = crossbeam_channel::unbounded();
            let (go_on, may_go_on) = crossbeam_channel::unbounded();
            let holder = Slow { number: 3, gate: Some((inside, may_go_on)) };
            let holder = scope.spawn(move || batcher.load(&holder));
            wait(&is_inside);
            until(|| Instant::now() > deadline + Duration::from_millis(5));
            act.send(()).unwrap();
            wait(&answered);
            drop(go_on);
            act.send(()).unwrap();
            assert_eq!((first.join().unwrap(), leader.join().unwrap()), (Ok(0), Ok(1)));
            assert_eq!((queued.join().unwrap(), holder.join().unwrap()), (Ok(3), Ok(3)));
            follower.join().unwrap() == Ok(2)
        })
    }
    // Between the function's return and the outcome being there lies a moment that no test can wait for.
    within(|| assert!((0..5).filter(|_| attempt()).count() >= 3));
}
