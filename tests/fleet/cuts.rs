//! What happens to a call when the network loses part of the conversation.

use crate::support::proxy::{Damage, Proxy};
use crate::support::{Server, eventually, patient, until, watched};
use flight_group::Role;
use flight_group::fleet::{Fleet, FleetError, FleetGroup};
use redis::Commands;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

type Group = FleetGroup<u32, u32, String>;

const LONG: Duration = Duration::from_secs(60);

struct Cut {
    server: Server,
    proxy: Proxy,
    /// Behind the proxy.
    behind: Fleet,
    direct: Fleet,
}

impl Cut {
    /// What is lost is found out after `silence`; nothing else runs out.
    fn start(silence: Duration) -> Self {
        let server = Server::start();
        let proxy = Proxy::to(server.port());
        let behind = patient(&proxy.url()).command_timeout(silence).ping_interval(silence);
        let behind = eventually("it has connected", || behind.clone().connect());
        let direct = patient(&server.url()).connect().unwrap();
        Self { server, proxy, behind, direct }
    }

    fn registered(&self) -> usize {
        let fields: Vec<String> = self.server.raw().hkeys("{flight:g:g:1}:f").unwrap();
        fields.iter().filter(|field| field.starts_with("n:")).count()
    }
}

/// Long enough for a busy machine to answer in, and short enough to wait for: it is what noticing a stall takes.
const SILENCE: Duration = Duration::from_secs(4);
/// Where no wait is to end by itself.
const NEVER: Duration = Duration::from_secs(60);

const RECORD: &str = "{flight:g:g:1}:f";

#[test]
fn a_join_whose_answer_was_lost_still_leads() {
    watched("lost JOIN", || {
        for damage in [Damage::Swallow, Damage::Cut(1), Damage::Cut(9), Damage::Stall(9)] {
            // A real server's answer: lost, cut off after so many bytes, or stuck after so many.
            let cut = Cut::start(SILENCE);
            let group: Group = cut.behind.group("g");
            // The scripts are known by then, so that the next request is answered in one piece.
            assert_eq!(group.try_work(&2, || Ok(2)), Ok(2));
            cut.proxy.trap(RECORD, damage);
            let landing = group.call(&1).run(|| Ok(1)).unwrap();
            assert_eq!((landing.value, landing.detached()), (1, false), "{damage:?}");
            assert_eq!(cut.proxy.sprung(), 1, "{damage:?}");
            let stats = cut.behind.stats();
            assert_eq!((stats.led, stats.unavailable, stats.takeovers), (2, 0, 0), "{damage:?}: no orphan, no wait");
            until("nothing is left", || cut.server.keys().iter().all(|key| key.ends_with(":c")));
        }
    });
}

/// The outcome and the answer that says that there will be one come over different connections.
#[test]
fn an_outcome_that_overtakes_the_answer_to_the_question_is_kept() {
    watched("overtaken JOIN", || {
        let cut = Cut::start(NEVER);
        let (leads, follows): (Group, Group) = (cut.direct.group("g"), cut.behind.group("g"));
        std::thread::scope(|s| {
            let (started, start) = mpsc::channel();
            let (cut, leads) = (&cut, &leads);
            let leader = s.spawn(move || {
                leads.try_work(&1, || {
                    started.send(()).unwrap();
                    until("the other follows", || cut.registered() == 1);
                    Ok(12_345_678)
                })
            });
            start.recv_timeout(LONG).unwrap();
            cut.proxy.trap(RECORD, Damage::Hold);
            cut.proxy.watch("12345678");
            let follower = s.spawn(|| follows.call(&1).timeout(LONG).run(|| Ok(2)));
            assert_eq!(leader.join().unwrap(), Ok(12_345_678));
            until("the outcome has overtaken the answer", || cut.proxy.has_passed());
            cut.proxy.release();
            assert_eq!(follower.join().unwrap().unwrap().value, 12_345_678);
        });
        let stats = cut.behind.stats();
        assert_eq!((stats.followed_inline, stats.followed_polled, stats.led), (1, 0, 0), "it had no need to ask again");
    });
}

#[test]
fn a_landing_whose_answer_was_lost_is_neither_stale_nor_late() {
    watched("lost FINISH", || {
        for damage in [Damage::Swallow, Damage::Cut(3), Damage::Stall(3)] {
            let cut = Cut::start(SILENCE);
            let (group, other): (Group, Group) = (cut.behind.group("g"), cut.direct.group("g"));
            assert_eq!(group.try_work(&2, || Ok(2)), Ok(2));
            std::thread::scope(|s| {
                let (started, start) = mpsc::channel();
                let (cut, group) = (&cut, &group);
                let leader = s.spawn(move || {
                    group.call(&1).run(|| {
                        started.send(()).unwrap();
                        until("the other follows", || cut.registered() == 1);
                        // Renewals of other flights may go by, but only the landing names this outcome.
                        cut.proxy.trap("{flight:g:g:1}:r", damage);
                        Ok(1)
                    })
                });
                start.recv_timeout(LONG).unwrap();
                assert_eq!(other.try_work(&1, || Ok(3)), Ok(1), "{damage:?}");
                assert!(!leader.join().unwrap().unwrap().detached(), "{damage:?}");
            });
            assert_eq!(cut.proxy.sprung(), 1);
            assert_eq!(cut.behind.stats().stale_finishes, 0);
        }
    });
}

