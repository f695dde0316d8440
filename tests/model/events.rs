//! Events: every event is carried exactly once, by the run whose outcome its caller gets.

mod ending;

use crate::harness::{A_WHILE, Alone, explore, spawn, work};
use flight_group::{Error, EventGroup, EventGroupBuilder, Group};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

/// What a run carried; what every caller it carried is told.
type Run = Arc<Vec<u32>>;
type Events = EventGroup<u8, Vec<u32>, Run, Run>;

/// All runs, in the order they ended. A plain mutex: no scheduling point, and never held across one.
#[derive(Default)]
struct Log {
    alone: [Alone; 3],
    runs: StdMutex<Vec<(u8, Run)>>,
}

impl Log {
    fn run(&self, key: u8, events: Vec<u32>) -> Run {
        self.alone[key as usize].run(|| {
            let run = Arc::new(events);
            self.runs.lock().unwrap().push((key, run.clone()));
            run
        })
    }

    /// Each event in one run at most, and those of one thread (the same hundred) in the order it sent them.
    fn check(&self) -> Vec<u32> {
        let runs = self.runs.lock().unwrap();
        let mut carried = Vec::new();
        for key in 0..3 {
            let of_key: Vec<u32> =
                runs.iter().filter(|(k, _)| *k == key).flat_map(|(_, run)| run.iter().copied()).collect();
            for thread in of_key.iter().map(|event| event / 100) {
                let sent: Vec<u32> = of_key.iter().copied().filter(|event| event / 100 == thread).collect();
                assert!(sent.is_sorted(), "not in the order of arrival: {sent:?}");
            }
            carried.extend(of_key);
        }
        carried.sort();
        let count = carried.len();
        carried.dedup();
        assert_eq!(count, carried.len(), "an event was carried twice: {runs:?}");
        carried
    }
}

fn logged() -> (EventGroupBuilder<u8, Vec<u32>, Run, Run>, Arc<Log>) {
    let log = Arc::new(Log::default());
    let logging = log.clone();
    let builder = EventGroup::builder(
        |all: &mut Vec<u32>, more| {
            work();
            all.extend(more);
        },
        move |key: &u8, events| Ok(logging.run(*key, events)),
    );
    (builder, log)
}

