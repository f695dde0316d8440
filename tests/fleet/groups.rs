//! One flight in several fleets. Each `Fleet` has connections, an inbox and tokens of its own, so that two of them in one
//! process are to the server what two processes are.

use crate::support::{Server, patient, until, watched};
use flight_group::fleet::{Fleet, FleetError, FleetGroup, Json, JsonValues, Raw};
use flight_group::{Error, Landing, Role};
use redis::Commands;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

pub(crate) type Group = FleetGroup<u32, String, String>;
pub(crate) type Outcome = Result<Landing<String>, Error<String>>;

pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Two {
    pub(crate) server: Server,
    pub(crate) one: Fleet,
    pub(crate) other: Fleet,
}

impl Two {
    pub(crate) fn start() -> Self {
        let server = Server::start();
        let fleet = || patient(&server.url()).connect().unwrap();
        let (one, other) = (fleet(), fleet());
        Self { server, one, other }
    }

    pub(crate) fn groups(&self) -> (Group, Group) {
        (self.one.group("g"), self.other.group("g"))
    }

    /// How many are registered with the flight of key 1.
    pub(crate) fn registered(&self) -> usize {
        let fields: Vec<String> = self.server.raw().hkeys("{flight:g:g:1}:f").unwrap();
        fields.iter().filter(|field| field.starts_with("n:")).count()
    }

    /// Leads with `first`, and lands once `second` follows.
    pub(crate) fn lead_and_follow(
        &self,
        (first, second): (&Group, &Group),
        led: Result<String, String>,
        own: Result<String, String>,
    ) -> (Outcome, Outcome) {
        std::thread::scope(|s| {
            let (started, start) = mpsc::channel();
            let leader = s.spawn(move || {
                first.call(&1).run(|| {
                    started.send(()).unwrap();
                    until("the other follows", || self.registered() == 1);
                    led
                })
            });
            start.recv_timeout(LONG).unwrap();
            let followed = second.call(&1).run(|| own);
            (leader.join().unwrap(), followed)
        })
    }
}

#[test]
fn one_leads_the_other_gets_the_outcome_and_nothing_is_left() {
    watched("follow", || {
        let two = Two::start();
        let (first, second) = two.groups();
        let (led, followed) = two.lead_and_follow((&first, &second), Ok("mine".into()), Ok("not run".into()));
        let (led, followed) = (led.unwrap(), followed.unwrap());
        assert_eq!((led.role, led.shared(), led.detached()), (Role::Leader, true, false));
        assert_eq!((followed.role, followed.shared(), followed.value.as_str()), (Role::Follower, true, "mine"));
        assert_eq!((two.one.stats().led, two.other.stats().followed_inline), (1, 1));

        // The flight has landed: the next call flies again.
        let next = second.call(&1).run(|| Ok("anew".into())).unwrap();
        assert_eq!((next.role, next.value.as_str(), next.shared()), (Role::Leader, "anew", false));
        assert_eq!(two.one.holding() + two.other.holding() + two.one.waiting() + two.other.waiting(), 0);
    });
}

#[test]
fn the_threads_of_a_process_send_one_question() {
    watched("local followers", || {
        let two = Two::start();
        let (first, second) = two.groups();
        std::thread::scope(|s| {
            let (started, start) = mpsc::channel();
            let (two, first, second) = (&two, &first, &second);
            s.spawn(move || {
                first.try_work(&1, || {
                    started.send(()).unwrap();
                    until("all wait", || second.followers(&1) == 7 && two.registered() == 1);
                    Ok("shared".into())
                })
            });
            start.recv_timeout(LONG).unwrap();
            let calls: Vec<_> =
                (0..8).map(|_| s.spawn(move || second.call(&1).run(|| Ok("not run".into())).unwrap())).collect();
            for call in calls {
                let landing = call.join().unwrap();
                assert_eq!((landing.role, landing.value.as_str()), (Role::Follower, "shared"));
            }
        });
        let stats = two.other.stats();
        assert_eq!((stats.followed_inline, stats.led), (1, 0), "one question for eight threads");
    });
}

