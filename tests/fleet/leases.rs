//! Leases of one process: the guard, its queue, its end.

use crate::support::{Server, patient, until, until_renewed, watched};
use flight_group::fleet::{Fleet, FleetError, Lease};
use redis::Commands;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

fn fleet(server: &Server) -> Fleet {
    patient(&server.url()).connect().unwrap()
}

#[test]
fn one_holds_the_other_waits_and_a_drop_hands_over() {
    watched("hand over", || {
        let server = Server::start();
        let (one, other) = (fleet(&server), fleet(&server));
        let first = one.lease("l").acquire().unwrap();
        assert!(other.lease("l").try_acquire().unwrap().is_none());
        assert!(matches!(other.lease("l").acquire_timeout(Duration::from_millis(30)), Err(FleetError::TimedOut)));
        let mut raw = server.raw();
        until("its place is given up", || raw.zcard::<_, u64>("{flight:l:l}:q").unwrap() == 0);
        let fence = first.fence();
        std::thread::scope(|s| {
            let waiter = s.spawn(|| other.lease("l").acquire_timeout(LONG).unwrap().fence());
            until("the other waits", || other.waiting() == 1);
            drop(first);
            assert!(waiter.join().unwrap() > fence);
        });
        until("nothing is held", || one.holding() + other.holding() + other.waiting() == 0);
        assert_eq!(server.keys(), ["{flight:l:l}:c"]);
    });
}

#[test]
fn threads_take_turns_in_the_order_they_came() {
    watched("order", || {
        let server = Server::start();
        let fleet = fleet(&server);
        let order = Mutex::new(Vec::new());
        let held = fleet.lease("l").acquire().unwrap();
        let mut raw = server.raw();
        std::thread::scope(|s| {
            for n in 0..8 {
                let (fleet, order) = (&fleet, &order);
                s.spawn(move || {
                    let lease = fleet.lease("l").acquire_timeout(LONG).unwrap();
                    order.lock().unwrap().push((n, lease.fence()));
                });
                until("it stands in the queue", || raw.zcard::<_, usize>("{flight:l:l}:q").unwrap() == n + 1);
            }
            drop(held);
        });
        let order = order.into_inner().unwrap();
        assert_eq!(order.iter().map(|turn| turn.0).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
        assert!(order.windows(2).all(|turns| turns[0].1 < turns[1].1), "fences grow: {order:?}");
    });
}

#[test]
fn a_lease_is_renewed_for_as_long_as_it_is_held() {
    watched("renewal", || {
        let server = Server::start();
        let fleet = patient(&server.url()).ttl(Duration::from_secs(3)).connect().unwrap();
        let lease = fleet.lease("l").acquire().unwrap();
        let mut raw = server.raw();
        let mut before: i64 = raw.pttl("{flight:l:l}:f").unwrap();
        let mut renewals = 0;
        until("it has been renewed four times, over more than its time to live", || {
            let left: i64 = raw.pttl("{flight:l:l}:f").unwrap();
            renewals += usize::from(left > before);
            before = left;
            renewals == 4
        });
        assert!(!lease.is_lost());
        lease.release().unwrap();
    });
}

#[test]
fn without_renewal_it_ends_by_itself_and_says_so() {
    watched("no renewal", || {
        let server = Server::start();
        let (one, other) = (fleet(&server), fleet(&server));
        let lease = one.lease("l").ttl(Duration::from_millis(200)).renew(false).acquire().unwrap();
        let (lost, told) = mpsc::channel();
        lease.on_lost(move || lost.send(()).unwrap());
        let next = other.lease("l").acquire_timeout(LONG).unwrap();
        told.recv_timeout(LONG).unwrap();
        assert!(lease.is_lost() && lease.remaining().is_zero());
        assert!(next.fence() > lease.fence());
        assert_eq!(lease.release(), Err(FleetError::Lost));
        assert!(!next.is_lost());
        assert_eq!(one.stats().leases_lost, 1);
        next.release().unwrap();
    });
}

#[test]
fn a_loss_is_told_once_and_a_panic_in_the_callback_stays_there() {
    watched("loss", || {
        let server = Server::start();
        let fleet = patient(&server.url()).ttl(Duration::from_millis(300)).connect().unwrap();
        let lease = fleet.lease("l").acquire().unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        lease.on_lost(|| panic!("a callback that panics (expected in this test's output)"));
        let count = Arc::clone(&told);
        lease.on_lost(move || _ = count.fetch_add(1, Ordering::SeqCst));
        let _: () = server.raw().del("{flight:l:l}:f").unwrap();
        until("the loss is told", || told.load(Ordering::SeqCst) == 1);
        assert!(lease.is_lost());
        let count = Arc::clone(&told);
        lease.on_lost(move || _ = count.fetch_add(1, Ordering::SeqCst));
        assert_eq!(told.load(Ordering::SeqCst), 2, "too late to keep: run at once");
        assert_eq!(lease.release(), Err(FleetError::Lost));
        // The keeper lives on.
        let next = fleet.lease("l").ttl(LONG).acquire().unwrap();
        assert_eq!(fleet.holding(), 1);
        next.release().unwrap();
    });
}

/// One script call renews many records: what somebody did to one of them must not cost the others theirs.
#[test]
fn a_record_that_was_overwritten_costs_no_other_lease() {
    watched("overwritten", || {
        let server = Server::start();
        let fleet = patient(&server.url()).ttl(Duration::from_secs(3)).connect().unwrap();
        let (broken, whole) = (fleet.lease("broken").acquire().unwrap(), fleet.lease("whole").acquire().unwrap());
        let _: () = server.raw().set("{flight:l:broken}:f", "not a lease").unwrap();
        until("the loss of the one is noticed", || broken.is_lost());
        until_renewed(&whole);
        assert_eq!(fleet.stats().leases_lost, 1);
        assert_eq!(whole.release(), Ok(()));
    });
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a drop that panics (expected in this test's output)");
    }
}

#[test]
fn a_callback_whose_drop_panics_keeps_no_lease() {
    watched("drop bomb", || {
        let server = Server::start();
        let fleet = fleet(&server);
        let lease = fleet.lease("l").acquire().unwrap();
        let bomb = Bomb;
        lease.on_lost(move || drop(bomb));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lease.release())).is_err());
        assert!(fleet.lease("l").try_acquire().unwrap().is_some(), "it was released all the same");
    });
}

