//! P7 through every mix of kinds: the inputs of which each hung for ever before all kinds waited in one engine, every pair
//! of doors, a ring of hundreds of threads; and no false alarm where all keep to one order.
//!
//! Through a hedge and a second handle of the same group: `hedge.rs`, `p7_attempts_that_wait_for_the_calls_own_flight`. A task
//! of an `ErrGroup` that is run in place inside another scope: `err_group.rs`,
//! `p7_a_spawn_that_all_places_wait_for_runs_the_task_itself`; without threads, `src/err_group/tasks.rs`,
//! `p7_a_task_of_another_group_on_the_stack_is_still_an_own_task`.

use crate::doors::{Door, Outcome};
use crate::support::{Gate, finish, until, until_waiting, within};
use flight_group::{Batcher, Error, EventGroup, Group, WriteGroup};
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::thread::spawn;

/// Counts who was told; any other failure is one.
fn told(outcome: &Outcome, hops: usize, count: &AtomicUsize) {
    match outcome {
        Ok(()) => {}
        Err(Error::Deadlock(circle)) => {
            assert_eq!(circle.hops().len(), hops, "{circle}");
            count.fetch_add(1, SeqCst);
        }
        Err(error) => panic!("{error}"),
    }
}

/// Every pair of kinds, each way round: each thread's run asks at the other's door, at the same moment.
///
/// Among them: two batchers whose functions load from each other, a write with a batcher, an event's push with a batcher.
#[test]
fn p7_a_circle_through_every_pair_of_kinds() {
    within(|| {
        for (one, other) in (0..Door::KINDS).flat_map(|one| (0..Door::KINDS).map(move |other| (one, other))) {
            for _ in 0..20 {
                let (doors, meeting) = ([Door::new(one), Door::new(other)], Arc::new(Barrier::new(2)));
                let count = Arc::new(AtomicUsize::new(0));
                let callers = [0, 1].map(|me| {
                    let (doors, meeting, count) = (doors.clone(), meeting.clone(), count.clone());
                    spawn(move || {
                        let [mine, other] = [doors[me].clone(), doors[1 - me].clone()];
                        let outcome = mine.lead(me as u32, move || {
                            meeting.wait();
                            // A batch runs already when the other's key comes: which key it is does not matter.
                            told(&other.ask(1 - me as u32), 2, &count);
                        });
                        outcome.unwrap();
                    })
                });
                callers.into_iter().for_each(finish);
                assert!((1..=2).contains(&count.load(SeqCst)), "{one} and {other}");
                assert!(doors.iter().all(Door::is_idle));
            }
        }
    });
}

/// As issue 11 has it: the batch of key 7 asks for key 1 of a group, whose leader loads key 8.
#[test]
fn p7_a_batch_that_reads_and_a_read_that_loads() {
    within(|| {
        let group: Group<u32, u32> = Group::new();
        let loads_8 = Gate::new();
        let told = Arc::new(AtomicUsize::new(0));
        let batcher: Batcher<u32, u32> = Batcher::new({
            let (group, loads_8, told) = (group.clone(), loads_8.clone(), told.clone());
            move |keys: &[u32]| {
                if keys.contains(&7) {
                    loads_8.pass();
                    match group.try_work(&1, || Ok(1)) {
                        Err(error) if error.is_deadlock() => told.fetch_add(1, SeqCst) as u32,
                        other => other.unwrap(),
                    };
                }
                Ok(keys.iter().map(|&key| (key, key * 10)).collect())
            }
        });
        let first = spawn({
            let batcher = batcher.clone();
            move || batcher.load(&7)
        });
        let second = spawn({
            let (group, batcher, told) = (group.clone(), batcher.clone(), told.clone());
            move || {
                group.try_work(&1, || {
                    until(|| batcher.stats().batches == 1);
                    loads_8.open();
                    match batcher.load(&8) {
                        Err(error) if error.is_deadlock() => Ok(told.fetch_add(1, SeqCst) as u32),
                        other => other,
                    }
                    .map_err(|error| panic!("{error}"))
                })
            }
        });
        assert_eq!(finish(first), Ok(70));
        finish(second).unwrap();
        assert!(told.load(SeqCst) >= 1);
    });
}

