//! P7: a call that would wait for itself, directly or through a chain of flights, is refused at once and told why;
//! and no call is refused that would not.

use crate::support::{
    AGES, Gate, Held, Place, SOON, finish, hold, line_up, panic_of, until, until_refused, until_waiting, within,
};
use flight_group::{Deadlock, Error, Group, WriteGroup};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{Builder, spawn};
use std::time::Instant;

fn circle<E: std::fmt::Debug>(error: Error<E>) -> Deadlock {
    match error {
        Error::Deadlock(circle) => circle,
        other => panic!("expected a deadlock, got {other:?}"),
    }
}

#[test]
fn p7_re_entry_is_refused_in_every_verb() {
    within(|| {
        let reads: Group<u8, u32> = Group::new();
        let value = reads.work(&1, || {
            let refused = [
                reads.try_work(&1, || Ok(0)).unwrap_err(),
                reads.call(&1).run(|| Ok(0)).unwrap_err(),
                reads.call(&1).fresh().run(|| Ok(0)).unwrap_err(),
                reads.call(&1).follow().unwrap().unwrap_err(),
                // The caller's own deadline does not suppress the check: a wait that can only time out is a mistake.
                reads.call(&1).timeout(AGES).run(|| Ok(0)).unwrap_err(),
                reads.call(&1).deadline(Instant::now() + AGES).run(|| Ok(0)).unwrap_err(),
                reads.call(&1).timeout(AGES).follow().unwrap().unwrap_err(),
                reads.call(&1).takeover_after(AGES).run(|| Ok(0)).unwrap_err(),
            ];
            for error in refused {
                assert_eq!(circle(error).hops().len(), 1);
            }
            let (words, place) = panic_of(|| reads.work(&1, || 0));
            assert!(words.starts_with("deadlock: this thread would wait for flight "), "{words}");
            assert_eq!(place, Place { line: place.line, ..Place::here() }, "blamed on the caller's file");
            assert!((line!() - 3..line!()).contains(&place.line), "blamed on the caller's line: {place:?}");
            // Zero: it would not have waited.
            assert!(reads.call(&1).timeout(std::time::Duration::ZERO).run(|| Ok(0)).unwrap_err().is_timed_out());
            assert_eq!(reads.work(&2, || 2), 2, "another key is no re-entry");
            11
        });
        assert_eq!(value, 11);
        assert_eq!(reads.stats().deadlocked, 9);

        let writes: WriteGroup<u8, u32> = WriteGroup::new();
        let value = writes.write(&1, || {
            let refused = [
                writes.try_write(&1, || Ok(0)).unwrap_err(),
                writes.call(&1).run(|| Ok(0)).unwrap_err(),
                writes.call(&1).flush().unwrap().unwrap_err(),
                writes.call(&1).timeout(AGES).run(|| Ok(0)).unwrap_err(),
                writes.call(&1).deadline(Instant::now() + AGES).flush().unwrap().unwrap_err(),
            ];
            for error in refused {
                assert_eq!(circle(error).hops().len(), 1);
            }
            let (words, place) = panic_of(|| writes.write(&1, || 0));
            assert!(words.starts_with("deadlock: "), "{words}");
            assert_eq!(place.file, file!());
            12
        });
        assert_eq!(value, 12);
        assert_eq!(reads.followers(&1) + writes.followers(&1), 0);
    });
}

/// Who is refused leaves no trace: those queued in the same flight are served.
#[test]
fn p7_a_refused_call_disturbs_nobody() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let again = group.clone();
        let first = Held::start({
            let group = group.clone();
            move |stay| {
                group.write(&1, || {
                    stay();
                    assert!(again.try_write(&1, || Ok(0)).unwrap_err().is_deadlock());
                    1
                })
            }
        });
        let queued = line_up(&group, 1, 3, |group, i| group.write(&1, || 10 + i as u32));
        assert_eq!(first.release(), 1);
        assert!(
            queued.into_iter().all(|caller| finish(caller) == 12),
            "the refused closure was not the newest waiting"
        );
    });
}

