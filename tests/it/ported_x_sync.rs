//! What the tests of Go's `golang.org/x/sync/singleflight` assert, in our own words. (Its tests around
//! `runtime.Goexit` have no counterpart: a Rust thread ends by returning or unwinding.)

use crate::support::{Gate, Held, finish, hold, line_up, until_waiting, within};
use flight_group::{Error, Group};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// x/sync `TestDo`.
#[test]
fn a_lone_call_returns_what_its_work_returns() {
    within(|| {
        let group: Group<String, String> = Group::new();
        assert_eq!(group.work("key", || "bar".to_owned()), "bar");
    });
}

/// x/sync `TestDoErr`.
#[test]
fn a_lone_call_returns_its_works_error() {
    within(|| {
        let group: Group<String, String, &str> = Group::new();
        assert_eq!(group.try_work("key", || Err("some error")), Err(Error::Work("some error")));
    });
}

/// x/sync `TestDoDupSuppress`. There the number of runs is somewhere between one and ten; here all ten are known
/// to be aboard, and it is one.
#[test]
fn duplicates_are_suppressed() {
    within(|| {
        let group: Group<String, String> = Group::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let counter = runs.clone();
        let first = Held::start({
            let group = group.clone();
            move |stay| {
                group.work("key", || {
                    counter.fetch_add(1, SeqCst);
                    stay();
                    "bar".to_owned()
                })
            }
        });
        let counter = runs.clone();
        let others = line_up(&group, "key".to_owned(), 9, move |group, _| {
            group.work("key", || {
                counter.fetch_add(1, SeqCst);
                "not bar".to_owned()
            })
        });
        assert_eq!(first.release(), "bar");
        assert!(others.into_iter().all(|caller| finish(caller) == "bar"));
        assert_eq!(runs.load(SeqCst), 1);
    });
}

/// x/sync `TestForget`, for golang/go#31420: the third call shares the second's flight, although the first, which
/// was forgotten, lands in between.
#[test]
fn a_forgotten_flight_does_not_disturb_its_successor() {
    within(|| {
        let group: Group<String, u32> = Group::new();
        let first = hold(&group, "key".to_owned(), || 1);
        group.forget("key");
        let unblock = Gate::new();
        let inside = unblock.clone();
        let second = group.spawn("key", move || {
            inside.pass();
            Ok(2)
        });
        assert_eq!(first.release(), 1);
        let third = group.spawn("key", || Ok(3));
        unblock.open();
        assert_eq!(second.recv().unwrap().unwrap().value, 2);
        assert_eq!(third.recv().unwrap().unwrap().value, 2);
    });
}

/// x/sync `TestDoChan`.
#[test]
fn a_spawned_call_delivers_through_its_receiver() {
    within(|| {
        let group: Group<String, String> = Group::new();
        let receiver = group.spawn("key", || Ok("bar".to_owned()));
        assert_eq!(receiver.recv().unwrap().unwrap().value, "bar");
        assert!(receiver.recv().is_err(), "one message, and the channel is closed");
    });
}

/// x/sync `TestPanicDo`, for golang/go#41133: all five callers hear of the panic. (There each panics; here the
/// leader does, and the followers get an error, or panic if their verb has none.)
#[test]
fn a_panic_reaches_every_caller() {
    within(|| {
        let group: Group<String, u32> = Group::new();
        let leader = hold(&group, "key".to_owned(), || panic!("invalid memory address or nil pointer dereference"));
        let followers = line_up(&group, "key".to_owned(), 4, |group, _| group.work("key", || 0));
        assert!(leader.release_caught().is_err());
        for follower in followers {
            let payload = follower.join().unwrap_err();
            assert!(crate::support::message(&*payload).contains("nil pointer dereference"));
        }
    });
}

/// x/sync `TestPanicDoChan` and `TestPanicDoSharedByDoChan` demand that the process dies, since a panicking
/// goroutine cannot be caught by anybody. A Rust thread's panic can: the receiver hears of it, and the process
/// lives.
#[test]
fn a_panic_reaches_a_receiver() {
    within(|| {
        let group: Group<String, u32> = Group::new();
        let receiver = group.spawn("", || panic!("Panicking in DoChan"));
        assert!(
            matches!(receiver.recv().unwrap(), Err(Error::Panicked(panic)) if panic.message() == "Panicking in DoChan")
        );

        let leader = hold(&group, "".to_owned(), || panic!("Panicking in Do"));
        let receiver = group.spawn("", || panic!("unexpectedly executed"));
        until_waiting(&group, &String::new(), 1);
        assert!(leader.release_caught().is_err());
        assert!(
            matches!(receiver.recv().unwrap(), Err(Error::Panicked(panic)) if panic.message() == "Panicking in Do")
        );
    });
}
