//! Keys, values and errors that panic on the n-th use of a trait: nobody hangs, nobody gets a wrong value, and the
//! batcher works on.

use crate::support::within;
use flight_group::{Batcher, Error};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
use std::thread;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Hash,
    Eq,
    Clone,
    Drop,
}

/// Goes off at the n-th use of one kind, once.
struct Fuse {
    on: Use,
    left: AtomicIsize,
}

impl Fuse {
    fn new(on: Use, nth: isize) -> Arc<Self> {
        Arc::new(Self { on, left: AtomicIsize::new(nth) })
    }

    fn used(&self, kind: Use) {
        // A second panic while the first unwinds aborts the process, here as everywhere.
        if kind == self.on && !thread::panicking() && self.left.fetch_sub(1, SeqCst) == 1 {
            panic!("bomb: {kind:?}");
        }
    }

    fn gone_off(&self) -> bool {
        self.left.load(SeqCst) <= 0
    }
}

#[derive(Debug)]
struct Bomb {
    id: u32,
    fuse: Option<Arc<Fuse>>,
}

impl std::fmt::Debug for Fuse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fuse")
    }
}

impl Bomb {
    fn used(&self, kind: Use) {
        if let Some(fuse) = &self.fuse {
            fuse.used(kind);
        }
    }
}

impl Hash for Bomb {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.used(Use::Hash);
        self.id.hash(state);
    }
}

impl PartialEq for Bomb {
    fn eq(&self, other: &Self) -> bool {
        self.used(Use::Eq);
        self.id == other.id
    }
}

impl Eq for Bomb {}

impl Clone for Bomb {
    fn clone(&self) -> Self {
        self.used(Use::Clone);
        Self { id: self.id, fuse: self.fuse.clone() }
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.used(Use::Drop);
    }
}

#[derive(Clone, Copy)]
enum Where {
    Key,
    Value,
    Error,
}

const THREADS: u32 = 4;

/// A batcher with a bomb somewhere. Key 7 fails its batch.
#[allow(clippy::mutable_key_type, reason = "the fuse in a key takes no part in its hash")]
fn subject(place: Where, on: Use, nth: isize, max_batch: usize) -> (Arc<Fuse>, Subject) {
    let fuse = Fuse::new(on, nth);
    let at = |wanted: bool| wanted.then(|| Arc::clone(&fuse));
    let (in_value, in_error) = (at(matches!(place, Where::Value)), at(matches!(place, Where::Error)));
    let batcher: Subject = Batcher::builder().max_batch(max_batch).build(move |keys: &[Bomb]| {
        thread::yield_now();
        if keys.iter().any(|key| key.id == 7) {
            return Err(Bomb { id: 7, fuse: in_error.clone() });
        }
        let mut values = HashMap::new();
        for key in keys {
            values.insert(key.clone(), Bomb { id: key.id * 10, fuse: in_value.clone() });
        }
        Ok(values)
    });
    (fuse, batcher)
}

fn assert_answer(id: u32, got: &Result<Bomb, Error<Bomb>>) {
    match got {
        Ok(value) => assert_eq!(value.id, id * 10),
        // 7 may have come along with any other key.
        Err(Error::Work(error)) => assert_eq!(error.id, 7),
        Err(Error::Panicked(panic)) => assert!(panic.message().starts_with("bomb: ")),
        Err(other) => panic!("unexpected {other:?}"),
    }
}

type Subject = Batcher<Bomb, Bomb, Bomb>;

/// What one of the threads does: its number, and its key with an id.
type Attack = fn(&Subject, &Barrier, u32, &dyn Fn(u32) -> Bomb);

/// Some threads, some keys in common, a bomb somewhere. Returns whether it went off.
#[allow(clippy::mutable_key_type, reason = "the fuse in a key takes no part in its hash")]
fn play(attack: Attack, place: Where, on: Use, nth: isize, max_batch: usize) -> bool {
    let (fuse, batcher) = subject(place, on, nth, max_batch);
    let in_key = matches!(place, Where::Key).then(|| fuse.clone());
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (batcher, barrier, in_key) = (&batcher, &barrier, in_key.clone());
            scope.spawn(move || attack(batcher, barrier, thread, &|id| Bomb { id, fuse: in_key.clone() }));
        }
    });
    let gone_off = fuse.gone_off();
    fuse.left.store(isize::MAX, SeqCst);
    assert_eq!((batcher.waiting(), batcher.queued(), batcher.flights().len()), (0, 0, 0), "{on:?} {nth}");
    assert_eq!(batcher.load(&Bomb { id: 5, fuse: None }).unwrap().id, 50, "{on:?} {nth}");
    let after = batcher.load_many(&[Bomb { id: 5, fuse: None }, Bomb { id: 6, fuse: None }]);
    assert!(
        after.len() == 2 && after.iter().all(|(key, part)| part.as_ref().unwrap().id == key.id * 10),
        "{on:?} {nth}"
    );
    gone_off
}

