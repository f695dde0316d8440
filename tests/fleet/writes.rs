//! Writes over the fleet.

use crate::support::{Server, patient, until, watched};
use flight_group::Error;
use flight_group::fleet::{FleetError, FleetWriteGroup};
use redis::Commands;
use std::sync::atomic::{AtomicUsize, Ordering};
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

#[test]
fn a_write_group_has_options_and_tells_what_is_in_the_air() {
    watched("write options", || {
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let refused = fleet.write_group_with("w").ttl(Duration::ZERO).build::<u32, u64, String>();
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
        let fleet = patient(&server.url()).connect().unwrap();
        let writes: Writes = fleet.write_group("w");
        server.kill();
        let outcome = writes.try_write(&1, |_| panic!("must not run"));
        assert!(matches!(outcome, Err(Error::Fleet(FleetError::Unavailable { .. }))), "{outcome:?}");
        server.launch();
        until("writing works again", || writes.try_write(&1, |lease| Ok(lease.fence())).is_ok());
    });
}