/// The door that the page *patterns* advises: a read in front of a batcher. The batch of row 1 reads row 2 through it,
/// while another thread asks for row 2.
#[test]
fn p7_a_batch_that_goes_through_its_own_door() {
    within(|| {
        struct Rows {
            reads: Group<u32, u32>,
            rows: Batcher<u32, u32>,
        }
        impl Rows {
            fn get(&self, id: u32) -> Result<u32, Error<Infallible>> {
                self.reads.try_work(&id, || self.rows.load(&id).map_err(|error| panic!("{error}")))
            }
        }
        let door: Arc<OnceLock<Rows>> = Arc::default();
        let (own, told) = (door.clone(), Arc::new(AtomicUsize::new(0)));
        let count = told.clone();
        let rows = Batcher::new(move |ids: &[u32]| {
            if ids.contains(&1) {
                let door = own.get().unwrap();
                until(|| door.rows.waiting() == 1); // the other thread leads row 2, and its load is queued behind this batch
                let error = door.get(2).unwrap_err();
                assert!(error.is_deadlock(), "{error}");
                count.fetch_add(1, SeqCst);
            }
            Ok(ids.iter().map(|&id| (id, id * 10)).collect())
        });
        assert!(door.set(Rows { reads: Group::new(), rows }).is_ok());
        let [one, two] = [1, 2].map(|id| {
            let door = door.clone();
            spawn(move || {
                let door = door.get().unwrap();
                if id == 2 {
                    until(|| door.rows.stats().batches == 1);
                }
                door.get(id)
            })
        });
        assert_eq!((finish(one), finish(two)), (Ok(10), Ok(20)));
        assert_eq!(told.load(SeqCst), 1);
    });
}

/// The last handle of an `EventGroup` is dropped inside a flight that the group's running push follows. The drop waits for
/// the worker that pushes, and that waits for this thread.
#[test]
fn p7_the_last_handle_dropped_inside_what_its_push_waits_for() {
    within(|| {
        let group: Group<u32, u32> = Group::new();
        let answers = Arc::new(Mutex::new(Vec::new()));
        let events: EventGroup<u32, u32> = EventGroup::new(|sum, n| *sum += n, {
            let (group, answers) = (group.clone(), answers.clone());
            move |_: &u32, sum| {
                let answer = group.try_work(&1, || Ok(0));
                answers.lock().unwrap().push((sum, answer));
                Ok(())
            }
        });
        let value = group.work(&1, || {
            events.submit(&1, 1).unwrap();
            until_waiting(&group, &1, 1); // the worker's push follows this flight
            events.submit(&1, 2).unwrap();
            assert!(events.flush().unwrap_err().is_deadlock(), "its flush is told so");
            drop(events);
            7
        });
        assert_eq!(value, 7);
        // What was accepted is done, by the worker, after the flight has landed.
        until(|| answers.lock().unwrap().len() == 2);
        assert_eq!(answers.lock().unwrap()[0], (1, Ok(7)));
        assert_eq!(answers.lock().unwrap()[1].0, 2);
    });
}

/// A ring of 300 threads, of all kinds. Whoever closes it is told, and nobody else: the others are served.
#[test]
fn p7_a_ring_of_three_hundred_tells_who_closes_it() {
    within(|| {
        const THREADS: u32 = 300;
        let doors: Arc<Vec<Door>> = Arc::new((0..THREADS as usize).map(Door::new).collect());
        let (count, go) = (Arc::new(AtomicUsize::new(0)), Arc::new([(); THREADS as usize].map(|()| Gate::default())));
        let lead = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..THREADS)
            .map(|me| {
                let (doors, count, go, lead) = (doors.clone(), count.clone(), go.clone(), lead.clone());
                spawn(move || {
                    let next = (me + 1) % THREADS;
                    let (own, ring) = (doors[me as usize].clone(), doors.clone());
                    own.lead(me, move || {
                        lead.fetch_add(1, SeqCst);
                        go[me as usize].pass();
                        told(&ring[next as usize].ask(next), THREADS as usize, &count);
                    })
                    .unwrap();
                })
            })
            .collect();
        until(|| lead.load(SeqCst) == THREADS as usize);
        for me in 0..THREADS {
            let next = (me + 1) % THREADS;
            go[me as usize].open();
            // The one before is not let go before this one sleeps; the last one closes the ring.
            if next != 0 {
                until(|| doors[next as usize].waiting(next) == 1);
            }
        }
        callers.into_iter().for_each(finish);
        assert!((1..=3).contains(&count.load(SeqCst)), "{} were told", count.load(SeqCst));
        assert!(doors.iter().all(Door::is_idle));
    });
}

