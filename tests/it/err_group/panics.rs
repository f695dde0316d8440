//! Panics of tasks, of the closure of the scope, and of what users bring.

use super::Outcome;
use crate::support::within;
use flight_group::ErrGroup;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// conc: `TestErrorPool/propagates_panics`, `TestWaitGroup/panic`; here with the payload itself, after all have ended.
#[test]
fn a_panic_is_re_raised_with_its_own_payload_after_all_have_ended() {
    within(|| {
        // Nobody is skipped: the panic comes when all have started.
        let (ended, started) = (AtomicUsize::new(0), Barrier::new(10));
        let payload = catch_unwind(AssertUnwindSafe(|| {
            ErrGroup::scope(|g| {
                for i in 0..10_u64 {
                    let (ended, started) = (&ended, &started);
                    g.spawn(move |token| -> Outcome {
                        started.wait();
                        if i == 5 {
                            panic_any(i);
                        }
                        let told = token.wait();
                        assert_eq!(told.cause().to_string(), "the work panicked: a payload that is not a string");
                        ended.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    });
                }
            })
        }))
        .unwrap_err();
        assert_eq!(*payload.downcast::<u64>().unwrap(), 5);
        assert_eq!(ended.into_inner(), 9);
    });
}

/// conc: `TestWaitGroup/panic/one_is_propagated`, `nonpanics_do_not_overwrite_panic`: a panic outranks errors, the
/// first one outranks later ones.
#[test]
fn the_first_panic_outranks_everything_else() {
    within(|| {
        let payload = catch_unwind(|| {
            ErrGroup::scope(|g| {
                g.spawn(|_| Err("an error".to_owned()));
                g.wait();
            })
        });
        assert_eq!(payload.unwrap(), Err("an error".to_owned()));

        let payload = catch_unwind(|| {
            ErrGroup::scope(|g| {
                g.spawn(|token| {
                    token.wait();
                    panic!("second")
                });
                g.spawn(|token| {
                    token.wait();
                    Err("an error".to_owned())
                });
                g.spawn(|_| panic!("first"));
            })
        });
        assert_eq!(*payload.unwrap_err().downcast::<&str>().unwrap(), "first");
    });
}

#[test]
fn a_panic_of_the_scopes_closure_stops_the_tasks_and_goes_on_after_them() {
    within(|| {
        let (told, started) = (AtomicBool::new(false), Barrier::new(2));
        let payload = catch_unwind(AssertUnwindSafe(|| {
            ErrGroup::scope(|g| -> () {
                g.spawn(|token| {
                    started.wait();
                    let cause = token.wait().cause().to_string();
                    told.store(cause == "the work panicked: closure", Ordering::SeqCst);
                    Err("told".to_owned())
                });
                started.wait();
                panic!("closure")
            })
        }))
        .unwrap_err();
        assert_eq!(*payload.downcast::<&str>().unwrap(), "closure");
        assert!(told.into_inner());
    });
}

#[test]
fn wait_in_a_task_is_a_panic_and_not_a_hang() {
    within(|| {
        let payload = catch_unwind(|| {
            ErrGroup::scope(|g| {
                let g2 = g.clone();
                g.spawn(move |_| -> Outcome {
                    g2.wait();
                    Ok(())
                });
            })
        })
        .unwrap_err();
        let message = payload.downcast::<&str>().unwrap();
        assert_eq!(*message, "wait was called by one of the group's own tasks: it would wait for itself");
    });
}

/// Bombs: an error whose `Display` or `Drop` panics, and a task whose captures panic when they are dropped unrun.
#[test]
fn user_types_that_panic_strand_nobody() {
    struct Bomb {
        on_display: bool,
        on_drop: bool,
    }
    impl fmt::Display for Bomb {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            assert!(!self.on_display, "boom in display");
            f.write_str("bomb")
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.on_drop && !thread::panicking() {
                panic!("boom in drop");
            }
        }
    }

    within(|| {
        let payload = catch_unwind(|| {
            ErrGroup::scope(|g| {
                g.spawn(|_| Err(Bomb { on_display: true, on_drop: false }));
            })
        });
        assert_eq!(*payload.err().unwrap().downcast::<&str>().unwrap(), "boom in display");

        // The second error is not wanted: its drop harms neither the thread nor the scope.
        let outcome = ErrGroup::scope(|g| {
            g.spawn(|token| {
                token.wait();
                Err(Bomb { on_display: false, on_drop: true })
            });
            g.spawn(|_| Err(Bomb { on_display: false, on_drop: false }));
        });
        assert!(!outcome.unwrap_err().on_drop);

        // Dropped unrun in `spawn`: a panic of the closure that called it.
        let payload = catch_unwind(|| {
            ErrGroup::scope(|g| {
                g.spawn(|_| Err("no"));
                g.wait();
                let bomb = Bomb { on_display: false, on_drop: true };
                g.spawn(move |_| {
                    let _bomb = &bomb;
                    Ok(())
                });
            })
        });
        assert_eq!(*payload.unwrap_err().downcast::<&str>().unwrap(), "boom in drop");
    });
}