fn one_by_one(batcher: &Subject, barrier: &Barrier, thread: u32, key: &dyn Fn(u32) -> Bomb) {
    for id in [1, 2 + thread % 2, 7, 1] {
        barrier.wait();
        let key = key(id);
        match catch_unwind(AssertUnwindSafe(|| batcher.load(&key))) {
            Ok(got) => {
                assert_answer(id, &got);
                drop(catch_unwind(AssertUnwindSafe(|| drop(got))));
            }
            Err(payload) => assert!(payload.downcast_ref::<String>().unwrap().starts_with("bomb: ")),
        }
        drop(catch_unwind(AssertUnwindSafe(|| drop(key))));
    }
}

/// Several keys at once, some of them in common, some twice. Every key that was asked for has an answer, and the right one.
#[allow(clippy::mutable_key_type, reason = "the fuse in a key takes no part in its hash")]
fn many_at_once(batcher: &Subject, barrier: &Barrier, thread: u32, key: &dyn Fn(u32) -> Bomb) {
    for ids in [vec![1, 2 + thread % 2, 1, 4], vec![3, 7, 1], vec![thread % 2, 2, 3]] {
        barrier.wait();
        let keys: Vec<Bomb> = ids.iter().map(|&id| key(id)).collect();
        match catch_unwind(AssertUnwindSafe(|| batcher.load_many(&keys))) {
            Ok(found) => {
                let got: HashSet<u32> = found.keys().map(|key| key.id).collect();
                assert_eq!(got, ids.iter().copied().collect(), "one answer for each distinct key");
                for (key, part) in &found {
                    assert_answer(key.id, part);
                }
                // One by one: a map that unwinds while it is dropped leaks the rest, which is std's.
                for entry in found {
                    drop(catch_unwind(AssertUnwindSafe(|| drop(entry))));
                }
            }
            Err(payload) => assert!(payload.downcast_ref::<String>().unwrap().starts_with("bomb: ")),
        }
        for key in keys {
            drop(catch_unwind(AssertUnwindSafe(|| drop(key))));
        }
    }
}

fn every_use_of_many(place: Where, on: Use) {
    // A batch of one moves its value, so it clones none.
    let batches: &[usize] = if matches!(place, Where::Value) { &[2, usize::MAX] } else { &[1, 2, usize::MAX] };
    let mut went_off = 0;
    for &max_batch in batches {
        for nth in (1..).step_by(2).take(20) {
            went_off += usize::from(play(many_at_once, place, on, nth, max_batch));
        }
    }
    assert!(went_off > 0, "{on:?} is never used, so nothing was tested");
}

#[test]
fn keys_of_load_many_that_go_off() {
    within(|| {
        for on in [Use::Hash, Use::Eq, Use::Clone, Use::Drop] {
            every_use_of_many(Where::Key, on);
        }
    });
}

#[test]
fn values_and_errors_of_load_many_that_go_off() {
    within(|| {
        for place in [Where::Value, Where::Error] {
            for on in [Use::Clone, Use::Drop] {
                every_use_of_many(place, on);
            }
        }
    });
}

fn every_use(place: Where, on: Use) {
    for max_batch in [1, 2, usize::MAX] {
        let mut went_off = 0;
        for nth in (1..).step_by(if on == Use::Drop { 2 } else { 1 }).take(24) {
            went_off += usize::from(play(one_by_one, place, on, nth, max_batch));
        }
        assert!(went_off > 0, "{on:?} is never used, so nothing was tested");
    }
}

#[test]
fn keys_that_go_off() {
    within(|| {
        for on in [Use::Hash, Use::Eq, Use::Clone, Use::Drop] {
            every_use(Where::Key, on);
        }
    });
}

#[test]
fn values_that_go_off() {
    within(|| {
        // A batch of one moves its value, so a clone takes company, which may not come with `max_batch` of 1.
        let mut went_off = 0;
        for nth in 1..=24 {
            went_off += usize::from(play(one_by_one, Where::Value, Use::Clone, nth, usize::MAX));
        }
        assert!(went_off > 0);
        every_use(Where::Value, Use::Drop);
    });
}

#[test]
fn errors_that_go_off() {
    within(|| {
        let mut went_off = 0;
        for nth in 1..=24 {
            went_off += usize::from(play(one_by_one, Where::Error, Use::Clone, nth, usize::MAX));
        }
        assert!(went_off > 0);
        every_use(Where::Error, Use::Drop);
    });
}
