//! What a call costs in allocations, exactly; and that an idle group gives back what a burst made it take (P8).
//!
//! A binary of its own, because counting needs a global allocator of its own (`allocation-counter` counts for each
//! thread by itself, so that tests may run side by side). No count depends on what the process or the thread did
//! before: every test counts with [`measure`], which first makes what is made only once.
#![cfg(not(any(flight_group_shuttle, flight_group_loom)))]

use allocation_counter::AllocationInfo;
use flight_group::{Error, EventGroup, Group, WriteGroup};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{scope, spawn, yield_now};

/// One shard: the first call to it makes its table, and all later ones find it.
fn reads<K: std::hash::Hash + Eq, V, E>() -> Group<K, V, E> {
    Group::builder().shards(1).build()
}

fn writes<K: std::hash::Hash + Eq, V, E>() -> WriteGroup<K, V, E> {
    WriteGroup::builder().shards(1).build()
}

/// What `body` allocates on this thread. What the thread and the process make only once is there already.
fn measure(body: impl FnOnce()) -> AllocationInfo {
    thread_local! {
        static SETTLED: Cell<bool> = const { Cell::new(false) };
    }
    if !SETTLED.replace(true) {
        sleep_in_parking_lot();
        wait_for_itself();
    }
    allocation_counter::measure(body)
}

/// parking_lot has one table for the process. The table is made, and later grows, when a thread sleeps for the first
/// time, and whether a thread sleeps at a lock depends on who else is there. A wait whose time is up sleeps in any case.
fn sleep_in_parking_lot() {
    let mutex = parking_lot::Mutex::new(());
    parking_lot::Condvar::new().wait_for(&mut mutex.lock(), std::time::Duration::ZERO);
}

/// A read, a fresh read and a write, each refused because its own caller leads the flight that it would wait for. So
/// they come as far as the deadlock check whatever other threads do: the thread has its number and its place to wait,
/// and the process has the check's map. A follower of another thread may find the outcome before it has to wait.
fn wait_for_itself() {
    fn refused<V>(result: Result<V, Error<()>>) -> Result<(), ()> {
        assert!(matches!(result, Err(Error::Deadlock(_))));
        Ok(())
    }
    let (reads, writes) = (reads::<u64, (), ()>(), writes::<u64, (), ()>());
    assert!(reads.try_work(&1, || refused(reads.try_work(&1, || Ok(())))).is_ok());
    assert!(reads.try_work(&1, || refused(reads.call(&1).fresh().run(|| Ok(())))).is_ok());
    assert!(writes.try_write(&1, || refused(writes.try_write(&1, || Ok(())))).is_ok());
}

/// More threads than all other tests of this file have, so that parking_lot's table grows in some of them whatever
/// ran before.
#[test]
fn what_is_made_once_is_in_no_count() {
    within(|| {
        const THREADS: usize = 256;
        let all_have_counted = Barrier::new(THREADS);
        let counts = || {
            let counts = [sleep_in_parking_lot, wait_for_itself, wait_for_itself].map(measure);
            all_have_counted.wait(); // a thread that ends leaves the table
            counts
        };
        scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(counts)).collect();
            for thread in threads {
                let [sleep, first, second] = thread.join().unwrap();
                assert_allocates(sleep, 0);
                assert_eq!(first, second);
            }
        });
    });
}

#[track_caller]
fn assert_allocates(info: AllocationInfo, n: u64) {
    assert_eq!(info.count_total, n, "{info:?}");
    assert_eq!(info.count_current, 0, "and gives all of it back: {info:?}");
}

#[test]
fn a_lone_leader_with_u64_keys_allocates_nothing() {
    let group: Group<u64, u64, u64> = reads();
    let writes: WriteGroup<u64, u64, u64> = writes();
    assert_eq!((group.try_work(&0, || Ok(0)), writes.try_write(&0, || Ok(0))), (Ok(0), Ok(0))); // the shard's first use
    assert_allocates(
        measure(|| {
            for key in 0..100 {
                assert_eq!(group.try_work(&key, || Ok(key)), Ok(key));
                assert_eq!(group.try_work(&key, || Err(key)), Err(Error::Work(key)));
                assert_eq!(group.call(&key).fresh().run(|| Ok(key)).unwrap().value, key);
                assert_eq!(group.call(&key).timeout(std::time::Duration::MAX).run(|| Ok(key)).unwrap().value, key);
                assert!(group.call(&key).follow().is_none());
                assert!(!group.forget(&key));
                assert_eq!((group.followers(&key), group.in_flight()), (0, 0));
                assert_eq!(writes.try_write(&key, || Ok(key)), Ok(key));
                assert_eq!(writes.try_write(&key, || Err(key)), Err(Error::Work(key)));
                assert!(writes.call(&key).flush().is_none());
            }
        }),
        0,
    );
    assert_eq!(group.stats().led, 401);
}

