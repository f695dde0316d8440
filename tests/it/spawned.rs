//! Calls that do not block, and the executors that run them.

use crate::support::{Gate, finish, hold, until_waiting, within};
use flight_group::{Error, Group, Job, Role, WriteGroup};
use std::sync::{Arc, Mutex};
use std::thread::spawn;
use std::time::Duration;

/// An executor that runs jobs where they are handed over: a chain of queued flights is a loop, not a recursion.
#[test]
fn an_executor_that_runs_inline_does_not_recurse() {
    within(|| {
        let depth = Arc::new(Mutex::new((0, 0)));
        let counter = depth.clone();
        let group: WriteGroup<u8, u32> = WriteGroup::builder()
            .executor(move |job: Job| {
                {
                    let mut depth = counter.lock().unwrap();
                    depth.0 += 1;
                    depth.1 = depth.1.max(depth.0);
                }
                job.run();
                counter.lock().unwrap().0 -= 1;
            })
            .build();
        let receivers = Arc::new(Mutex::new(Vec::new()));
        fn spawn_next(group: &WriteGroup<u8, u32>, receivers: &Receivers, left: u32) {
            let (again, more) = (group.clone(), receivers.clone());
            let receiver = group.spawn(&1, move || {
                if left > 0 {
                    spawn_next(&again, &more, left - 1); // queued behind this very run
                }
                Ok(left)
            });
            receivers.lock().unwrap().push(receiver);
        }
        // Recursion this deep would end the stack; delays make each step slow.
        let chain = if cfg!(flight_group_test_delay) { 500 } else { 10_000 };
        spawn_next(&group, &receivers, chain);
        let receivers = receivers.lock().unwrap();
        assert_eq!(receivers.len(), chain as usize + 1);
        for receiver in receivers.iter() {
            assert!(receiver.try_recv().unwrap().is_ok());
        }
        assert_eq!(depth.lock().unwrap().1, 1, "the executor was entered from within itself");
        assert_eq!(group.in_flight(), 0);
    });
}

type Receivers = Arc<
    Mutex<
        Vec<
            crossbeam_channel::Receiver<
                Result<flight_group::Landing<u32>, flight_group::Error<std::convert::Infallible>>,
            >,
        >,
    >,
>;

/// A queue of jobs that a test runs, keeps or drops as it likes.
fn queued<K: std::hash::Hash + Eq>() -> (Group<K, u32>, JobQueue) {
    let (jobs, queue) = crossbeam_channel::unbounded();
    (Group::builder().executor(move |job| jobs.send(job).unwrap()).build(), queue)
}
type JobQueue = crossbeam_channel::Receiver<Job>;

#[test]
fn p12_a_spawned_closure_waits_for_its_executor() {
    within(|| {
        let (group, queue) = queued::<u8>();
        let first = group.spawn(&1, || Ok(1));
        let second = group.spawn(&1, || unreachable!("joins the first"));
        assert_eq!((group.in_flight(), group.followers(&1), queue.len()), (1, 1, 1));
        assert!(first.try_recv().is_err(), "nobody has run the job yet");
        let blocked = {
            let group = group.clone();
            spawn(move || group.call(&1).run(|| unreachable!()))
        };
        until_waiting(&group, &1, 2);
        assert_eq!(group.call(&1).timeout(Duration::ZERO).run(|| Ok(2)), Err(Error::timed_out()));
        queue.recv().unwrap().run();
        let landing = first.recv().unwrap().unwrap();
        assert_eq!((landing.value, landing.role, landing.shared()), (1, Role::Leader, true));
        let landing = second.recv().unwrap().unwrap();
        assert_eq!((landing.value, landing.role, landing.shared()), (1, Role::Follower, true));
        assert_eq!(finish(blocked).unwrap().role, Role::Follower);
        assert_eq!(group.in_flight(), 0);
        let alone = group.spawn(&1, || Ok(3));
        queue.recv().unwrap().run();
        assert!(!alone.recv().unwrap().unwrap().shared());
    });
}

