//! What happens *when*: with a clock that only the test moves, so that nothing here sleeps and nothing can be late.
//!
//! A test waits for the moments its workers and callers sleep until (`sleeping_until`) before it moves the time:
//! then nobody is awake, and what has not happened will not happen by itself.

mod pauses;

use super::{EventGroup, EventGroupBuilder};
use crate::engine::clock::manual::Manual;
use crate::engine::clock::{Clock, Time};
use crate::error::Error;
use crate::landing::Role;
use crate::threads::{HIRE, Hire};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

type Events = EventGroup<String, Vec<u32>, Vec<u32>, &'static str>;
type Runs = Receiver<(&'static str, Vec<u32>)>;

/// How long idle threads stay here: a test that waits for them to leave must not take long.
const BRIEF: Duration = Duration::from_millis(50);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Fails within seconds where it would hang.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain for: {what}");
        thread::yield_now();
    }
}

/// Runs a test's body on a thread of its own: a caller that hangs would keep its scope from ending.
fn within(body: fn()) {
    let (done, is_done) = unbounded();
    let thread = thread::spawn(move || {
        let _done: Sender<()> = done; // dropped with or without a panic
        body();
    });
    assert!(is_done.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Disconnected), "hangs");
    thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload));
}

struct Timed {
    clock: Arc<Manual>,
    began: Instant,
    runs: Runs,
}

impl Timed {
    fn sleeping_until(&self, moments: &[Duration]) {
        let at = |moments: &mut Vec<Instant>| moments.sort();
        let mut expected: Vec<_> = moments.iter().map(|moment| self.began + *moment).collect();
        at(&mut expected);
        eventually(&format!("sleepers until {moments:?}"), || {
            let mut sleepers = self.clock.sleepers();
            at(&mut sleepers);
            sleepers == expected
        });
    }

    /// Nothing is to be done, now or later, and nobody is about to look.
    fn at_rest(&self, events: &Events) {
        eventually("nothing to be left to do", || events.handle.shared.agenda.lock().is_at_rest());
        assert!(self.clock.sleepers().is_empty());
    }

    fn next(&self) -> (&'static str, Vec<u32>) {
        self.runs.recv_timeout(Duration::from_secs(20)).expect("a run")
    }

    fn none(&self) {
        assert!(self.runs.is_empty(), "an unexpected run: {:?}", self.runs.recv());
    }
}