#[test]
fn an_acquire_whose_answer_was_lost_holds_and_a_release_frees() {
    watched("lost ACQUIRE", || {
        let cut = Cut::start(SILENCE);
        drop(cut.behind.lease("other").acquire().unwrap());
        cut.proxy.trap("{flight:l:l}:f", Damage::Swallow);
        let lease = cut.behind.lease("l").acquire().unwrap();
        assert!(cut.direct.lease("l").try_acquire().unwrap().is_none());
        cut.proxy.trap("{flight:l:l}:q", Damage::Swallow);
        assert_eq!(lease.release(), Ok(()));
        cut.direct.lease("l").try_acquire().unwrap().unwrap().release().unwrap();
        assert_eq!(cut.proxy.sprung(), 2);
    });
}

/// No packet and no RST: only silence.
#[test]
fn a_holder_cut_off_loses_its_lease_in_time_and_knows() {
    watched("network cut", || {
        let cut = Cut::start(Duration::from_millis(250));
        let lease =
            eventually("it holds the lease", || cut.behind.lease("l").ttl(Duration::from_millis(1500)).acquire());
        let (lost, told) = mpsc::channel();
        lease.on_lost(move || lost.send(()).unwrap());
        cut.proxy.freeze();
        let next = std::thread::scope(|s| {
            let next = s.spawn(|| cut.direct.lease("l").acquire().unwrap());
            next.join().unwrap()
        });
        // Its local deadline lies before the server's: by the time somebody else has it, the holder knows.
        assert!(lease.is_lost());
        assert!(next.fence() > lease.fence());
        told.recv_timeout(LONG).unwrap();
        let group: Group = cut.behind.group("g");
        assert_eq!(group.try_work(&1, || Ok(1)), Ok(1), "reads fly alone");
        assert_eq!(lease.release(), Err(FleetError::Lost));
        cut.proxy.thaw();
        until("it is back", || group.try_work(&1, || Ok(1)) == Ok(1) && cut.behind.outage().is_none());
        assert!(!next.is_lost());
        assert_eq!(next.release(), Ok(()), "the late release of the old holder did no harm");
    });
}

#[test]
fn a_follower_cut_off_gets_the_outcome_when_it_is_back() {
    watched("follower cut off", || {
        // Longer than any cut on a busy machine: who gives the server up flies alone, which is another test.
        let cut = Cut::start(NEVER);
        let (leads, follows): (Group, Group) = (cut.direct.group("g"), cut.behind.group("g"));
        std::thread::scope(|s| {
            let (started, start) = mpsc::channel();
            let (cut, leads) = (&cut, &leads);
            let leader = s.spawn(move || {
                leads.try_work(&1, || {
                    started.send(()).unwrap();
                    until("the other follows", || cut.registered() == 1);
                    cut.proxy.freeze();
                    Ok(1)
                })
            });
            start.recv_timeout(LONG).unwrap();
            let follower = s.spawn(|| follows.call(&1).timeout(LONG).run(|| Ok(2)));
            assert_eq!(leader.join().unwrap(), Ok(1));
            cut.proxy.thaw();
            let landing = follower.join().unwrap().unwrap();
            let stats = cut.behind.stats();
            match landing.role {
                // Told by the message that was under way, or by asking when it was back: the network decides.
                Role::Follower => assert_eq!((landing.value, stats.led), (1, 0)),
                // The cut came before it had heard that it follows: it asked anew, and led the next flight.
                Role::Leader => assert_eq!((landing.value, stats.led), (2, 1)),
            }
            assert_eq!(stats.unavailable, 0, "it did not fly alone");
        });
    });
}

/// A replica is promoted that had not got the write: a counter would give the same number again.
#[test]
fn a_failover_that_lost_the_write_still_gives_a_greater_fence() {
    watched("failover", || {
        let (primary, promoted) = (Server::start(), Server::start());
        let proxy = Proxy::to(primary.port());
        let fleet = || patient(&proxy.url()).connect().unwrap();
        let (one, other) = (fleet(), fleet());
        // Notices at its next renewal that it is not known any more.
        let first = one.lease("l").ttl(Duration::from_millis(1500)).acquire().unwrap();
        let (lost, told) = mpsc::channel();
        first.on_lost(move || lost.send(()).unwrap());
        proxy.retarget(promoted.port());
        let second = loop {
            match other.lease("l").acquire_timeout(LONG) {
                Ok(lease) => break lease,
                Err(error) => assert!(error.is_unavailable(), "{error}"),
            }
        };
        assert!(second.fence() > first.fence());
        told.recv_timeout(LONG).unwrap();
        assert_eq!(first.release(), Err(FleetError::Lost));
        assert_eq!(second.release(), Ok(()));
        drop(primary);
    });
}

/// A connection that is closed under load costs nobody his answer.
#[test]
fn connections_closed_under_load_cost_no_call() {
    watched("closed connections", || {
        let server = Server::start();
        let proxy = Proxy::to(server.port());
        let fleet = patient(&proxy.url()).connect().unwrap();
        let group: Group = fleet.group("g");
        let (stop, calls) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|s| {
            for n in 0..6 {
                let (group, stop, calls) = (&group, &stop, &calls);
                s.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let round = calls.fetch_add(1, Ordering::Relaxed);
                        let outcome = group.try_work(&(n % 3), || Ok(round));
                        assert!(outcome.is_ok(), "{outcome:?}");
                    }
                });
            }
            for _ in 0..10 {
                let (before, made) = (fleet.stats().reconnects, calls.load(Ordering::Relaxed));
                proxy.cut();
                until("it has reconnected, and calls go on", || {
                    fleet.stats().reconnects > before && calls.load(Ordering::Relaxed) > made + 20
                });
            }
            stop.store(true, Ordering::Relaxed);
        });
        until("no record is left behind", || server.keys().iter().all(|key| key.ends_with(":c")));
    });
}
