//! P12: a closure runs at most once, on the caller's own thread (spawned: on the executor), or is dropped unrun
//! before the call returns; the caller's `unpark` token is untouched. (Auto traits and `Debug`: api.rs.)

use crate::support::{AGES, Canary, Held, SOON, finish, hold, line_up, until, until_waiting, within};
use flight_group::{Error, Group, Job, Role, WriteGroup};
use std::rc::Rc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::thread::{current, park, spawn};
use std::time::Duration;

/// Not `Send`: it could not run anywhere but here, and need not be `'static` either.
#[test]
fn p12_a_closure_may_borrow_and_need_not_be_send() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let writes: WriteGroup<u8, u32> = WriteGroup::new();
        let here = Rc::new(5);
        let local = String::from("local");
        assert_eq!(group.work(&1, || *here + local.len() as u32), 10);
        assert_eq!(group.try_work(&1, || Ok(*here)), Ok(5));
        assert_eq!(group.call(&1).fresh().timeout(SOON).run(|| Ok(*here)).unwrap().value, 5);
        assert_eq!(writes.write(&1, || *here), 5);
    });
}

#[test]
fn p12_it_runs_on_the_callers_own_thread() {
    within(|| {
        let group: Group<u8, std::thread::ThreadId> = Group::new();
        let writes: WriteGroup<u8, std::thread::ThreadId> = WriteGroup::new();
        let here = current().id();
        assert_eq!(group.work(&1, || current().id()), here);
        assert_eq!(writes.write(&1, || current().id()), here);
        // Promoted, too.
        let first = hold(&writes, 1, move || current().id());
        let queued = line_up(&writes, 1, 1, |writes, _| writes.write(&1, || current().id()) == current().id());
        first.release();
        assert!(queued.into_iter().all(finish));
        assert_ne!(group.spawn(&1, || Ok(current().id())).recv().unwrap().unwrap().value, here);
    });
}

#[test]
fn p12_a_spawned_closure_runs_on_the_executor() {
    within(|| {
        let (jobs, queue) = crossbeam_channel::unbounded::<Job>();
        let worker = std::thread::Builder::new()
            .name("worker".into())
            .spawn(move || queue.into_iter().for_each(Job::run))
            .unwrap();
        let reads: Group<u8, String> = {
            let jobs = jobs.clone();
            Group::builder().executor(move |job| jobs.send(job).unwrap()).build()
        };
        let writes: WriteGroup<u8, String> = WriteGroup::builder().executor(move |job| jobs.send(job).unwrap()).build();
        let name = || Ok(current().name().unwrap_or_default().to_owned());
        for receiver in [reads.spawn(&1, name), writes.spawn(&1, name)] {
            assert_eq!(receiver.recv().unwrap().unwrap().value, "worker");
        }
        drop((reads, writes));
        finish(worker); // the groups held the queue's only senders
    });
}

/// Every way in which a closure may end up unneeded: it is gone when its call returns, or when its receiver hears.
#[test]
fn p12_an_unneeded_closure_is_dropped_before_the_call_returns() {
    within(|| {
        let reads: Group<u8, u32> = Group::builder().max_followers(4).build();
        let writes: WriteGroup<u8, u32> = WriteGroup::new();
        let read = hold(&reads, 1, || 1);
        let write = hold(&writes, 1, || 1);
        // Joined, superseded.
        let joined = line_up(&reads, 1, 2, |reads, i| {
            let (canary, gone) = Canary::new();
            let value = match i {
                0 => reads.work(&1, move || canary_lives(&canary)),
                _ => reads.call(&1).timeout(AGES).run(move || Ok(canary_lives(&canary))).unwrap().value,
            };
            (value, gone.load(SeqCst))
        });
        let superseded = line_up(&writes, 1, 3, |writes, i| {
            let (canary, gone) = Canary::new();
            let landing = writes.call(&1).run(move || {
                drop(canary);
                Ok(10 + i as u32)
            });
            (landing.unwrap().value, gone.load(SeqCst))
        });
        // Timed out, without time, shed, refused.
        let (canary, gone) = Canary::new();
        assert!(reads.call(&1).timeout(SOON).run(move || Ok(canary_lives(&canary))).unwrap_err().is_timed_out());
        assert_eq!(gone.load(SeqCst), 1);
        let (canary, gone) = Canary::new();
        let no_time = reads.call(&1).timeout(Duration::ZERO).run(move || Ok(canary_lives(&canary)));
        assert_eq!((no_time, gone.load(SeqCst)), (Err(Error::timed_out()), 1));
        // Spawned and joined, spawned and shed.
        let (canary, of_joined) = Canary::new();
        let receiver = reads.spawn(&1, move || Ok(canary_lives(&canary)));
        until_waiting(&reads, &1, 3);
        let (canary, gone) = Canary::new();
        let fourth = reads.spawn(&1, || unreachable!());
        let shed = reads.spawn(&1, move || Ok(canary_lives(&canary)));
        assert_eq!((shed.recv().unwrap(), gone.load(SeqCst)), (Err(Error::overloaded()), 1));
        let (canary, gone) = Canary::new();
        assert_eq!(reads.try_work(&1, move || Ok(canary_lives(&canary))), Err(Error::overloaded()));
        assert_eq!(gone.load(SeqCst), 1);
        read.release();
        write.release();
        assert!(joined.into_iter().all(|caller| finish(caller) == (1, 1)));
        assert!(superseded.into_iter().all(|caller| finish(caller) == (12, 1)));
        assert_eq!(receiver.recv().unwrap().unwrap().role, Role::Follower);
        assert_eq!(of_joined.load(SeqCst), 1);
        assert_eq!(fourth.recv().unwrap().unwrap().value, 1);
        // Refused: a deadlock.
        reads.work(&1, || {
            let (canary, gone) = Canary::new();
            assert!(reads.try_work(&1, move || Ok(canary_lives(&canary))).unwrap_err().is_deadlock());
            assert_eq!(gone.load(SeqCst), 1);
            1
        });
    });
}

