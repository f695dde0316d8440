//! Read-through, with either cache.

use crate::support::{Gate, Key, Source, hashes, hold_hash, until, within};
use crate::{moka, quick_cache};
use flight_group::Error;
use std::sync::{Arc, Barrier};
use std::thread::spawn;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

macro_rules! for_each_cache {
    ($($name:ident: $make:expr, $miss:expr;)*) => {
        $(mod $name {
            use super::*;

            /// All miss before any of them boards.
            #[test]
            fn many_that_miss_at_once_ask_once() {
                within(|| {
                    let source = Arc::new(Source::default());
                    let users = Arc::new($make(source.clone()));
                    source.gate.shut();
                    let all = Arc::new(Barrier::new(8));
                    let callers: Vec<_> = (0..8)
                        .map(|_| {
                            let (users, all) = (users.clone(), all.clone());
                            spawn(move || {
                                all.wait();
                                users.get(&Key(1))
                            })
                        })
                        .collect();
                    until(|| users.flights.followers(&Key(1)) == 7);
                    source.gate.open();
                    for caller in callers {
                        assert_eq!(caller.join().unwrap(), Ok(1));
                    }
                    assert_eq!(users.get(&Key(1)), Ok(1), "it is in the cache");
                    assert_eq!(source.calls(), 1);
                });
            }

            /// A caller misses, is held there, and boards when the flight that it might have joined has landed.
            #[test]
            fn who_missed_just_before_a_landing_does_not_ask_again() {
                within(|| {
                    let source = Arc::new(Source::default());
                    let users = Arc::new($make(source.clone()));
                    let looks = hashes($miss);
                    assert!(looks > 0);
                    let missed = Arc::new(Gate::default());
                    missed.shut();
                    let late = spawn({
                        let (users, missed) = (users.clone(), missed.clone());
                        move || {
                            hold_hash(looks + 1, &missed); // the one after the look into the cache: the boarding's
                            users.get(&Key(1))
                        }
                    });
                    until(|| missed.arrived() == 1);
                    assert_eq!(users.get(&Key(1)), Ok(1));
                    assert_eq!(users.flights.stats().led, 1);
                    missed.open();
                    assert_eq!(late.join().unwrap(), Ok(1));
                    assert_eq!(users.flights.stats().led, 2, "it had missed, and boarded a flight of its own");
                    assert_eq!(source.calls(), 1);
                });
            }

            #[test]
            fn an_error_is_shared_and_not_kept() {
                within(|| {
                    let source = Arc::new(Source::default());
                    let users = Arc::new($make(source.clone()));
                    *source.fails.lock().unwrap() = true;
                    source.gate.shut();
                    let callers: Vec<_> = (0..4)
                        .map(|_| {
                            let users = users.clone();
                            spawn(move || users.get(&Key(1)))
                        })
                        .collect();
                    until(|| users.flights.followers(&Key(1)) == 3);
                    source.gate.open();
                    for caller in callers {
                        assert_eq!(caller.join().unwrap(), Err(Error::Work("down")));
                    }
                    assert_eq!(source.calls(), 1);
                    *source.fails.lock().unwrap() = false;
                    assert_eq!(users.get(&Key(1)), Ok(2));
                });
            }
        })*
    };
}

for_each_cache! {
    with_quick_cache:
        |source: Arc<Source>| quick_cache::ReadThrough::new(100, move |_: &Key| source.ask()),
        || assert_eq!(::quick_cache::sync::Cache::<Key, usize>::new(100).get(&Key(1)), None);
    with_moka:
        |source: Arc<Source>| moka::ReadThrough::new(100, DAY, move |_: &Key| source.ask()),
        || assert_eq!(::moka::sync::Cache::<Key, usize>::new(100).get(&Key(1)), None);
}
