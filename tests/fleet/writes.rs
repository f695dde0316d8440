//! Writes over the fleet.

use crate::support::{Server, patient, until, watched};
use flight_group::fleet::{FleetError, FleetWriteGroup};
use flight_group::{Error, Role};
use redis::Commands;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

type Writes = FleetWriteGroup<u32, u64, String>;

const LONG: Duration = Duration::from_secs(60);

#[test]
fn no_two_processes_write_one_key_and_fences_grow_with_the_order() {
    watched("writes", || {
        let server = Server::start();
        let fleets: Vec<_> = (0..3).map(|_| patient(&server.url()).connect().unwrap()).collect();
        let (running, log, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
        std::thread::scope(|s| {
            for fleet in &fleets {
                let writes: Writes = fleet.write_group("w");
                for _ in 0..4 {
                    let (writes, running, log, done) = (writes.clone(), &running, &log, &done);
                    s.spawn(move || {
                        for _ in 0..20 {
                            let fence = writes.try_write(&1, |lease| {
                                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                                log.lock().unwrap().push(lease.fence());
                                std::thread::yield_now();
                                running.fetch_sub(1, Ordering::SeqCst);
                                Ok(lease.fence())
                            });
                            assert!(fence.unwrap() > 0);
                            done.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            }
        });
        let log = log.into_inner().unwrap();
        assert!(log.windows(2).all(|pair| pair[0] < pair[1]), "fences grow in the order of writing: {log:?}");
        assert_eq!(done.into_inner(), 240);
        assert!(log.len() <= 240);
    });
}

#[test]
fn a_burst_in_one_process_is_one_more_run() {
    watched("burst", || {
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let writes: Writes = fleet.write_group("w");
        let runs = AtomicUsize::new(0);
        std::thread::scope(|s| {
            let (started, start) = mpsc::channel();
            let (writes, runs) = (&writes, &runs);
            s.spawn(move || {
                writes.try_write(&1, |lease| {
                    started.send(()).unwrap();
                    until("the burst has queued", || writes.followers(&1) == 10);
                    Ok(lease.fence())
                })
            });
            start.recv_timeout(LONG).unwrap();
            for _ in 0..10 {
                s.spawn(move || {
                    writes.try_write(&1, |lease| {
                        runs.fetch_add(1, Ordering::SeqCst);
                        Ok(lease.fence())
                    })
                });
            }
        });
        assert_eq!(runs.into_inner(), 1);
        assert_eq!(fleet.stats().leases, 2);
    });
}

/// Until the run starts, whoever comes is covered by it: also while its process still waits for the lease.
#[test]
fn a_write_boards_until_the_run_starts() {
    watched("boarding", || {
        let server = Server::start();
        let (one, other) = (patient(&server.url()).connect().unwrap(), patient(&server.url()).connect().unwrap());
        let (first, second): (Writes, Writes) = (one.write_group("w"), other.write_group("w"));
        let runs = Mutex::new(Vec::new());
        std::thread::scope(|s| {
            let (started, start) = mpsc::channel();
            let (server, first, second, runs) = (&server, &first, &second, &runs);
            s.spawn(move || {
                first.try_write(&1, |lease| {
                    started.send(()).unwrap();
                    until("the other process waits, with eight threads", || {
                        one_waits(server) && second.followers(&1) == 7
                    });
                    Ok(lease.fence())
                })
            });
            start.recv_timeout(LONG).unwrap();
            let calls: Vec<_> = (0..8)
                .map(|n| {
                    let call = s.spawn(move || {
                        second.call(&1).run(|_| {
                            runs.lock().unwrap().push(n);
                            Ok(n)
                        })
                    });
                    // After the last one all go on.
                    let queued = || second.in_flight() == 1 && second.followers(&1) >= n as usize;
                    until("it queues behind those before it", || n == 7 || queued());
                    call
                })
                .collect();
            let landings: Vec<_> = calls.into_iter().map(|call| call.join().unwrap().unwrap()).collect();
            assert!(landings.iter().all(|landing| landing.value == 7 && landing.shared()), "{landings:?}");
            let led: Vec<bool> = landings.iter().map(|landing| landing.role == Role::Leader).collect();
            assert_eq!(led, [false, false, false, false, false, false, false, true]);
        });
        assert_eq!(runs.into_inner().unwrap(), [7], "the newest, once, for all");
        assert_eq!((one.holding() + other.holding(), second.in_flight()), (0, 0));
    });
}

fn one_waits(server: &Server) -> bool {
    server.raw().zcard::<_, u64>("{flight:w:w:1}:q").unwrap() == 1
}

/// The caller that queued for the lease leaves, or dies in its own way, and everybody else goes on.
#[test]
fn a_covered_write_shares_the_end_of_the_run() {
    watched("ends of a covered write", || {
        let server = Server::start();
        let (one, other) = (patient(&server.url()).connect().unwrap(), patient(&server.url()).connect().unwrap());
        let (first, second): (Writes, Writes) = (one.write_group("w"), other.write_group("w"));
        for panics in [false, true] {
            std::thread::scope(|s| {
                let (started, start) = mpsc::channel();
                let (first, second, server) = (&first, &second, &server);
                s.spawn(move || {
                    first.try_write(&1, |lease| {
                        started.send(()).unwrap();
                        until("two wait in the other process", || one_waits(server) && second.followers(&1) == 1);
                        Ok(lease.fence())
                    })
                });
                start.recv_timeout(LONG).unwrap();
                let queued = s.spawn(move || second.try_write(&1, |_| panic!("must not run")));
                until("it queues for the lease", || one_waits(server));
                let runs = s.spawn(move || {
                    second.try_write(&1, |_| {
                        assert!(!panics, "expected in this test's output");
                        Err("no row".to_owned())
                    })
                });
                let queued = queued.join().unwrap();
                if panics {
                    assert!(runs.join().is_err());
                    assert!(matches!(&queued, Err(Error::Panicked(panic)) if panic.message().contains("expected")));
                } else {
                    assert_eq!(queued, Err(Error::Work("no row".to_owned())));
                    assert_eq!(runs.join().unwrap(), queued);
                }
            });
            until("the lease is free", || server.keys().iter().all(|key| key.ends_with(":c")));
        }
        assert!(second.call(&1).timeout(LONG).run(|_| Ok(1)).is_ok());
    });
}

/// Deadlines that pass at any moment: while the call queues here, or for the lease, or has it for a newer call. No two runs
/// overlap, every outcome is of a run that started after the call (P3), and
/// nothing is left behind.
#[test]
fn deadlines_that_pass_at_any_moment_leave_nothing_behind() {
    watched("write deadlines", || {
        let server = Server::start();
        let fleets: Vec<_> = (0..3).map(|_| patient(&server.url()).connect().unwrap()).collect();
        let (running, started) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
        let (clock, returned) = (AtomicU64::new(0), AtomicUsize::new(0));
        let tick = || clock.fetch_add(1, Ordering::SeqCst);
        std::thread::scope(|s| {
            for (place, fleet) in fleets.iter().enumerate() {
                let writes: Writes = fleet.write_group("w");
                for thread in 0..6_u64 {
                    let (writes, running, started, tick, returned) =
                        (writes.clone(), &running, &started, &tick, &returned);
                    s.spawn(move || {
                        for round in 0..60_u64 {
                            // From none at all to longer than a turn of everybody takes.
                            let timeout = Duration::from_micros((thread * 7919 + round * 104_729) % 20_000);
                            let arrival = tick();
                            let outcome = writes.call(&1).timeout(timeout).run(|lease| {
                                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                                let start = tick();
                                started.lock().unwrap().insert(lease.fence(), (start, place));
                                std::thread::yield_now();
                                running.fetch_sub(1, Ordering::SeqCst);
                                Ok(lease.fence())
                            });
                            match outcome {
                                Ok(landing) => {
                                    let (start, by) = started.lock().unwrap()[&landing.value];
                                    assert!(start > arrival, "it started before the call");
                                    assert_eq!(by, place, "a run of this process");
                                    returned.fetch_add(1, Ordering::SeqCst);
                                }
                                Err(error) => assert_eq!(error, Error::timed_out()),
                            }
                        }
                    });
                }
            }
        });
        assert!(returned.into_inner() > 100, "there was something to see");
        until("all leases are released", || server.keys().iter().all(|key| key.ends_with(":c")));
        for fleet in &fleets {
            assert_eq!((fleet.holding(), fleet.waiting()), (0, 0));
            assert_eq!(fleet.write_group::<u32, u64, String>("w").in_flight(), 0);
        }
    });
}

#[test]
fn waiting_for_oneself_is_refused() {
    watched("own run", || {
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let writes: Writes = fleet.write_group("w");
        let inner =
            writes.try_write(&1, |_| Ok(u64::from(matches!(writes.try_write(&1, |_| Ok(0)), Err(Error::Deadlock(_))))));
        assert_eq!(inner, Ok(1));
    });
}

#[test]
fn a_write_group_has_options_and_tells_what_is_in_the_air() {
    watched("write options", || {
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let refused = fleet.write_group_with::<u32, u64, String>("w").ttl(Duration::ZERO).build();
        assert!(matches!(refused.unwrap_err(), FleetError::BadOption { option: "ttl", .. }));
        let writes: Writes = fleet.write_group_with("w").ttl(Duration::from_secs(77)).max_followers(0).build().unwrap();
        let landing = writes.call(&1).run(|lease| {
            assert!((70..=77).contains(&lease.remaining().as_secs()), "{:?}", lease.remaining());
            let flights = writes.flights();
            assert_eq!((writes.in_flight(), flights.len(), flights[0].key), (1, 1, 1));
            let crowded = std::thread::scope(|s| s.spawn(|| writes.try_write(&1, |_| Ok(0))).join().unwrap());
            assert_eq!(crowded, Err(Error::overloaded()));
            Ok(lease.fence())
        });
        assert!(landing.is_ok());
        assert_eq!(writes.in_flight(), 0);
    });
}

#[test]
fn a_deadline_a_panic_and_a_lost_lease() {
    watched("ends of writes", || {
        let server = Server::start();
        let (one, other) = (patient(&server.url()).connect().unwrap(), patient(&server.url()).connect().unwrap());
        let (first, second): (Writes, Writes) = (one.write_group("w"), other.write_group("w"));
        let landing = first.call(&1).run(|lease| {
            let late = second.call(&1).timeout(Duration::from_millis(50)).run(|_| Ok(0));
            assert_eq!(late, Err(Error::timed_out()));
            let _: () = server.raw().del("{flight:w:w:1}:f").unwrap();
            assert_eq!(second.try_write(&1, |newer| Ok(newer.fence())).unwrap().min(lease.fence()), lease.fence());
            Ok(lease.fence())
        });
        assert!(landing.unwrap().detached(), "the lease was lost before the write ended");

        let panicked = std::thread::scope(|s| {
            s.spawn(|| first.try_write(&1, |_| panic!("expected in this test's output"))).join()
        });
        assert!(panicked.is_err());
        assert!(second.call(&1).timeout(LONG).run(|_| Ok(1)).is_ok(), "the panic released the lease");
        assert_eq!(one.holding() + other.holding(), 0);
    });
}

#[test]
fn without_a_server_nothing_is_written() {
    watched("writes without a server", || {
        let mut server = Server::start();
        let fleet = patient(&server.url()).patience(Duration::from_millis(300)).connect().unwrap();
        let writes: Writes = fleet.write_group("w");
        server.kill();
        let outcome = writes.try_write(&1, |_| panic!("must not run"));
        assert!(matches!(outcome, Err(Error::Fleet(FleetError::Unavailable { .. }))), "{outcome:?}");
        server.launch();
        until("writing works again", || writes.try_write(&1, |lease| Ok(lease.fence())).is_ok());
    });
}