#[test]
fn errors_are_shared_unless_the_group_says_no() {
    watched("errors", || {
        let two = Two::start();
        let (first, second) = two.groups();
        let (led, followed) = two.lead_and_follow((&first, &second), Err("no row".into()), Ok("not run".into()));
        assert_eq!(led.unwrap_err(), Error::Work("no row".into()));
        assert_eq!(followed.unwrap_err(), Error::Work("no row".into()));

        let keep = |fleet: &Fleet| fleet.group_with("g", Json::new()).share_failures(false).build().unwrap();
        let (first, second) = (keep(&two.one), keep(&two.other));
        let (led, followed) = two.lead_and_follow((&first, &second), Err("no row".into()), Ok("own".into()));
        assert_eq!(led.unwrap_err(), Error::Work("no row".into()));
        let followed = followed.unwrap();
        assert_eq!((followed.role, followed.value.as_str()), (Role::Leader, "own"));

        // A codec that cannot carry errors has the same effect.
        let keep = |fleet: &Fleet| fleet.group_with("g", JsonValues::new()).build().unwrap();
        let (first, second) = (keep(&two.one), keep(&two.other));
        let (_, followed) = two.lead_and_follow((&first, &second), Err("no row".into()), Ok("own".into()));
        assert_eq!(followed.unwrap().value, "own");
    });
}

#[test]
fn a_large_outcome_is_fetched() {
    watched("large", || {
        let two = Two::start();
        let (first, second) = two.groups();
        let large = "x".repeat(100_000);
        let (_, followed) = two.lead_and_follow((&first, &second), Ok(large.clone()), Ok("not run".into()));
        assert_eq!(followed.unwrap().value, large);
        assert_eq!(two.other.stats().followed_fetched, 1);
    });
}

#[test]
fn an_oversize_outcome_makes_followers_run_their_own() {
    watched("oversize", || {
        let two = Two::start();
        let small = |fleet: &Fleet| fleet.group_with("g", Json::new()).max_result(100).build().unwrap();
        let (first, second) = (small(&two.one), small(&two.other));
        let (led, followed) = two.lead_and_follow((&first, &second), Ok("x".repeat(101)), Ok("own".into()));
        assert_eq!(led.unwrap().value.len(), 101);
        let followed = followed.unwrap();
        assert_eq!((followed.role, followed.value.as_str()), (Role::Leader, "own"));
        assert_eq!(two.other.stats().unshared, 1);
        assert_eq!(two.server.keys(), ["{flight:g:g:1}:c"]);
    });
}

#[test]
fn an_outcome_of_another_schema_makes_followers_run_their_own() {
    watched("schema", || {
        let two = Two::start();
        let version = |fleet: &Fleet, n| fleet.group_with("g", Json::schema(n)).build().unwrap();
        let (first, second) = (version(&two.one, 1), version(&two.other, 2));
        let (_, followed) = two.lead_and_follow((&first, &second), Ok("old form".into()), Ok("new form".into()));
        assert_eq!(followed.unwrap().value, "new form");
        assert_eq!(two.other.stats().unshared, 1);
    });
}

#[test]
fn raw_bytes_and_an_error_that_cannot_be() {
    watched("raw", || {
        let two = Two::start();
        let tiles: FleetGroup<String, Vec<u8>> = two.one.group_with("tiles", Raw).build().unwrap();
        assert_eq!(tiles.work("3/4/5", || vec![0, 255]), [0, 255]);
        #[cfg(feature = "postcard")]
        {
            let packed: FleetGroup<u8, (u8, u8), ()> =
                two.one.group_with("packed", flight_group::fleet::Postcard::schema(1)).build().unwrap();
            assert_eq!(packed.try_work(&1, || Ok((1, 2))), Ok((1, 2)));
        }
    });
}

#[test]
fn a_panic_costs_others_no_time_to_live() {
    watched("panic", || {
        let two = Two::start();
        let (first, second) = two.groups();
        let led = std::thread::scope(|s| {
            let (started, start) = mpsc::channel();
            let (two, first) = (&two, &first);
            let leader = s.spawn(move || {
                first.try_work(&1, || {
                    started.send(()).unwrap();
                    until("followers here and there", || first.followers(&1) == 1 && two.registered() == 1);
                    panic!("expected in this test's output")
                })
            });
            start.recv_timeout(LONG).unwrap();
            let local = s.spawn(|| first.try_work(&1, || Ok("not run".into())));
            let followed = second.call(&1).run(|| Ok("own".into())).unwrap();
            assert_eq!((followed.role, followed.value.as_str()), (Role::Leader, "own"));
            let payload = leader.join().unwrap_err();
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"expected in this test's output"));
            local.join().unwrap()
        });
        assert!(led.unwrap_err().is_panicked());
        assert_eq!(two.other.stats().takeovers, 0, "told, not found out by its absence");
        assert_eq!(two.one.holding() + two.other.holding(), 0);
    });
}