#[test]
fn a_lone_leader_allocates_nothing_under_more_settings() {
    let group: Group<u64, u64> =
        Group::builder().shards(1).timed().max_followers(1).max_age(std::time::Duration::from_secs(9)).build();
    group.work(&0, || 0);
    assert_allocates(measure(|| assert_eq!(group.work(&1, || 1), 1)), 0);
    let group: Group<u64, u64> = Group::builder().shards(1).observer(|_| ()).build();
    group.work(&0, || 0);
    assert_allocates(measure(|| assert_eq!(group.work(&1, || 1), 1)), 0);
    // Forgotten while it runs: a lone leader's flight needs no memory for that either.
    assert_allocates(
        measure(|| {
            group.work(&1, || {
                assert!(group.forget(&1));
                1
            });
        }),
        0,
    );
}

#[test]
fn a_lone_leader_with_string_keys_allocates_its_key() {
    let group: Group<String, u64> = reads();
    let writes: WriteGroup<String, u64> = writes();
    group.work("first", || 0);
    writes.write("first", || 0);
    assert_allocates(measure(|| assert_eq!(group.work("some key", || 1), 1)), 1);
    assert_allocates(measure(|| assert_eq!(writes.write("some key", || 1), 1)), 1);
    let owned = "some key".to_owned();
    assert_allocates(measure(|| assert_eq!(group.work(&owned, || 1), 1)), 1);
    assert_allocates(measure(|| assert!(group.call("some key").follow().is_none())), 0);
}

/// The error path costs nothing, the panic path what std's unwinding costs, and a message.
#[test]
fn failures_cost_no_more_than_they_must() {
    let group: Group<u64, u64, u64> = reads();
    group.try_work(&0, || Ok(0)).unwrap();
    assert_allocates(measure(|| assert_eq!(group.try_work(&1, || Err(1)), Err(Error::Work(1)))), 0);
    let bare = measure(|| drop(catch_unwind(|| resume_unwind(Box::new(1u8)))));
    let led = measure(|| {
        let _ = catch_unwind(AssertUnwindSafe(|| group.try_work(&1, || resume_unwind(Box::new(1u8)))));
    });
    // Caught once more, resumed once more (a new exception object each), and described once.
    assert!(led.count_total <= bare.count_total + 3, "bare {bare:?}, led {led:?}");
    assert_eq!((led.count_current, bare.count_current), (0, 0));
}

/// What a group costs before it is called, and what its first call costs.
#[test]
fn a_group_allocates_its_table_at_the_first_call() {
    drop(Group::<u64, u64>::new()); // the number of cores is read once per process
    let mut kept = None;
    let made = measure(|| kept = Some(Group::<u64, u64>::new()));
    assert_eq!(made.count_total, 1, "the handle's: {made:?}");
    let group = kept.unwrap();
    let first = measure(|| assert_eq!(group.work(&1, || 1), 1));
    assert_eq!(first.count_total, 2, "the array of shards, and the shard's own table: {first:?}");
    assert!(first.bytes_total < 128 * 1024, "{first:?}");
    let looks =
        measure(|| assert_eq!(Group::<u64, u64>::new().stats().led + Group::<u64, u64>::new().in_flight() as u64, 0));
    assert_eq!(looks.count_total, 2, "a group that is only looked at makes no table: {looks:?}");
}

/// Fails a test that hangs, instead of waiting for it.
fn within(body: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel::<()>();
    let thread = spawn(move || {
        let _done = done; // gone when the body has ended, one way or the other
        body();
    });
    let patience = std::time::Duration::from_secs(25);
    assert!(ended.recv_timeout(patience) != Err(mpsc::RecvTimeoutError::Timeout), "hangs: not done after {patience:?}");
    thread.join().unwrap_or_else(|payload| resume_unwind(payload));
}

/// Waits, without allocating.
fn until(so: impl Fn() -> bool) {
    while !so() {
        yield_now();
    }
}