/// A dropped job lands its flight unrun: receivers and `wait` hear of it, everybody else still has a closure.
#[test]
fn p5_a_dropped_job_strands_nobody() {
    within(|| {
        let (group, queue) = queued::<u8>();
        let first = group.spawn(&1, || unreachable!());
        let onlooker = {
            let group = group.clone();
            spawn(move || group.call(&1).follow())
        };
        until_waiting(&group, &1, 1);
        let job = queue.recv().unwrap();
        assert!(queue.is_empty());
        drop(job);
        assert_eq!(first.recv().unwrap(), Err(Error::abandoned()));
        assert_eq!(finish(onlooker), Some(Err(Error::abandoned())));
        assert_eq!(group.in_flight(), 0);

        // A blocked follower leads with its own closure; a spawned one is handed to the executor in its turn.
        let first = group.spawn(&1, || unreachable!());
        let blocked = {
            let group = group.clone();
            spawn(move || group.call(&1).run(|| Ok(2)))
        };
        until_waiting(&group, &1, 1);
        drop(queue.recv().unwrap());
        assert_eq!(first.recv().unwrap(), Err(Error::abandoned()));
        let landing = finish(blocked).unwrap();
        assert_eq!((landing.value, landing.role), (2, Role::Leader));

        let first = group.spawn(&1, || unreachable!());
        let second = group.spawn(&1, || Ok(3));
        drop(queue.recv().unwrap());
        assert_eq!(first.recv().unwrap(), Err(Error::abandoned()));
        queue.recv().unwrap().run();
        let landing = second.recv().unwrap().unwrap();
        assert_eq!((landing.value, landing.role), (3, Role::Leader));
        assert_eq!((group.in_flight(), group.stats().abandoned), (0, 3));
    });
}

/// Calls that are queued behind a dropped job go into the air.
#[test]
fn p10_a_dropped_job_promotes_those_queued_behind_it() {
    within(|| {
        let (jobs, queue) = crossbeam_channel::unbounded::<Job>();
        let group: WriteGroup<u8, u32> = WriteGroup::builder().executor(move |job| jobs.send(job).unwrap()).build();
        let dropped = group.spawn(&1, || unreachable!());
        let superseded = group.spawn(&1, || unreachable!());
        let newest = group.spawn(&1, || Ok(2));
        assert_eq!((group.followers(&1), queue.len()), (2, 1));
        drop(queue.recv().unwrap());
        assert_eq!(dropped.recv().unwrap(), Err(Error::abandoned()));
        queue.recv().unwrap().run();
        assert_eq!(newest.recv().unwrap().unwrap().role, Role::Leader);
        assert_eq!(superseded.recv().unwrap().unwrap().role, Role::Follower);
        // And if the promoted one is dropped, too, the superseded ones still have their closures.
        let first = group.spawn(&1, || unreachable!());
        let second = group.spawn(&1, || Ok(3));
        let third = group.spawn(&1, || unreachable!());
        drop(queue.recv().unwrap());
        drop(queue.recv().unwrap());
        assert_eq!((first.recv().unwrap(), third.recv().unwrap()), (Err(Error::abandoned()), Err(Error::abandoned())));
        queue.recv().unwrap().run();
        assert_eq!(second.recv().unwrap().unwrap().value, 3);
        assert_eq!(group.in_flight(), 0);
    });
}

/// A forgotten job runs, or is dropped, without disturbing its successor.
#[test]
fn p10_a_forgotten_job_does_not_disturb_its_successor() {
    within(|| {
        for run in [true, false] {
            let (group, queue) = queued::<u8>();
            let old = group.spawn(&1, || Ok(1));
            let old_job = queue.recv().unwrap();
            assert!(group.forget(&1));
            let new = group.spawn(&1, || Ok(2));
            if run {
                old_job.run()
            } else {
                drop(old_job)
            }
            assert_eq!(group.in_flight(), 1);
            match old.recv().unwrap() {
                Ok(landing) => assert!(run && landing.detached() && landing.value == 1),
                Err(error) => assert!(!run && error.is_abandoned()),
            }
            queue.recv().unwrap().run();
            let landing = new.recv().unwrap().unwrap();
            assert_eq!((landing.value, landing.detached()), (2, false));
        }
    });
}