#[test]
fn p7_each_hop_is_named() {
    within(|| {
        let users: Group<&str, u32> = Group::builder().name("users").debug_keys().build();
        let posts: WriteGroup<u32, u32> = WriteGroup::builder().name("posts").debug_keys().build();
        let bare: Group<u8, u32> = Group::new();

        // thread "one" runs users/ann, waits for posts/7 of thread "two", which waits for bare/1 of this thread
        let one = Builder::new().name("one".into());
        let two = Builder::new().name("two".into());
        let result = {
            let (users_, posts_, bare_) = (users.clone(), posts.clone(), bare.clone());
            bare.work(&1, || {
                let two = two
                    .spawn({
                        let (posts, bare) = (posts_.clone(), bare_.clone());
                        move || posts.write(&7, || bare.work(&1, || unreachable!()))
                    })
                    .unwrap();
                until_waiting(&bare_, &1, 1);
                let one = one
                    .spawn({
                        let (users, posts) = (users_.clone(), posts_.clone());
                        move || users.work(&"ann", || posts.call(&7).flush().unwrap().unwrap().value)
                    })
                    .unwrap();
                until_waiting(&posts_, &7, 1);
                until_refused(|| users_.call(&"ann").timeout(SOON).run(|| unreachable!()));
                let error = users_.try_work(&"ann", || unreachable!()).unwrap_err();
                assert_eq!(users_.followers(&"ann"), 0);
                *KEEP.lock().unwrap() = Some((one, two));
                let words = error.to_string();
                let circle = circle(error);
                let hops = circle.hops();
                assert_eq!(hops.len(), 3, "{words}");
                let group: Vec<_> = hops.iter().map(|hop| hop.group()).collect();
                assert_eq!(group, [Some("users"), Some("posts"), None]);
                let keys: Vec<_> = hops.iter().map(|hop| hop.key()).collect();
                assert_eq!(keys, [Some("\"ann\""), Some("7"), None], "keys only where `debug_keys` was asked for");
                assert!(hops[0].thread().contains("\"one\"") && hops[1].thread().contains("\"two\""), "{words}");
                assert!(hops[2].thread().contains(&format!("{:?}", std::thread::current().id())), "{words}");
                assert_eq!(hops[0].flight(), users_.flights()[0].flight);
                assert_eq!(hops[1].flight(), posts_.flights()[0].flight);
                assert_eq!(hops[2].flight(), bare_.flights()[0].flight);
                for part in [
                    "key \"ann\" in group \"users\"",
                    "which waits for",
                    "key 7 in write group \"posts\"",
                    "which is this thread",
                ] {
                    assert!(words.contains(part), "{part:?} is missing in: {words}");
                }
                5
            })
        };
        assert_eq!(result, 5);
        let (one, two) = KEEP.lock().unwrap().take().unwrap();
        assert_eq!((finish(one), finish(two)), (5, 5), "the others of the chain are served");
    });
}
type Two = (std::thread::JoinHandle<u32>, std::thread::JoinHandle<u32>);
static KEEP: std::sync::Mutex<Option<Two>> = std::sync::Mutex::new(None);

/// Whichever comes second is refused; both keys work afterwards.
#[test]
fn p7_two_threads_two_keys_at_the_same_moment() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let refused = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let barrier = Arc::new(std::sync::Barrier::new(2));
            let callers: Vec<_> = [(1, 2), (2, 1)]
                .into_iter()
                .map(|(mine, other)| {
                    let (group, barrier, refused) = (group.clone(), barrier.clone(), refused.clone());
                    spawn(move || {
                        group.work(&mine, || {
                            barrier.wait();
                            match group.try_work(&other, || Ok(0)) {
                                Ok(value) => value,
                                Err(error) => {
                                    assert_eq!(circle(error).hops().len(), 2);
                                    refused.fetch_add(1, SeqCst);
                                    9
                                }
                            }
                        })
                    })
                })
                .collect();
            for caller in callers {
                finish(caller);
            }
            assert!(refused.swap(0, SeqCst) >= 1, "of two that close a circle at least one sees it");
            assert_eq!(group.in_flight(), 0);
        }
    });
}

/// Through the queue of a write: who waits in the next flight waits for the one in the air.
#[test]
fn p7_a_circle_through_a_queued_write() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let value = group.write(&1, || {
            let other = {
                let group = group.clone();
                spawn(move || group.write(&2, || group.write(&1, || 21)))
            };
            until_waiting(&group, &1, 1);
            until_refused(|| group.call(&2).timeout(SOON).run(|| unreachable!()));
            let error = group.try_write(&2, || unreachable!()).unwrap_err();
            assert_eq!(circle(error).hops().len(), 2);
            LATER.lock().unwrap().push(other);
            1
        });
        assert_eq!(value, 1);
        assert!(LATER.lock().unwrap().drain(..).all(|other| finish(other) == 21));
    });
}
static LATER: std::sync::Mutex<Vec<std::thread::JoinHandle<u32>>> = std::sync::Mutex::new(Vec::new());

