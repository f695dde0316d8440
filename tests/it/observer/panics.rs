//! P5: an observer that panics strands nobody, whichever event it panics at.

use super::*;

/// An observer that panics, at its first event of one kind.
fn trapped(kind: &'static str) -> (flight_group::GroupBuilder<u8, u32, String>, Arc<AtomicBool>) {
    keep_quiet_about(&[
        "trapped at Expired",
        "trapped at Followed",
        "trapped at Forgotten",
        "trapped at Joined",
        "trapped at Landed",
        "trapped at Led",
        "trapped at Overloaded",
        "trapped at Superseded",
        "trapped at TakenOver",
        "trapped at TimedOut",
    ]);
    let sprung = Arc::new(AtomicBool::new(false));
    let trap = sprung.clone();
    let builder = Group::builder().observer(move |event| {
        if format!("{:?}", event.kind).starts_with(kind) && !trap.swap(true, SeqCst) {
            panic!("trapped at {kind}");
        }
    });
    (builder, sprung)
}

fn assert_trapped<T>(result: std::thread::Result<T>) {
    let payload = result.err().expect("the observer's panic unwinds in this call");
    assert!(message(&*payload).starts_with("trapped at "));
}

#[test]
fn p5_a_panic_at_led_lands_the_flight_unrun() {
    within(|| {
        let (builder, sprung) = trapped("Led");
        let group = builder.build();
        assert_trapped(catch_unwind(AssertUnwindSafe(|| group.try_work(&1, || unreachable!()))));
        assert!(sprung.load(SeqCst));
        assert_eq!((group.in_flight(), group.stats().abandoned), (0, 1));
        assert_eq!(group.try_work(&1, || Ok(2)), Ok(2));
    });
}

#[test]
fn p5_a_panic_at_landed_unwinds_in_the_leader_only() {
    within(|| {
        let group = trapped("Landed").0.build();
        let leader = hold_call(&group, 1, || Ok(1));
        let followers = line_up(&group, 1, 3, |group, _| group.try_work(&1, || Ok(2)));
        assert_trapped(leader.release_caught());
        assert!(followers.into_iter().all(|follower| finish(follower) == Ok(1)));
        assert_eq!(group.in_flight(), 0);
    });
}

/// The work's own panic goes before the observer's.
#[test]
fn p5_a_panic_at_landed_does_not_replace_the_works_own() {
    within(|| {
        let group = trapped("Landed").0.build();
        let payload = catch_unwind(AssertUnwindSafe(|| group.try_work(&1, || panic!("own")))).unwrap_err();
        assert_eq!(message(&*payload), "own");
    });
}

#[test]
fn p5_a_panic_at_joined_followed_or_timed_out_unwinds_in_that_follower_only() {
    within(|| {
        for kind in ["Joined", "Followed", "TimedOut"] {
            let (builder, sprung) = trapped(kind);
            let group = builder.build();
            let leader = hold_call(&group, 1, || Ok(1));
            let call = {
                let group = group.clone();
                move || {
                    catch_unwind(AssertUnwindSafe(|| match kind {
                        "TimedOut" => group.call(&1).timeout(SOON).run(|| Ok(2)).map(|landing| landing.value),
                        _ => group.try_work(&1, || Ok(2)),
                    }))
                }
            };
            let first = spawn(call);
            until(|| sprung.load(SeqCst) || (kind == "Followed" && group.followers(&1) == 1));
            let n = group.followers(&1);
            let second = {
                let group = group.clone();
                spawn(move || group.try_work(&1, || Ok(2)))
            };
            until(|| group.stats().joined == 2);
            let _ = n;
            assert_eq!(leader.release().unwrap().value, 1);
            // One of the two followers springs the trap.
            let first = finish(first);
            match second.join() {
                Ok(result) => {
                    assert_eq!(result, Ok(1));
                    assert_trapped(first);
                }
                Err(payload) => {
                    assert_trapped::<()>(Err(payload));
                    assert_eq!(first.unwrap(), Ok(1));
                }
            }
            assert_eq!((group.in_flight(), group.followers(&1)), (0, 0));
        }
    });
}

