//! P6: a follower's wait ends at its deadline and disturbs no one else; an outcome that is there wins; the work is
//! never interrupted; zero means do not wait, `Duration::MAX` means for ever.

use crate::support::{AGES, Canary, Gate, SOON, finish, hold, line_up, until, until_waiting, within};
use flight_group::{Error, EventKind, Group, Role, WriteGroup};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::spawn;
use std::time::{Duration, Instant};

#[test]
fn p6_a_followers_wait_ends_and_disturbs_no_one() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let leader = hold(&group, 1, || 7);
        let patient = line_up(&group, 1, 2, |group, _| group.call(&1).timeout(AGES).run(|| Ok(0)));
        let (canary, gone) = Canary::new();
        let began = Instant::now();
        let result = group.call(&1).timeout(SOON).run(move || {
            let _canary = canary;
            Ok(1)
        });
        assert_eq!(result, Err(Error::timed_out()));
        assert!(began.elapsed() >= SOON, "gave up before its time");
        assert_eq!(gone.load(SeqCst), 1, "its closure is dropped when it returns");
        assert_eq!(group.call(&1).deadline(Instant::now() + SOON).run(|| Ok(1)), Err(Error::timed_out()));
        assert_eq!(group.call(&1).timeout(SOON).follow(), Some(Err(Error::timed_out())));
        assert_eq!(group.call(&1).fresh().timeout(SOON).run(|| Ok(1)), Err(Error::timed_out()));
        assert_eq!(group.followers(&1), 2, "the others still wait");
        assert_eq!(leader.release(), 7, "the work is not interrupted");
        for follower in patient {
            assert_eq!(finish(follower).unwrap().value, 7);
        }
        assert_eq!(group.stats().timed_out, 4);
        assert_eq!(group.stats().led, 1, "a fresh call that gave up left nothing to run");
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn p6_zero_and_the_past_do_not_wait() {
    within(|| {
        let reads: Group<u8, u32> = Group::new();
        let writes: WriteGroup<u8, u32> = WriteGroup::new();
        // Nothing in the air: nothing to wait for, they lead.
        let past = Instant::now();
        assert_eq!(reads.call(&1).timeout(Duration::ZERO).run(|| Ok(1)).unwrap().role, Role::Leader);
        assert_eq!(reads.call(&1).deadline(past).run(|| Ok(1)).unwrap().role, Role::Leader);
        assert_eq!(reads.call(&1).fresh().timeout(Duration::ZERO).run(|| Ok(1)).unwrap().role, Role::Leader);
        assert_eq!(writes.call(&1).timeout(Duration::ZERO).run(|| Ok(1)).unwrap().role, Role::Leader);
        assert_eq!(writes.call(&1).deadline(past).run(|| Ok(1)).unwrap().role, Role::Leader);
        assert_eq!(reads.call(&1).timeout(Duration::ZERO).follow(), None);
        assert_eq!(writes.call(&1).timeout(Duration::ZERO).flush(), None);
        let (reading, writing) = (hold(&reads, 1, || 7), hold(&writes, 1, || 7));
        assert_eq!(reads.call(&1).timeout(Duration::ZERO).run(|| Ok(1)), Err(Error::timed_out()));
        assert_eq!(reads.call(&1).deadline(past).run(|| Ok(1)), Err(Error::timed_out()));
        assert_eq!(reads.call(&1).fresh().timeout(Duration::ZERO).run(|| Ok(1)), Err(Error::timed_out()));
        assert_eq!(reads.call(&1).timeout(Duration::ZERO).follow(), Some(Err(Error::timed_out())));
        assert_eq!(writes.call(&1).timeout(Duration::ZERO).run(|| Ok(1)), Err(Error::timed_out()));
        assert_eq!(writes.call(&1).deadline(past).run(|| Ok(1)), Err(Error::timed_out()));
        assert_eq!(writes.call(&1).deadline(past).flush(), Some(Err(Error::timed_out())));
        assert_eq!(reads.followers(&1) + writes.followers(&1), 0);
        assert_eq!((reads.stats().joined, writes.stats().joined), (0, 0), "they never boarded");
        reading.release();
        writing.release();
    });
}

