//! What a builder settles: `max_followers`, `share_failures`, `invalidates`; and what `followers`, `flights` and
//! `stats` tell. (`max_age` and take-over: p10_forget_is_exact.rs; `executor`: spawned.rs; `observer`: observer.rs.)

use crate::support::{
    AGES, Held, SOON, finish, hold, hold_call, line_up, message, try_hold, until, until_waiting, within,
};
use flight_group::{Error, Group, Role, WriteGroup};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread::spawn;
use std::time::Duration;

type G = Group<u8, u32, String>;

#[test]
fn max_followers_sheds_calls_that_can_say_so() {
    within(|| {
        let group: G = Group::builder().max_followers(2).build();
        let leader = try_hold(&group, 1, || Ok(1));
        let followers = line_up(&group, 1, 2, |group, i| {
            if i == 0 { group.try_work(&1, || Ok(2)) } else { group.call(&1).fresh().run(|| Ok(2)).map(|l| l.value) }
        });
        assert_eq!(group.try_work(&1, || Ok(3)), Err(Error::overloaded()));
        assert_eq!(group.call(&1).run(|| Ok(3)), Err(Error::overloaded()));
        assert_eq!(group.call(&1).fresh().run(|| Ok(3)), Err(Error::overloaded()));
        assert_eq!(group.call(&1).timeout(AGES).run(|| Ok(3)), Err(Error::overloaded()));
        assert_eq!(group.call(&1).takeover_after(AGES).run(|| Ok(3)), Err(Error::overloaded()));
        assert_eq!(group.call(&1).follow(), Some(Err(Error::overloaded())));
        assert_eq!(group.spawn(&1, || Ok(3)).recv().unwrap(), Err(Error::overloaded()));
        assert_eq!(group.try_work(&2, || Ok(3)), Ok(3), "another key is not overloaded");
        assert_eq!((group.followers(&1), group.stats().overloaded), (2, 7));
        assert_eq!(leader.release(), Ok(1));
        assert_eq!(followers.into_iter().map(finish).collect::<Vec<_>>(), [Ok(1), Ok(2)]);
        assert_eq!(group.try_work(&1, || Ok(4)), Ok(4));
    });
}

/// A bare value cannot say "overloaded": those calls are never refused. Zero: only leaders are served.
#[test]
fn max_followers_never_refuses_the_verbs_without_an_error() {
    within(|| {
        let reads: Group<u8, u32> = Group::builder().max_followers(0).build();
        let writes: WriteGroup<u8, u32> = WriteGroup::builder().max_followers(0).build();
        let reading = hold(&reads, 1, || 1);
        let writing = hold(&writes, 1, || 1);
        assert_eq!(reads.try_work(&1, || Ok(2)), Err(Error::overloaded()));
        assert_eq!(writes.try_write(&1, || Ok(2)), Err(Error::overloaded()));
        assert_eq!(writes.call(&1).flush(), Some(Err(Error::overloaded())));
        assert_eq!(writes.spawn(&1, || Ok(2)).recv().unwrap(), Err(Error::overloaded()));
        let readers = line_up(&reads, 1, 3, |reads, _| reads.work(&1, || 2));
        let writers = line_up(&writes, 1, 3, |writes, _| writes.write(&1, || 2));
        reading.release();
        writing.release();
        assert!(readers.into_iter().all(|reader| finish(reader) == 1));
        assert!(writers.into_iter().all(|writer| finish(writer) == 2));
    });
}

/// Places become free again, however they were left.
#[test]
fn max_followers_counts_those_who_wait_now() {
    within(|| {
        let group: G = Group::builder().max_followers(1).build();
        for _ in 0..3 {
            let leader = try_hold(&group, 1, || Ok(1));
            assert_eq!(group.call(&1).timeout(SOON).run(|| Ok(2)), Err(Error::timed_out()));
            assert_eq!(group.call(&1).fresh().timeout(SOON).run(|| Ok(2)), Err(Error::timed_out()));
            let follower = line_up(&group, 1, 1, |group, _| group.try_work(&1, || Ok(2)));
            assert_eq!(group.try_work(&1, || Ok(2)), Err(Error::overloaded()));
            leader.release().unwrap();
            follower.into_iter().for_each(|follower| assert_eq!(finish(follower), Ok(1)));
        }
    });
}

