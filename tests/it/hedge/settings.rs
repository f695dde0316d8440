//! The budget, the percentile, and settings that are refused.

use super::{NEVER, SOON};
use crate::support::{panic_of, until, within};
use flight_group::Hedge;
use flight_group::hedge::{Job, Threads};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// retryctl: `test_zero_max_hedges_raises`. What makes no sense is refused by name, when it is set, and there.
#[test]
fn settings_that_make_no_sense_are_refused_when_they_are_set() {
    fn refused(set: impl FnOnce() -> Hedge) -> String {
        let (words, place) = panic_of(set);
        assert_eq!(place.file, file!());
        words
    }
    let share = "a budget's share of the calls must be between 0 and 1, got";
    let percentile = "a percentile must be above 0 and below 100, got";
    assert_eq!(refused(|| Hedge::new().max(0)), "a hedged call needs at least 1 attempt, got max(0)");
    assert_eq!(refused(|| Hedge::new().budget(-0.1, 1)), format!("{share} -0.1"));
    assert_eq!(refused(|| Hedge::new().budget(1.01, 1)), format!("{share} 1.01"));
    assert_eq!(refused(|| Hedge::new().budget(f64::NAN, 1)), format!("{share} NaN"));
    assert_eq!(refused(|| Hedge::new().percentile(0.0)), format!("{percentile} 0"));
    assert_eq!(refused(|| Hedge::new().percentile(100.0)), format!("{percentile} 100"));
    assert_eq!(refused(|| Hedge::new().percentile(f64::NAN)), format!("{percentile} NaN"));
    let hedge = Hedge::new().max(1).budget(0.0, 0).budget(1.0, 0).percentile(0.1);
    assert_eq!(hedge.run(|_| Ok::<_, String>(1)), Ok(1));
}

/// failsafe-go answers a denied hedge with a failed call; here the attempt that runs goes on.
#[test]
fn an_empty_budget_denies_extra_attempts_and_never_the_call() {
    within(|| {
        let hedge = Hedge::new().delay(SOON).max(3).budget(0.0, 1);
        let slow = |denials: u64| {
            let watched = hedge.clone();
            hedge.run(move |attempt| {
                if attempt.index() == 0 {
                    until(|| watched.stats().denied >= denials || attempt.token().is_cancelled());
                }
                Ok::<_, String>(attempt.index())
            })
        };
        assert_eq!(slow(u64::MAX).unwrap(), 1, "the minimum allows one");
        // Asked, denied, asked again after another delay.
        assert_eq!(slow(2).unwrap(), 0);
        let stats = hedge.stats();
        assert_eq!((stats.calls, stats.extra_attempts), (2, 1));
        assert!(stats.denied >= 2);
    });
}

#[test]
fn the_budget_holds_for_all_calls_and_clones_together() {
    within(|| {
        let hedge = Hedge::new().delay(NEVER).max(4).budget(0.1, 3);
        thread::scope(|s| {
            for _ in 0..4 {
                let hedge = hedge.clone();
                s.spawn(move || {
                    for _ in 0..50 {
                        hedge.run(|_| Err::<(), _>("down")).unwrap_err();
                    }
                });
            }
        });
        let stats = hedge.stats();
        assert_eq!(stats.calls, 200);
        assert!((20..=23).contains(&stats.extra_attempts), "{stats:?}");
    });
}

/// The fixed delay is never over; the observed percentile is what starts the second attempt.
#[test]
fn the_observed_percentile_shortens_the_delay() {
    within(|| {
        // A call is observed by the thread that makes its attempt: here, at first, so that 64 calls are 64 times.
        let (inline, threads) = (Arc::new(AtomicBool::new(true)), Threads::new(2));
        let here = Arc::clone(&inline);
        let hedge = Hedge::new()
            .delay(NEVER)
            .percentile(90.0)
            .executor(move |job| if here.load(Ordering::SeqCst) { job.run() } else { threads.execute(job) });
        for _ in 0..64 {
            hedge.run(|_| Ok::<_, String>(())).unwrap();
        }
        inline.store(false, Ordering::SeqCst);
        let reply = hedge.run(|attempt| {
            if attempt.index() == 0 {
                attempt.token().wait();
            }
            Ok::<_, String>(attempt.index())
        });
        assert_eq!(reply.unwrap(), 1);
    });
}

#[test]
fn a_refused_attempt_costs_no_budget() {
    within(|| {
        let threads = Threads::new(1);
        let hedge = Hedge::new().threads(&threads).delay(Duration::ZERO).max(2).budget(0.0, 1);
        let offered = hedge.clone();
        let reply = hedge.run(move |attempt| {
            until(|| offered.stats().extra_attempts == 1);
            Ok::<_, String>(attempt.index())
        });
        assert_eq!(reply.unwrap(), 0, "the extra attempt found no thread");
        // Paid back: another call can still make its own. It runs them itself, as the thread may not be idle yet.
        let error = hedge.executor(Job::run).run(|_| Err::<(), _>("down")).unwrap_err();
        assert_eq!(error.errors().len(), 2);
    });
}