fn logging(sender: Sender<(&'static str, Vec<u32>)>) -> EventGroupBuilder<String, Vec<u32>, Vec<u32>, &'static str> {
    EventGroup::builder(
        |all: &mut Vec<u32>, more| all.extend(more),
        move |key: &String, all: Vec<u32>| {
            sender.send((key.clone().leak(), all.clone())).unwrap();
            Ok(all)
        },
    )
}

fn timed(hire: Hire, settle: impl FnOnce(EventsBuilder) -> EventsBuilder) -> (Events, Timed) {
    let (sender, runs) = unbounded();
    let clock = Manual::new();
    let began = clock.now();
    let events = settle(logging(sender).workers(1).for_test(Clock::Other(clock.clone()), hire, BRIEF)).build();
    (events, Timed { clock, began, runs })
}
type EventsBuilder = EventGroupBuilder<String, Vec<u32>, Vec<u32>, &'static str>;

/// client-go delaying_queue_test.go, TestSimpleQueue: not before its time, once at its time, never again.
#[test]
fn client_go_a_delayed_event_is_pushed_once_and_in_its_time() {
    within(|| {
        let (events, timed) = timed(HIRE, |builder| builder);
        events.call("foo").delay(ms(50)).submit(vec![1]).unwrap();
        timed.sleeping_until(&[ms(50)]);
        timed.none();
        timed.clock.advance(ms(49));
        timed.sleeping_until(&[ms(50)]);
        timed.none();
        timed.clock.advance(ms(11));
        assert_eq!(timed.next(), ("foo", vec![1]));
        timed.at_rest(&events);
        eventually("the worker to leave", || format!("{events:?}").contains("workers: 0"));
        timed.none();
    });
}

/// client-go TestDeduping: of two delays the earlier counts, whichever came first; and there is one run, not two.
#[test]
fn client_go_two_delays_are_one_run_at_the_earlier() {
    within(|| {
        for (first, second) in [(50, 70), (70, 50)] {
            let (events, timed) = timed(HIRE, |builder| builder);
            events.call("foo").delay(ms(first)).submit(vec![1]).unwrap();
            events.call("foo").delay(ms(second)).submit(vec![2]).unwrap();
            timed.sleeping_until(&[ms(50)]);
            timed.none();
            timed.clock.advance(ms(60));
            assert_eq!(timed.next(), ("foo", vec![1, 2]));
            timed.at_rest(&events);
            timed.clock.advance(ms(20));
            timed.at_rest(&events); // past the other delay: nothing stirs
            timed.none();
        }
    });
}

/// client-go TestDeduping, the case its queue runs twice: an event with a delay and an event at once are one run.
#[test]
fn a_delayed_event_and_one_at_once_never_run_twice() {
    within(|| {
        let (events, timed) = timed(HIRE, |builder| builder);
        events.call("foo").delay(ms(50)).submit(vec![1]).unwrap();
        timed.sleeping_until(&[ms(50)]);
        events.submit("foo", vec![2]).unwrap();
        assert_eq!(timed.next(), ("foo", vec![1, 2]));
        timed.at_rest(&events);

        events.call("foo").delay(ms(50)).submit(vec![3]).unwrap();
        timed.sleeping_until(&[ms(50)]);
        assert_eq!(events.push("foo", vec![4]).unwrap().value, [3, 4]); // on this very thread
        assert_eq!(timed.next(), ("foo", vec![3, 4]));
        timed.clock.advance(ms(100));
        timed.at_rest(&events); // it woke at the old moment, and found nothing
        timed.none();
        assert_eq!(events.stats().runs, 2);
    });
}

/// P14: a flight that a caller took, or that was withdrawn, has no place left on the agenda, though its moment is an
/// hour away.
#[test]
fn p14_the_agenda_keeps_no_place_for_a_flight_that_is_gone() {
    within(|| {
        let (events, timed) = timed(HIRE, |builder| builder);
        let places = || events.handle.shared.agenda.lock().places();
        let hour = Duration::from_secs(3600);
        for key in (0..50).map(|n| n.to_string()) {
            events.call(&*key).delay(hour).submit(vec![1]).unwrap();
            assert_eq!(places(), 1);
            assert_eq!(events.push(&*key, vec![2]).unwrap().value, [1, 2]);
            assert_eq!(places(), 0, "of a flight that a push took");
            events.call(&*key).delay(hour).submit(vec![3]).unwrap();
            assert_eq!(events.withdraw(&*key), Some(vec![3]));
            assert_eq!(places(), 0, "of a flight that was withdrawn");
        }
        events.call("key").delay(hour).submit(vec![1]).unwrap();
        events.flush().unwrap();
        assert_eq!(places(), 0, "of a flight that a flush took");
        timed.clock.advance(hour);
        timed.at_rest(&events);
        assert!(format!("{events:?}").contains("keys: 0"));
    });
}

/// client-go TestAddTwoFireEarly: the later call may be due first, and others may be added meanwhile.
#[test]
fn client_go_delays_of_different_keys() {
    within(|| {
        let (events, timed) = timed(HIRE, |builder| builder);
        events.call("foo").delay(ms(1000)).submit(vec![1]).unwrap();
        events.call("bar").delay(ms(50)).submit(vec![2]).unwrap();
        timed.sleeping_until(&[ms(50)]);
        timed.clock.advance(ms(60));
        assert_eq!(timed.next(), ("bar", vec![2]));
        events.call("baz").delay(ms(2000)).submit(vec![3]).unwrap();
        timed.sleeping_until(&[ms(1000)]);
        timed.none();
        timed.clock.advance(ms(1000));
        assert_eq!(timed.next(), ("foo", vec![1]));
        timed.sleeping_until(&[ms(2060)]);
        timed.clock.advance(ms(2000));
        assert_eq!(timed.next(), ("baz", vec![3]));
    });
}

/// client-go TestCopyShifting: all due at once, they run in the order of their moments, not of their arrival.
#[test]
fn client_go_what_has_been_due_longest_runs_first() {
    within(|| {
        let (events, timed) = timed(HIRE, |builder| builder);
        events.call("first").delay(ms(1000)).submit(vec![1]).unwrap();
        events.call("second").delay(ms(500)).submit(vec![2]).unwrap();
        events.call("third").delay(ms(250)).submit(vec![3]).unwrap();
        timed.sleeping_until(&[ms(250)]);
        timed.clock.advance(ms(2000));
        let order: Vec<_> = (0..3).map(|_| timed.next().0).collect();
        assert_eq!(order, ["third", "second", "first"]);
    });
}

/// If the caller that was offered the lead times out, the next blocked caller gets it, and if there is none, the crew.
#[test]
fn a_caller_that_times_out_hands_over() {
    within(|| {
        let (events, timed) = timed(HIRE, |builder| builder);
        let hour = Duration::from_secs(3600);
        thread::scope(|s| {
            events.call("key").delay(hour).submit(vec![1]).unwrap();
            timed.sleeping_until(&[hour]);
            // The hasty one is offered the lead. Its own deadline is on the system's clock.
            let hasty = s.spawn(|| events.call("key").delay(hour).timeout(ms(1)).push(vec![2]));
            assert_eq!(hasty.join().unwrap(), Err(Error::timed_out()));
            timed.sleeping_until(&[hour]); // the worker again

            let patient = s.spawn(|| events.call("key").delay(ms(50)).push(vec![3]).unwrap());
            eventually("the caller with the lead", || timed.clock.sleepers().contains(&(timed.began + ms(50))));
            let hasty = s.spawn(|| events.call("key").delay(ms(20)).timeout(ms(1)).push(vec![4]));
            assert_eq!(hasty.join().unwrap(), Err(Error::timed_out()));
            // The caller with the lead may sleep until the moment the other one wanted: it looks, and sleeps again.
            eventually("the caller with the lead", || {
                timed.clock.sleepers().iter().any(|at| *at <= timed.began + ms(50))
            });
            timed.clock.advance(ms(20));
            eventually("the caller with the lead", || timed.clock.sleepers().contains(&(timed.began + ms(50))));
            timed.none();
            timed.clock.advance(ms(30));
            let landing = patient.join().unwrap();
            assert_eq!((landing.value, landing.role), (vec![1, 3], Role::Leader));
        });
    });
}

/// No thread to be had: what is submitted is refused, what is pushed needs none.
#[test]
fn without_threads_submit_says_so_and_push_works() {
    within(|| {
        let (events, timed) =
            timed(|_, _| Err(std::io::Error::from(std::io::ErrorKind::WouldBlock)), |b| b.min_interval(ms(1)));
        assert_eq!(events.submit("key", vec![1]), Err(Error::abandoned()));
        assert!(format!("{events:?}").contains("keys: 0"));
        assert_eq!(events.push("key", vec![2]).unwrap().value, [2]);
        assert_eq!(events.call("key").timeout(Duration::ZERO).push(vec![3]), Err(Error::timed_out()));
        timed.clock.advance(ms(1));
        assert_eq!(events.push("key", vec![4]).unwrap().value, [4]);
        assert_eq!(events.submit("key", vec![5]), Err(Error::abandoned()));
        assert_eq!(timed.runs.len(), 2);
    });
}

/// An event was accepted while there was a worker; when its turn comes there is none, and no thread to be had: the
/// thread that would have called one does the work.
#[test]
fn what_was_accepted_is_done_even_when_the_threads_run_out() {
    within(|| {
        static HIRED: AtomicUsize = AtomicUsize::new(0);
        let hire: Hire = |name, body| match HIRED.fetch_add(1, SeqCst) {
            0 => HIRE(name, body),
            _ => Err(std::io::Error::from(std::io::ErrorKind::WouldBlock)),
        };
        let (sender, runs) = unbounded();
        let (go, gate) = unbounded::<()>();
        let clock = Manual::new();
        let events: EventGroup<String, u32> = EventGroup::builder(
            |sum, n| *sum += n,
            move |_, sum| {
                sender.send((sum, thread::current().id())).unwrap();
                let _ = gate.recv();
                Ok(())
            },
        )
        .for_test(Clock::Other(clock.clone()), hire, BRIEF)
        .build();
        thread::scope(|s| {
            let pusher = s.spawn(|| {
                events.push("key", 1).unwrap();
                thread::current().id()
            });
            assert_eq!(runs.recv().unwrap().0, 1); // in the air
            events.submit("key", 2).unwrap();
            eventually("the worker to leave", || format!("{events:?}").contains("workers: 0"));
            drop(go);
            let pusher = pusher.join().unwrap();
            assert_eq!(runs.try_recv(), Ok((2, pusher)));
        });
        assert_eq!(HIRED.load(SeqCst), 2);
    });
}