#[test]
fn p5_an_executor_that_panics_abandons_the_job() {
    within(|| {
        let group: Group<u8, u32> = Group::builder().executor(|_| panic!("no workers")).build();
        for _ in 0..3 {
            assert_eq!(group.spawn(&1, || Ok(1)).recv().unwrap(), Err(Error::abandoned()));
        }
        assert_eq!((group.in_flight(), group.stats().abandoned), (0, 3));
        assert_eq!(group.work(&1, || 2), 2);
    });
}

/// A worker runs one job after the other, whatever their closures do.
#[test]
fn p5_a_panicking_job_does_not_unwind_into_its_worker() {
    within(|| {
        let (group, queue) = queued::<u8>();
        let receiver = group.spawn(&1, || panic!("in the job"));
        queue.recv().unwrap().run();
        let error = receiver.recv().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the work panicked: in the job");
    });
}

/// `wait` returns what the spawned flight returns; the job's thread is named after the group.
#[test]
fn the_default_executor_names_its_threads() {
    within(|| {
        let name = || Ok(std::thread::current().name().unwrap_or_default().to_owned());
        let named: Group<u8, String> = Group::builder().name("prices").build();
        assert_eq!(named.spawn(&1, name).recv().unwrap().unwrap().value, "flight prices");
        let unnamed: WriteGroup<u8, String> = WriteGroup::new();
        let value = unnamed.spawn(&1, name).recv().unwrap().unwrap().value;
        assert!(value.starts_with("flight"), "{value}");
    });
}

/// Dropping a receiver cancels nothing: the flight goes on, and others get its outcome.
#[test]
fn a_dropped_receiver_cancels_nothing() {
    within(|| {
        let (group, queue) = queued::<u8>();
        drop(group.spawn(&1, || Ok(1)));
        let other = group.spawn(&1, || unreachable!());
        queue.recv().unwrap().run();
        assert_eq!(other.recv().unwrap().unwrap().value, 1);

        let writes: WriteGroup<u8, u32> = WriteGroup::new();
        let ran = Gate::new();
        let first = hold(&writes, 1, || 1);
        let inside = ran.clone();
        drop(writes.spawn(&1, move || {
            inside.open();
            Ok(2)
        }));
        first.release();
        ran.pass();
    });
}

/// A call that spawns from inside a flight, for its own key, does not wait and is no deadlock.
#[test]
fn p7_spawning_for_ones_own_key_is_no_deadlock() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let mut receiver = None;
        let value = group.work(&1, || {
            receiver = Some(group.spawn(&1, || unreachable!("joins this very flight")));
            5
        });
        assert_eq!(value, 5);
        assert_eq!(receiver.unwrap().recv().unwrap().unwrap().value, 5);
        assert_eq!(group.stats().deadlocked, 0);
    });
}

/// A job that has not been started waits for nobody, and nobody is refused because of it.
#[test]
fn p7_a_job_not_yet_started_ends_the_chain() {
    within(|| {
        let (group, queue) = queued::<u8>();
        let value = {
            let inner = group.clone();
            let receiver = group.spawn(&2, move || Ok(inner.work(&1, || 10) + 1));
            let waiter = {
                let group = group.clone();
                spawn(move || group.try_work(&2, || unreachable!()))
            };
            until_waiting(&group, &2, 1);
            queue.recv().unwrap().run();
            assert_eq!(finish(waiter), Ok(11));
            receiver.recv().unwrap().unwrap().value
        };
        assert_eq!(value, 11);
        assert_eq!(group.stats().deadlocked, 0);
    });
}

/// A name is for reports: whatever is in it, flights get their threads.
#[test]
fn a_groups_name_may_hold_a_nul() {
    within(|| {
        let group: Group<u8, u8> = Group::builder().name("a\0b").build();
        assert_eq!(group.spawn(&1, || Ok(2)).recv().unwrap().unwrap().value, 2);
    });
}
