//! Callers that give up: what becomes of them, of their keys, and of those who stay.

use super::{Act, Gated};
use crate::support::{guarded, until};
use flight_group::Error;
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(2);

#[test]
fn a_follower_of_a_running_batch_gives_up_alone() {
    guarded(|| {
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
            assert_eq!(leaves.join().unwrap(), Err(Error::TimedOut));
            gated.tell(Act::Answer);
        }
        assert_eq!((first.join().unwrap(), stays.join().unwrap()), (Ok(10), Ok(20)));
        gated.assert_idle();
    });
}

#[test]
fn the_key_of_a_caller_that_gave_up_is_withdrawn() {
    guarded(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        gated.started();
        let others = [2, 3].map(|key| gated.queue(key));
        assert_eq!(gated.batcher.call(&4).timeout(SOON).load(), Err(Error::TimedOut));
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
    guarded(|| {
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
        assert_eq!(two.join().unwrap(), Err(Error::TimedOut)); // 4 moves to the front
        let four_again = gated.queue(4);
        assert_eq!(gated.batcher.queued(), 2, "4 is shared");
        assert_eq!(gated.batcher.call(&5).timeout(SOON).load(), Err(Error::TimedOut));
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
    guarded(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        gated.started();
        let stays = gated.queue(2);
        assert_eq!(gated.batcher.call(&2).timeout(SOON).load(), Err(Error::TimedOut));
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
    guarded(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        gated.started();
        thread::scope(|scope| {
            for key in [2, 3, 2] {
                let batcher = &gated.batcher;
                scope.spawn(move || assert_eq!(batcher.call(&key).timeout(SOON).load(), Err(Error::TimedOut)));
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
    guarded(|| {
        let gated = Gated::with(|builder| builder.max_batch(1));
        let first = gated.spawn(1);
        gated.started();
        let two = gated.queue(2);
        let batcher = gated.batcher.clone();
        let three = thread::spawn(move || batcher.call(&3).timeout(Duration::from_millis(400)).load());
        until(|| gated.batcher.waiting() == 2);
        let four = gated.queue(4);
        assert_eq!(three.join().unwrap(), Err(Error::TimedOut));
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
    guarded(|| {
        let gated = Gated::new();
        gated.tell(Act::Answer);
        assert_eq!(gated.batcher.call(&1).timeout(Duration::ZERO).load(), Ok(10), "an idle batcher asks for no wait");
        gated.started();
        let first = gated.spawn(1);
        gated.started();
        assert_eq!(gated.batcher.call(&2).timeout(Duration::ZERO).load(), Err(Error::TimedOut));
        assert_eq!(gated.batcher.call(&2).deadline(Instant::now()).load(), Err(Error::TimedOut));
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
    guarded(|| {
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
                                    assert_eq!((error, patient), (Error::TimedOut, false));
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
