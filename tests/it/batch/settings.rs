//! The builder, windows and limits, handles and what they are made of.

use super::{Act, Gated, HANG};
use crate::support::{until, within};
use flight_group::{BatchCall, BatchStats, Batcher, BatcherBuilder, Error};
use std::cell::Cell;
use std::fmt::Debug;
use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_batch_never_has_more_keys_than_max_batch() {
    within(|| {
        let gated = Gated::with(|builder| builder.max_batch(2));
        let first = gated.spawn(1);
        gated.started();
        let queued: Vec<_> = [2, 3, 4, 3, 2, 5, 6].map(|key| (key, gated.queue(key))).into();
        for expected in [&[2, 3][..], &[4, 5], &[6]] {
            gated.tell(Act::Answer);
            assert_eq!(gated.started().0, expected);
        }
        gated.tell(Act::Answer);
        assert_eq!(first.join().unwrap(), Ok(10));
        for (key, thread) in queued {
            assert_eq!(thread.join().unwrap(), Ok(key * 10));
        }
        assert_eq!(gated.batcher.stats().largest, 2);
        gated.assert_idle();
    });
}

#[test]
fn a_window_holds_the_first_key_back_for_company() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(Duration::from_secs(1)));
        let queued = [1, 2, 1].map(|key| gated.queue(key));
        assert!(gated.started.is_empty(), "the window is open");
        assert_eq!(gated.started().0, [1, 2]);
        gated.tell(Act::Answer);
        assert_eq!(queued.map(|thread| thread.join().unwrap()), [Ok(10), Ok(20), Ok(10)]);
    });
}

#[test]
fn a_full_batch_does_not_wait_for_its_window() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(HOUR).max_batch(3));
        let queued = [1, 2].map(|key| gated.queue(key));
        let last = gated.spawn(3);
        let (keys, leader) = gated.started();
        assert_eq!((keys, leader), (vec![1, 2, 3], last.thread().id()), "led by the one that made it full");
        // While it runs, the next one gathers; being full, it starts as soon as the first has landed.
        let next = [4, 5, 6].map(|key| gated.queue(key));
        let after = gated.queue(7);
        gated.tell(Act::Answer);
        assert_eq!(gated.started().0, [4, 5, 6]);
        gated.tell(Act::Answer);
        assert_eq!(queued.map(|thread| thread.join().unwrap()), [Ok(10), Ok(20)]);
        assert_eq!(last.join().unwrap(), Ok(30));
        assert_eq!(next.map(|thread| thread.join().unwrap()), [Ok(40), Ok(50), Ok(60)]);
        // 7 waits for company, with nothing running.
        assert_eq!((gated.batcher.waiting(), gated.batcher.queued()), (1, 1));
        let more = gated.queue(8);
        let last = gated.spawn(9);
        assert_eq!(gated.started().0, [7, 8, 9]);
        gated.tell(Act::Answer);
        assert_eq!([after, more, last].map(|thread| thread.join().unwrap()), [Ok(70), Ok(80), Ok(90)]);
    });
}

#[test]
fn a_batch_of_one_needs_no_window() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(HOUR).max_batch(1));
        gated.assert_idle();
    });
}

#[test]
fn who_keeps_a_window_hands_it_over_when_it_gives_up() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(Duration::from_secs(1)));
        let batcher = gated.batcher.clone();
        let keeper = thread::spawn(move || batcher.call(&1).timeout(Duration::from_millis(200)).load());
        until(|| gated.batcher.waiting() == 1);
        let others = [2, 3].map(|key| gated.queue(key));
        assert_eq!(keeper.join().unwrap(), Err(Error::timed_out()));
        let (mut keys, _) = gated.started();
        keys.sort_unstable();
        assert_eq!(keys, [2, 3]);
        gated.tell(Act::Answer);
        assert_eq!(others.map(|thread| thread.join().unwrap()), [Ok(20), Ok(30)]);
    });
}