/// The clock cannot count that far; the wait has no end, and the sum does not overflow.
#[test]
fn p6_max_is_for_ever() {
    within(|| {
        let reads: Group<u8, u32> = Group::new();
        let writes: WriteGroup<u8, u32> = WriteGroup::new();
        let (reading, writing) = (hold(&reads, 1, || 7), hold(&writes, 1, || 7));
        let readers = line_up(&reads, 1, 2, |group, i| {
            let call = group.call(&1);
            if i == 0 {
                call.timeout(Duration::MAX).run(|| Ok(1))
            } else {
                call.takeover_after(Duration::MAX).run(|| Ok(1))
            }
        });
        let writers = line_up(&writes, 1, 2, |group, _| group.call(&1).timeout(Duration::MAX).run(|| Ok(1)));
        reading.release();
        writing.release();
        assert!(readers.into_iter().all(|reader| finish(reader).unwrap().value == 7));
        assert!(writers.into_iter().all(|writer| finish(writer).unwrap().value == 1));
    });
}

/// The later setting replaces the earlier one.
#[test]
fn p6_timeout_and_deadline_replace_each_other() {
    within(|| {
        let reads: Group<u8, u32> = Group::new();
        let writes: WriteGroup<u8, u32> = WriteGroup::new();
        let (reading, writing) = (hold(&reads, 1, || 7), hold(&writes, 1, || 7));
        assert!(reads.call(&1).timeout(AGES).deadline(Instant::now()).run(|| Ok(1)).unwrap_err().is_timed_out());
        assert!(reads.call(&1).deadline(Instant::now() + AGES).timeout(SOON).run(|| Ok(1)).unwrap_err().is_timed_out());
        assert!(writes.call(&1).timeout(AGES).deadline(Instant::now()).run(|| Ok(1)).unwrap_err().is_timed_out());
        assert!(writes.call(&1).deadline(Instant::now()).timeout(SOON).run(|| Ok(1)).unwrap_err().is_timed_out());
        reading.release();
        writing.release();
    });
}

/// It was not run by its own call, and nobody else runs it either.
#[test]
fn p6_a_queued_write_that_times_out_is_not_run() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let first = hold(&group, 1, || 7);
        let (canary, gone) = Canary::new();
        let result = group.call(&1).timeout(SOON).run(move || {
            let _canary = canary;
            panic!("run although its caller had left")
        });
        assert_eq!((result, gone.load(SeqCst)), (Err(Error::timed_out()), 1));
        assert_eq!(group.followers(&1), 0);
        first.release();
        assert_eq!(group.stats().led, 1);
        assert_eq!(group.in_flight(), 0);
    });
}

/// The captain's deadline may pass while it is being promoted or while it runs: it leads, and returns its outcome.
/// Either it had left before the promotion, or its run counts; never both, never neither.
#[test]
fn p6_a_promoted_captain_leads_even_if_its_deadline_passes() {
    within(|| {
        for round in 0..60 {
            let group: WriteGroup<u8, u32> = WriteGroup::new();
            let first = hold(&group, 1, || 7);
            let captain = {
                let group = group.clone();
                spawn(move || {
                    let mut ran = false;
                    let result = group.call(&1).timeout(Duration::from_micros(300)).run(|| {
                        ran = true;
                        let until = Instant::now() + Duration::from_micros(600);
                        while Instant::now() < until {
                            std::thread::yield_now();
                        }
                        Ok(2)
                    });
                    (ran, result)
                })
            };
            until(|| group.stats().joined > 0 || captain.is_finished());
            for _ in 0..round * 20 {
                std::hint::spin_loop();
            }
            first.release();
            match finish(captain) {
                (true, Ok(landing)) => assert_eq!((landing.value, landing.role), (2, Role::Leader)),
                (false, Err(Error::TimedOut(_))) => {}
                other => panic!("round {round}: {other:?}"),
            }
            assert_eq!(group.in_flight(), 0);
        }
    });
}

/// All who could lead have given up: whoever waits without a closure is told, or follows what is in the air.
#[test]
fn p6_a_queued_flight_that_everybody_left_is_dissolved() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let first = hold(&group, 1, || 7);
        let hasty = {
            let group = group.clone();
            spawn(move || group.call(&1).timeout(Duration::from_secs(1)).run(|| Ok(2)))
        };
        until_waiting(&group, &1, 1);
        let onlooker = {
            let group = group.clone();
            spawn(move || group.call(&1).flush())
        };
        until(|| group.stats().joined >= 2);
        assert_eq!(finish(hasty), Err(Error::timed_out()));
        // The onlooker now follows the run that is left.
        until_waiting(&group, &1, 1);
        first.release();
        assert_eq!(finish(onlooker).unwrap().unwrap().value, 7);
        assert_eq!(group.stats().led, 1);

        let reads: Group<u8, u32> = Group::new();
        let old = hold(&reads, 1, || 7);
        let hasty = {
            let reads = reads.clone();
            spawn(move || reads.call(&1).fresh().timeout(Duration::from_secs(1)).run(|| Ok(2)))
        };
        until_waiting(&reads, &1, 1);
        let onlooker = {
            let reads = reads.clone();
            spawn(move || reads.call(&1).fresh().follow())
        };
        until(|| reads.stats().joined >= 2);
        assert_eq!(finish(hasty), Err(Error::timed_out()));
        assert_eq!(finish(onlooker), Some(Err(Error::abandoned())), "a fresh flight never came");
        assert_eq!(old.release(), 7);
    });
}