/// The followers of a failure try one after the other, each with its own closure, until one succeeds.
#[test]
fn share_failures_false_lets_followers_try_for_themselves() {
    within(|| {
        let group: G = Group::builder().share_failures(false).build();
        for panics in [false, true] {
            let leader = {
                let group = group.clone();
                Held::start(move |stay| {
                    catch_unwind(AssertUnwindSafe(|| {
                        group.try_work(&1, || {
                            stay();
                            assert!(!panics, "the leader's alone");
                            Err("the leader's alone".to_owned())
                        })
                    }))
                })
            };
            let runs = Arc::new(AtomicU32::new(0));
            let counter = runs.clone();
            let followers = line_up(&group, 1, 4, move |group, i| {
                group.call(&1).run(|| {
                    counter.fetch_add(1, SeqCst);
                    Ok(10 + i as u32)
                })
            });
            let onlooker = {
                let group = group.clone();
                spawn(move || group.call(&1).follow().unwrap())
            };
            until_waiting(&group, &1, 5);
            match leader.release() {
                Ok(result) => assert_eq!(result, Err(Error::Work("the leader's alone".to_owned()))),
                Err(payload) => assert!(panics && message(&*payload) == "the leader's alone"),
            }
            for follower in followers {
                let landing = finish(follower).unwrap();
                assert!((10..14).contains(&landing.value));
            }
            assert!((1..=4).contains(&runs.load(SeqCst)));
            let error = finish(onlooker).unwrap_err();
            assert!(if panics { error.is_panicked() } else { error.is_work() }, "without a closure it gets the error");
        }
    });
}

/// Each closure runs at most once: whose own failed gets that error, and the next in line tries.
#[test]
fn share_failures_false_runs_each_closure_at_most_once() {
    within(|| {
        let group: G = Group::builder().share_failures(false).build();
        let leader = try_hold(&group, 1, || Err("0".to_owned()));
        let callers = line_up(&group, 1, 5, |group, i| group.try_work(&1, || Err((i + 1).to_string())));
        assert_eq!(leader.release(), Err(Error::Work("0".to_owned())));
        for (i, caller) in callers.into_iter().enumerate() {
            assert_eq!(finish(caller), Err(Error::Work((i + 1).to_string())), "its own closure's error");
        }
        assert_eq!((group.stats().led, group.stats().failed), (6, 6));
    });
}

/// Receivers have a closure, too: they board again, and a timeout goes on counting while a call boards again.
#[test]
fn share_failures_false_holds_for_spawned_and_timed_calls() {
    within(|| {
        let group: G = Group::builder().share_failures(false).build();
        let leader = try_hold(&group, 1, || Err("no".to_owned()));
        let receiver = group.spawn(&1, || Ok(7));
        until_waiting(&group, &1, 1);
        leader.release().unwrap_err();
        let landing = receiver.recv().unwrap().unwrap();
        assert_eq!((landing.value, landing.role), (7, Role::Leader));

        let leader = try_hold(&group, 1, || Err("no".to_owned()));
        let (next, entered) = Held::begin({
            let group = group.clone();
            move |stay| {
                group.try_work(&1, || {
                    stay();
                    Ok(8)
                })
            }
        });
        until_waiting(&group, &1, 1);
        let timed = line_up_one(&group, 2);
        leader.release().unwrap_err();
        // Either of the two leads now; the other follows it, with its deadline unchanged.
        let _ = entered;
        next.let_go();
        assert!(next.release().is_ok());
        assert!(finish(timed).is_ok());
    });
}

fn line_up_one(group: &G, n: usize) -> std::thread::JoinHandle<Result<u32, Error<String>>> {
    let own = group.clone();
    let caller = spawn(move || own.call(&1).timeout(AGES).run(|| Ok(9)).map(|landing| landing.value));
    until_waiting(group, &1, n);
    caller
}

/// By default the failure is everybody's.
#[test]
fn failures_are_shared_by_default() {
    within(|| {
        let group = G::new();
        let leader = try_hold(&group, 1, || Err("down".to_owned()));
        let followers = line_up(&group, 1, 3, |group, _| group.try_work(&1, || unreachable!()));
        leader.release().unwrap_err();
        assert!(followers.into_iter().all(|f| finish(f) == Err(Error::Work("down".to_owned()))));
        assert_eq!(group.stats().failed, 1);
    });
}

/// Whatever the write's end, the read in the air is detached, and before the write returns.
#[test]
fn invalidates_detaches_the_reads_of_the_written_key() {
    within(|| {
        let reads: Group<u8, u32, String> = Group::new();
        let other_reads: Group<u8, String> = Group::new();
        let writes: WriteGroup<u8, (), String> =
            WriteGroup::builder().invalidates(&reads).invalidates(&other_reads).build();
        for ending in 0..4 {
            let read = try_hold(&reads, 1, || Ok(1));
            let of_other = hold_call(&other_reads, 1, || Ok("old".to_owned()));
            let of_another_key = hold_call(&reads, 2, || Ok(1));
            let still_there = {
                let reads = reads.clone();
                move || reads.in_flight() == 2 // the closure runs: nothing is detached yet
            };
            match ending {
                0 => writes.try_write(&1, || still_there().then_some(()).ok_or_else(String::new)).unwrap(),
                1 => drop(writes.try_write(&1, || Err("failed".to_owned())).unwrap_err()),
                2 => drop(catch_unwind(AssertUnwindSafe(|| writes.try_write(&1, || panic!("half written"))))),
                _ => drop(writes.spawn(&1, || Ok(())).recv().unwrap().unwrap()),
            }
            assert_eq!(reads.in_flight(), 1, "only the other key's");
            assert_eq!(other_reads.in_flight(), 0);
            assert_eq!(reads.try_work(&1, || Ok(2)), Ok(2));
            assert_eq!(read.release(), Ok(1), "its own callers called before the write returned");
            assert!(of_other.release().unwrap().detached());
            assert!(!of_another_key.release().unwrap().detached());
        }
        assert_eq!((reads.stats().forgotten, other_reads.stats().forgotten), (4, 4));
    });
}

