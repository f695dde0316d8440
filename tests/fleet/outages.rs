//! The server goes away, comes back, stops answering, forgets, cuts answers off.

use crate::support::{Server, eventually, patient, until, until_within, watched};
use flight_group::Error;
use flight_group::fleet::{Fleet, FleetError, FleetGroup, FleetWriteGroup, Json};
use redis::Commands;
use rustix::process::Signal;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

type Group = FleetGroup<u32, u32, String>;

const LONG: Duration = Duration::from_secs(60);

#[test]
fn without_a_server_each_process_flies_alone_and_collapses_its_own() {
    watched("down", || {
        let mut server = Server::start();
        let fleet = patient(&server.url()).patience(Duration::from_millis(300)).connect().unwrap();
        let group: Group = fleet.group("g");
        let strict: Group = fleet.group_with("g", Json::new()).refuse_when_unavailable(true).build().unwrap();
        assert_eq!(group.try_work(&1, || Ok(1)), Ok(1));
        server.kill();

        let runs = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    let landing = group.try_work(&1, || {
                        runs.fetch_add(1, Ordering::SeqCst);
                        until("the others follow", || group.followers(&1) == 7);
                        Ok(2)
                    });
                    assert_eq!(landing, Ok(2));
                });
            }
        });
        assert_eq!(runs.into_inner(), 1);
        assert!(fleet.stats().unavailable >= 1);
        assert!(fleet.outage().is_some_and(|reason| reason.is_unavailable()));
        assert!(matches!(strict.try_work(&1, || Ok(3)), Err(Error::Fleet(FleetError::Unavailable { .. }))));
        assert!(fleet.lease("l").acquire().unwrap_err().is_unavailable());
        assert!(fleet.lease("l").try_acquire().unwrap_err().is_unavailable());
        let within = Duration::from_millis(300);
        assert!(fleet.lease("l").acquire_timeout(within).unwrap_err().is_unavailable(), "says why it waited");

        server.launch();
        until("the fleet is asked again", || fleet.outage().is_none());
        let led = fleet.stats().led;
        assert_eq!(group.try_work(&1, || Ok(4)), Ok(4));
        assert_eq!(fleet.stats().led, led + 1);
        assert!(fleet.stats().reconnects >= 1);
        drop(fleet.lease("l").acquire().unwrap());
    });
}

#[test]
fn a_process_may_start_before_its_server() {
    watched("early start", || {
        let mut server = Server::start();
        server.kill();
        assert!(Fleet::connect(&server.url()).unwrap_err().is_unavailable());
        let fleet = Fleet::builder(&server.url()).allow_unreachable(true).connect().unwrap();
        let group: Group = fleet.group("g");
        assert_eq!(group.try_work(&1, || Ok(1)), Ok(1));
        server.launch();
        until("it flies in the fleet", || group.try_work(&1, || Ok(1)) == Ok(1) && fleet.stats().led > 0);
    });
}

/// What answers: nothing. Every call ends by its own deadline; nothing here ends by a command timeout, which is longer than
/// this test is given.
#[test]
fn a_server_that_stops_answering_holds_no_call_past_its_deadline() {
    watched("stalled", || {
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let group: Group = fleet.group("g");
        let writes: FleetWriteGroup<u32, u64, String> = fleet.write_group("w");
        assert_eq!(group.try_work(&1, || Ok(1)), Ok(1));
        server.signal(Signal::STOP);
        let soon = Duration::from_millis(500);
        let patient_is_back = AtomicBool::new(false);
        std::thread::scope(|s| {
            let first = s.spawn(|| group.call(&3).timeout(soon).run(|| Ok(2)));
            until_within(Duration::from_secs(30), "it is back, before half of what an answer may take", || {
                first.is_finished()
            });
            assert_eq!(first.join().unwrap().unwrap().value, 2, "it flew alone, before its deadline");
            // Without a deadline a call waits for an answer, ..
            let patient = s.spawn(|| {
                let outcome = group.try_work(&1, || Ok(3));
                patient_is_back.store(true, Ordering::SeqCst);
                outcome
            });
            // .. and those with a deadline do not wait as long: whether they find somebody reading, or would have to.
            for _ in 0..3 {
                assert_eq!(group.call(&2).timeout(soon).run(|| Ok(2)).unwrap().value, 2);
                assert_eq!(fleet.lease("l").acquire_timeout(soon).unwrap_err(), FleetError::TimedOut);
                assert_eq!(writes.call(&1).timeout(soon).run(|_| Ok(0)), Err(Error::timed_out()));
            }
            // Who follows a caller of its process that has more time waits for that, and not for the server.
            assert_eq!(group.call(&1).timeout(soon).run(|| Ok(2)), Err(Error::timed_out()));
            assert!(!patient_is_back.load(Ordering::SeqCst), "nobody could have answered it");
            server.signal(Signal::CONT);
            assert_eq!(patient.join().unwrap(), Ok(3));
        });
        // What was given up meanwhile was also ended: nobody holds a record.
        until("no orphan is left", || server.keys().iter().all(|key| key.ends_with(":c")));
    });
}

