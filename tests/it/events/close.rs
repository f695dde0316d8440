//! The ways out: `close`, `withdraw`, and what waits.

use super::*;
use crate::support::{Gate, until_waiting};
use flight_group::Group;
use std::sync::Barrier;

type Sums = EventGroup<u32, u64, u64>;

/// A group that adds up, and whose runs of the key 1 stay in the air until the gate is opened.
fn stuck() -> (flight_group::EventGroupBuilder<u32, u64, u64, std::convert::Infallible>, Arc<Gate>) {
    let gate = Gate::new();
    let stays = gate.clone();
    let builder = Sums::builder(
        |sum, n| *sum += n,
        move |key, sum| {
            if *key == 1 {
                stays.pass();
            }
            Ok(sum)
        },
    );
    (builder, gate)
}

fn far() -> Instant {
    Instant::now() + crate::support::AGES
}

/// A thread that submits ones for the key 1 until it is in `merge`, which opens the gate; returns how many it submits.
fn merge_for_key_1(sums: &EventGroup<u32, u64>, merging: &Arc<Gate>) -> thread::JoinHandle<u64> {
    let (sums, mark) = (sums.clone(), merging.clone());
    let merger = thread::spawn(move || {
        let mut accepted = 0;
        while !mark.is_open() {
            sums.submit(&1, 1).unwrap();
            accepted += 1;
        }
        accepted
    });
    merging.pass();
    merger
}

/// P13: what can be pushed in time is pushed, whatever it waits for, and nothing comes back.
#[test]
fn close_pushes_what_it_can() {
    within(|| {
        let (builder, gate) = stuck();
        gate.open();
        let sums = builder.quiet(Duration::from_secs(60)).build();
        for key in 0..20 {
            sums.call(&key).delay(Duration::MAX).submit(1).unwrap();
            sums.submit(&key, 2).unwrap();
        }
        assert_eq!(sums.close(far()), []);
        assert_eq!((sums.stats().carried, sums.waiting_events(), sums.in_flight()), (40, 0, 0));
        assert_eq!(sums.submit(&7, 1), Err(Error::closed()));
        assert_eq!(sums.push(&7, 1), Err(Error::closed()));
        assert_eq!(sums.clone().push(&7, 1), Err(Error::closed()));
        assert_eq!(sums.close(far()), []);
        assert_eq!(sums.stats().carried, 40);
    });
}

/// P13: behind a push that is stuck everything comes back, merged; blocked callers are told; the drop does not hang.
#[test]
fn p13_close_gives_back_what_is_stuck() {
    within(|| {
        let (builder, gate) = stuck();
        let (failed, failures) = channel();
        let failed = Mutex::new(failed);
        let sums = builder.workers(1).on_failure(move |_, _| failed.lock().unwrap().send(()).unwrap()).build();
        sums.submit(&1, 1).unwrap();
        until(|| sums.in_flight() == 1); // the only worker is stuck
        for n in 0..20 {
            sums.submit(&1, n).unwrap();
            sums.submit(&2, 1).unwrap();
        }
        let (blocked, closing) = (sums.clone(), sums.clone());
        let blocked = thread::spawn(move || blocked.push(&1, 1000));
        until(|| sums.followers(&1) == 1);
        sums.submit(&1, 5).unwrap(); // behind the blocked one
        assert_eq!((sums.waiting_keys(), sums.waiting_events()), (2, 42));
        assert_eq!(sums.flights().iter().map(|flight| flight.key).collect::<Vec<_>>(), [1]);
        let mut back = sums.close(Instant::now() + crate::support::SOON);
        back.sort();
        assert_eq!(back, [(1, 195), (2, 20)]);
        assert_eq!(blocked.join().unwrap(), Err(Error::closed()));
        assert_eq!((sums.waiting_keys(), sums.waiting_events(), sums.followers(&1)), (0, 0, 0));
        drop((sums, closing)); // the last handle: the run is in the air still
        assert!(!gate.is_open());
        gate.open();
        assert!(failures.recv().is_err(), "nothing failed, and nobody keeps the closures");
    });
}

/// `close` inside a run of the group waits for all but that run.
#[test]
fn close_in_a_run_of_its_own_does_not_wait_for_itself() {
    within(|| {
        let slot: Arc<OnceLock<EventGroup<u32, u32>>> = Arc::default();
        let (inside, (closed, is_closed)) = (slot.clone(), channel());
        let closed = Mutex::new(closed);
        let events: EventGroup<u32, u32> = EventGroup::builder(
            |sum, n| *sum += n,
            move |key, _| {
                if *key == 1 {
                    let events = inside.get().expect("set");
                    events.submit(&1, 10).unwrap();
                    let _ = closed.lock().unwrap().send(events.close(far()));
                }
                Ok(())
            },
        )
        .build();
        slot.set(events.clone()).unwrap();
        events.submit(&1, 1).unwrap();
        assert_eq!(soon(&is_closed), [(1, 10)]);
    });
}

