//! `read_through`: looks before it boards, looks again inside the flight, and loads once.

use crate::support::{AGES, Gate, finish, hold, until, until_waiting, within};
use flight_group::{CancelToken, Error, Group};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::spawn;
use std::time::Duration;

/// Boards after another's flight has landed that it had not seen: the second look finds the value.
#[test]
fn the_second_look_is_inside_the_flight() {
    within(|| {
        let (group, cache): (Group<u8, u8>, Mutex<Option<u8>>) = (Group::new(), Mutex::new(None));
        let looks = AtomicUsize::new(0);
        let value = group.read_through(
            &1,
            || {
                let found = *cache.lock().unwrap();
                if looks.fetch_add(1, SeqCst) == 0 {
                    // Between this look and its flight, another one lands.
                    let load = || Ok(*cache.lock().unwrap().insert(7));
                    assert_eq!(group.try_work(&1, load), Ok(7));
                } else {
                    assert_eq!(group.in_flight(), 1, "in the flight");
                }
                found
            },
            || unreachable!("it is loaded already"),
        );
        assert_eq!((value, looks.load(SeqCst)), (Ok(7), 2));
    });
}

#[test]
fn a_hit_boards_nothing_and_is_never_refused() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let (first, token) = (hold(&group, 1, || 1), CancelToken::new());
        token.cancel("gone");
        let load = || unreachable!("a hit");
        assert_eq!(group.read_through(&1, || Some(5), load), Ok(5));
        assert_eq!(group.call(&1).timeout(Duration::ZERO).read_through(|| Some(5), load), Ok(5));
        assert_eq!(group.call(&1).cancel(&token).read_through(|| Some(5), load), Ok(5));
        assert!(group.call(&1).timeout(Duration::ZERO).read_through(|| None, load).unwrap_err().is_timed_out());
        assert!(group.call(&1).cancel(&token).read_through(|| None, load).unwrap_err().is_cancelled());
        assert_eq!((first.release(), group.stats().led), (1, 1));
    });
}

/// A follower looks once: it gets the outcome, and not what is stored.
#[test]
fn a_follower_gets_the_outcome() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let first = hold(&group, 1, || 1);
        let looks = Arc::new(AtomicUsize::new(0));
        let follower = spawn({
            let (group, looks) = (group.clone(), looks.clone());
            move || {
                let look = || (looks.fetch_add(1, SeqCst) > 0).then_some(9);
                group.call(&1).timeout(AGES).read_through(look, || unreachable!("it follows"))
            }
        });
        until_waiting(&group, &1, 1);
        first.release();
        assert_eq!((finish(follower), looks.load(SeqCst)), (Ok(1), 1));
    });
}

#[test]
fn a_fresh_call_does_not_look() {
    let group: Group<u8, u8> = Group::new();
    let look = || unreachable!("what is stored may be older than the call");
    assert_eq!(group.call(&1).fresh().read_through(look, || Ok(3)), Ok(3));
}

/// P5, and an error that is not kept.
#[test]
fn a_look_that_panics_and_a_load_that_fails_leave_the_key_in_order() {
    within(|| {
        let group: Group<u8, u8, &str> = Group::new();
        for fails_at in [0, 1] {
            let looks = AtomicUsize::new(0);
            let look = || {
                assert!(looks.fetch_add(1, SeqCst) != fails_at, "boom");
                None
            };
            let call = std::panic::AssertUnwindSafe(|| group.read_through(&1, look, || Ok(1)));
            assert!(std::panic::catch_unwind(call).is_err());
            assert_eq!((group.in_flight(), looks.load(SeqCst)), (0, fails_at + 1));
        }
        assert_eq!(group.read_through(&1, || None, || Err("no row")), Err(Error::Work("no row")));
        assert_eq!(group.read_through(&1, || None, || Ok(4)), Ok(4));
    });
}

/// Rounds of threads that come as they like: each expiry costs one load.
#[test]
fn one_expiry_costs_one_load() {
    within(|| {
        const THREADS: usize = 8;
        let (group, cache): (Group<u8, u32>, Arc<Mutex<HashMap<u8, u32>>>) = (Group::new(), Arc::default());
        let (loads, meeting) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(THREADS)));
        let ready = Gate::new();
        let callers: Vec<_> = (0..THREADS)
            .map(|me| {
                let (group, cache, loads, meeting) = (group.clone(), cache.clone(), loads.clone(), meeting.clone());
                let ready = ready.clone();
                spawn(move || {
                    ready.pass();
                    for round in 1..=300 {
                        if meeting.wait().is_leader() {
                            cache.lock().unwrap().clear(); // expired
                        }
                        meeting.wait();
                        (0..(me * round) % 5).for_each(|_| std::thread::yield_now());
                        let load = || {
                            let value = loads.fetch_add(1, SeqCst) as u32 + 1;
                            std::thread::yield_now();
                            cache.lock().unwrap().insert(1, value);
                            Ok(value)
                        };
                        let lookup = || {
                            let found = cache.lock().unwrap().get(&1).copied();
                            (0..(me + round) % 3).for_each(|_| std::thread::yield_now()); // a flight may land meanwhile
                            found
                        };
                        let value = group.read_through(&1, lookup, load);
                        assert_eq!(value, Ok(round as u32));
                    }
                })
            })
            .collect();
        ready.open();
        callers.into_iter().for_each(finish);
        assert_eq!((loads.load(SeqCst), group.in_flight()), (300, 0));
        until(|| group.stats().led >= 300);
    });
}
