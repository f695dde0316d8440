//! Runs that fail or panic, and callers that give up.

use super::*;

/// A failed run fails its own events, and is not retried: the newer events are pushed without them.
#[test]
fn a_failed_event_is_never_bound_to_a_newer_one() {
    within(|| {
        let (builder, starts, go) = gated();
        let (failed, failures) = channel();
        let failed = Mutex::new(failed);
        let events = builder
            .on_failure(move |key, error| failed.lock().unwrap().send((key.clone(), error.clone())).unwrap())
            .build();
        thread::scope(|s| {
            let doomed = s.spawn(|| events.push("key", vec![13]));
            assert_eq!(soon(&starts), [13]);
            events.submit("key", vec![1]).unwrap();
            let next = s.spawn(|| events.push("key", vec![2]));
            until(|| events.followers("key") == 1);
            go.send(()).unwrap();
            assert_eq!(doomed.join().unwrap(), Err(Error::Work("unlucky")));
            assert_eq!(soon(&starts), [1, 2]);
            go.send(()).unwrap();
            assert_eq!(next.join().unwrap().unwrap().value, [1, 2]);
            assert!(failures.try_recv().is_err(), "nothing that was submitted has failed yet");

            events.submit("key", vec![13]).unwrap();
            soon(&starts);
            go.send(()).unwrap();
            assert_eq!(soon(&failures), ("key".to_owned(), Error::Work("unlucky")));
        });
        assert_eq!(events.stats().failed, 2);
        drop(go);
    });
}

/// A panic in `merge` or `push` fails that run: the leader unwinds with the payload, the others are told, and the
/// run behind it does not notice.
#[test]
fn a_panic_fails_exactly_its_own_run() {
    within(|| {
        for bad in ["merge", "push"] {
            let (started, starts) = channel();
            let (go, gate) = channel::<()>();
            let (started, gate) = (Mutex::new(started), Mutex::new(gate));
            let events: EventGroup<&str, Vec<u32>, usize> = EventGroup::new(
                move |all: &mut Vec<u32>, more: Vec<u32>| {
                    if bad == "merge" && more.contains(&13) {
                        std::panic::panic_any(1313_u64);
                    }
                    all.extend(more);
                },
                move |_, all: Vec<u32>| {
                    started.lock().unwrap().send(all.len()).unwrap();
                    let _ = gate.lock().unwrap().recv();
                    if bad == "push" && all.contains(&13) {
                        std::panic::panic_any(1313_u64);
                    }
                    Ok(all.len())
                },
            );
            thread::scope(|s| {
                let events = &events;
                let first = s.spawn(|| events.push(&"key", vec![0]));
                soon(&starts);
                let mut followers = 0;
                let mut queue = |event: u32| {
                    followers += 1;
                    let call = s.spawn(move || catch_unwind(|| events.push(&"key", vec![event])));
                    until(|| events.followers(&"key") == followers);
                    call
                };
                let doomed = [queue(1), queue(13), queue(2)];
                go.send(()).unwrap();
                assert_eq!(first.join().unwrap().unwrap().value, 1);
                drop(go);
                let mut unwound = 0;
                for call in doomed {
                    match call.join().unwrap() {
                        Ok(outcome) => {
                            let error = outcome.unwrap_err();
                            assert!(error.is_panicked(), "{error}");
                        }
                        Err(payload) => {
                            assert_eq!(payload.downcast_ref::<u64>(), Some(&1313));
                            unwound += 1;
                        }
                    }
                }
                assert_eq!(unwound, 1, "the leader, and nobody else");
                assert_eq!(events.push(&"key", vec![7, 8]).unwrap().value, 2, "the key works afterwards");
            });
            assert_eq!((events.stats().panicked, events.in_flight()), (1, 0));
        }
    });
}

/// On a worker a panic goes nowhere but to `on_failure`; one in `on_failure` goes nowhere.
#[test]
fn a_worker_survives_what_it_runs() {
    within(|| {
        let (failed, failures) = channel();
        let failed = Mutex::new(failed);
        let events: EventGroup<&str, u32> = EventGroup::builder(|_, _| {}, |_, _| -> Result<(), _> { panic!("oh no") })
            .workers(1)
            .on_failure(move |_, error| {
                failed.lock().unwrap().send((error.to_string(), thread::current().id())).unwrap();
                panic!("and again");
            })
            .build();
        events.submit(&"a", 1).unwrap();
        let (first, worker) = soon(&failures);
        events.submit(&"b", 1).unwrap();
        let (second, same) = soon(&failures);
        assert_eq!((first.as_str(), second.as_str()), ("the work panicked: oh no", "the work panicked: oh no"));
        assert_eq!(worker, same);
    });
}

/// An event whose caller has given up before a run began is not pushed by anybody; one that a run carries is.
#[test]
fn a_timed_out_event_is_withdrawn() {
    within(|| {
        let (builder, starts, go) = gated();
        let events = builder.build();
        thread::scope(|s| {
            let first = s.spawn(|| events.push("key", vec![1]));
            soon(&starts);
            let soonest = Duration::from_millis(1);
            assert_eq!(events.call("key").timeout(Duration::ZERO).push(vec![2]), Err(Error::timed_out()));
            assert_eq!(events.call("key").timeout(soonest).push(vec![3]), Err(Error::timed_out()));
            assert_eq!(events.call("key").deadline(Instant::now()).push(vec![4]), Err(Error::timed_out()));
            assert_eq!(events.waiting("key"), 0);
            let patient = s.spawn(|| events.call("key").timeout(Duration::MAX).push(vec![5]));
            until(|| events.followers("key") == 1);
            assert_eq!(events.call("key").timeout(soonest).push(vec![6]), Err(Error::timed_out()));
            assert_eq!((events.waiting("key"), events.followers("key")), (1, 1));
            go.send(()).unwrap();
            assert_eq!(first.join().unwrap().unwrap().value, [1]);
            assert_eq!(soon(&starts), [5]);
            drop(go);
            assert_eq!(patient.join().unwrap().unwrap().value, [5]);
        });
        assert_eq!(events.stats().timed_out, 4);
    });
}

/// On a thread that is unwinding the drop drains as well.
#[test]
fn a_drop_while_unwinding_drains() {
    within(|| {
        let done = Arc::new(AtomicUsize::new(0));
        let counter = done.clone();
        let events: EventGroup<u32, usize> = EventGroup::new(
            |sum, n| *sum += n,
            move |_, sum| {
                counter.fetch_add(sum, SeqCst);
                if sum == 7 {
                    panic!("inside, too");
                }
                Ok(())
            },
        );
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            events.call(&1).delay(Duration::MAX).submit(7).unwrap();
            events.call(&2).delay(Duration::MAX).submit(8).unwrap();
            panic!("outside");
        }));
        assert!(unwound.is_err());
        assert_eq!(done.load(SeqCst), 15);
        assert_eq!(Arc::strong_count(&done), 1);
    });
}