#[test]
fn a_lone_keeper_that_gives_up_leaves_nothing_behind() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(HOUR).max_batch(2));
        assert_eq!(gated.batcher.call(&1).timeout(Duration::from_millis(1)).load(), Err(Error::timed_out()));
        assert_eq!((gated.batcher.waiting(), gated.batcher.queued()), (0, 0));
        let two = gated.queue(2);
        let three = gated.spawn(3);
        assert_eq!(gated.started().0, [2, 3]);
        gated.tell(Act::Answer);
        assert_eq!((two.join().unwrap(), three.join().unwrap()), (Ok(20), Ok(30)));
    });
}

/// The window goes on while another batch runs; when both are over the batch starts.
#[test]
fn a_window_that_closed_meanwhile_holds_nobody_back() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(Duration::from_millis(1)));
        let first = gated.spawn(1);
        gated.started();
        let second = gated.queue(2);
        let third = gated.queue(3);
        // The first runs for much longer than the window: the second batch still has one running before it.
        let waited = std::time::Instant::now();
        until(|| waited.elapsed() > Duration::from_millis(20));
        assert!(gated.started.is_empty(), "two batches at once");
        gated.tell(Act::Answer);
        let (keys, _) = gated.started();
        assert_eq!(keys, [2, 3]);
        gated.tell(Act::Answer);
        assert_eq!([first, second, third].map(|thread| thread.join().unwrap()), [Ok(10), Ok(20), Ok(30)]);
    });
}

#[test]
fn bad_settings_are_named() {
    fn message(set: impl FnOnce() + UnwindSafe) -> String {
        let payload = catch_unwind(set).unwrap_err();
        payload.downcast_ref::<String>().cloned().unwrap_or_else(|| (*payload.downcast_ref::<&str>().unwrap()).into())
    }
    let builder = Batcher::<u32, u32>::builder;
    assert_eq!(message(|| drop(builder().max_batch(0))), "max_batch of 0: expected at least 1 key in a batch");
    assert_eq!(
        message(|| drop(builder().window(HOUR + Duration::from_secs(1)))),
        "window of 3601s: expected at most 3600s"
    );
    drop(builder().max_batch(1).window(HOUR).window(Duration::ZERO));
}

#[test]
fn handles_share_one_batcher_and_the_last_one_drops_the_function() {
    within(|| {
        let held = Arc::new(());
        let in_function = Arc::clone(&held);
        let batcher: Batcher<u32, usize> = Batcher::new(move |keys: &[u32]| {
            Ok(keys.iter().map(|&key| (key, Arc::strong_count(&in_function))).collect())
        });
        let other = batcher.clone();
        assert_eq!((batcher.load(&1), other.load(&1)), (Ok(2), Ok(2)));
        assert_eq!(other.stats(), batcher.stats());
        assert_eq!(other.stats().loads, 2);
        drop(batcher);
        assert_eq!(Arc::strong_count(&held), 2);
        drop(other);
        assert_eq!(Arc::strong_count(&held), 1);
    });
}

/// What callers share lives no longer than they do.
#[test]
fn values_and_keys_are_gone_when_their_callers_are() {
    within(|| {
        let alive = Arc::new(());
        let made = Arc::clone(&alive);
        let (tell, started) = crossbeam_channel::unbounded();
        let (go, may_go) = crossbeam_channel::unbounded::<()>();
        let batcher: Batcher<u32, Arc<()>> = Batcher::new(move |keys: &[u32]| {
            tell.send(()).unwrap();
            may_go.recv_timeout(HANG).unwrap();
            Ok(keys.iter().map(|&key| (key, Arc::clone(&made))).collect())
        });
        let mut threads = vec![];
        for n in 0..4 {
            let batcher_ = batcher.clone();
            threads.push(thread::spawn(move || drop(batcher_.load(&n).unwrap())));
            if n == 0 {
                started.recv_timeout(HANG).unwrap();
            }
            until(|| batcher.waiting() == n as usize);
        }
        go.send(()).unwrap();
        go.send(()).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(Arc::strong_count(&alive), 2, "this one and the function's");
    });
}

