//! `Batcher`: what it promises, one behaviour per test.

mod bombs;
mod faults;
mod history;
mod many;
mod ported;
mod settings;
mod timeouts;

use crate::support::{until, within};
use crossbeam_channel::{Receiver, unbounded};
use flight_group::{Batcher, Error};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

type Batch = (Vec<u32>, ThreadId);

/// What the function of a [`Gated`] batcher is told to do with the batch it holds.
enum Act {
    /// Ten times each key.
    Answer,
    AnswerBut(u32),
    Fail(&'static str),
    Panic(&'static str),
}

/// What a function has been told and has not done. Not a channel: to receive from one may park the thread, which spends
/// the `unpark` token of the caller that runs the function.
#[derive(Default)]
struct Acts {
    told: Mutex<VecDeque<Act>>,
    more: Condvar,
}

impl Acts {
    fn tell(&self, act: Act) {
        self.told.lock().unwrap().push_back(act);
        self.more.notify_one();
    }

    fn next(&self) -> Act {
        let told = self.told.lock().unwrap();
        let (mut told, _) = self.more.wait_timeout_while(told, HANG, |told| told.is_empty()).unwrap();
        told.pop_front().expect("nobody tells the function what to do")
    }
}

/// A batcher whose function says what it was given, and waits to be told what to do.
#[derive(Clone)]
struct Gated {
    batcher: Batcher<u32, u32, &'static str>,
    started: Receiver<Batch>,
    acts: Arc<Acts>,
}

const HANG: Duration = Duration::from_secs(10);

impl Gated {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(
        set: impl FnOnce(
            flight_group::BatcherBuilder<u32, u32, &'static str>,
        ) -> flight_group::BatcherBuilder<u32, u32, &'static str>,
    ) -> Self {
        let (tell, started) = unbounded();
        let acts = Arc::new(Acts::default());
        let to_do = acts.clone();
        let batcher = set(Batcher::builder()).build(move |keys: &[u32]| {
            tell.send((keys.to_vec(), thread::current().id())).unwrap();
            let answer = |but| keys.iter().filter(|&&key| Some(key) != but).map(|&key| (key, key * 10)).collect();
            match to_do.next() {
                Act::Answer => Ok(answer(None)),
                Act::AnswerBut(key) => Ok(answer(Some(key))),
                Act::Fail(error) => Err(error),
                Act::Panic(message) => panic!("{message}"),
            }
        });
        Self { batcher, started, acts }
    }

    /// A load on a thread of its own.
    fn spawn(&self, key: u32) -> thread::JoinHandle<Result<u32, Error<&'static str>>> {
        let batcher = self.batcher.clone();
        thread::spawn(move || batcher.load(&key))
    }

    /// A load on a thread of its own, which queues before this returns.
    fn queue(&self, key: u32) -> thread::JoinHandle<Result<u32, Error<&'static str>>> {
        let before = self.batcher.waiting();
        let thread = self.spawn(key);
        until(|| self.batcher.waiting() > before);
        thread
    }

    /// The next batch that starts.
    fn started(&self) -> Batch {
        self.started.recv_timeout(HANG).expect("no batch starts")
    }

    fn tell(&self, act: Act) {
        self.acts.tell(act);
    }

    /// Nothing runs, nothing waits, and a lone load goes through.
    fn assert_idle(&self) {
        assert_eq!((self.batcher.waiting(), self.batcher.queued()), (0, 0));
        assert!(self.started.is_empty(), "a batch that nobody expected: {:?}", self.started());
        self.tell(Act::Answer);
        assert_eq!(self.batcher.load(&1000), Ok(10_000));
        assert_eq!(self.started(), (vec![1000], thread::current().id()));
    }
}

#[test]
fn a_lone_caller_runs_at_once_on_its_own_thread() {
    within(|| {
        let gated = Gated::new();
        for key in [1, 2, 1] {
            gated.tell(Act::Answer);
            assert_eq!(gated.batcher.load(&key), Ok(key * 10));
            assert_eq!(gated.started(), (vec![key], thread::current().id()));
        }
        let stats = gated.batcher.stats();
        assert_eq!((stats.loads, stats.batches, stats.keys, stats.handed_over), (3, 3, 3, 0));
    });
}