/// Five processes ask again when a leader panics, each when it hears of it; the work that was left takes no time.
#[test]
fn a_panicked_leader_has_one_heir() {
    watched("one heir of a panic", || {
        let two = Two::start();
        let first: Group = two.one.group("g");
        let fleets: Vec<Fleet> = (0..5).map(|_| patient(&two.server.url()).connect().unwrap()).collect();
        let runs = AtomicU64::new(0);
        for round in 1..=5 {
            std::thread::scope(|s| {
                let (started, start) = mpsc::channel();
                let (two, first, runs) = (&two, &first, &runs);
                let leader = s.spawn(move || {
                    first.try_work(&1, || {
                        started.send(()).unwrap();
                        until("all follow", || two.registered() == 5);
                        panic!("expected in this test's output")
                    })
                });
                start.recv_timeout(LONG).unwrap();
                let followers: Vec<_> = fleets
                    .iter()
                    .map(|fleet| {
                        let group: Group = fleet.group("g");
                        s.spawn(move || {
                            group.try_work(&1, || Ok(runs.fetch_add(1, Ordering::SeqCst).to_string())).unwrap()
                        })
                    })
                    .collect();
                assert!(leader.join().is_err());
                let outcomes: Vec<String> = followers.into_iter().map(|follower| follower.join().unwrap()).collect();
                assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
                assert_eq!(runs.load(Ordering::SeqCst), round);
            });
        }
    });
}

#[test]
fn a_fresh_call_gets_a_flight_that_started_after_it() {
    watched("fresh", || {
        let two = Two::start();
        let (first, second) = two.groups();
        std::thread::scope(|s| {
            let (started, start) = mpsc::channel();
            let (two, first, second) = (&two, &first, &second);
            let leader = s.spawn(move || {
                first.try_work(&1, || {
                    started.send(()).unwrap();
                    until("the other waits", || two.registered() == 1);
                    Ok("old".into())
                })
            });
            start.recv_timeout(LONG).unwrap();
            let fresh = second.call(&1).fresh().run(|| Ok("new".into())).unwrap();
            assert_eq!((fresh.role, fresh.value.as_str()), (Role::Leader, "new"));
            assert_eq!(leader.join().unwrap(), Ok("old".into()));
        });
    });
}

/// What a `fresh` call returns is never from before the write that preceded it, whoever in the fleet reads meanwhile.
#[test]
fn a_fresh_call_sees_the_write_before_it() {
    watched("fresh after writes", || {
        let server = Server::start();
        let fleets: Vec<_> = (0..3).map(|_| patient(&server.url()).connect().unwrap()).collect();
        let database = AtomicU64::new(0);
        let old_was_shared = AtomicU64::new(0);
        std::thread::scope(|s| {
            for fleet in &fleets {
                let group: FleetGroup<u32, u64, String> = fleet.group("g");
                for thread in 0..4 {
                    let (group, database, old_was_shared) = (group.clone(), &database, &old_was_shared);
                    s.spawn(move || {
                        let mut rounds = 0;
                        // On, if need be, until plain reads have boarded flights from before their write: without that
                        // the test would prove nothing.
                        while rounds < 60 || old_was_shared.load(Ordering::Relaxed) == 0 {
                            rounds += 1;
                            let written = database.fetch_add(1, Ordering::SeqCst) + 1;
                            let read = || {
                                let seen = database.load(Ordering::SeqCst);
                                std::thread::yield_now();
                                Ok(seen)
                            };
                            if thread % 2 == 0 {
                                let landing = group.call(&1).fresh().run(read).unwrap();
                                assert!(landing.value >= written, "{} after writing {written}", landing.value);
                            } else {
                                let stale = group.try_work(&1, read).unwrap() < written;
                                old_was_shared.fetch_add(u64::from(stale), Ordering::Relaxed);
                            }
                        }
                    });
                }
            }
        });
    });
}