/// Callers come and go behind a stuck write: none of them leaves anything, nobody is woken for nothing.
#[test]
fn p6_callers_come_and_go_behind_a_stuck_write() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let stuck = hold(&group, 1, || 7);
        let patient = line_up(&group, 1, 1, |group, _| group.write(&1, || 8));
        let hasty: Vec<_> = (0..4)
            .map(|_| {
                let group = group.clone();
                spawn(move || {
                    for i in 0..50 {
                        let wait = Duration::from_micros(20 * (i % 5));
                        assert_eq!(group.call(&1).timeout(wait).run(|| Ok(9)), Err(Error::timed_out()));
                    }
                })
            })
            .collect();
        hasty.into_iter().for_each(finish);
        assert_eq!(group.followers(&1), 1);
        stuck.release();
        assert!(patient.into_iter().all(|caller| finish(caller) == 8));
        assert_eq!(group.stats().timed_out, 200);
        assert_eq!(group.stats().led, 2);
    });
}

/// Landing and deadline at the same moment: a call is served or told that its time is up, and nobody hangs.
#[test]
fn p6_an_outcome_or_a_timeout_never_neither() {
    within(|| {
        for round in 0..100u64 {
            let group: Group<u8, u64> = Group::new();
            let leader = hold(&group, 1, move || round);
            let patient = line_up(&group, 1, 1, |group, _| group.work(&1, || 2000));
            let hasty: Vec<_> = (0..3)
                .map(|i| {
                    let group = group.clone();
                    spawn(move || group.call(&1).timeout(Duration::from_micros(100 + i * 50)).run(|| Ok(1000)))
                })
                .collect();
            leader.release();
            for caller in hasty {
                match finish(caller) {
                    Ok(landing) if landing.role == Role::Leader => assert_eq!(landing.value, 1000),
                    Ok(landing) => assert!(landing.value == round || landing.value == 1000),
                    Err(error) => assert_eq!(error, Error::timed_out()),
                }
            }
            assert!(patient.into_iter().all(|caller| finish(caller) == round));
            assert_eq!((group.followers(&1), group.in_flight()), (0, 0));
        }
    });
}

/// Whoever finds the outcome there gets it, even if the deadline passed long before it could look.
#[test]
fn p6_an_outcome_that_is_there_wins_over_a_deadline_that_has_passed() {
    within(|| {
        thread_local! {
            static PAUSE: RefCell<Option<Arc<Gate>>> = const { RefCell::new(None) };
        }
        let group: Group<u8, u32> = Group::builder()
            .observer(|event| {
                if event.kind == EventKind::Joined {
                    if let Some(pause) = PAUSE.take() {
                        pause.pass();
                    }
                }
            })
            .build();
        for queued in [false, true] {
            let leader = hold(&group, 1, || 7);
            let pause = Gate::new();
            let late = {
                let (group, pause) = (group.clone(), pause.clone());
                spawn(move || {
                    PAUSE.set(Some(pause));
                    let call = group.call(&1);
                    let call = if queued { call.fresh() } else { call };
                    call.timeout(SOON).run(|| unreachable!("another leads")).map(|landing| landing.value)
                })
            };
            until_waiting(&group, &1, 1);
            let passed = Instant::now() + SOON; // its deadline counts from when it boarded, which it has
            let newer = queued.then(|| {
                let group = group.clone();
                spawn(move || group.call(&1).fresh().run(|| Ok(2)).unwrap().value)
            });
            until_waiting(&group, &1, 1 + usize::from(queued));
            let value = leader.release();
            let value = newer.map_or(value, finish); // landed, and the late one still on its way to sleep
            until(|| Instant::now() > passed);
            pause.open();
            assert_eq!(finish(late), Ok(value));
        }
    });
}