/// Without time, what is not due comes back without a run; what is in the air goes on.
#[test]
fn close_at_once_begins_no_run() {
    within(|| {
        let (builder, gate) = stuck();
        let sums = builder.build();
        sums.submit(&1, 1).unwrap();
        until(|| sums.in_flight() == 1);
        for key in 2..100 {
            sums.call(&key).delay(Duration::MAX).submit(1).unwrap();
        }
        let mut back = sums.close(Instant::now());
        back.sort();
        assert_eq!(back, (2..100).map(|key| (key, 1)).collect::<Vec<_>>());
        gate.open();
        assert_eq!(sums.close(far()), []);
        assert_eq!((sums.in_flight(), sums.stats().runs), (0, 1));
    });
}

/// P13: what another thread merges when the time is up is waited for, and comes back with the rest.
#[test]
fn p13_close_waits_for_the_merger() {
    within(|| {
        let (gate, merging, merge) = (Gate::new(), Gate::new(), Gate::new());
        let (stays, enters, lasts) = (gate.clone(), merging.clone(), merge.clone());
        let sums: EventGroup<u32, u64> = EventGroup::builder(
            move |sum, n| {
                enters.open();
                lasts.pass();
                *sum += n;
            },
            move |_, _| {
                stays.pass();
                Ok(())
            },
        )
        .on_failure(|_, error| panic!("nothing fails: {error}"))
        .build();
        sums.submit(&1, 1).unwrap();
        until(|| sums.in_flight() == 1);
        let merger = merge_for_key_1(&sums, &merging);
        sums.submit(&1, 100).unwrap(); // behind what is being merged
        let closing = sums.clone();
        let closing = thread::spawn(move || closing.close(Instant::now()));
        let mut more = 0;
        while sums.submit(&1, 1).is_ok() {
            more += 1;
            thread::yield_now(); // it has not begun to close
        }
        merge.open();
        assert_eq!(closing.join().unwrap(), [(1, 100 + more + merger.join().unwrap())]);
        gate.open();
    });
}

/// The same if the merger waits for the thread that closes. Whoever of the two waits later is refused: the one that closes,
/// and what the merger has is reported; or the merger, which then goes on and is waited for.
#[test]
fn close_reports_what_a_merger_has_that_waits_for_it() {
    within(|| {
        let (stays, merging) = (Gate::new(), Gate::new());
        let (enters, passes) = (merging.clone(), stays.clone());
        let outer: Group<u32, u64> = Group::new();
        let (inner, (failed, failures)) = (outer.clone(), channel());
        let failed = Mutex::new(failed);
        let sums: EventGroup<u32, u64> = EventGroup::builder(
            move |sum, n| {
                enters.open();
                let _ = inner.call(&1).follow();
                *sum += n;
            },
            move |_, _| {
                passes.pass();
                Ok(())
            },
        )
        .on_failure(move |key, error| failed.lock().unwrap().send((*key, error.clone())).unwrap())
        .build();
        sums.submit(&1, 1).unwrap();
        until(|| sums.in_flight() == 1);
        let mut merger = None;
        let back = outer.work(&1, || {
            merger = Some(merge_for_key_1(&sums, &merging));
            until_waiting(&outer, &1, 1);
            sums.submit(&1, 100).unwrap(); // behind what is being merged
            sums.close(Instant::now()).into_iter().map(|(_, sum)| sum).sum()
        });
        let merged = merger.unwrap().join().unwrap();
        if back == 100 {
            assert_eq!(soon(&failures), (1, Error::closed()));
        } else {
            assert_eq!(back, 100 + merged);
        }
        stays.open();
        drop(sums);
        assert!(failures.recv().is_err(), "told once");
    });
}

/// P13: a program that ends after `flush` or `close` has been told of what failed, whoever ran it.
#[test]
fn p13_flush_and_close_return_after_on_failure() {
    for (closes, in_the_air) in [(false, false), (false, true), (true, false), (true, true)] {
        within(move || {
            let (gate, told) = (Gate::new(), Arc::new(AtomicBool::new(false)));
            let (stays, telling) = (gate.clone(), told.clone());
            let (returned, early) = channel();
            let early = Mutex::new(early);
            let events: EventGroup<u32, u32, (), &str> = EventGroup::builder(
                |_, _| {},
                move |_, _| {
                    stays.pass();
                    Err("no")
                },
            )
            .on_failure(move |_, _| {
                let early = early.lock().unwrap().recv_timeout(10 * crate::support::SOON);
                assert!(early.is_err(), "it returned before the failure was told");
                telling.store(true, SeqCst);
            })
            .build();
            if in_the_air {
                events.submit(&1, 1).unwrap();
                until(|| events.in_flight() == 1);
            } else {
                events.call(&1).delay(Duration::MAX).submit(1).unwrap();
            }
            gate.open();
            if closes {
                assert_eq!(events.close(far()), []);
            } else {
                events.flush().unwrap();
            }
            assert!(told.load(SeqCst));
            let _ = returned.send(());
        });
    }
}