/// A group kept by nobody keeps nothing: no connection, so no thread that reads one.
#[test]
fn the_last_handle_ends_the_connections() {
    watched("ends", || {
        let server = Server::start();
        let mut raw = server.raw();
        let mut ours = || {
            let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut raw).unwrap();
            clients.lines().count() - 1
        };
        // The connection that waited for the server to listen may not have been cleared away yet.
        until("nobody else is there", || ours() == 0);
        // A thread that listens hears of the end at its next ping.
        let fleet = patient(&server.url()).ping_interval(Duration::from_millis(500)).connect().unwrap();
        let group: Group = fleet.group("g");
        let lease = fleet.lease("l").acquire().unwrap();
        assert_eq!(ours(), 2);
        drop(fleet);
        assert_eq!(group.try_work(&1, || Ok("still here".into())), Ok("still here".into()));
        drop(group);
        assert!(!lease.is_lost());
        assert_eq!(ours(), 2);
        drop(lease);
        until("all connections are closed", || ours() == 0);
    });
}

#[test]
fn the_reuse_window_serves_newcomers_but_no_fresh_call() {
    watched("reuse", || {
        let two = Two::start();
        let window = |fleet: &Fleet| fleet.group_with("g", Json::new()).reuse(LONG).build().unwrap();
        let (first, second): (Group, Group) = (window(&two.one), window(&two.other));
        assert_eq!(first.try_work(&1, || Ok("kept".into())), Ok("kept".into()));
        let hit = second.call(&1).run(|| Ok("not run".into())).unwrap();
        assert_eq!((hit.role, hit.value.as_str()), (Role::Follower, "kept"));
        assert_eq!(two.other.stats().hits, 1);
        assert_eq!(second.call(&1).fresh().run(|| Ok("new".into())).unwrap().value, "new");
        assert_eq!(first.try_work(&1, || Ok("not run".into())), Ok("new".into()));
        // Errors are no values to keep.
        assert_eq!(first.try_work(&2, || Err("no row".into())), Err(Error::Work("no row".into())));
        assert_eq!(second.try_work(&2, || Ok("found".into())), Ok("found".into()));
    });
}

#[test]
fn a_deadline_is_the_callers_own() {
    watched("deadlines", || {
        let two = Two::start();
        let (first, second) = two.groups();
        std::thread::scope(|s| {
            let (started, start) = mpsc::channel();
            let (land, landing) = mpsc::channel::<()>();
            let (first, second, two) = (&first, &second, &two);
            let leader = s.spawn(move || {
                first.try_work(&1, || {
                    started.send(()).unwrap();
                    landing.recv_timeout(LONG).unwrap();
                    Ok("late".into())
                })
            });
            start.recv_timeout(LONG).unwrap();
            // In the other process the impatient caller leads, and asks; the patient one follows it. How much time it
            // takes to ask depends on the machine.
            let mut asked = 0;
            for patience in [300, 3000, 30_000] {
                let timeout = Duration::from_millis(patience);
                let impatient = s.spawn(move || second.call(&1).timeout(timeout).run(|| Ok("not run".into())));
                until("the impatient one has asked, or given up", || {
                    asked = two.registered();
                    asked > 0 || impatient.is_finished()
                });
                if asked > 0 {
                    let patient = s.spawn(|| second.call(&1).timeout(LONG).run(|| Ok("not run".into())));
                    assert_eq!(impatient.join().unwrap(), Err(Error::timed_out()));
                    // The patient one, whose leader has left, asks for itself.
                    until("the patient one has asked", || two.registered() > asked);
                    land.send(()).unwrap();
                    assert_eq!(patient.join().unwrap().unwrap().value, "late");
                    break;
                }
                assert_eq!(impatient.join().unwrap(), Err(Error::timed_out()));
            }
            assert!(asked > 0);
            assert_eq!(leader.join().unwrap(), Ok("late".into()));
        });
    });
}

