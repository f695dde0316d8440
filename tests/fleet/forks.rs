//! A forked child has its parent's memory and none of its threads.

use crate::children::{Orders, Process};
use crate::support::{Log, Server, wait, watched};
use flight_group::fleet::{Fleet, FleetGroup};
use std::time::Duration;

#[test]
fn a_forked_child_flies_for_itself_and_leaves_its_parents_leases_alone() {
    watched("fork", || {
        let (server, log) = (Server::start(), Log::create());
        let orders = Orders {
            role: "fork",
            url: server.url(),
            ttl: Duration::from_secs(300),
            keys: 1,
            threads: 1,
            work: Duration::ZERO,
        };
        let process = Process::start(&orders, &log);
        wait::until("parent and child are done", || log.count("parent-done") == 1);
        process.finish();
        let what: Vec<_> = log.read().into_iter().map(|record| record.what).collect();
        assert_eq!(
            what,
            ["child-sees-lost", "child-is-kept-out", "child-leads", "child-holds", "parent-kept", "parent-done"]
        );
    });
}

/// Runs in a process of its own, which has only this library's threads and the test harness's.
pub(crate) fn parent(fleet: &Fleet, log: &Log) {
    let lease = fleet.lease("l").acquire().unwrap();
    let group: FleetGroup<u32, u32, String> = fleet.group("g");
    assert_eq!(group.try_work(&1, || Ok(1)), Ok(1));
    match fork::fork().unwrap() {
        fork::Fork::Child => {
            if lease.is_lost() && lease.remaining().is_zero() {
                log.put("child-sees-lost", "-", 0);
            }
            if fleet.lease("l").try_acquire().unwrap().is_none() {
                log.put("child-is-kept-out", "-", 0);
            }
            if group.try_work(&1, || Ok(2)) == Ok(2) && fleet.stats().led == 1 {
                log.put("child-leads", "-", 0);
            }
            let own = fleet.lease("own").acquire().unwrap();
            log.put("child-holds", "-", own.fence());
            drop(own);
            // Must not release what the parent holds.
            drop(lease);
            std::process::exit(0);
        }
        fork::Fork::Parent(child) => {
            fork::waitpid(child).unwrap();
            // Nobody's token, connection or renewal was disturbed.
            if !lease.is_lost() && lease.release().is_ok() && fleet.stats().reconnects == 0 {
                log.put("parent-kept", "-", 0);
            }
            log.put("parent-done", "-", 0);
        }
    }
}
