//! `CancelToken`: the first cause stays, everybody is told, and nothing is left behind.

use crate::support::{until, within};
use flight_group::{CancelToken, Cancelled};
use std::error::Error;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn auto_traits_are_pinned() {
    fn is<T: Send + Sync + UnwindSafe + RefUnwindSafe + Unpin + Clone + fmt::Debug + 'static>() {}
    is::<CancelToken>();
    is::<Cancelled>();
    assert_eq!(size_of::<CancelToken>(), size_of::<usize>());
    assert_eq!(format!("{:?}", CancelToken::default()), "CancelToken { cause: None }");
    let token = CancelToken::new();
    token.cancel("stop");
    assert_eq!(format!("{token:?}"), r#"CancelToken { cause: Some("stop") }"#);
}

#[test]
fn every_waiter_is_woken_with_the_one_cause() {
    within(|| {
        let token = CancelToken::new();
        let asleep = Arc::new(AtomicUsize::new(0));
        let waiters: Vec<_> = (0..6)
            .map(|i| {
                let token = if i % 2 == 0 { token.clone() } else { token.child() };
                let asleep = Arc::clone(&asleep);
                thread::spawn(move || {
                    asleep.fetch_add(1, Ordering::SeqCst);
                    match i % 3 {
                        0 => token.wait(),
                        1 => token.wait_timeout(Duration::MAX).unwrap(),
                        _ => token.wait_deadline(Instant::now() + Duration::from_secs(3600)).unwrap(),
                    }
                })
            })
            .collect();
        until(|| asleep.load(Ordering::SeqCst) == 6);
        assert!(token.cancel("enough"));
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap().to_string(), "cancelled: enough");
        }
    });
}

/// go's context: `TestCause`, "the first cancel wins".
#[test]
fn the_first_of_many_cancels_wins_and_says_so() {
    within(|| {
        for _ in 0..200 {
            let token = CancelToken::new();
            let winners: Vec<usize> = thread::scope(|s| {
                let calls: Vec<_> = (0..3)
                    .map(|i| {
                        (
                            i,
                            s.spawn({
                                let token = &token;
                                move || token.cancel(i.to_string())
                            }),
                        )
                    })
                    .collect();
                calls.into_iter().filter_map(|(i, call)| call.join().unwrap().then_some(i)).collect()
            });
            assert_eq!(winners.len(), 1);
            assert_eq!(token.cause().unwrap().to_string(), winners[0].to_string());
        }
    });
}

/// go's context: `TestCause`, the parent's cause reaches the child, the child's own cause stays its own.
#[test]
fn a_parents_cause_reaches_the_children_that_have_none() {
    let root = CancelToken::new();
    let (a, b) = (root.child(), root.child());
    let grandchild = b.child();
    a.cancel("a's own");
    root.cancel("the root's");
    assert_eq!(a.cause().unwrap().to_string(), "a's own");
    assert_eq!(b.cause().unwrap().to_string(), "the root's");
    assert_eq!(grandchild.cause().unwrap().to_string(), "the root's");
    assert!(!grandchild.cancel("late"));
}

#[test]
fn a_token_nobody_holds_passes_its_parents_cancel_on() {
    let root = CancelToken::new();
    let middle = root.child();
    let leaf = middle.child();
    drop(middle);
    root.cancel("all of you");
    assert_eq!(leaf.check().unwrap_err().cause().to_string(), "all of you");
}

#[test]
fn a_child_outlives_its_parent() {
    let root = CancelToken::new();
    let child = root.child();
    drop(root);
    assert!(!child.is_cancelled());
    assert!(child.cancel("alone"));
}

/// go's context: `TestLayersCancel`; deeper than any stack would bear.
#[test]
fn a_hundred_thousand_generations_are_cancelled_and_dropped_without_recursion() {
    let root = CancelToken::new();
    let mut last = root.child();
    for _ in 0..100_000 {
        last = last.child();
    }
    root.cancel("deep");
    assert_eq!(last.cause().unwrap().to_string(), "deep");
}

/// go's context: `TestRemoveChildren` (a finished child does not stay in its parent).
#[test]
fn a_long_lived_parent_forgets_its_dead_children() {
    struct Counted(#[expect(dead_code, reason = "counted by its references")] Arc<()>);
    impl fmt::Debug for Counted {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("counted")
        }
    }
    impl fmt::Display for Counted {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("counted")
        }
    }
    impl Error for Counted {}

    let alive = Arc::new(());
    let root = CancelToken::new();
    for _ in 0..1_000 {
        let child = root.child();
        child.cancel(Counted(Arc::clone(&alive)));
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(child);
        assert_eq!(Arc::strong_count(&alive), 1, "a dropped token drops its cause");
    }
    let kept: Vec<_> = (0..100).map(|_| root.child()).collect();
    root.cancel("now");
    assert!(kept.iter().all(CancelToken::is_cancelled), "the sweep takes the dead only");
}

#[test]
fn a_timeout_leaves_the_token_alone_and_zero_does_not_block() {
    let token = CancelToken::new();
    assert!(token.wait_timeout(Duration::ZERO).is_none());
    assert!(token.wait_timeout(Duration::from_millis(1)).is_none());
    assert!(token.wait_deadline(Instant::now()).is_none());
    assert!(!token.is_cancelled());
    token.cancel("x");
    assert!(token.wait_timeout(Duration::ZERO).is_some(), "a cancel that is there wins");
    assert!(token.wait_deadline(Instant::now() - Duration::from_millis(1)).is_some());
}

#[test]
fn the_cause_can_be_taken_for_what_it_is_and_its_words_are_said_once() {
    let token = CancelToken::new();
    token.cancel(std::io::Error::from(std::io::ErrorKind::NotFound));
    let error = token.check().unwrap_err();
    assert!(error.cause().downcast_ref::<std::io::Error>().is_some());
    assert_eq!(error.to_string(), format!("cancelled: {}", error.cause()));
    assert!(error.source().is_none(), "the message holds the cause's: the chain goes on with the cause's own source");
    assert!(error.cause().downcast_ref::<fmt::Error>().is_none());
}

/// A cause whose `Drop` panics harms whoever drops it last, and nobody who waits.
#[test]
fn a_cause_that_panics_when_dropped_strands_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !thread::panicking() {
                panic!("boom in drop");
            }
        }
    }
    impl fmt::Debug for Bomb {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bomb")
        }
    }
    impl fmt::Display for Bomb {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bomb")
        }
    }
    impl Error for Bomb {}

    within(|| {
        let token = CancelToken::new();
        let waiter = thread::spawn({
            let token = token.clone();
            move || token.wait().to_string()
        });
        let late = token.child();
        assert!(token.cancel("first"));
        let refused = catch_unwind({
            let token = token.clone();
            move || token.cancel(Bomb)
        });
        assert!(refused.is_err(), "the refused cause is dropped by the call that brought it");
        assert_eq!(waiter.join().unwrap(), "cancelled: first");
        assert!(late.is_cancelled() && token.child().is_cancelled(), "the token still works");
    });
}