/// The time a read gives the server is an option, for calls without a deadline too.
#[test]
fn a_read_gives_the_server_as_long_as_its_group_says() {
    watched("patience", || {
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let patience = Duration::from_millis(300);
        let group: Group = fleet.group_with("g", Json::new()).patience(patience).build().unwrap();
        let refused = fleet.group_with::<u32, u32, String>("g", Json::new()).patience(Duration::ZERO).build();
        assert!(matches!(refused.unwrap_err(), FleetError::BadOption { option: "patience", .. }));
        server.signal(Signal::STOP);
        std::thread::scope(|s| {
            let read = s.spawn(|| group.try_work(&1, || Ok(1)));
            // Nothing else ends it: a command may take twice as long.
            until_within(Duration::from_secs(30), "it has flown alone", || read.is_finished());
            assert_eq!(read.join().unwrap(), Ok(1));
        });
        server.signal(Signal::CONT);
        until("no orphan is left", || server.keys().iter().all(|key| key.ends_with(":c")));
    });
}

/// The server stops while a write runs: releasing its lease takes no longer than the call may, whether it returns or panics.
#[test]
fn a_write_keeps_its_deadline_while_it_releases() {
    watched("release", || {
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let writes: FleetWriteGroup<u32, u64, String> = fleet.write_group("w");
        for panics in [false, true] {
            std::thread::scope(|s| {
                let write = s.spawn(|| {
                    writes.call(&1).timeout(Duration::from_secs(10)).run(|lease| {
                        server.signal(Signal::STOP);
                        assert!(!panics, "expected in this test's output");
                        Ok(lease.fence())
                    })
                });
                // Nothing else ends it: an answer may take a minute, and three are given to a call without a deadline.
                let end = Instant::now() + Duration::from_secs(30);
                while !write.is_finished() && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let is_back = write.is_finished();
                server.signal(Signal::CONT);
                assert!(is_back, "it waits past its deadline");
                assert_eq!(write.join().is_err(), panics);
            });
            until("the lease is released all the same", || server.keys().iter().all(|key| key.ends_with(":c")));
        }
    });
}

/// Leases and writes wait through an outage: until their deadline, or for as long as the fleet's patience says.
#[test]
fn leases_and_writes_ride_out_a_restart() {
    watched("riding out", || {
        let mut server = Server::start();
        let fleet = patient(&server.url()).patience(LONG).connect().unwrap();
        let group: Group = fleet.group("g");
        let strict: Group = fleet.group_with("s", Json::new()).refuse_when_unavailable(true).build().unwrap();
        let writes: FleetWriteGroup<u32, u64, String> = fleet.write_group("w");
        server.kill();
        until("the outage is known", || fleet.lease("l").try_acquire().is_err() && fleet.outage().is_some());
        std::thread::scope(|s| {
            let calls = [
                s.spawn(|| fleet.lease("l").acquire_timeout(LONG).is_ok()),
                s.spawn(|| fleet.lease("m").acquire().is_ok()),
                s.spawn(|| writes.call(&1).timeout(LONG).run(|lease| Ok(lease.fence())).is_ok()),
                s.spawn(|| writes.try_write(&2, |lease| Ok(lease.fence())).is_ok()),
                s.spawn(|| strict.call(&1).timeout(LONG).run(|| Ok(1)).is_ok()),
                s.spawn(|| strict.try_work(&2, || Ok(1)).is_ok()),
            ];
            until("they wait", || fleet.waiting() == calls.len());
            assert_eq!(group.try_work(&1, || Ok(1)), Ok(1), "reads that may fly alone do not wait");
            server.launch();
            for call in calls {
                assert!(call.join().unwrap());
            }
        });
        assert_eq!((fleet.holding(), fleet.waiting()), (0, 0));
    });
}

/// A lease that was asked for long before the server was back lives as long as any other.
#[test]
fn a_lease_counts_its_time_from_when_the_server_was_asked() {
    watched("late lease", || {
        let mut server = Server::start();
        let fleet = patient(&server.url()).ttl(Duration::from_secs(6)).connect().unwrap();
        server.kill();
        std::thread::scope(|s| {
            let waits = s.spawn(|| fleet.lease("l").renew(false).acquire_timeout(LONG).unwrap());
            until("it waits", || fleet.waiting() == 1);
            // Longer than half of its time to live: that is what is tested, and no condition shows it.
            std::thread::sleep(Duration::from_secs(4));
            server.launch();
            let lease = waits.join().unwrap();
            assert!(lease.remaining() > Duration::from_secs(3), "{:?}", lease.remaining());
        });
    });
}