/// After a promotion the followers wait for the new leader, not for the leader before it.
#[test]
fn p7_a_circle_through_a_promoted_leader() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let first = hold(&group, 1, || 1);
        // The superseded one runs key 2 and waits for the queued flight of key 1 …
        let superseded = {
            let group = group.clone();
            spawn(move || group.write(&2, || group.write(&1, || unreachable!()) + 1))
        };
        until_waiting(&group, &1, 1);
        // … whose new leader, once it runs, wants key 2.
        let newest = {
            let group = group.clone();
            spawn(move || {
                group.write(&1, || {
                    until_refused(|| group.call(&2).timeout(SOON).run(|| unreachable!()));
                    let error = group.try_write(&2, || unreachable!()).unwrap_err();
                    assert_eq!(circle(error).hops().len(), 2);
                    40
                })
            })
        };
        until_waiting(&group, &1, 2);
        first.release();
        assert_eq!((finish(newest), finish(superseded)), (40, 41));
    });
}

#[test]
fn p7_a_circle_through_a_spawned_job() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let value = group.work(&1, || {
            let inner = group.clone();
            let receiver = group.spawn(&2, move || inner.try_work(&1, || Ok(0)).map_err(|_| unreachable!()));
            until_waiting(&group, &1, 1); // the job runs and waits for this thread
            until_refused(|| group.call(&2).timeout(SOON).run(|| unreachable!()));
            let error = group.try_work(&2, || Ok(0)).unwrap_err();
            assert_eq!(circle(error).hops().len(), 2);
            RECEIVERS.lock().unwrap().push(receiver);
            3
        });
        assert_eq!(value, 3);
        for receiver in RECEIVERS.lock().unwrap().drain(..) {
            assert_eq!(receiver.recv().unwrap().unwrap().value, 3);
        }
    });
}
type Receiver = crossbeam_channel::Receiver<Result<flight_group::Landing<u32>, Error<std::convert::Infallible>>>;
static RECEIVERS: std::sync::Mutex<Vec<Receiver>> = std::sync::Mutex::new(Vec::new());

/// Whoever queued behind a job that nobody had started waits, once it is started, for the thread that runs it.
#[test]
fn p7_a_circle_through_a_job_that_starts_late() {
    within(|| {
        let (jobs, queue) = crossbeam_channel::unbounded();
        let group: WriteGroup<u8, u32> = WriteGroup::builder().executor(move |job| jobs.send(job).unwrap()).build();
        let circles = Arc::new(AtomicUsize::new(0));
        let nested = |key: u8| {
            let (group, circles) = (group.clone(), circles.clone());
            move || {
                match group.try_write(&key, || Ok(0)) {
                    Err(Error::Deadlock(circle)) => {
                        assert_eq!(circle.hops().len(), 2);
                        circles.fetch_add(1, SeqCst);
                    }
                    other => assert_eq!(other, Ok(0)),
                }
                Ok(u32::from(key))
            }
        };
        let receiver = group.spawn(&1, nested(2));
        let blocked = {
            let (group, nested) = (group.clone(), nested(1));
            spawn(move || group.try_write(&2, nested))
        };
        until_waiting(&group, &1, 1); // its chain ends at the job, which nobody has started
        let job = queue.recv().unwrap();
        let worker = spawn(move || job.run());
        assert_eq!(finish(blocked), Ok(1));
        assert_eq!(receiver.recv().unwrap().unwrap().value, 2);
        finish(worker);
        assert!(circles.load(SeqCst) >= 1);
        assert_eq!(group.in_flight(), 0);
    });
}

