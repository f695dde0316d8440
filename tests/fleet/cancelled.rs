//! P6 for cancelled calls of the fleet: who is cancelled leaves at once, with the cause, wherever it waits; nobody else
//! notices, and nothing is left on the server.

use crate::support::{Server, patient, until, watched};
use flight_group::fleet::{Fleet, FleetError, FleetGroup, FleetWriteGroup};
use flight_group::{CancelToken, Error};
use redis::Commands;
use rustix::process::Signal;
use std::fmt::Debug;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

type Reads = FleetGroup<u32, String, String>;
type Writes = FleetWriteGroup<u32, u64, String>;

const LONG: Duration = Duration::from_secs(60);

fn fleet(server: &Server) -> Fleet {
    patient(&server.url()).connect().unwrap()
}

/// What holds a leader in its closure, and lets it go.
fn gate() -> ((Sender<()>, Receiver<()>), impl FnOnce() + Send) {
    let (entered, has_entered) = mpsc::channel();
    let (go, gone) = mpsc::channel();
    let stay = move || {
        entered.send(()).unwrap();
        gone.recv_timeout(LONG).unwrap();
    };
    ((go, has_entered), stay)
}

/// A read of key 1 that is in its closure, and returns "old" once it may land.
fn hold<'s>(
    s: &'s Scope<'s, '_>,
    group: &'s Reads,
) -> (Sender<()>, ScopedJoinHandle<'s, Result<String, Error<String>>>) {
    let ((land, entered), stay) = gate();
    let leader = s.spawn(|| {
        group.try_work(&1, || {
            stay();
            Ok("old".into())
        })
    });
    entered.recv_timeout(LONG).unwrap();
    (land, leader)
}

#[track_caller]
fn assert_shut_down<T: Debug>(outcome: Result<T, Error<String>>) {
    match outcome {
        Err(Error::Cancelled(cancelled)) => assert_eq!(cancelled.cause().to_string(), "shut down"),
        other => panic!("expected a cancelled call, got {other:?}"),
    }
}

#[track_caller]
fn assert_lease_shut_down<T: Debug>(outcome: Result<T, FleetError>) {
    match outcome {
        Err(FleetError::Cancelled(cancelled)) => assert_eq!(cancelled.cause().to_string(), "shut down"),
        other => panic!("expected a cancelled call, got {other:?}"),
    }
}

#[test]
fn a_cancelled_token_refuses_every_kind_of_call_at_once() {
    watched("born cancelled", || {
        let server = Server::start();
        let fleet = fleet(&server);
        let (reads, writes): (Reads, Writes) = (fleet.group("g"), fleet.write_group("w"));
        let token = CancelToken::new();
        token.cancel("shut down");
        assert_shut_down(reads.call(&1).cancel(&token).run(|| unreachable!("it runs nothing")));
        assert_shut_down(reads.call(&1).fresh().cancel(&token).run(|| unreachable!("it runs nothing")));
        assert_shut_down(writes.call(&1).cancel(&token).run(|_| unreachable!("it runs nothing")));
        assert_lease_shut_down(fleet.lease("l").cancel(&token).acquire());
        assert_lease_shut_down(fleet.lease("l").cancel(&token).acquire_timeout(LONG));
        assert_lease_shut_down(fleet.lease("l").cancel(&token).try_acquire());
        assert_eq!((server.keys().len(), fleet.holding(), fleet.waiting()), (0, 0, 0));
    });
}

/// Another process leads. Of two callers here the cancelled one, which had asked, leaves; the other asks for itself.
#[test]
fn a_cancelled_read_leaves_another_processs_flight_and_takes_nobody_along() {
    watched("cancelled read", || {
        for fresh in [false, true] {
            let server = Server::start();
            let (one, other) = (fleet(&server), fleet(&server));
            let (first, second): (Reads, Reads) = (one.group("g"), other.group("g"));
            let token = CancelToken::new();
            std::thread::scope(|s| {
                let (land, leader) = hold(s, &first);
                let cancelled = s.spawn(|| {
                    let call = second.call(&1).cancel(&token);
                    let call = if fresh { call.fresh() } else { call };
                    call.run(|| unreachable!("another process leads"))
                });
                until("it waits for the other process", || other.waiting() == 1);
                let patient = s.spawn(|| {
                    let call = second.call(&1);
                    let call = if fresh { call.fresh() } else { call };
                    call.run(|| Ok("new".into()))
                });
                until("it follows the first", || second.followers(&1) == 1);
                token.cancel("shut down");
                assert_shut_down(cancelled.join().unwrap());
                until("the other asks for itself", || other.waiting() == 1);
                land.send(()).unwrap();
                assert_eq!(leader.join().unwrap().unwrap(), "old");
                assert_eq!(patient.join().unwrap().unwrap().value, if fresh { "new" } else { "old" });
            });
            until("nothing is left", || one.holding() + other.holding() + one.waiting() + other.waiting() == 0);
        }
    });
}