#[test]
fn a_server_that_stops_answering_is_given_up_and_asked_again() {
    watched("given up", || {
        let server = Server::start();
        // A record that nobody ended would outlive this test.
        let builder = patient(&server.url()).command_timeout(Duration::from_millis(300));
        let builder = builder.patience(Duration::from_secs(1));
        let fleet = eventually("it has connected", || builder.clone().connect());
        let group: Group = fleet.group("g");
        server.signal(Signal::STOP);
        assert_eq!(group.try_work(&1, || Ok(3)), Ok(3), "flies alone");
        assert!(fleet.lease("l").acquire().unwrap_err().is_unavailable());
        server.signal(Signal::CONT);
        until("it is asked again", || group.try_work(&1, || Ok(4)) == Ok(4) && fleet.outage().is_none());
        // What was given up meanwhile was also ended: nobody holds the record.
        until("no orphan is left", || {
            server.raw().exists::<_, u8>(&["{flight:g:g:1}:f", "{flight:g:g:2}:f"]).is_ok_and(|there| there == 0)
        });
    });
}

#[test]
fn a_server_restarted_empty_under_load_forgets_holders_but_no_call_hangs() {
    watched("restart", || {
        let mut server = Server::start();
        let fleets: Vec<_> =
            (0..3).map(|_| patient(&server.url()).ttl(Duration::from_millis(500)).connect().unwrap()).collect();
        let (stop, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|s| {
            for fleet in &fleets {
                let group: Group = fleet.group("g");
                for n in 0..3 {
                    let (group, stop, calls) = (group.clone(), &stop, &calls);
                    s.spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            assert_eq!(group.try_work(&n, || Ok(n)), Ok(n));
                            calls.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            }
            let more = |n: usize| {
                let before = calls.load(Ordering::Relaxed);
                until("calls go on", || calls.load(Ordering::Relaxed) > before + n);
            };
            for _ in 0..3 {
                more(300);
                server.kill();
                more(300);
                server.launch();
                until("all are back", || fleets.iter().all(|fleet| fleet.outage().is_none()));
            }
            more(300);
            stop.store(true, Ordering::Relaxed);
        });
        for fleet in &fleets {
            assert!(fleet.stats().reconnects >= 3);
            assert_eq!((fleet.holding(), fleet.waiting()), (0, 0));
        }
    });
}

#[test]
fn a_lease_whose_server_forgot_it_is_lost() {
    watched("forgotten", || {
        let mut server = Server::start();
        let fleet = patient(&server.url()).ttl(Duration::from_millis(400)).connect().unwrap();
        let lease = fleet.lease("l").acquire().unwrap();
        let (lost, told) = mpsc::channel();
        lease.on_lost(move || lost.send(()).unwrap());
        server.kill();
        server.launch();
        told.recv_timeout(LONG).unwrap();
        assert!(lease.is_lost());
        assert_eq!(lease.release(), Err(FleetError::Lost));
    });
}

#[test]
fn a_lease_outlives_an_outage_shorter_than_its_time_to_live() {
    watched("short outage", || {
        let server = Server::start();
        let builder = patient(&server.url()).ttl(Duration::from_secs(15)).command_timeout(Duration::from_millis(500));
        let fleet = eventually("it has connected", || builder.clone().connect());
        let lease = eventually("it holds the lease", || fleet.lease("l").acquire());
        server.signal(Signal::STOP);
        // Long enough for renewals to fail.
        until("a renewal was due and failed", || lease.remaining() < Duration::from_secs(9));
        server.signal(Signal::CONT);
        until("it is renewed", || lease.remaining() > Duration::from_secs(13));
        assert!(!lease.is_lost());
    });
}

#[test]
fn scripts_the_server_forgot_are_sent_again() {
    watched("script flush", || {
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let group: Group = fleet.group("g");
        for n in 0..5 {
            redis::cmd("SCRIPT").arg("FLUSH").exec(&mut server.raw()).unwrap();
            assert_eq!(group.try_work(&n, || Ok(n)), Ok(n));
            fleet.lease("l").acquire().unwrap().release().unwrap();
        }
        assert_eq!((fleet.stats().led, fleet.stats().unavailable), (5, 0));
    });
}

/// Kills the connections that bring outcomes, again and again, while outcomes are on their way.
#[test]
fn killed_subscribers_lose_no_outcome() {
    watched("subscribers killed", || {
        let server = Server::start();
        // A message that stays lost costs a time to live, longer than this test is given.
        let fleet = || patient(&server.url()).connect().unwrap();
        let fleets = [fleet(), fleet()];
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut raw = server.raw();
                while !stop.load(Ordering::Relaxed) {
                    let _: u64 = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").query(&mut raw).unwrap();
                    let before: u64 = fleets.iter().map(|fleet| fleet.stats().reconnects).sum();
                    until("somebody is back, or all is done", || {
                        stop.load(Ordering::Relaxed)
                            || fleets.iter().map(|fleet| fleet.stats().reconnects).sum::<u64>() > before
                    });
                }
            });
            let workers: Vec<_> = fleets
                .iter()
                .map(|fleet| {
                    let group: Group = fleet.group("g");
                    s.spawn(move || {
                        for n in 0..300 {
                            assert_eq!(group.try_work(&(n % 3), || Ok(n % 3)), Ok(n % 3));
                        }
                    })
                })
                .collect();
            for worker in workers {
                worker.join().unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(fleets.iter().map(Fleet::waiting).sum::<usize>(), 0);
    });
}