fn canary_lives(_: &Canary) -> u32 {
    panic!("an unneeded closure was run")
}

/// What a closure that ran had captured is gone, too, before its followers hear (it may hold a connection).
#[test]
fn p12_what_a_closure_captured_is_dropped_before_anybody_returns() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let (canary, gone) = Canary::new();
        let leader = {
            let group = group.clone();
            Held::start(move |stay| {
                group.work(&1, move || {
                    let _canary = canary;
                    stay();
                    1
                })
            })
        };
        let followers = line_up(&group, 1, 3, move |group, _| {
            group.work(&1, || unreachable!());
            gone.load(SeqCst)
        });
        leader.release();
        assert!(followers.into_iter().all(|follower| finish(follower) == 1));
    });
}

/// quick_cache's trap: a caller that keeps its own `unpark` token finds it untouched, whatever it waited for.
#[test]
fn p12_the_callers_unpark_token_is_untouched() {
    within(|| {
        let reads: Group<u8, u32> = Group::new();
        let writes: WriteGroup<u8, u32> = WriteGroup::new();
        let read = hold(&reads, 1, || 1);
        let write = hold(&writes, 1, || 1);
        let followed = line_up(&reads, 1, 4, |reads, i| {
            current().unpark();
            match i {
                0 => drop(reads.work(&1, || 2)),
                1 => drop(reads.call(&1).timeout(AGES).run(|| Ok(2))),
                2 => drop(reads.call(&1).follow()),
                _ => drop(reads.call(&1).fresh().run(|| Ok(2))),
            }
            park(); // hangs if the token is gone
        });
        let queued = line_up(&writes, 1, 3, |writes, _| {
            current().unpark();
            writes.write(&1, || 2);
            park();
        });
        let timed_out = {
            let reads = reads.clone();
            spawn(move || {
                current().unpark();
                assert!(reads.call(&1).timeout(SOON).run(|| Ok(2)).is_err());
                park();
            })
        };
        finish(timed_out);
        read.release();
        write.release();
        followed.into_iter().chain(queued).for_each(finish);
    });
}

/// And none is left behind: who parks after a call is not woken by it. (A stray token would let the first `park`
/// through before anybody opened the door.)
#[test]
fn p12_no_unpark_token_is_left_behind() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let door = Arc::new(Mutex::new((false, 0)));
        let leader = hold(&group, 1, || 1);
        let (seen, parked) = (door.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
        let about_to_park = parked.clone();
        let follower = line_up(&group, 1, 1, move |group, _| {
            group.work(&1, || 2);
            about_to_park.store(true, SeqCst);
            loop {
                park();
                let mut door = seen.lock().unwrap();
                door.1 += 1;
                if door.0 {
                    return door.1;
                }
            }
        });
        leader.release();
        until(|| parked.load(SeqCst));
        // Time in which a stray token would show itself.
        let began = std::time::Instant::now();
        until(|| began.elapsed() > SOON);
        door.lock().unwrap().0 = true;
        follower[0].thread().unpark();
        for follower in follower {
            assert_eq!(finish(follower), 1, "woken by somebody else's token");
        }
    });
}