#[test]
fn whoever_queues_while_a_batch_runs_forms_the_next() {
    within(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        let (keys, first_leader) = gated.started();
        assert_eq!(keys, [1]);
        let queued: Vec<_> = [5, 3, 4, 2].map(|key| (key, gated.queue(key))).into();
        assert_eq!((gated.batcher.waiting(), gated.batcher.queued()), (4, 4));

        gated.tell(Act::Answer);
        let (keys, second_leader) = gated.started();
        assert_eq!(keys, [5, 3, 4, 2], "in the order of arrival");
        // Hand-over: the first leader is gone, and one of the second batch's own callers leads.
        assert_eq!(first.thread().id(), first_leader);
        assert_eq!(first.join().unwrap(), Ok(10));
        assert!(queued.iter().any(|(_, thread)| thread.thread().id() == second_leader));
        gated.tell(Act::Answer);
        for (key, thread) in queued {
            assert_eq!(thread.join().unwrap(), Ok(key * 10));
        }
        let stats = gated.batcher.stats();
        assert_eq!((stats.loads, stats.batches, stats.keys, stats.handed_over, stats.largest), (5, 2, 5, 1, 4));
        assert_eq!(stats.sizes().collect::<Vec<_>>(), [(1..=1, 1), (4..=7, 1)]);
        assert_eq!(stats.mean_size(), Some(2.5));
        gated.assert_idle();
    });
}

#[test]
fn duplicates_share_a_place_and_are_passed_once() {
    within(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        gated.started();
        let queued: Vec<_> = [2, 3, 2, 2, 3].map(|key| (key, gated.queue(key))).into();
        assert_eq!((gated.batcher.waiting(), gated.batcher.queued()), (5, 2));
        gated.tell(Act::Answer);
        assert_eq!(gated.started().0, [2, 3]);
        gated.tell(Act::Answer);
        for (key, thread) in queued {
            assert_eq!(thread.join().unwrap(), Ok(key * 10));
        }
        assert_eq!(first.join().unwrap(), Ok(10));
        assert_eq!(gated.batcher.stats().shared, 3);
        gated.assert_idle();
    });
}

/// A value from before the call is never handed out.
#[test]
fn a_key_of_the_running_batch_goes_into_the_next() {
    within(|| {
        let calls = Arc::new(AtomicUsize::new(0));
        let (tell, started) = unbounded();
        let (go, may_go) = unbounded::<()>();
        let count = Arc::clone(&calls);
        let batcher: Batcher<u32, usize> = Batcher::new(move |keys: &[u32]| {
            let call = count.fetch_add(1, SeqCst);
            tell.send(()).unwrap();
            may_go.recv_timeout(HANG).unwrap();
            Ok(keys.iter().map(|&key| (key, call)).collect())
        });
        let (one, two) = (batcher.clone(), batcher.clone());
        let first = thread::spawn(move || one.load(&7));
        started.recv_timeout(HANG).unwrap();
        let second = thread::spawn(move || two.load(&7));
        until(|| batcher.waiting() == 1);
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (Ok(0), Ok(1)));
    });
}

#[test]
fn under_load_everybody_is_served_and_no_batch_overlaps() {
    within(|| {
        let running = AtomicUsize::new(0);
        let batcher: Batcher<u32, u32> = Batcher::builder().max_batch(5).build(move |keys: &[u32]| {
            assert_eq!(running.fetch_add(1, SeqCst), 0, "two batches overlap");
            assert!(keys.len() <= 5);
            thread::yield_now();
            running.fetch_sub(1, SeqCst);
            Ok(keys.iter().map(|&key| (key, key + 1)).collect())
        });
        thread::scope(|scope| {
            for thread in 0..16 {
                let batcher = &batcher;
                scope.spawn(move || {
                    for n in 0..500 {
                        let key = (thread * 7 + n) % 30;
                        assert_eq!(batcher.load(&key), Ok(key + 1));
                    }
                });
            }
        });
        let stats = batcher.stats();
        assert_eq!((stats.loads, stats.missing, batcher.waiting(), batcher.queued()), (8000, 0, 0, 0));
        assert_eq!(stats.sizes().map(|(_, count)| count).sum::<u64>(), stats.batches);
    });
}