/// Each follower's own allocations, in the order of their arrival; each thread has followed once before.
fn followers(
    n: usize,
    follow: impl Fn(&Group<u64, u64>, &WriteGroup<u64, u64>) -> u64 + Send + Sync + 'static,
) -> Vec<AllocationInfo> {
    let (reads, writes) = (reads::<u64, u64, _>(), writes::<u64, u64, _>());
    let follow = Arc::new(follow);
    let mut infos = Vec::new();
    let (go, threads): (Vec<_>, Vec<_>) = (0..n)
        .map(|_| {
            let (go, wait) = mpsc::channel::<()>();
            let (reads, writes, follow) = (reads.clone(), writes.clone(), follow.clone());
            let thread = spawn(move || {
                let mut info = None;
                for _ in 0..2 {
                    wait.recv().unwrap();
                    info = Some(measure(|| {
                        follow(&reads, &writes);
                    }));
                }
                info.unwrap()
            });
            (go, thread)
        })
        .unzip();
    for _ in 0..2 {
        let release = Arc::new(AtomicBool::new(false));
        let leaders = [
            {
                let (reads, release) = (reads.clone(), release.clone());
                spawn(move || {
                    reads.work(&1, || {
                        until(|| release.load(SeqCst));
                        7
                    })
                })
            },
            {
                let (writes, release) = (writes.clone(), release.clone());
                spawn(move || {
                    writes.write(&1, || {
                        until(|| release.load(SeqCst));
                        7
                    })
                })
            },
        ];
        until(|| reads.in_flight() + writes.in_flight() == 2);
        for (i, go) in go.iter().enumerate() {
            go.send(()).unwrap();
            until(|| reads.followers(&1) + writes.followers(&1) == i + 1);
        }
        release.store(true, SeqCst);
        leaders.into_iter().for_each(|leader| assert_eq!(leader.join().unwrap(), 7));
        until(|| reads.in_flight() + writes.in_flight() == 0);
    }
    infos.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
    infos
}

fn assert_first_two_then_none(infos: &[AllocationInfo]) {
    for (i, info) in infos.iter().enumerate() {
        let allowed = if i == 0 { 2 } else { 0 };
        assert!(info.count_total <= allowed, "follower {i}: {info:?}");
    }
}

#[test]
fn a_flights_first_follower_allocates_twice_at_most_and_the_others_nothing() {
    within(|| {
        let infos = followers(6, |reads, _| reads.work(&1, || unreachable!()));
        assert_eq!(infos[0].count_total, 2, "the flight, and what the deadlock check may know of it: {:?}", infos[0]);
        assert_first_two_then_none(&infos);
        assert_first_two_then_none(&followers(4, |reads, _| reads.call(&1).follow().unwrap().unwrap().value));
        let timed = |reads: &Group<u64, u64>, _: &WriteGroup<u64, u64>| {
            reads.call(&1).timeout(std::time::Duration::MAX).run(|| unreachable!()).unwrap().value
        };
        assert_first_two_then_none(&followers(4, timed));
    });
}

/// Queued calls: the first makes the flight that is next, with its queue for four; that grows to twice as many.
#[test]
fn a_queued_call_allocates_at_most_its_part_of_the_queue() {
    within(|| {
        let queued = |infos: &[AllocationInfo]| {
            for (i, info) in infos.iter().enumerate() {
                let allowed = [3, 0, 0, 0, 1, 0][i];
                assert!(info.count_total <= allowed, "queued call {i}: {info:?}");
            }
        };
        queued(&followers(6, |_, writes| writes.write(&1, || 8)));
        let fresh =
            |reads: &Group<u64, u64>, _: &WriteGroup<u64, u64>| reads.call(&1).fresh().run(|| Ok(8)).unwrap().value;
        queued(&followers(4, fresh));
    });
}

/// Flights of `keys` different keys, all in the air at once, on one thread: each closure calls for the next key.
fn burst(group: &Group<u64, u64>, keys: u64) {
    fn nest(group: &Group<u64, u64>, key: u64, peak: u64) {
        if key == peak {
            assert_eq!(group.in_flight() as u64, peak);
            return;
        }
        group.work(&key, || {
            nest(group, key + 1, peak);
            key
        });
    }
    nest(group, 0, keys);
}

/// P8: whatever a burst made the tables grow to is given back when they are empty.
#[test]
fn p8_after_a_burst_the_tables_are_given_back() {
    // Hashes are random: which tables become how full is different each time.
    for shards in [1, 8].repeat(20) {
        let group: Group<u64, u64> = Group::builder().shards(shards).build();
        (0..100).for_each(|key| assert_eq!(group.work(&key, || key), key)); // every shard's small table
        let info = measure(|| burst(&group, 500));
        assert!(info.count_total > 0 && info.bytes_max > 500 * 40, "the tables grew: {info:?}");
        assert_eq!(group.in_flight(), 0);
        // A shard may keep room for eight slots of 48 bytes, and from then on nothing more.
        assert!(info.count_current <= 0, "kept after the burst: {info:?}");
        assert!(info.bytes_current <= (shards * 8 * 48) as i64, "kept after the burst: {info:?}");
        let again = measure(|| burst(&group, 500));
        assert_eq!((again.count_current, again.bytes_current), (0, 0), "kept after another: {again:?}");
        // Within eight slots nothing is given back and taken again.
        let group: Group<u64, u64> = reads();
        group.work(&0, || 0);
        let info = measure(|| burst(&group, 6));
        assert!(info.count_total <= 1, "grown to its small size once: {info:?}");
        assert_allocates(measure(|| burst(&group, 6)), 0);
    }
}