#[test]
fn debug_says_what_goes_on() {
    within(|| {
        let gated = Gated::with(|builder| builder.name("users"));
        assert_eq!(
            format!("{:?}", gated.batcher),
            "Batcher { name: Some(\"users\"), running: None, queued: 0, waiting: 0, .. }"
        );
        let first = gated.spawn(1);
        gated.started();
        let second = gated.queue(2);
        assert_eq!(
            format!("{:?}", gated.batcher.call(&3)),
            "BatchCall { batcher: Batcher { name: Some(\"users\"), running: Some(1), queued: 1, waiting: 1, .. }, .. }"
        );
        gated.tell(Act::Answer);
        gated.tell(Act::Answer);
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (Ok(10), Ok(20)));
        let builder: BatcherBuilder<u32, u32, ()> = Batcher::builder().max_batch(7);
        assert_eq!(format!("{builder:?}"), "BatcherBuilder { name: None, max_batch: 7, window: None }");
    });
}

/// A type that is neither `Send` nor `Sync`, and one that is `Send` only.
type Neither = *const u8;
type SendOnly = Cell<u8>;

/// What is stuck, since when, and who waits: one batch at a time, with a number of its own.
#[test]
fn flights_shows_the_batch_in_the_air() {
    within(|| {
        for timed in [false, true] {
            let gated = Gated::with(|builder| if timed { builder.timed() } else { builder });
            assert_eq!(gated.batcher.flights(), []);
            let first = gated.spawn(1);
            gated.started();
            let alone = gated.batcher.flights();
            assert_eq!((alone.len(), alone[0].followers, alone[0].running), (1, 0, true));
            assert_eq!(alone[0].age.is_some(), timed, "who asked for nothing pays for no clock");

            let (two, three) = (gated.queue(2), gated.queue(3));
            let stuck = gated.batcher.flights();
            assert_eq!((stuck.len(), stuck[0].followers), (1, 2), "the batch that waits is no flight yet");
            assert_eq!(stuck[0].flight, alone[0].flight);

            gated.tell(Act::Answer);
            gated.started();
            let next = gated.batcher.flights();
            assert_eq!((next.len(), next[0].followers), (1, 1), "all but the leader");
            assert!(next[0].age.is_some());
            assert_ne!(next[0].flight, alone[0].flight);
            gated.tell(Act::Panic("x"));
            for thread in [first, two, three] {
                drop(thread.join()); // one of them unwound
            }
            assert_eq!(gated.batcher.flights(), []);
        }
    });
}

/// A batch that its leader's window holds back is no flight yet.
#[test]
fn a_batch_that_waits_for_its_window_is_no_flight() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(HOUR).max_batch(2).timed());
        let first = gated.queue(1);
        assert_eq!(gated.batcher.flights(), []);
        let second = gated.spawn(2);
        gated.started();
        assert_eq!(gated.batcher.flights().len(), 1);
        gated.tell(Act::Answer);
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (Ok(10), Ok(20)));
    });
}

#[test]
fn auto_traits_are_what_they_are() {
    fn everything<T: Send + Sync + UnwindSafe + RefUnwindSafe + Unpin + Debug>() {}
    fn unwinds<T: UnwindSafe + RefUnwindSafe>() {}
    everything::<Batcher<String, u32, String>>();
    everything::<BatcherBuilder<Neither, Neither, Neither>>();
    everything::<BatchStats>();
    everything::<BatchCall<'_, String, u32, String, str>>();
    unwinds::<Batcher<Neither, Neither, Neither>>();
    fn clones<T: Clone>() {}
    clones::<Batcher<Neither, SendOnly, Neither>>();

    // What a key, a value or an error may not do, the batcher may not either.
    macro_rules! is_not {
        ($ty:ty: $bound:ident) => {{
            // Ambiguous, and so no program, if `$ty: $bound`.
            trait Ambiguous<A> {
                fn some_item() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Invalid;
            impl<T: ?Sized + $bound> Ambiguous<Invalid> for T {}
            <$ty as Ambiguous<_>>::some_item();
        }};
    }
    is_not!(Batcher<SendOnly, u32, u32>: Sync);
    is_not!(Batcher<SendOnly, u32, u32>: Send);
    is_not!(Batcher<u32, SendOnly, u32>: Sync);
    is_not!(Batcher<u32, SendOnly, u32>: Send);
    is_not!(Batcher<u32, u32, SendOnly>: Sync);
    is_not!(Batcher<u32, u32, SendOnly>: Send);
}