#[test]
fn a_key_is_asked_for_by_what_it_borrows_as() {
    within(|| {
        let words: Batcher<String, usize> =
            Batcher::new(|words: &[String]| Ok(words.iter().map(|word| (word.clone(), word.len())).collect()));
        assert_eq!(words.load("seven"), Ok(5));
        assert_eq!(words.load(&"seven".to_owned()), Ok(5));

        let blobs: Batcher<Vec<u8>, usize> =
            Batcher::new(|blobs: &[Vec<u8>]| Ok(blobs.iter().map(|blob| (blob.clone(), blob.len())).collect()));
        assert_eq!(blobs.load(&b"abc"[..]), Ok(3));

        let paths: Batcher<std::path::PathBuf, bool> =
            Batcher::new(|paths: &[std::path::PathBuf]| Ok(paths.iter().map(|path| (path.clone(), true)).collect()));
        assert_eq!(paths.load(std::path::Path::new("/")), Ok(true));
    });
}

/// Counts its clones, as key and as value.
#[derive(Debug)]
struct Counted(u32, Arc<AtomicUsize>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.1.fetch_add(1, SeqCst);
        Self(self.0, Arc::clone(&self.1))
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Counted {}

impl std::hash::Hash for Counted {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn a_lone_caller_clones_no_value_and_a_duplicate_no_key() {
    within(|| {
        let (keys, values) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (tell, started) = unbounded();
        let (go, may_go) = unbounded::<()>();
        let (made, of_function) = (Arc::clone(&values), Arc::new(AtomicUsize::new(0)));
        let batcher: Batcher<Counted, Counted> = Batcher::new(move |keys: &[Counted]| {
            tell.send(keys.len()).unwrap();
            may_go.recv_timeout(HANG).unwrap();
            // The map's keys count elsewhere.
            let key = |key: &Counted| Counted(key.0, Arc::clone(&of_function));
            Ok(keys.iter().map(|k| (key(k), Counted(k.0, Arc::clone(&made)))).collect())
        });
        let load = |key: u32| {
            let (batcher, key) = (batcher.clone(), Counted(key, Arc::clone(&keys)));
            thread::spawn(move || batcher.load(&key).unwrap().0)
        };

        let lone = load(1);
        started.recv_timeout(HANG).unwrap();
        assert_eq!(keys.load(SeqCst), 1, "a lone leader owns its key");
        let mut queued = vec![];
        for n in 1..=4 {
            queued.push(load(2));
            until(|| batcher.waiting() == n);
        }
        assert_eq!(keys.load(SeqCst), 2, "of four that share a place, the first owns the key");
        go.send(()).unwrap();
        assert_eq!(lone.join().unwrap(), 1);
        assert_eq!(values.load(SeqCst), 0, "nobody shared the value");
        go.send(()).unwrap();
        for thread in queued {
            assert_eq!(thread.join().unwrap(), 2);
        }
        assert_eq!((keys.load(SeqCst), values.load(SeqCst)), (2, 4));
    });
}

/// P12: parking belongs to the caller.
#[test]
fn the_callers_unpark_token_is_untouched() {
    within(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        gated.started();
        let batcher = gated.batcher.clone();
        let second = thread::spawn(move || {
            thread::current().unpark();
            let got = batcher.load(&2);
            thread::park(); // would hang if the token had been spent
            got
        });
        until(|| gated.batcher.waiting() == 1);
        gated.tell(Act::Answer);
        gated.started(); // the second caller runs the function, which waits to be told
        gated.tell(Act::Answer);
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (Ok(10), Ok(20)));
    });
}

/// Being alone costs no wake-up: a thread that never sleeps is never woken, and the kernel counts its sleeps.
#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(flight_group_test_delay, ignore = "the delays that hold windows open are sleeps")]
fn a_lone_caller_never_sleeps() {
    fn sleeps() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        line.split_whitespace().last().unwrap().parse().unwrap()
    }
    within(|| {
        let batcher: Batcher<u32, u32> = Batcher::new(|keys: &[u32]| Ok(keys.iter().map(|&key| (key, key)).collect()));
        // A page that has to be read in is a sleep as well, and not ours: one round without any is the proof.
        let quiet = (0..20).any(|_| {
            let before = sleeps();
            for key in 0..10_000 {
                assert_eq!(batcher.load(&key), Ok(key));
            }
            sleeps() == before
        });
        assert!(quiet, "a lone caller slept in each of 20 rounds");
        assert_eq!(batcher.stats().handed_over, 0);
    });
}
