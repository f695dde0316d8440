//! P11: when a write lands, the next run is done by one of its own callers; nobody is kept working for others.

use crate::support::{Held, finish, line_up, until_waiting, within};
use flight_group::WriteGroup;
use std::sync::{Arc, Mutex};
use std::thread::{current, spawn};

/// The first writer returns while the next run is still going on.
#[test]
fn p11_a_leader_returns_before_the_next_run_ends() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let first = {
            let group = group.clone();
            Held::start(move |stay| {
                group.write(&1, || {
                    stay();
                    1
                })
            })
        };
        let (second, entered) = Held::begin({
            let group = group.clone();
            move |stay| {
                group.write(&1, || {
                    stay();
                    2
                })
            }
        });
        until_waiting(&group, &1, 1);
        assert_eq!(first.release(), 1); // joined: it has nothing to do with the next run
        entered.pass();
        assert!(!second.has_returned());
        // And so on, one after the other.
        let (third, entered) = Held::begin({
            let group = group.clone();
            move |stay| {
                group.write(&1, || {
                    stay();
                    3
                })
            }
        });
        until_waiting(&group, &1, 1);
        assert_eq!(second.release(), 2);
        entered.pass();
        assert_eq!(third.release(), 3);
    });
}

#[test]
fn p11_every_run_is_on_the_thread_of_a_caller_it_covers() {
    within(|| {
        let group: WriteGroup<u8, std::thread::ThreadId> = WriteGroup::new();
        let led = Arc::new(Mutex::new(Vec::new()));
        let callers: Vec<_> = (0..5)
            .map(|_| {
                let (group, led) = (group.clone(), led.clone());
                spawn(move || {
                    for _ in 0..200 {
                        let mine = current().id();
                        let landing = group.call(&1).run(|| Ok(current().id())).unwrap();
                        let leads = landing.role == flight_group::Role::Leader;
                        assert_eq!(leads, landing.value == mine, "a closure of this caller's ran elsewhere");
                        if leads {
                            led.lock().unwrap().push(mine);
                        }
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(finish);
        assert_eq!(led.lock().unwrap().len() as u64, group.stats().led);
    });
}

/// However many wait, exactly one of them runs, and the others wake with its outcome.
#[test]
fn p11_one_of_many_is_called_to_lead() {
    within(|| {
        let group: WriteGroup<u8, usize> = WriteGroup::new();
        let first = {
            let group = group.clone();
            Held::start(move |stay| {
                group.write(&1, || {
                    stay();
                    0
                })
            })
        };
        let ran = Arc::new(Mutex::new(Vec::new()));
        let runs = ran.clone();
        let queued = line_up(&group, 1, 64, move |group, i| {
            group.write(&1, || {
                runs.lock().unwrap().push(i);
                i
            })
        });
        first.release();
        assert!(queued.into_iter().all(|caller| finish(caller) == 63));
        assert_eq!(*ran.lock().unwrap(), [63]);
    });
}