/// Another thread's wait that ends by itself is no deadlock: it times out, or takes over, and all goes on.
#[test]
fn p7_no_alarm_where_another_wait_ends_by_itself() {
    within(|| {
        for takeover in [false, true] {
            let group: Group<u8, u32> = Group::new();
            let value = group.work(&1, || {
                let other = {
                    let group = group.clone();
                    spawn(move || {
                        group.work(&2, || {
                            let call = group.call(&1);
                            let call = if takeover { call.takeover_after(SOON * 10) } else { call.timeout(SOON * 10) };
                            match call.run(|| Ok(70)) {
                                Ok(landing) => landing.value,
                                Err(Error::TimedOut(_)) => 71,
                                // It came second, and closed the circle itself: its own deadline spares it nothing.
                                Err(Error::Deadlock(_)) => 72,
                                Err(error) => panic!("{error}"),
                            }
                        })
                    })
                };
                until(|| group.stats().joined == 1);
                let value = match group.try_work(&2, || Ok(72)) {
                    Ok(value) => value,
                    Err(error) => panic!("a false alarm: {error}"),
                };
                assert!([70, 71, 72].contains(&value));
                finish(other);
                value
            });
            assert!([70, 71, 72].contains(&value));
            assert!(group.stats().deadlocked <= 1);
        }
    });
}

/// A chain that comes to an end is none: A waits for B, who runs.
#[test]
fn p7_no_alarm_for_a_chain_that_ends() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let end = hold(&group, 0, || 1);
        let links: Vec<_> = (1..10)
            .map(|key| {
                let own = group.clone();
                let link = spawn(move || own.work(&key, || own.work(&(key - 1), || unreachable!()) + 1));
                until_waiting(&group, &(key - 1), 1);
                link
            })
            .collect();
        end.release();
        for (i, link) in links.into_iter().enumerate() {
            assert_eq!(finish(link), i as u32 + 2);
        }
        assert_eq!(group.stats().deadlocked, 0);
    });
}

/// Threads that take keys in one order only can never wait in a circle, and are never told that they do.
#[test]
fn p7_no_false_alarm_under_a_storm_of_ordered_waits() {
    within(|| {
        let reads: Group<u8, u32> = Group::new();
        let writes: WriteGroup<u8, u32> = WriteGroup::new();
        let callers: Vec<_> = (0..6u8)
            .map(|caller| {
                let (reads, writes) = (reads.clone(), writes.clone());
                spawn(move || {
                    for round in 0..120u8 {
                        let low = (caller + round) % 3;
                        let outcome = reads.try_work(&low, || {
                            let inner = reads.try_work(&(low + 3), || {
                                writes
                                    .try_write(&0, || {
                                        std::thread::yield_now();
                                        Ok(1)
                                    })
                                    .map_err(|error| panic!("{error}"))
                            });
                            inner.map_err(|error| panic!("{error}"))
                        });
                        assert_eq!(outcome, Ok(1));
                        assert_eq!(writes.try_write(&(1 + low), || Ok(writes.write(&0, || 1))), Ok(1));
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(finish);
        assert_eq!(reads.stats().deadlocked + writes.stats().deadlocked, 0);
        assert_eq!(reads.stats().panicked + writes.stats().panicked, 0);
    });
}

/// A forgotten flight's leader may call for its own key: that is another flight by now.
#[test]
fn p7_a_forgotten_flight_is_no_re_entry() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let value = group.work(&1, || {
            assert!(group.forget(&1));
            group.work(&1, || 2) + 1
        });
        assert_eq!(value, 3);
        assert_eq!(group.stats().deadlocked, 0);
    });
}

/// A wait that was refused is over: nobody is told of a circle through it later on.
#[test]
fn p7_a_refused_wait_is_no_edge() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let third_runs = Gate::new();
        let other = {
            let (group, third_runs) = (group.clone(), third_runs.clone());
            spawn(move || {
                group.work(&2, || {
                    until(|| group.in_flight() == 2);
                    assert_eq!(group.work(&1, || unreachable!("it is in the air")), 1);
                    third_runs.pass();
                    // Its leader was refused a wait for this very flight, and waits for nothing any more.
                    group.try_work(&3, || unreachable!("it is in the air")).unwrap()
                })
            })
        };
        group.work(&1, || {
            until_waiting(&group, &1, 1);
            until_refused(|| group.call(&2).timeout(SOON).run(|| unreachable!()));
            let error = group.try_work(&2, || Ok(0)).unwrap_err();
            assert_eq!(circle(error).hops().len(), 2);
            1
        });
        let value = group.work(&3, || {
            third_runs.open();
            until_waiting(&group, &3, 1);
            3
        });
        assert_eq!((value, finish(other), group.in_flight()), (3, 3, 0));
    });
}