/// A fresh call queues in its process behind one that is cancelled. A plain call comes before it is awake, and leads for
/// both: it must not follow another process's flight that is older than the fresh call.
#[test]
fn a_plain_call_that_leads_for_a_fresh_one_follows_no_older_flight() {
    watched("plain leads for fresh", || {
        for _ in 0..10 {
            let server = Server::start();
            let (one, other) = (fleet(&server), fleet(&server));
            let (first, second): (Reads, Reads) = (one.group("g"), other.group("g"));
            let token = CancelToken::new();
            let (leaves, has_left) = mpsc::channel();
            std::thread::scope(|s| {
                let (land, old) = hold(s, &first);
                let plain = s.spawn(|| {
                    assert_shut_down(second.call(&1).fresh().cancel(&token).run(|| unreachable!("it is not awaited")));
                    leaves.send(()).unwrap();
                    second.try_work(&1, || Ok("new".into()))
                });
                until("the first waits for the other process", || other.waiting() == 1);
                let fresh = s.spawn(|| second.call(&1).fresh().run(|| Ok("new".into())));
                until("the fresh one is queued", || second.followers(&1) == 1);
                token.cancel("shut down");
                has_left.recv_timeout(LONG).unwrap();
                until("one of the others asks", || other.waiting() == 1);
                land.send(()).unwrap();
                assert_eq!(old.join().unwrap().unwrap(), "old");
                assert_eq!(fresh.join().unwrap().unwrap().value, "new");
                plain.join().unwrap().unwrap();
            });
        }
    });
}

#[test]
fn a_cancelled_wait_for_a_lease_gives_up_its_place() {
    watched("cancelled lease", || {
        let server = Server::start();
        let (one, other) = (fleet(&server), fleet(&server));
        let mut raw = server.raw();
        let held = one.lease("l").acquire().unwrap();
        let token = CancelToken::new();
        std::thread::scope(|s| {
            let cancelled = s.spawn(|| other.lease("l").cancel(&token).acquire());
            until("it stands in the queue", || raw.zcard::<_, usize>("{flight:l:l}:q").unwrap() == 1);
            let next = s.spawn(|| other.lease("l").acquire_timeout(LONG));
            until("so does the next", || raw.zcard::<_, usize>("{flight:l:l}:q").unwrap() == 2);
            token.cancel("shut down");
            assert_lease_shut_down(cancelled.join().unwrap());
            until("its place is given up", || raw.zcard::<_, usize>("{flight:l:l}:q").unwrap() == 1);
            drop(held);
            assert!(next.join().unwrap().is_ok(), "the next had its turn");
        });
        // A lease that is held has nothing to do with the token any more.
        let token = CancelToken::new();
        let lease = one.lease("l").cancel(&token).acquire().unwrap();
        token.cancel("shut down");
        assert!(!lease.is_lost());
        lease.release().unwrap();
    });
}

/// One caller waits for the key's lease, a newer one behind it: whichever is cancelled, the other writes.
#[test]
fn a_cancelled_write_leaves_the_others_their_turn() {
    watched("cancelled write", || {
        for cancels_first in [true, false] {
            let server = Server::start();
            let (one, other) = (fleet(&server), fleet(&server));
            let (first, second): (Writes, Writes) = (one.write_group("w"), other.write_group("w"));
            let (token, none) = (CancelToken::new(), CancelToken::new());
            let tokens = if cancels_first { [&token, &none] } else { [&none, &token] };
            let ((land, entered), stay) = gate();
            std::thread::scope(|s| {
                let holder = s.spawn(|| {
                    first.try_write(&1, |_| {
                        stay();
                        Ok(0)
                    })
                });
                entered.recv_timeout(LONG).unwrap();
                let older = s.spawn(|| second.call(&1).cancel(tokens[0]).run(|_| Ok(1)));
                until("it queues for the lease", || other.waiting() == 1);
                let newer = s.spawn(|| second.call(&1).cancel(tokens[1]).run(|_| Ok(2)));
                until("it waits behind the first", || second.followers(&1) == 1);
                token.cancel("shut down");
                let (cancelled, served) = if cancels_first { (older, newer) } else { (newer, older) };
                assert_shut_down(cancelled.join().unwrap());
                land.send(()).unwrap();
                assert_eq!(holder.join().unwrap(), Ok(0));
                assert_eq!(served.join().unwrap().unwrap().value, if cancels_first { 2 } else { 1 });
            });
            until("nothing is left", || one.holding() + other.holding() + one.waiting() + other.waiting() == 0);
            assert_eq!((first.in_flight(), second.in_flight()), (0, 0));
        }
    });
}

/// The token ends the wait for a server that is silent; here no command times out by itself.
#[test]
fn a_cancelled_call_does_not_wait_for_a_silent_server() {
    watched("cancelled and silent", || {
        let server = Server::start();
        let fleet = fleet(&server);
        let (reads, writes): (Reads, Writes) = (fleet.group("g"), fleet.write_group("w"));
        assert!(reads.try_work(&1, || Ok("warm".into())).is_ok());
        server.signal(Signal::STOP);
        let token = CancelToken::new();
        std::thread::scope(|s| {
            // Somebody reads for all; it is not cancelled.
            let patient = s.spawn(|| fleet.lease("other").acquire_timeout(LONG).map(drop));
            until("the server is asked", || fleet.waiting() == 1);
            let read = s.spawn(|| reads.call(&2).cancel(&token).run(|| Ok("alone".into())));
            let write = s.spawn(|| writes.call(&2).cancel(&token).run(|_| unreachable!("nobody could have said so")));
            let lease = s.spawn(|| fleet.lease("l").cancel(&token).acquire());
            until("all wait", || fleet.waiting() == 4);
            token.cancel("shut down");
            assert_lease_shut_down(lease.join().unwrap());
            assert_shut_down(write.join().unwrap());
            assert_shut_down(read.join().unwrap());
            assert!(!patient.is_finished());
            server.signal(Signal::CONT);
            patient.join().unwrap().unwrap();
        });
        until("no orphan is left", || server.keys().iter().all(|key| key.ends_with(":c")));
    });
}