/// What `on_failure` itself flushes, it does not wait for itself; and of two that flush at a time one is refused.
#[test]
fn p7_flush_in_on_failure_ends() {
    within(|| {
        let (flushed, flushes) = channel();
        let (flushed, slot) = (Mutex::new(flushed), Arc::new(OnceLock::<EventGroup<u32, u32, (), &str>>::new()));
        let (group, both) = (slot.clone(), Arc::new(Barrier::new(2)));
        let events = EventGroup::builder(|_, _| {}, |_, _| Err("no"))
            .workers(2)
            .on_failure(move |_, _| {
                both.wait();
                let flushed_now = group.get().unwrap().flush();
                flushed.lock().unwrap().send(flushed_now.is_ok_and(|()| true)).unwrap();
            })
            .build();
        slot.set(events.clone()).unwrap_or_else(|_| unreachable!());
        events.submit(&1, 1).unwrap();
        events.submit(&2, 1).unwrap();
        let ends = [soon(&flushes), soon(&flushes)];
        assert!(ends.contains(&false), "one of them was refused: {ends:?}");
        events.flush().unwrap();
    });
}

/// `withdraw` takes what was submitted, waits for who merges it, and leaves what a blocked caller brought.
#[test]
fn withdraw_takes_back_what_was_submitted() {
    within(|| {
        let (builder, gate) = stuck();
        let sums = builder.capacity(1).build();
        assert_eq!(sums.withdraw(&1), None);
        thread::scope(|s| {
            let first = s.spawn(|| sums.push(&1, 1).unwrap().value);
            until(|| sums.in_flight() == 1);
            (0..20).for_each(|_| sums.submit(&1, 1).unwrap());
            assert_eq!(sums.withdraw(&1), Some(20));
            assert_eq!((sums.withdraw(&1), sums.waiting(&1)), (None, 0));
            sums.submit(&2, 1).unwrap(); // there is room again
            let push = s.spawn(|| sums.push(&1, 100).unwrap().value);
            until(|| sums.followers(&1) == 1);
            assert_eq!((sums.withdraw(&1), sums.waiting(&1)), (None, 1));
            gate.open();
            assert_eq!((first.join().unwrap(), push.join().unwrap()), (1, 100));
        });
    });
}

/// A `flush` that waits for events which are withdrawn returns, and so does a `withdraw` that waits for a merge.
#[test]
fn withdraw_waits_for_the_merger() {
    within(|| {
        let (merging, merge) = (Gate::new(), Gate::new());
        let (enters, lasts) = (merging.clone(), merge.clone());
        let sums: EventGroup<u32, u64> = EventGroup::new(
            move |sum, n| {
                enters.open();
                lasts.pass();
                *sum += n;
            },
            |_, _| Ok(()),
        );
        thread::scope(|s| {
            let merger = s.spawn(|| {
                let mut sent = 0;
                while !merging.is_open() {
                    sums.call(&1).delay(Duration::MAX).submit(1).unwrap();
                    sent += 1;
                }
                sent
            });
            merging.pass();
            let withdrawal = s.spawn(|| sums.withdraw(&1));
            merge.open();
            assert_eq!(
                withdrawal.join().unwrap().unwrap_or(0) + sums.withdraw(&1).unwrap_or(0),
                merger.join().unwrap()
            );
            sums.call(&1).delay(Duration::MAX).submit(1).unwrap();
        });
        assert_eq!(sums.withdraw(&1), Some(1));
        sums.flush().unwrap();
        assert_eq!(sums.stats().runs, 0);
    });
}

/// What a merge makes is weighed, and not its parts: a set that stays small never reaches the capacity.
#[test]
fn what_waits_is_weighed_after_merging() {
    within(|| {
        let sets: EventGroup<u32, HashSet<u32>> =
            EventGroup::builder(|all: &mut HashSet<u32>, more: HashSet<u32>| all.extend(more), |_, _| Ok(()))
                .capacity(20)
                .weigh(HashSet::len)
                .build();
        let later = sets.call(&1).delay(Duration::MAX);
        for n in 0..1000 {
            later.submit(HashSet::from([n % 5])).unwrap();
        }
        assert_eq!(later.submit((100..120).collect()), Err(Error::overloaded()));
        later.submit((100..108).collect()).unwrap();
        assert_eq!(sets.withdraw(&1).unwrap().len(), 13);
        later.submit((0..20).collect()).unwrap(); // all the room is free again
        assert_eq!(later.submit(HashSet::from([1])), Err(Error::overloaded()));
        sets.withdraw(&1).unwrap();
        later.submit(HashSet::from([1])).unwrap();
    });
}

/// `flights` says whether a thread runs the closure: a job that its executor has not started is in the air, too.
#[test]
fn a_flight_whose_job_has_not_started_does_not_run() {
    within(|| {
        let (give, jobs) = channel();
        let give = Mutex::new(give);
        let group: flight_group::Group<u32, bool> =
            flight_group::Group::builder().executor(move |job| give.lock().unwrap().send(job).unwrap()).build();
        let inside = group.clone();
        let runs = group.spawn(&1, move || Ok(inside.flights()[0].running));
        assert!(!group.flights()[0].running);
        soon(&jobs).run();
        assert!(runs.recv().unwrap().unwrap().value);
    });
}
