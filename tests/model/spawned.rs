//! Calls that do not block: receivers, executors, abandoned jobs.

use crate::harness::{Alone, Clock, explore, spawn, work};
use flight_group::{Error, Group, Job, Role, WriteGroup};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// An executor whose jobs run when the test says so. (A channel's `recv` would block the checker itself.)
#[derive(Clone, Default)]
struct Jobs(Arc<Mutex<VecDeque<Job>>>);

impl Jobs {
    fn push(&self, job: Job) {
        self.0.lock().unwrap().push_back(job);
    }
    fn pop(&self) -> Option<Job> {
        self.0.lock().unwrap().pop_front()
    }
}

/// Spawned and blocked callers share flights; every receiver gets exactly one outcome.
#[test]
fn receivers_and_blocked_callers_share_flights() {
    explore(|| {
        let jobs = Jobs::default();
        let executor = jobs.clone();
        let group: Group<u8, u8> = Group::builder().executor(move |job| executor.push(job)).build();
        let receivers: Vec<_> = (0..2)
            .map(|i| {
                group.spawn(&1, move || {
                    work();
                    Ok(i)
                })
            })
            .collect();
        let blocked = {
            let group = group.clone();
            spawn(move || group.call(&1).run(|| Ok(9)).unwrap())
        };
        while let Some(job) = jobs.pop() {
            job.run();
        }
        let value = blocked.join().unwrap().value;
        assert!(value == 0 || value == 9);
        let landings: Vec<_> = receivers.iter().map(|r| r.try_recv().unwrap().unwrap()).collect();
        assert_eq!((landings[0].value, landings[0].role), (0, Role::Leader));
        assert_eq!((landings[1].value, landings[1].role), (0, Role::Follower));
        assert_eq!(group.in_flight(), 0);
    });
}

/// P3 through receivers, with threads of the crate's own.
#[test]
fn p3_spawned_writes_are_covered() {
    explore(|| {
        let group: WriteGroup<u8, usize> = WriteGroup::new();
        let (alone, clock) = (Arc::new(Alone::default()), Arc::new(Clock::default()));
        let callers: Vec<_> = (0..4)
            .map(|i| {
                let (group, alone, clock) = (group.clone(), alone.clone(), clock.clone());
                spawn(move || {
                    let arrived = clock.tick();
                    let ticker = clock.clone();
                    let write = move || Ok(alone.run(|| ticker.tick()));
                    if i % 2 == 0 {
                        assert!(group.call(&1).run(write).unwrap().value > arrived);
                        None
                    } else {
                        Some((arrived, group.spawn(&1, write)))
                    }
                })
            })
            .collect();
        let receivers: Vec<_> = callers.into_iter().filter_map(|caller| caller.join().unwrap()).collect();
        while group.in_flight() > 0 {
            work();
        }
        for (arrived, receiver) in receivers {
            loop {
                match receiver.try_recv() {
                    Ok(landing) => break assert!(landing.unwrap().value > arrived),
                    Err(_) => work(), // unlinked, and on its way
                }
            }
        }
    });
}

/// P4 among spawned and blocked calls: the newest runs, whichever kind it is.
#[test]
fn p4_the_newest_runs_whether_it_blocks_or_not() {
    explore(|| {
        let jobs = Jobs::default();
        let executor = jobs.clone();
        let group: WriteGroup<u8, u8> = WriteGroup::builder().executor(move |job| executor.push(job)).build();
        let mut blocked = None;
        let mut receiver = None;
        let inner = group.clone();
        group.write(&1, || {
            receiver = Some(inner.spawn(&1, || Ok(1)));
            let caller = inner.clone();
            blocked = Some(spawn(move || caller.call(&1).run(|| Ok(2)).unwrap()));
            while inner.followers(&1) < 2 {
                work();
            }
            0
        });
        let landing = blocked.unwrap().join().unwrap();
        assert_eq!((landing.value, landing.role), (2, Role::Leader));
        assert_eq!(receiver.unwrap().try_recv().unwrap().unwrap().value, 2);
        assert!(jobs.pop().is_none(), "a superseded closure was handed to the executor");
    });
}

/// An executor that drops its jobs: receivers hear of it, blocked callers board again and run their own closures.
#[test]
fn abandoned_flights_strand_nobody() {
    explore(|| {
        let group: Group<u8, u8> = Group::builder().executor(drop::<Job>).build();
        let blocked: Vec<_> = (0..2)
            .map(|_| {
                let group = group.clone();
                spawn(move || {
                    assert_eq!(
                        group.try_work(&1, || {
                            work();
                            Ok(9)
                        }),
                        Ok(9)
                    )
                })
            })
            .collect();
        let receiver = group.spawn(&1, || Ok(1));
        blocked.into_iter().for_each(|caller| caller.join().unwrap());
        match receiver.try_recv().unwrap() {
            Ok(landing) => assert_eq!((landing.value, landing.role), (9, Role::Follower)),
            Err(error) => assert_eq!(error, Error::abandoned()),
        }
        assert_eq!(group.in_flight(), 0);
    });
}
