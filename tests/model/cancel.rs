//! `CancelToken` in every order of cancel, wait and birth of children.

use crate::harness::explore;
use flight_group::CancelToken;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;
use std::sync::Arc;
use std::time::Duration;

/// No wake-up is lost: a waiter that comes before, while or after the cancel ends with the cause.
#[test]
fn a_waiter_never_misses_the_cancel() {
    explore(|| {
        let token = CancelToken::new();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let token = token.clone();
                thread::spawn(move || token.wait().cause().to_string())
            })
            .collect();
        token.cancel("stop");
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), "stop");
        }
    });
}

/// A child born while its parent is being cancelled is cancelled: told by the parent, or born so.
#[test]
fn a_child_born_during_the_cancel_is_told() {
    explore(|| {
        let parent = CancelToken::new();
        let child = thread::spawn({
            let parent = parent.clone();
            move || {
                let grandchild = parent.child().child();
                grandchild.wait().to_string()
            }
        });
        parent.cancel("all");
        assert_eq!(child.join().unwrap(), "cancelled: all");
    });
}

/// Of several cancels exactly one wins, and everybody sees that one's cause.
#[test]
fn one_cancel_wins() {
    explore(|| {
        let token = CancelToken::new();
        let child = token.child();
        let won = Arc::new(AtomicUsize::new(0));
        let cancels: Vec<_> = (1..=2)
            .map(|i| {
                let (token, won) = (token.clone(), Arc::clone(&won));
                thread::spawn(move || {
                    if token.cancel(i.to_string()) {
                        assert_eq!(won.swap(i, Ordering::SeqCst), 0);
                    }
                })
            })
            .collect();
        let seen = child.wait().cause().to_string();
        cancels.into_iter().for_each(|cancel| cancel.join().unwrap());
        assert_eq!(seen, won.load(Ordering::SeqCst).to_string());
    });
}

/// A wait with a deadline ends either way, and a cancel that was complete before it wins over the timeout.
#[test]
fn a_wait_with_a_deadline_ends() {
    explore(|| {
        let token = CancelToken::new();
        let waiter = thread::spawn({
            let token = token.clone();
            move || token.wait_timeout(Duration::from_secs(1)).is_some()
        });
        token.cancel("stop");
        waiter.join().unwrap();
        assert!(token.wait_timeout(Duration::from_secs(1)).is_some());
    });
}