/// What the local group tells and limits, it tells and limits here.
#[test]
fn flights_followers_and_limits_are_those_of_this_process() {
    watched("local face", || {
        let two = Two::start();
        let limited =
            |fleet: &Fleet| fleet.group_with("g", Json::new()).max_followers(1).timed().debug_keys().build().unwrap();
        let (first, second): (Group, Group) = (limited(&two.one), limited(&two.other));
        assert_eq!((first.in_flight(), first.flights().len()), (0, 0));
        std::thread::scope(|s| {
            let (started, start) = mpsc::channel();
            let (land, landing) = mpsc::channel::<()>();
            let (first, second) = (&first, &second);
            let leader = s.spawn(move || {
                first.try_work(&1, || {
                    started.send(()).unwrap();
                    landing.recv_timeout(LONG).unwrap();
                    Ok("shared".into())
                })
            });
            start.recv_timeout(LONG).unwrap();
            let follower = s.spawn(|| first.try_work(&1, || Ok("not run".into())));
            until("one follows", || first.followers(&1) == 1);
            assert_eq!(first.try_work(&1, || Ok("not run".into())), Err(Error::overloaded()));
            let flights = first.flights();
            assert_eq!((flights.len(), flights[0].key, flights[0].followers), (1, 1, 1));
            assert!(flights[0].age.is_some());
            assert_eq!((first.in_flight(), second.in_flight(), first.local_stats().led), (1, 0, 1));
            let away = s.spawn(|| second.try_work(&1, || Ok("not run".into())));
            until("the other process follows", || two.registered() == 1);
            assert_eq!(second.in_flight(), 1);
            land.send(()).unwrap();
            for call in [leader, follower, away] {
                assert_eq!(call.join().unwrap(), Ok("shared".into()));
            }
        });
        let nested = first.try_work(&7, || match first.try_work(&7, || Ok("inner".into())) {
            Err(Error::Deadlock(circle)) => Ok(circle.to_string()),
            other => panic!("expected a deadlock, got {other:?}"),
        });
        assert!(nested.unwrap().contains("key 7"), "keys are printed where that was asked for");
    });
}

#[test]
fn waiting_for_oneself_is_refused() {
    watched("deadlock", || {
        let two = Two::start();
        let (first, _) = two.groups();
        let nested = first.try_work(&1, || match first.try_work(&1, || Ok("inner".into())) {
            Err(Error::Deadlock(circle)) => Ok(circle.to_string()),
            other => panic!("expected a deadlock, got {other:?}"),
        });
        assert!(nested.unwrap().contains("in fleet group \"g\""));
    });
}

#[test]
fn a_closure_sees_its_fence_and_its_loss() {
    watched("fence", || {
        let server = Server::start();
        // A third of this is how long the loss goes unnoticed.
        let fleet = patient(&server.url()).ttl(Duration::from_secs(6)).connect().unwrap();
        let group: Group = fleet.group("g");
        let mut fences = Vec::new();
        for _ in 0..3 {
            let landing = group.call(&1).run_with(|flight| {
                fences.push(flight.fence());
                Ok(String::new())
            });
            assert!(!landing.unwrap().detached());
        }
        assert!(fences.windows(2).all(|pair| pair[0] < pair[1]) && fences[0].is_some(), "{fences:?}");

        let landing = group.call(&1).run_with(|flight| {
            assert!(!flight.is_lost() && !flight.remaining().is_zero());
            let _: () = server.raw().del("{flight:g:g:1}:f").unwrap();
            until("the loss is noticed", || flight.is_lost());
            Ok("written too late".into())
        });
        assert!(landing.unwrap().detached());
        let stats = fleet.stats();
        assert_eq!((stats.stale_finishes, stats.leases_lost), (1, 1));
    });
}

/// A time that the server cannot set would be refused in the middle of a landing, when the record is already gone.
#[test]
fn bad_options_are_named() {
    let two = Two::start();
    let options = || two.one.group_with::<u32, String, String>("g", Json::new());
    for (builder, option) in [
        (options().ttl(Duration::ZERO), "ttl"),
        (options().reuse(Duration::MAX), "reuse"),
        (options().linger(Duration::MAX), "linger"),
        (options().linger(Duration::ZERO), "linger"),
        (options().max_result(usize::MAX), "max_result"),
    ] {
        let error = builder.build().unwrap_err();
        assert!(error.to_string().starts_with(&format!("bad {option} \"")), "{error}");
    }
    let extreme = options().reuse(Duration::from_secs(12 * 3600)).linger(Duration::from_millis(1)).build().unwrap();
    assert_eq!(extreme.try_work(&1, || Ok("1".into())), Ok("1".into()));
}

#[test]
fn a_key_that_is_no_json_is_refused() {
    let two = Two::start();
    let bad: FleetGroup<std::collections::BTreeMap<(u8, u8), u8>, u8, String> = two.one.group("bad");
    let error = bad.try_work(&[((1, 2), 3)].into(), || Ok(1)).unwrap_err();
    assert!(matches!(error, Error::Fleet(FleetError::BadKey { .. })), "{error}");
}
