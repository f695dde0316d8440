//! P5: whatever panics, no waiter hangs, the key works afterwards, and no other key is touched. (Panics in keys,
//! values, errors and observers: bombs.rs and observer.rs.)

use crate::support::{finish, hold, line_up, message, panic_of, try_hold, until_waiting, within};
use flight_group::{Error, Group, WriteGroup};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::thread::spawn;

/// A payload nobody else has.
#[derive(Debug, PartialEq)]
struct Own(u64);

#[test]
fn p5_the_leader_unwinds_with_its_own_payload_and_followers_are_told() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let leader = try_hold(&group, 1, move || panic!("row {} is gone", 12));
        let followers = line_up(&group, 1, 30, |group, _| group.try_work(&1, || Ok(1)));
        let payload = leader.release_caught().unwrap_err();
        assert_eq!(message(&*payload), "row 12 is gone");
        for follower in followers {
            match finish(follower) {
                Err(Error::Panicked(panic)) => {
                    assert_eq!(panic.message(), "row 12 is gone");
                    assert_eq!(panic.to_string(), "the work panicked: row 12 is gone");
                }
                other => panic!("a false success: {other:?}"),
            }
        }
        assert_eq!(group.try_work(&1, || Ok(2)), Ok(2), "the key works afterwards");
        assert_eq!(group.stats().panicked, 1);
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn p5_any_payload_arrives_whole_at_the_leader() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let writes: WriteGroup<u8, u32> = WriteGroup::new();
        for _ in 0..3 {
            let payload = catch_unwind(|| group.work(&1, || panic_any(Own(9)))).unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&Own(9)));
            let payload = catch_unwind(|| writes.write(&1, || resume_unwind(Box::new(Own(8))))).unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&Own(8)));
        }
        assert_eq!(group.work(&1, || 5) + writes.write(&1, || 6), 11);
    });
}

/// The verbs without an error type panic in the follower, with the words of the error, at the caller's own line.
#[test]
fn p5_followers_of_infallible_verbs_panic_with_the_words_of_the_error() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let leader = hold(&group, 1, || panic_any(Own(1)));
        let followers = line_up(&group, 1, 2, |group, _| panic_of(|| group.work(&1, || 1)).0);
        assert_eq!(leader.release_caught().unwrap_err().downcast_ref(), Some(&Own(1)));
        for follower in followers {
            assert_eq!(finish(follower), "the work panicked: a payload that is not a string");
        }
    });
}

/// A run that panics fails the callers it covers; those queued behind it have their own.
#[test]
fn p5_callers_queued_behind_a_panicking_run_are_not_touched() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let first = hold(&group, 1, || panic!("first"));
        let queued = line_up(&group, 1, 3, |group, i| group.try_write(&1, || Ok(i as u32)));
        assert_eq!(message(&*first.release_caught().unwrap_err()), "first");
        assert!(queued.into_iter().all(|caller| finish(caller) == Ok(2)));
    });
}

#[test]
fn p5_a_promoted_run_that_panics_fails_those_it_covers() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let first = hold(&group, 1, || 1);
        let covered = line_up(&group, 1, 2, |group, _| group.try_write(&1, || Ok(2)));
        let receiver = group.spawn(&1, || Ok(3));
        let newest = {
            let group = group.clone();
            spawn(move || group.try_write(&1, || panic_any("newest")))
        };
        until_waiting(&group, &1, 4);
        assert_eq!(first.release(), 1);
        assert_eq!(message(&*newest.join().unwrap_err()), "newest");
        for caller in covered {
            assert!(matches!(finish(caller), Err(Error::Panicked(panic)) if panic.message() == "newest"));
        }
        assert!(matches!(receiver.recv().unwrap(), Err(Error::Panicked(panic)) if panic.message() == "newest"));
        assert_eq!(group.try_write(&1, || Ok(4)), Ok(4));
    });
}

/// A spawned call's own panic arrives as a message: it has no thread to unwind on.
#[test]
fn p5_a_spawned_panic_arrives_at_every_receiver() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let gate = crate::support::Gate::new();
        let inside = gate.clone();
        let own = group.spawn(&1, move || {
            inside.pass();
            panic!("in the pool")
        });
        let other = group.spawn(&1, || Ok(1));
        let blocked = {
            let group = group.clone();
            spawn(move || group.try_work(&1, || Ok(2)))
        };
        until_waiting(&group, &1, 2);
        gate.open();
        for error in [own.recv().unwrap().unwrap_err(), other.recv().unwrap().unwrap_err()] {
            assert!(matches!(error, Error::Panicked(panic) if panic.message() == "in the pool"));
        }
        assert!(finish(blocked).unwrap_err().is_panicked());
        assert_eq!(group.try_work(&1, || Ok(3)), Ok(3));
    });
}

/// Other keys are in the air while one panics, in the same shard.
#[test]
fn p5_other_keys_are_not_touched() {
    within(|| {
        let group: Group<u8, u32> = Group::builder().shards(1).build();
        let other = hold(&group, 2, || 2);
        let follower = line_up(&group, 2, 1, |group, _| group.work(&2, || 0));
        for _ in 0..20 {
            let _ = catch_unwind(AssertUnwindSafe(|| group.work(&1, || resume_unwind(Box::new(())))));
        }
        assert_eq!(group.followers(&2), 1);
        assert_eq!(other.release(), 2);
        assert!(follower.into_iter().all(|follower| finish(follower) == 2));
    });
}

/// A follower that panics after its call (while unwinding it calls again) finds everything in order.
#[test]
fn p5_the_group_may_be_called_while_unwinding() {
    within(|| {
        struct CallsOnDrop(Group<u8, u32>);
        impl Drop for CallsOnDrop {
            fn drop(&mut self) {
                assert_eq!(self.0.work(&1, || 4), 4);
            }
        }
        let group: Group<u8, u32> = Group::new();
        let calls = CallsOnDrop(group.clone());
        let payload = catch_unwind(AssertUnwindSafe(|| {
            let _calls = calls;
            group.work(&1, || panic_any(Own(3)))
        }));
        assert_eq!(payload.unwrap_err().downcast_ref(), Some(&Own(3)));
        assert_eq!(group.stats().led, 2);
    });
}