/// The callers a write covers return after it has invalidated, too.
#[test]
fn invalidates_before_any_of_its_callers_returns() {
    within(|| {
        let stored = Arc::new(AtomicU32::new(0));
        let reads: Group<u8, u32> = Group::new();
        let writes: WriteGroup<u8> = WriteGroup::builder().invalidates(&reads).build();
        let callers: Vec<_> = (0..4)
            .map(|caller| {
                let (stored, reads, writes) = (stored.clone(), reads.clone(), writes.clone());
                spawn(move || {
                    for _ in 0..150 {
                        let read = || {
                            reads.work(&1, || {
                                let seen = stored.load(SeqCst);
                                std::thread::yield_now();
                                seen
                            })
                        };
                        if caller == 0 {
                            read();
                            continue;
                        }
                        let before = stored.load(SeqCst);
                        writes.write(&1, || {
                            stored.fetch_add(1, SeqCst);
                        });
                        let seen = read();
                        assert!(seen > before, "a read after the write saw {seen}, stored was {before} before it");
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(finish);
    });
}

/// Counted when registered: blocked, queued, receivers and onlookers; never the leader.
#[test]
fn followers_counts_all_that_wait() {
    within(|| {
        let group = G::new();
        assert_eq!(group.followers(&1), 0);
        let leader = try_hold(&group, 1, || Ok(1));
        assert_eq!(group.followers(&1), 0);
        let joined = line_up(&group, 1, 1, |group, _| drop(group.try_work(&1, || Ok(2))));
        let receiver = group.spawn(&1, || Ok(2));
        assert_eq!(group.followers(&1), 2, "a spawned call has boarded when `spawn` returns");
        let fresh = group.spawn_fresh(&1, || Ok(3));
        assert_eq!(group.followers(&1), 3);
        let onlooker = {
            let group = group.clone();
            spawn(move || drop(group.call(&1).follow()))
        };
        until_waiting(&group, &1, 4);
        assert_eq!(group.flights()[0].followers, 4);
        drop(receiver); // cancels nothing
        assert_eq!(group.followers(&1), 4);
        leader.release().unwrap();
        joined.into_iter().for_each(finish);
        finish(onlooker);
        assert_eq!(fresh.recv().unwrap().unwrap().value, 3);
        until(|| group.in_flight() == 0);
        assert_eq!(group.followers(&1), 0);
    });
}

#[test]
fn flights_tell_what_is_in_the_air() {
    within(|| {
        let timed: Group<String, u32> = Group::builder().timed().build();
        timed.work("a", || {
            timed.work("b", || {
                let mut flights = timed.flights();
                flights.sort_by(|a, b| a.key.cmp(&b.key));
                assert_eq!(flights.iter().map(|f| f.key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
                assert!(flights[0].age.unwrap() >= flights[1].age.unwrap(), "the outer has been running for longer");
                assert!(flights.iter().all(|flight| flight.followers == 0));
                assert_ne!(flights[0].flight, flights[1].flight);
                let age = timed.flights().iter().find(|f| f.key == "a").unwrap().age.unwrap();
                assert!(age >= flights[0].age.unwrap(), "it grows");
                1
            })
        });
        assert!(timed.flights().is_empty());
        // Groups with `max_age` or an observer read the clock, too; writes as well.
        let aged: Group<u8, u32> = Group::builder().max_age(AGES).build();
        aged.work(&1, || {
            assert!(aged.flights()[0].age.is_some());
            1
        });
        let observed: Group<u8, u32> = Group::builder().observer(|_| ()).build();
        observed.work(&1, || {
            assert!(observed.flights()[0].age.is_some());
            1
        });
        let writes: WriteGroup<u8, u32> = WriteGroup::builder().timed().build();
        writes.write(&1, || {
            assert!(writes.flights()[0].age.is_some());
            1
        });
    });
}

/// Groups that do not read the clock: no age for a lone leader, and from the first follower's arrival otherwise.
#[test]
fn flights_age_from_the_first_follower_where_no_clock_is_read() {
    within(|| {
        let group = G::new();
        let leader = try_hold(&group, 1, || Ok(1));
        assert_eq!(group.flights()[0].age, None);
        let follower = line_up(&group, 1, 1, |group, _| group.try_work(&1, || Ok(2)));
        let age = group.flights()[0].age.expect("it has a follower");
        let later = group.flights()[0].age.unwrap();
        assert!(later >= age && age < AGES);
        leader.release().unwrap();
        follower.into_iter().for_each(|follower| drop(finish(follower)));

        // A promoted flight's age counts from its own start.
        let writes: WriteGroup<u8, u32> = WriteGroup::new();
        let first = hold(&writes, 1, || 1);
        assert_eq!(writes.flights()[0].age, None);
        let (second, entered) = Held::begin({
            let writes = writes.clone();
            move |stay| {
                writes.write(&1, || {
                    stay();
                    2
                })
            }
        });
        until_waiting(&writes, &1, 1);
        assert_eq!(writes.flights()[0].age, None, "who waits in the queue does not follow what is in the air");
        first.release();
        entered.pass();
        assert!(writes.flights()[0].age.is_some());
        second.release();
    });
}

/// A flight that was queued is as old as its run, and not as the run before it.
#[test]
fn flights_age_from_their_own_start_when_they_were_queued() {
    within(|| {
        let group: Group<u8, u32> = Group::builder().timed().build();
        let hold = |value| {
            let group = group.clone();
            Held::begin(move |stay| {
                let landing = group.call(&1).fresh().run(|| {
                    stay();
                    Ok(value)
                });
                landing.unwrap().value
            })
        };
        let (first, entered) = hold(1);
        entered.pass();
        let (second, entered) = hold(2);
        until_waiting(&group, &1, 1);
        let began = std::time::Instant::now();
        until(|| began.elapsed() > SOON * 6); // long enough to tell the two starts apart
        let released = std::time::Instant::now();
        assert_eq!(first.release(), 1);
        entered.pass();
        let age = group.flights()[0].age.unwrap();
        assert!(age <= released.elapsed(), "{age:?} old, and promoted {:?} ago", released.elapsed());
        assert_eq!(second.release(), 2);
    });
}

/// Each counter, and that it counts what it says and nothing else.
#[test]
fn stats_count_every_kind_of_end() {
    within(|| {
        let group = G::new();
        let before = group.stats();
        assert_eq!(before, flight_group::Stats::default());
        group.try_work(&1, || Ok(1)).unwrap();
        group.try_work(&1, || Err(String::new())).unwrap_err();
        catch_unwind(AssertUnwindSafe(|| group.try_work(&1, || panic!("x")))).unwrap_err();
        let stats = group.stats();
        assert_eq!((stats.led, stats.joined, stats.failed, stats.panicked), (3, 0, 1, 1));
        let leader = try_hold(&group, 1, || Ok(1));
        let followers = line_up(&group, 1, 2, |group, _| group.try_work(&1, || Ok(2)));
        assert!(group.call(&1).timeout(SOON).run(|| Ok(2)).is_err());
        assert!(group.call(&1).timeout(Duration::ZERO).run(|| Ok(2)).is_err());
        leader.release().unwrap();
        followers.into_iter().for_each(|follower| drop(finish(follower)));
        let stats = group.stats();
        assert_eq!((stats.led, stats.joined, stats.timed_out), (4, 3, 2));
        assert_eq!((stats.superseded, stats.taken_over, stats.forgotten, stats.expired), (0, 0, 0, 0));
        assert_eq!((stats.overloaded, stats.deadlocked, stats.abandoned), (0, 0, 0));
        // Failures of followed flights are counted once, not once a follower; looks and misses not at all.
        let leader = try_hold(&group, 1, || Err(String::new()));
        let followers = line_up(&group, 1, 3, |group, _| group.try_work(&1, || Ok(2)));
        leader.release().unwrap_err();
        followers.into_iter().for_each(|follower| drop(finish(follower)));
        assert!(group.call(&1).follow().is_none() && !group.forget(&1));
        let stats = group.stats();
        assert_eq!((stats.led, stats.joined, stats.failed, stats.forgotten), (5, 6, 2, 0));

        let writes: WriteGroup<u8, u32> = WriteGroup::builder().executor(drop).build();
        assert!(writes.spawn(&1, || Ok(1)).recv().unwrap().unwrap_err().is_abandoned());
        assert_eq!((writes.stats().led, writes.stats().abandoned), (1, 1));
    });
}

/// `in_flight` and `flights` look at all shards; a group nobody has called yet has none.
#[test]
fn a_group_nobody_has_called_is_empty() {
    within(|| {
        let group = G::new();
        assert_eq!((group.in_flight(), group.flights().len()), (0, 0));
        assert_eq!(group.stats(), flight_group::Stats::default());
    });
}
