//! On which threads attempts run: `Threads`, and executors of the program.

use super::{Gate, NEVER, SOON};
use crate::support::{until, within};
use flight_group::hedge::{Attempt, Job, Threads};
use flight_group::{Error, Hedge};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

#[test]
fn threads_are_bounded_and_a_full_set_makes_calls_unhedged_on_their_own_thread() {
    within(|| {
        let threads = Threads::new(2);
        let hedge = Hedge::new().threads(&threads).delay(Duration::ZERO).max(3);
        let seen = Arc::new(Mutex::new(HashSet::new()));
        let callers: HashSet<_> = thread::scope(|s| {
            let callers: Vec<_> = (0..8)
                .map(|_| {
                    s.spawn(|| {
                        for i in 0..50 {
                            let seen = Arc::clone(&seen);
                            let reply = hedge.run(move |_| {
                                seen.lock().unwrap().insert(thread::current().id());
                                Ok::<_, String>(i)
                            });
                            assert_eq!(reply.unwrap(), i);
                            assert!(threads.alive() <= 2);
                        }
                        thread::current().id()
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        let seen = seen.lock().unwrap();
        assert!(seen.difference(&callers).count() <= 2);
    });
}

/// A set of one thread, whose only thread makes a hedged call: a queue would wait for itself for ever.
#[test]
fn hedged_calls_nest_on_the_smallest_set_of_threads() {
    within(|| {
        let hedge = Hedge::new().threads(&Threads::new(1)).delay(NEVER).max(2);
        let inner = hedge.clone();
        let reply = hedge.run(move |_| {
            let deeper = inner.clone();
            inner
                .run(move |_| deeper.run(|a| if a.index() == 0 { Err("first") } else { Ok(a.index()) }))
                .map_err(|e| e.to_string())
        });
        assert_eq!(reply.unwrap(), 1);
    });
}

#[test]
fn idle_threads_leave_and_come_again() {
    within(|| {
        let threads = Threads::with_keep_alive(4, SOON);
        let hedge = Hedge::new().threads(&threads).delay(Duration::ZERO).max(4);
        for _ in 0..3 {
            assert!(hedge.run(|_| Ok::<_, String>(())).is_ok());
            until(|| threads.alive() == 0);
        }
    });
}

/// No thread outlives its set by more than the attempt it is making.
#[test]
fn threads_end_when_the_last_handle_is_dropped() {
    thread_local!(static ALIVE: std::cell::RefCell<Option<Arc<()>>> = const { std::cell::RefCell::new(None) });

    within(|| {
        let alive = Arc::new(());
        let gate = Gate::default();
        let threads = Threads::with_keep_alive(8, NEVER);
        let hedge = Hedge::new().threads(&threads).delay(SOON).max(2);
        let (marker, held) = (Arc::clone(&alive), gate.clone());
        let reply = hedge.run(move |attempt| {
            ALIVE.with_borrow_mut(|slot| *slot = Some(Arc::clone(&marker)));
            if attempt.index() == 0 {
                held.pass();
            }
            Ok::<_, String>(())
        });
        assert!(reply.is_ok());
        assert_eq!(threads.alive(), 2);
        drop((hedge, threads));
        // The idle one leaves though its keep-alive never passes; the loser keeps its marker and the closure's.
        until(|| Arc::strong_count(&alive) <= 3);
        gate.open();
        until(|| Arc::strong_count(&alive) == 1);
    });
}

#[test]
fn an_executor_may_refuse_now_later_or_always() {
    within(|| {
        // Always: every attempt is made here, one after the other.
        let here = thread::current().id();
        let hedge = Hedge::new().executor(drop).delay(Duration::ZERO).max(3);
        let error = hedge.run(move |_| -> Result<(), _> { Err(thread::current().id() == here) }).unwrap_err();
        assert_eq!(error.errors(), [Error::Work(true), Error::Work(true), Error::Work(true)]);

        let reply = hedge.first([0, 1, 2].map(|i| move |_: Attempt| if i < 2 { Err(i) } else { Ok(i) }));
        assert_eq!(reply.unwrap(), 2);

        // The extra attempt only, time and again: the first one goes on.
        let offered = Arc::new(AtomicUsize::new(0));
        let threads = Threads::new(1);
        let hedge = Hedge::new().delay(Duration::ZERO).max(2).executor({
            let offered = Arc::clone(&offered);
            move |job| {
                offered.fetch_add(1, Ordering::SeqCst);
                threads.execute(job);
            }
        });
        let watched = Arc::clone(&offered);
        let reply = hedge.run(move |attempt| {
            until(|| watched.load(Ordering::SeqCst) > 3);
            Ok::<_, String>(attempt.index())
        });
        assert_eq!(reply.unwrap(), 0);

        // Later, on another thread.
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::spawn(move || queue.into_iter().for_each(drop));
        let hedge = Hedge::new().executor(move |job| jobs.send(job).unwrap());
        assert!(hedge.run(move |_| Ok::<_, String>(thread::current().id() == here)).unwrap());
    });
}

#[test]
fn an_executor_that_runs_inline_makes_a_retry() {
    let hedge = Hedge::new().executor(Job::run).max(3);
    assert_eq!(hedge.run(|a| if a.index() < 2 { Err("down") } else { Ok(a.index()) }).unwrap(), 2);
}

#[test]
fn an_executor_that_panics_unwinds_in_its_caller_and_tells_the_attempts() {
    within(|| {
        let threads = Threads::new(1);
        let (calls, began) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
        let running = Arc::clone(&began);
        let hedge = Hedge::new().delay(Duration::ZERO).executor(move |job| {
            if calls.fetch_add(1, Ordering::SeqCst) == 0 {
                return threads.execute(job);
            }
            until(|| running.load(Ordering::SeqCst));
            panic!("the pool is gone")
        });
        let (told, cause) = mpsc::channel();
        let told = Mutex::new(told);
        let payload = catch_unwind(AssertUnwindSafe(|| {
            hedge.run(move |attempt| {
                began.store(true, Ordering::SeqCst);
                let cause = attempt.token().wait().cause().to_string();
                told.lock().unwrap().send(cause).unwrap();
                Ok::<_, String>(())
            })
        }));
        assert_eq!(*payload.unwrap_err().downcast::<&str>().unwrap(), "the pool is gone");
        assert_eq!(cause.recv().unwrap(), "the call did not wait for this attempt");
    });
}
