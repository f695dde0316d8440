//! P11: when a write lands, the next run is done by one of its own callers; nobody is kept working for others.

use crate::support::{Gate, Held, finish, hold, line_up, until_waiting, within};
use flight_group::{EventKind, WriteGroup};
use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::thread::{current, spawn};

/// The first writer returns while the next run is still going on.
#[test]
fn p11_a_leader_returns_before_the_next_run_ends() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let first = hold(&group, 1, || 1);
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
        let first = hold(&group, 1, || 0);
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

thread_local! {
    /// Where this thread's next call stays when it has boarded, before it goes to sleep.
    static PAUSE: RefCell<Option<Arc<Gate>>> = const { RefCell::new(None) };
}

/// A landing wakes those who waited for that flight, and nobody who waits for another by now.
///
/// A caller that finds the outcome before it has gone to sleep is not woken, and takes itself out of the flight's
/// queue. Otherwise the landing would take the waiter, which its thread uses again for its next wait, out of the next
/// flight's queue, and the callers behind it would never be woken.
#[test]
fn p11_a_landing_leaves_alone_whoever_waits_elsewhere_by_now() {
    within(|| {
        // The executor stands between the publishing of an outcome and the waking of those who sleep.
        let (landing, go_on) = (Gate::new(), Gate::new());
        let group: WriteGroup<u8, usize> = {
            let (landing, go_on) = (landing.clone(), go_on.clone());
            WriteGroup::builder()
                .observer(|event| {
                    if event.kind == EventKind::Joined {
                        if let Some(pause) = PAUSE.take() {
                            pause.pass();
                        }
                    }
                })
                .executor(move |job| {
                    landing.open();
                    go_on.pass();
                    job.run();
                })
                .build()
        };
        let hold = |key: u8, value| {
            let group = group.clone();
            Held::begin(move |stay| {
                group.write(&key, || {
                    stay();
                    value
                })
            })
        };
        let (first, entered) = hold(1, 100);
        entered.pass();
        // More than one follower wakes, and fewer than a landing wakes: they are in the queue, and do not sleep.
        let pauses = [(); 5].map(|()| Gate::new());
        let mut awake: Vec<_> = pauses
            .iter()
            .enumerate()
            .map(|(i, pause)| {
                let (caller, pause) = (group.clone(), pause.clone());
                let thread = spawn(move || {
                    PAUSE.set(Some(pause));
                    let covered = caller.write(&1, || unreachable!("the other call is newer"));
                    (covered, if i == 0 { caller.write(&2, || 202) } else { 0 })
                });
                until_waiting(&group, &1, i + 1);
                thread
            })
            .collect();
        let (newest, entered) = hold(1, 101);
        until_waiting(&group, &1, 6);
        let (other, other_entered) = hold(2, 200);
        other_entered.pass();
        let older = line_up(&group, 2, 1, |group, _| group.write(&2, || unreachable!("a newer one comes")));
        assert_eq!(first.release(), 100);
        entered.pass();
        let spawned = group.spawn(&1, || Ok(102));

        newest.let_go();
        landing.pass(); // published, and nobody woken yet
        pauses[0].open();
        until_waiting(&group, &2, 2); // the oldest of them has its outcome, and waits for something else
        go_on.open();
        assert_eq!(newest.release(), 101);
        pauses[1..].iter().for_each(|pause| pause.open());
        let oldest = awake.remove(0);
        awake.into_iter().for_each(|caller| assert_eq!(finish(caller), (101, 0)));
        assert_eq!(spawned.recv().unwrap().unwrap().value, 102);

        assert_eq!(other.release(), 200);
        assert_eq!(finish(oldest), (101, 202));
        assert!(older.into_iter().all(|caller| finish(caller) == 202));
        assert_eq!((group.in_flight(), group.stats().superseded), (0, 6));
    });
}