/// The outcome is that of the run that carried the event: the trap is a run that takes an event and lands while its
/// caller waits for the next one.
#[test]
fn the_outcome_is_that_of_the_run_that_carried_the_event() {
    explore(|| {
        let (builder, log) = logged();
        let events = builder.build();
        let callers: Vec<_> = (1..=4)
            .map(|i| {
                let events = events.clone();
                spawn(move || {
                    for event in [100 * i, 100 * i + 1] {
                        let landing = events.push(&1, vec![event]).unwrap();
                        assert!(landing.value.contains(&event), "handed a run that did not carry it");
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(log.check(), [100, 101, 200, 201, 300, 301, 400, 401]);
        assert_eq!((events.in_flight(), events.followers(&1), events.waiting(&1)), (0, 0, 0));
        assert_eq!(log.alone[1].runs.load(SeqCst) as u64, events.stats().runs);
    });
}

/// Callers that time out take their event with them, or leave it in a run that had begun; nobody else notices.
#[test]
fn an_event_whose_caller_timed_out_is_withdrawn_or_carried_once() {
    explore(|| {
        let (builder, log) = logged();
        let events = builder.build();
        let callers: Vec<_> = (1..=5)
            .map(|i| {
                let events = events.clone();
                spawn(move || {
                    let event = 100 * i;
                    let call = events.call(&1);
                    let outcome =
                        if i % 2 == 0 { call.push(vec![event]) } else { call.timeout(A_WHILE).push(vec![event]) };
                    match outcome {
                        Ok(landing) => {
                            assert!(landing.value.contains(&event));
                            Some(event)
                        }
                        Err(error) => {
                            assert!(error == Error::timed_out() && i % 2 == 1);
                            None
                        }
                    }
                })
            })
            .collect();
        let told: Vec<_> = callers.into_iter().filter_map(|caller| caller.join().unwrap()).collect();
        let carried = log.check();
        assert!(told.iter().all(|event| carried.contains(event)));
        assert_eq!((events.in_flight(), events.followers(&1), events.waiting(&1)), (0, 0, 0));
    });
}

/// Time passes, or does not: intervals, pauses, delays and time-outs together, and still each event once.
#[test]
fn whatever_the_time_each_event_is_carried_once() {
    explore(|| {
        let (builder, log) = logged();
        let second = Duration::from_secs(1);
        let events = builder.workers(2).min_interval(second).quiet(second / 2).max_wait(second * 2).build();
        let callers: Vec<_> = (1..=3)
            .map(|i: u32| {
                let events = events.clone();
                spawn(move || {
                    let call = events.call(&1).delay(second * (i % 2));
                    match i {
                        1 => call.submit(vec![100]).unwrap(),
                        2 => assert!(call.push(vec![200]).unwrap().value.contains(&200)),
                        _ => drop(call.timeout(A_WHILE).push(vec![300])),
                    }
                    events.submit(&1, vec![100 * i + 1]).unwrap();
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        drop(events);
        let done = log.check();
        assert!([100, 101, 200, 201, 301].iter().all(|event| done.contains(event)), "{done:?}");
        assert_eq!(Arc::strong_count(&log), 1);
    });
}

/// A run that fails or panics fails its own events and no others, and nothing is carried a second time.
#[test]
fn a_failed_run_fails_its_own_events_only() {
    explore(|| {
        let log = Arc::new(Log::default());
        let (logging, failures) = (log.clone(), Arc::new(StdMutex::new(Vec::new())));
        let failing = failures.clone();
        let events: Events = EventGroup::builder(
            |all: &mut Vec<u32>, more: Vec<u32>| {
                work();
                all.extend(more);
                if all.contains(&101) {
                    panic!("a bad merge");
                }
            },
            move |key: &u8, events| {
                let run = logging.run(*key, events);
                if run.contains(&100) { Err(run) } else { Ok(run) }
            },
        )
        .workers(1)
        .on_failure(move |_, error| failing.lock().unwrap().push(error.clone()))
        .build();
        let callers: Vec<_> = (1..=3)
            .map(|i: u32| {
                let events = events.clone();
                spawn(move || {
                    for event in [100 * i, 100 * i + 1] {
                        let outcome = std::panic::catch_unwind(|| events.push(&1, vec![event]));
                        match outcome {
                            Ok(Ok(landing)) => {
                                assert!(landing.value.contains(&event) && !landing.value.contains(&100));
                            }
                            Ok(Err(Error::Work(run))) => assert!(run.contains(&event) && run.contains(&100)),
                            Ok(Err(Error::Panicked(panic))) => assert_eq!(panic.message(), "a bad merge"),
                            Ok(Err(other)) => panic!("{other:?}"),
                            Err(payload) => {
                                assert!(shuttles_own(&payload) || payload.downcast_ref() == Some(&"a bad merge"));
                            }
                        }
                    }
                })
            })
            .collect();
        events.submit(&1, vec![900]).unwrap();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        drop(events);
        let done = log.check();
        let failures = failures.lock().unwrap();
        assert!(failures.len() <= 1);
        let lost = !done.contains(&900);
        let told = failures.iter().any(Error::is_panicked);
        assert_eq!(lost, told, "an event that no run pushed, and nobody was told");
    });
}

/// Shuttle may end a schedule by unwinding.
fn shuttles_own(payload: &Box<dyn std::any::Any + Send>) -> bool {
    payload.downcast_ref::<&str>().is_none() && payload.downcast_ref::<String>().is_none()
}

/// P7: pushing to one's own key, flushing one's own run, and a circle through another group are refused; nobody
/// hangs, and the refused event is gone.
#[test]
fn p7_waiting_for_oneself_is_refused() {
    explore(|| {
        let circles = Arc::new(AtomicUsize::new(0));
        let slot: Arc<StdMutex<Option<EventGroup<u8, Vec<u32>>>>> = Arc::default();
        let (inside, counter) = (slot.clone(), circles.clone());
        let reads: Group<u8, u8> = Group::new();
        let reading = reads.clone();
        let events: EventGroup<u8, Vec<u32>> = EventGroup::new(
            |all: &mut Vec<u32>, more| all.extend(more),
            move |key, run: Vec<u32>| {
                assert!(!run.contains(&666), "a refused event was carried");
                let Some(events) = inside.lock().unwrap().clone() else { return Ok(()) };
                if run.contains(&1) {
                    assert!(events.push(key, vec![666]).unwrap_err().is_deadlock());
                    assert!(events.flush().unwrap_err().is_deadlock());
                    assert!(events.call(key).timeout(A_WHILE).push(vec![666]).unwrap_err().is_deadlock());
                }
                if run.contains(&2) {
                    // Somebody may be reading, and pushing to this key while he does.
                    match reading.try_work(&7, || Ok(1)) {
                        Err(error) if error.is_deadlock() => {
                            counter.fetch_add(1, SeqCst);
                        }
                        other => assert!(other.is_ok()),
                    }
                }
                Ok(())
            },
        );
        *slot.lock().unwrap() = Some(events.clone());
        let reader = {
            let (events, reads, circles) = (events.clone(), reads.clone(), circles.clone());
            spawn(move || {
                reads.work(&7, || {
                    work();
                    match events.push(&1, vec![3]) {
                        Err(error) if error.is_deadlock() => {
                            circles.fetch_add(1, SeqCst);
                        }
                        other => assert!(other.is_ok()),
                    }
                    1
                })
            })
        };
        let pusher = {
            let events = events.clone();
            spawn(move || events.push(&1, vec![2]).unwrap())
        };
        events.push(&1, vec![1]).unwrap();
        reader.join().unwrap();
        pusher.join().unwrap();
        let inner = slot.lock().unwrap().take();
        drop(inner);
        assert_eq!((events.in_flight(), events.waiting(&1)), (0, 0));
    });
}

/// `withdraw` beside submits, merges and runs: each event is carried once or comes back once.
#[test]
fn what_is_withdrawn_is_not_carried() {
    explore(|| {
        let (builder, log) = logged();
        let events = builder.workers(1).build();
        let submitter = {
            let events = events.clone();
            spawn(move || (100..104).for_each(|event| events.submit(&1, vec![event]).unwrap()))
        };
        let mut back = Vec::new();
        for _ in 0..2 {
            back.extend(events.withdraw(&1).unwrap_or_default());
            work();
        }
        submitter.join().unwrap();
        back.extend(events.withdraw(&1).unwrap_or_default());
        assert_eq!(events.waiting(&1), 0);
        drop(events);
        let mut all = log.check();
        all.extend(back);
        all.sort();
        assert_eq!(all, [100, 101, 102, 103]);
    });
}