#[test]
fn releasing_never_frees_what_somebody_else_holds() {
    watched("foreign release", || {
        let server = Server::start();
        let (one, other) = (fleet(&server), fleet(&server));
        let lease = one.lease("l").acquire().unwrap();
        let _: () = server.raw().del("{flight:l:l}:f").unwrap();
        let next = other.lease("l").acquire().unwrap();
        drop(lease);
        assert!(one.lease("l").try_acquire().unwrap().is_none());
        next.release().unwrap();
    });
}

#[test]
fn renewals_and_releases_race_without_a_false_loss() {
    watched("renew against release", || {
        let server = Server::start();
        let fleet = patient(&server.url()).ttl(Duration::from_millis(50)).connect().unwrap();
        // A time to live this short is renewed every 17 ms: many releases meet a renewal on its way.
        let rounds = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for n in 0..4 {
                let (fleet, rounds) = (&fleet, &rounds);
                s.spawn(move || {
                    let name = format!("l{n}");
                    while rounds.fetch_add(1, Ordering::Relaxed) < 4000 {
                        let lease = fleet.lease(&name).ttl(LONG).acquire().unwrap();
                        let quick = fleet.lease(&format!("q{n}")).acquire().unwrap();
                        // A noisy machine may truly lose the quick one; the other never.
                        drop(quick);
                        assert_eq!(lease.release(), Ok(()));
                    }
                });
            }
        });
        assert_eq!(fleet.holding(), 0);
        // A quick one that was lost ends by itself.
        until("nothing is left", || server.keys().iter().all(|key| key.ends_with(":c")));
    });
}

#[test]
fn ten_thousand_leases_have_one_keeper() {
    watched("ten thousand leases", || {
        let server = Server::start();
        let fleet = patient(&server.url()).ttl(Duration::from_secs(15)).connect().unwrap();
        let threads = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
        let before = threads();
        let leases: Mutex<Vec<Lease>> = Mutex::default();
        std::thread::scope(|s| {
            for part in 0..8 {
                let (fleet, leases) = (&fleet, &leases);
                s.spawn(move || {
                    for n in 0..1250 {
                        let lease = fleet.lease(&format!("l{part}-{n}")).acquire().unwrap();
                        leases.lock().unwrap().push(lease);
                    }
                });
            }
        });
        let leases = leases.into_inner().unwrap();
        assert_eq!(fleet.holding(), 10_000);
        // Other tests of this binary start and end threads of theirs at the same time; a thread per lease, or one for
        // a few of them, would be far more.
        assert!(threads() < before + 1000, "no thread per lease");
        let mut raw = server.raw();
        let mut least: Vec<Duration> = leases.iter().map(Lease::remaining).collect();
        let mut renewed = vec![false; leases.len()];
        until("each has been renewed after all were taken", || {
            for (n, lease) in leases.iter().enumerate() {
                let left = lease.remaining();
                renewed[n] |= left > least[n];
                least[n] = left;
            }
            renewed.iter().all(|renewed| *renewed)
        });
        assert!(leases.iter().all(|lease| !lease.is_lost()));
        assert!(raw.pttl::<_, i64>("{flight:l:l0-0}:f").unwrap() > 0);
        assert_eq!(fleet.stats().leases_lost, 0);
        std::thread::scope(|s| {
            let mut rest = leases;
            while !rest.is_empty() {
                let part = rest.split_off(rest.len().saturating_sub(1250));
                s.spawn(move || part.into_iter().for_each(|lease| lease.release().unwrap()));
            }
        });
        assert_eq!(fleet.holding(), 0);
    });
}

#[test]
fn bad_options_are_named() {
    let server = Server::start();
    let error = Fleet::builder(&server.url()).ttl(Duration::from_millis(1)).connect().unwrap_err();
    assert_eq!(error.to_string(), "bad ttl \"1ms\": expected a duration from 50 ms to 12 hours");
    let error = Fleet::builder(&server.url()).prefix("").connect().unwrap_err();
    assert_eq!(error.to_string(), "bad prefix \"\": expected at least one character");
    let error = fleet(&server).lease("l").ttl(Duration::MAX).acquire().unwrap_err();
    assert!(matches!(error, FleetError::BadOption { option: "ttl", .. }), "{error}");
}