/// P8: forgotten flights are kept by number while somebody waits for them; the list is given back, too.
#[test]
fn p8_after_many_forgotten_flights_nothing_is_kept() {
    let group: Group<u64, u64> = reads();
    burst_forgotten(&group, 1); // the shard's first use
    let info = measure(|| burst_forgotten(&group, 50));
    assert_eq!((info.count_current, info.bytes_current), (0, 0), "{info:?}");
    assert_eq!(group.in_flight(), 0);
}

/// Each leads a flight that a spawned call follows, forgets it, and goes on inside.
fn burst_forgotten(group: &Group<u64, u64>, n: u64) {
    if n == 0 {
        return;
    }
    let receiver = std::cell::OnceCell::new();
    group.work(&1, || {
        receiver.set(group.spawn(&1, || unreachable!())).unwrap();
        assert!(group.forget(&1));
        burst_forgotten(group, n - 1);
        n
    });
    assert_eq!(receiver.into_inner().unwrap().recv().unwrap().unwrap().value, n);
}

/// P8: the memory of a call is the call's: a thousand calls later nothing has grown.
#[test]
fn p8_nothing_grows_with_the_number_of_calls() {
    let group: Group<String, String, String> = reads();
    let writes: WriteGroup<String, String, String> = writes();
    group.work_and_fail();
    writes.try_write("k", || Ok("v".to_owned())).unwrap();
    let info = measure(|| {
        for i in 0..1000 {
            let key = i.to_string();
            group.try_work(&key, || Ok("value".to_owned())).unwrap();
            group.try_work(&key, || Err("error".to_owned())).unwrap_err();
            writes.try_write(&key, || Ok("value".to_owned())).unwrap();
            group.try_work("outer", || group.try_work(&key, || Ok(String::new())).map_err(|_| String::new())).unwrap();
            assert!(
                group
                    .try_work("outer", || group.try_work("outer", || Ok(String::new())).map_err(|_| String::new()))
                    .is_err()
            );
        }
    });
    assert_eq!((info.count_current, info.bytes_current), (0, 0), "{info:?}");
}

trait WorkAndFail {
    fn work_and_fail(&self);
}

/// Once round every path of the test above, so that what a thread keeps for itself is there.
impl WorkAndFail for Group<String, String, String> {
    fn work_and_fail(&self) {
        let _ = self.try_work("outer", || self.try_work("outer", || Ok(String::new())).map_err(|_| String::new()));
        let _ = self.try_work("outer", || self.try_work("inner", || Ok(String::new())).map_err(|_| String::new()));
    }
}

/// P14: behind a run that is stuck, a million submitted events of 64 bytes for one key hold a few kilobytes, and those for
/// a thousand keys a few for each.
#[test]
fn p14_what_waits_is_merged() {
    within(|| {
        type Event = [u64; 8];
        const MANY: u64 = 1_000_000;
        let (started, starts) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let (started, gate) = (std::sync::Mutex::new(started), std::sync::Mutex::new(gate));
        let events: EventGroup<u64, Event> = EventGroup::builder(
            |sum: &mut Event, n: Event| sum[0] += n[0],
            move |_, sum| {
                let _ = started.lock().unwrap().send(sum[0]);
                let _ = gate.lock().unwrap().recv();
                Ok(())
            },
        )
        .workers(1)
        .capacity(2000)
        .build();
        events.submit(&0, [0; 8]).unwrap();
        assert_eq!(starts.recv(), Ok(0)); // the only worker is in the air
        let one_key = measure(|| (0..MANY).for_each(|_| events.submit(&0, [1; 8]).unwrap()));
        assert!(one_key.bytes_max < 8 << 10, "{one_key:?}");
        assert!(one_key.bytes_current < 8 << 10, "{one_key:?}");
        let keys = 1..=1000;
        let many_keys =
            measure(|| (0..100).for_each(|_| keys.clone().for_each(|key| events.submit(&key, [1; 8]).unwrap())));
        assert!(many_keys.bytes_max < 1000 * (4 << 10), "{many_keys:?}");
        assert_eq!((events.waiting_keys(), events.waiting_events()), (1001, MANY as usize + 100_000));
        drop(go);
        drop(events);
        let mut sums: Vec<u64> = starts.iter().collect();
        sums.sort();
        assert_eq!((sums.len(), sums[0], sums[1000]), (1001, 100, MANY));
    });
}