/// The same, all at the same moment: it ends, and no more than a few are told.
#[test]
fn p7_a_ring_of_three_hundred_at_the_same_moment() {
    within(|| {
        const THREADS: u32 = 300;
        let doors: Arc<Vec<Door>> = Arc::new((0..THREADS as usize).map(Door::new).collect());
        let (count, meeting) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(THREADS as usize)));
        let callers: Vec<_> = (0..THREADS)
            .map(|me| {
                let (doors, count, meeting) = (doors.clone(), count.clone(), meeting.clone());
                spawn(move || {
                    let next = (me + 1) % THREADS;
                    let (own, ring) = (doors[me as usize].clone(), doors.clone());
                    own.lead(me, move || {
                        meeting.wait();
                        told(&ring[next as usize].ask(next), THREADS as usize, &count);
                    })
                    .unwrap();
                })
            })
            .collect();
        callers.into_iter().for_each(finish);
        let told = count.load(SeqCst);
        assert!((1..THREADS as usize / 2).contains(&told), "{told} of {THREADS} were told");
        assert!(doors.iter().all(Door::is_idle));
    });
}

/// All kinds in one strict order, lower doors and keys first: nobody can wait in a circle, and nobody is told so.
#[test]
fn p7_no_false_alarm_under_a_storm_of_all_kinds() {
    fn calm(outcome: Result<u32, Error<Infallible>>) -> Result<u32, Infallible> {
        Ok(outcome.unwrap_or_else(|error| panic!("a false alarm: {error}")))
    }
    within(|| {
        let batched: Batcher<u32, u32> = Batcher::new(|keys: &[u32]| {
            std::thread::yield_now();
            Ok(keys.iter().map(|&key| (key, key)).collect())
        });
        let last = batched.clone();
        let events: EventGroup<u32, u32, u32> =
            EventGroup::new(|sum, n| *sum += n, move |key: &u32, _| calm(last.load(key)));
        let (reads, writes): (Group<u32, u32>, WriteGroup<u32, u32>) = (Group::new(), WriteGroup::new());
        let callers: Vec<_> = (0..8u32)
            .map(|me| {
                let (reads, writes, events, batched) = (reads.clone(), writes.clone(), events.clone(), batched.clone());
                spawn(move || {
                    for round in 0..150 {
                        let low = (me + round) % 3;
                        match (me + round) % 4 {
                            0 => {
                                let push = || calm(events.push(&low, 1).map(|landing| landing.value));
                                let write = || calm(writes.try_write(&low, push));
                                let read = || calm(reads.try_work(&(low + 3), write));
                                assert_eq!(reads.try_work(&low, read), Ok(low));
                            }
                            1 => {
                                let write = || calm(writes.try_write(&(low + 3), || calm(batched.load(&low))));
                                assert_eq!(writes.try_write(&low, write), Ok(low));
                            }
                            2 => drop(events.push(&(low + 3), 1).unwrap()),
                            _ => assert_eq!(batched.load(&(low + 6)), Ok(low + 6)),
                        }
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(finish);
        let told = reads.stats().deadlocked + writes.stats().deadlocked;
        assert_eq!((told, events.stats().deadlocked, batched.stats().deadlocks), (0, 0, 0));
    });
}