#[test]
fn p5_a_panic_at_forgotten_or_overloaded_leaves_order() {
    within(|| {
        let group = trapped("Forgotten").0.build();
        let old = hold_call(&group, 1, || Ok(1));
        let fresh = line_up(&group, 1, 2, |group, i| group.call(&1).fresh().run(|| Ok(i as u32)));
        assert_trapped(catch_unwind(AssertUnwindSafe(|| group.forget(&1))));
        assert!(fresh.into_iter().all(|caller| finish(caller).unwrap().value == 1), "they went into the air");
        old.release().unwrap();

        let group = trapped("Overloaded").0.max_followers(0).build();
        let leader = hold_call(&group, 1, || Ok(1));
        assert_trapped(catch_unwind(AssertUnwindSafe(|| group.try_work(&1, || Ok(2)))));
        leader.release().unwrap();
        assert_eq!(group.try_work(&1, || Ok(2)), Ok(2));

        let group = trapped("Overloaded").0.max_followers(0).build();
        let leader = hold_call(&group, 1, || Ok(1));
        assert_trapped(catch_unwind(AssertUnwindSafe(|| group.spawn(&1, || Ok(2)))));
        leader.release().unwrap();
        assert_eq!(group.try_work(&1, || Ok(2)), Ok(2));
    });
}

/// The call that finds a flight too old leads the next: if telling of it panics, that one is landed unrun.
#[test]
fn p5_a_panic_at_expired_leaves_the_key_working() {
    within(|| {
        let group = trapped("Expired").0.max_age(Duration::ZERO).build();
        let old = hold_call(&group, 1, || Ok(1));
        assert_trapped(catch_unwind(AssertUnwindSafe(|| group.try_work(&1, || Ok(2)))));
        assert_eq!(group.in_flight(), 0);
        assert_eq!(group.try_work(&1, || Ok(3)), Ok(3));
        old.release().unwrap();
    });
}

/// The same for a spawned call.
#[test]
fn p5_a_panic_at_expired_in_spawn_leaves_the_key_working() {
    within(|| {
        let group = trapped("Expired").0.max_age(Duration::from_millis(30)).build();
        let old = hold_call(&group, 1, || Ok(1));
        until(|| group.flights()[0].age.unwrap() > Duration::from_millis(30));
        let spawned = catch_unwind(AssertUnwindSafe(|| group.spawn(&1, || Ok(2))));
        if let Ok(receiver) = spawned {
            drop(receiver.recv().unwrap()); // it need not unwind here; but whoever has a receiver hears
        }
        until(|| group.in_flight() == 0);
        assert_eq!(group.try_work(&1, || Ok(3)), Ok(3));
        old.release().unwrap();
    });
}

/// Whoever finds the flight too old leads the queued one. If its observer panics, those who queued board again.
#[test]
fn p5_a_panic_at_expired_strands_nobody_who_queued() {
    within(|| {
        for spawned in [false, true] {
            let group = trapped("Expired").0.max_age(Duration::from_millis(30)).build();
            let old = hold_call(&group, 1, || Ok(1));
            let fresh = line_up(&group, 1, 2, |group, i| group.call(&1).fresh().run(|| Ok(i as u32)));
            until(|| group.flights()[0].age.unwrap() > Duration::from_millis(30));
            let finder = catch_unwind(AssertUnwindSafe(|| {
                if spawned { drop(group.spawn(&1, || Ok(9))) } else { drop(group.try_work(&1, || Ok(9))) }
            }));
            drop(finder);
            for caller in fresh {
                assert!([0, 1, 9].contains(&finish(caller).unwrap().value));
            }
            old.release().unwrap();
            until(|| group.in_flight() == 0);
        }
    });
}

#[test]
fn p5_a_panic_at_taken_over_or_superseded_leaves_order() {
    within(|| {
        let group = trapped("TakenOver").0.build();
        let stuck = hold_call(&group, 1, || Ok(1));
        let other = line_up(&group, 1, 1, |group, _| group.try_work(&1, || Ok(5)));
        assert_trapped(catch_unwind(AssertUnwindSafe(|| group.call(&1).takeover_after(SOON).run(|| Ok(2)))));
        assert_eq!(group.try_work(&1, || Ok(3)), Ok(3));
        stuck.release().unwrap();
        assert!(other.into_iter().all(|other| finish(other) == Ok(1)));

        // A fresh call that takes over is promoted, and must not be lost if the observer panics then.
        let group = trapped("TakenOver").0.build();
        let stuck = hold_call(&group, 1, || Ok(1));
        let fresh = {
            let group = group.clone();
            spawn(move || {
                let call = || group.call(&1).fresh().takeover_after(SOON * 4).run(|| Ok(2));
                catch_unwind(AssertUnwindSafe(call))
            })
        };
        until(|| group.stats().joined > 0 || fresh.is_finished());
        let follower = {
            let group = group.clone();
            spawn(move || group.call(&1).fresh().run(|| Ok(3)))
        };
        until(|| group.stats().taken_over == 1);
        drop(finish(fresh));
        assert!([2, 3].contains(&finish(follower).unwrap().value));
        stuck.release().unwrap();
        assert_eq!(group.in_flight(), 0);

        let group = trapped("Superseded").0.build();
        let leader = hold_call(&group, 1, || Ok(1));
        let fresh = line_up(&group, 1, 3, |group, i| {
            catch_unwind(AssertUnwindSafe(|| group.call(&1).fresh().run(|| Ok(i as u32)).unwrap().value))
        });
        leader.release().unwrap();
        let ends: Vec<_> = fresh.into_iter().map(finish).collect();
        assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 1, "one superseded caller");
        assert!(ends.iter().flatten().all(|value| *value == 2));
    });
}

/// A spawned flight's observer panics on the executor's thread: nobody unwinds there, everybody is served.
#[test]
fn p5_a_panic_on_the_executors_thread_reaches_the_receivers_or_nobody() {
    within(|| {
        let group = trapped("Led").0.build();
        let receiver = group.spawn(&1, || Ok(1));
        let error = receiver.recv().unwrap().unwrap_err();
        assert!(matches!(error, Error::Panicked(panic) if panic.message() == "trapped at Led"));
        // Whoever follows it still has a closure.
        let (jobs, queue) = crossbeam_channel::unbounded::<flight_group::Job>();
        let group = trapped("Led").0.executor(move |job| jobs.send(job).unwrap()).build();
        let own = group.spawn(&1, || unreachable!("its observer panicked before it ran"));
        let followers = line_up(&group, 1, 2, |group, _| group.try_work(&1, || Ok(2)));
        queue.recv().unwrap().run();
        assert!(own.recv().unwrap().unwrap_err().is_panicked());
        assert!(followers.into_iter().all(|follower| finish(follower) == Ok(2)));
        let group = trapped("Landed").0.build();
        assert_eq!(group.spawn(&1, || Ok(1)).recv().unwrap().unwrap().value, 1);
        until(|| group.in_flight() == 0);
        assert_eq!(group.try_work(&1, || Ok(2)), Ok(2));
    });
}

/// A write's observer panics while others are queued behind it.
#[test]
fn p5_a_captain_whose_observer_panics_leaves_its_run_to_the_others() {
    within(|| {
        for kind in ["Joined", "Led"] {
            let sprung = Arc::new(AtomicU64::new(0));
            let count = sprung.clone();
            let writes: WriteGroup<u8, u32> = WriteGroup::builder()
                .observer(move |event| {
                    // At the second of its kind: "Led" then is the promoted captain's.
                    if format!("{:?}", event.kind).starts_with(kind) && count.fetch_add(1, SeqCst) == 1 {
                        panic!("trapped at {kind}");
                    }
                })
                .build();
            let first = hold(&writes, 1, || 1);
            let queued: Vec<_> = (0..4)
                .map(|i| {
                    let joined = writes.stats().joined;
                    let own = writes.clone();
                    let caller = spawn(move || catch_unwind(AssertUnwindSafe(|| own.write(&1, || 10 + i))));
                    until(|| writes.stats().joined > joined);
                    caller
                })
                .collect();
            first.release();
            let ends: Vec<_> = queued.into_iter().map(finish).collect();
            assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 1, "{kind}: in one call");
            assert!(ends.into_iter().flatten().all(|value| value >= 10), "{kind}: covered by a later run");
            assert_eq!(writes.in_flight(), 0);
            until_waiting(&writes, &1, 0);
        }
    });
}
