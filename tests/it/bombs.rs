//! P5, bombs: keys, values and errors whose `Hash`, `Eq`, `Clone`, `Drop` or `Debug` panics at its n-th use, for
//! every n that is reached, in every verb and under every setting.
//!
//! Afterwards: nobody hangs; at most one call was hurt, by the bomb's own panic; nobody got a value that was not
//! made; the key works, and so do others; nothing is left in the air.
#![expect(clippy::mutable_key_type, reason = "a key that changes while it is a key is what these tests are about")]

use crate::support::{Counts, Gate, SOON, Stay, finish, keep_quiet_about, message, until, within};
use flight_group::{Error, Group, GroupBuilder, Landing, WriteGroup, WriteGroupBuilder};
use std::cell::Cell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering::SeqCst};
use std::thread::{JoinHandle, panicking, spawn};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Use {
    KeyHash,
    KeyEq,
    KeyClone,
    KeyDrop,
    KeyDebug,
    ValueClone,
    ValueDrop,
    FaultClone,
    FaultDrop,
}

const USES: [Use; 9] = [
    Use::KeyHash,
    Use::KeyEq,
    Use::KeyClone,
    Use::KeyDrop,
    Use::KeyDebug,
    Use::ValueClone,
    Use::ValueDrop,
    Use::FaultClone,
    Use::FaultDrop,
];

/// Blows once, at the n-th use of one kind.
struct Fuse {
    of: Use,
    left: AtomicIsize,
    armed: AtomicBool,
    blown: AtomicBool,
}

impl Fuse {
    fn touch(&self, kind: Use) {
        // While unwinding a second panic would abort, as everywhere in Rust: not ours to test.
        // A closure's own panic is everybody's aboard: a different story.
        if IN_WORK.get() {
            return;
        }
        if kind == self.of && self.armed.load(SeqCst) && !panicking() && self.left.fetch_sub(1, SeqCst) == 0 {
            self.blown.store(true, SeqCst);
            panic!("bomb");
        }
    }
}

thread_local! {
    static IN_WORK: Cell<bool> = const { Cell::new(false) };
}

struct Key(u32, Arc<Fuse>);
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.1.touch(Use::KeyHash);
        (self.0 % 2).hash(state); // keys collide, so that `Eq` is asked
    }
}
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.1.touch(Use::KeyEq);
        self.0 == other.0
    }
}
impl Eq for Key {}
impl Clone for Key {
    fn clone(&self) -> Self {
        self.1.touch(Use::KeyClone);
        Self(self.0, self.1.clone())
    }
}
impl Drop for Key {
    fn drop(&mut self) {
        self.1.touch(Use::KeyDrop);
    }
}
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.touch(Use::KeyDebug);
        write!(f, "key {}", self.0)
    }
}

macro_rules! payload {
    ($name:ident, $clone:path, $drop:path) => {
        struct $name(u32, Arc<Fuse>);
        impl Clone for $name {
            fn clone(&self) -> Self {
                self.1.touch($clone);
                Self(self.0, self.1.clone())
            }
        }
        impl Drop for $name {
            fn drop(&mut self) {
                self.1.touch($drop);
            }
        }
    };
}
payload!(Value, Use::ValueClone, Use::ValueDrop);
payload!(Fault, Use::FaultClone, Use::FaultDrop);

type Reads = Group<Key, Value, Fault>;
type Writes = WriteGroup<Key, Value, Fault>;

/// What a closure does in the end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Value,
    Fault,
    Panic,
}

/// How a call ended.
#[derive(Debug, PartialEq)]
enum End {
    Served(u32),
    Failed(u32),
    Panicked(String),
    Unwound(String),
    TimedOut,
    Abandoned,
    /// A receiver whose sender is gone.
    Lost,
    Nothing,
}

impl End {
    fn of(result: Result<Landing<Value>, Error<Fault>>) -> Self {
        match result {
            Ok(landing) => Self::Served(landing.value.0),
            Err(Error::Work(fault)) => Self::Failed(fault.0),
            Err(Error::Panicked(panic)) => Self::Panicked(panic.message().to_owned()),
            Err(Error::TimedOut(_)) => Self::TimedOut,
            Err(Error::Abandoned(_)) => Self::Abandoned,
            Err(Error::Deadlock(circle)) => panic!("a false alarm: {circle}"),
            Err(_) => panic!("neither overloaded nor missing is to be expected here"),
        }
    }

    fn is_hurt(&self) -> bool {
        match self {
            Self::Panicked(message) | Self::Unwound(message) => message == "bomb",
            Self::Lost => true,
            _ => false,
        }
    }
}

/// Which call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verb {
    Try,
    Fresh,
    Hasty,
    TakeOver,
    Wait,
    Spawn,
    Many,
}

struct Stage {
    fuse: Arc<Fuse>,
    ending: Ending,
}

impl Stage {
    fn work(&self, id: u32, stay: Stay) -> impl FnOnce() -> Result<Value, Fault> + Send + 'static {
        let (fuse, ending) = (self.fuse.clone(), self.ending);
        move || {
            stay();
            match ending {
                Ending::Value => Ok(Value(id, fuse)),
                Ending::Fault => Err(Fault(id, fuse)),
                Ending::Panic => panic!("work"),
            }
        }
    }

    /// Makes one call, on a thread of its own.
    fn call<G: Callable>(self: &Arc<Self>, group: &G, verb: Verb, id: u32, stay: Stay) -> JoinHandle<End> {
        let (stage, group) = (self.clone(), group.clone());
        spawn(move || {
            let call = AssertUnwindSafe(|| {
                let key = Key(1, stage.fuse.clone());
                let work = stage.work(id, stay);
                group.make(verb, &key, work)
            });
            catch_unwind(call).unwrap_or_else(|payload| End::Unwound(message(&*payload)))
        })
    }
}

/// What the scenarios need of both groups.
trait Callable: Counts<Key> + Clone + Send + 'static {
    fn make(&self, verb: Verb, key: &Key, work: impl FnOnce() -> Result<Value, Fault> + Send + 'static) -> End;
    fn meddle(&self, key: &Key);
}

impl Callable for Reads {
    fn make(&self, verb: Verb, key: &Key, work: impl FnOnce() -> Result<Value, Fault> + Send + 'static) -> End {
        End::of(match verb {
            Verb::Try => self.call(key).run(work),
            Verb::Fresh => self.call(key).fresh().run(work),
            Verb::Hasty => self.call(key).timeout(SOON / 5).run(work),
            Verb::TakeOver => self.call(key).takeover_after(SOON / 5).run(work),
            Verb::Wait => match self.call(key).follow() {
                Some(result) => result,
                None => return End::Nothing,
            },
            Verb::Spawn => match self.spawn(key, work).recv() {
                Ok(result) => result,
                Err(_) => return End::Lost,
            },
            Verb::Many => {
                // One of its keys is this one. What the test's own map does with the bombs is not the group's.
                let keys = [key.clone(), Key(3, key.1.clone())];
                let mut found = self.work_many(&keys, |missing| {
                    let value = work()?;
                    IN_WORK.set(true); // building a map hashes and clones keys
                    let values = missing.iter().map(|key| (key.clone(), Value(value.0, value.1.clone()))).collect();
                    drop(value);
                    IN_WORK.set(false);
                    Ok(values)
                });
                match found.remove(key) {
                    Some(result) => result,
                    None => return End::Lost,
                }
            }
        })
    }

    fn meddle(&self, key: &Key) {
        self.flights();
        self.followers(key);
        self.forget(key);
    }
}

impl Callable for Writes {
    fn make(&self, verb: Verb, key: &Key, work: impl FnOnce() -> Result<Value, Fault> + Send + 'static) -> End {
        End::of(match verb {
            Verb::Hasty => self.call(key).timeout(SOON / 5).run(work),
            Verb::Wait => match self.call(key).flush() {
                Some(result) => result,
                None => return End::Nothing,
            },
            Verb::Spawn => match self.spawn(key, work).recv() {
                Ok(result) => result,
                Err(_) => return End::Lost,
            },
            _ => self.call(key).run(work),
        })
    }

    fn meddle(&self, key: &Key) {
        self.flights();
        self.followers(key);
    }
}

/// One scenario: a leader in the air, the others aboard in this order, perhaps a meddler; then it lands.
#[derive(Clone, Debug)]
struct Scene {
    verbs: &'static [Verb],
    ending: Ending,
    meddle: bool,
}

/// Plays the scene with one fuse. Returns whether it blew.
fn play<G: Callable>(scene: &Scene, fuse: &Arc<Fuse>, group: &G) -> bool {
    let stage = Arc::new(Stage { fuse: fuse.clone(), ending: scene.ending });
    let (entered, gate) = (Gate::new(), Gate::new());
    let mut calls: Vec<(Verb, JoinHandle<End>)> = Vec::new();
    fuse.armed.store(true, SeqCst);
    for (id, verb) in scene.verbs.iter().enumerate() {
        let stay: Stay = if id == 0 {
            let (entered, gate) = (entered.clone(), gate.clone());
            Arc::new(move || {
                entered.open();
                gate.pass();
            })
        } else {
            Arc::new(|| ())
        };
        let boarded = group.boarded();
        let call = stage.call(group, *verb, id as u32, stay);
        until(|| {
            if id == 0 {
                entered.is_open() || call.is_finished()
            } else {
                group.boarded() > boarded || call.is_finished()
            }
        });
        calls.push((*verb, call));
    }
    let (mut hurt, mut ends) = (0, Vec::new());
    if scene.meddle {
        let key = Key(1, fuse.clone());
        hurt += usize::from(catch_unwind(AssertUnwindSafe(|| group.meddle(&key))).is_err());
        hurt += usize::from(catch_unwind(AssertUnwindSafe(move || drop(key))).is_err());
    }
    gate.open();
    for (verb, call) in calls {
        let end = finish(call);
        hurt += usize::from(end.is_hurt());
        let as_it_should = match &end {
            End::Served(id) => scene.ending == Ending::Value && (*id as usize) < scene.verbs.len(),
            End::Failed(id) => scene.ending == Ending::Fault && (*id as usize) < scene.verbs.len(),
            End::Panicked(words) | End::Unwound(words) => {
                words == "bomb" || (words == "work" && scene.ending == Ending::Panic)
            }
            End::TimedOut => verb == Verb::Hasty,
            // Whoever has a closure left boards again.
            End::Abandoned => matches!(verb, Verb::Wait | Verb::Spawn | Verb::Many),
            End::Nothing => verb == Verb::Wait,
            End::Lost => true, // counted above
        };
        assert!(as_it_should, "{verb:?} ended with {end:?} in {scene:?} with {:?}", fuse.of);
        ends.push(end);
    }
    until(|| group.flying() == 0); // spawned flights may still be on their way
    fuse.armed.store(false, SeqCst);
    let blown = fuse.blown.load(SeqCst);
    assert!(
        hurt <= usize::from(blown),
        "{hurt} calls were hurt in {scene:?} with {:?} (blown: {blown}): {ends:?}",
        fuse.of
    );
    // The key works, others work.
    for id in [1, 2, 3] {
        let key = Key(id, fuse.clone());
        assert_eq!(group.waiting(&key), 0);
        let own = fuse.clone();
        assert_eq!(group.make(Verb::Try, &key, move || Ok(Value(99, own))), End::Served(99));
        assert_eq!(group.make(Verb::Wait, &key, || unreachable!()), End::Nothing);
    }
    assert_eq!(group.flying(), 0);
    blown
}

/// Plays the scene again and again, with a longer fuse each time, until it has become too long to blow.
fn every_fuse<G: Callable>(scene: &Scene, make: impl Fn() -> G) {
    keep_quiet_about(&["bomb", "work"]);
    for of in USES {
        for n in 0.. {
            let fuse = Arc::new(Fuse {
                of,
                left: AtomicIsize::new(n),
                armed: AtomicBool::new(false),
                blown: AtomicBool::new(false),
            });
            let (scene, group) = (scene.clone(), make());
            if !within(move || play(&scene, &fuse, &group)) {
                break;
            }
            assert!(n < 200, "there is no end to {of:?}");
        }
    }
}

fn scenes(verbs: &[&'static [Verb]]) -> Vec<Scene> {
    let mut scenes = Vec::new();
    for verbs in verbs {
        for ending in [Ending::Value, Ending::Fault, Ending::Panic] {
            for meddle in [false, true] {
                scenes.push(Scene { verbs, ending, meddle });
            }
        }
    }
    scenes
}

fn reads(settings: impl Fn(GroupBuilder<Key, Value, Fault>) -> GroupBuilder<Key, Value, Fault>) -> impl Fn() -> Reads {
    move || settings(Group::builder().shards(1)).build()
}

fn writes(
    settings: impl Fn(WriteGroupBuilder<Key, Value, Fault>) -> WriteGroupBuilder<Key, Value, Fault>,
) -> impl Fn() -> Writes {
    move || settings(WriteGroup::builder().shards(1)).build()
}

#[test]
fn p5_bombs_in_reads() {
    for scene in scenes(&[
        &[Verb::Try],
        &[Verb::Try, Verb::Try, Verb::Wait, Verb::Spawn, Verb::Hasty],
        &[Verb::Spawn, Verb::Spawn, Verb::Try, Verb::Wait],
        &[Verb::Many, Verb::Try, Verb::Many],
    ]) {
        every_fuse(&scene, reads(|builder| builder));
    }
}

#[test]
fn p5_bombs_in_fresh_reads_and_take_overs() {
    for scene in scenes(&[
        &[Verb::Try, Verb::Fresh, Verb::Try, Verb::Fresh, Verb::Hasty],
        &[Verb::Spawn, Verb::Fresh, Verb::TakeOver],
    ]) {
        every_fuse(&scene, reads(|builder| builder));
    }
}

#[test]
fn p5_bombs_where_failures_are_not_shared() {
    for scene in scenes(&[&[Verb::Try, Verb::Try, Verb::Spawn, Verb::Wait], &[Verb::Spawn, Verb::Spawn, Verb::Fresh]]) {
        every_fuse(&scene, reads(|builder| builder.share_failures(false)));
    }
}

/// An observer asks for owned keys, and `debug_keys` for their `Debug`: more uses, in more places.
#[test]
fn p5_bombs_in_watched_reads() {
    for scene in scenes(&[
        &[Verb::Try, Verb::Try, Verb::Wait, Verb::Hasty],
        &[Verb::Spawn, Verb::Fresh, Verb::Spawn],
        &[Verb::Many, Verb::Try],
    ]) {
        every_fuse(&scene, reads(|builder| builder.name("watched").debug_keys().observer(|_| ())));
    }
}

#[test]
fn p5_bombs_where_nobody_joins() {
    for scene in scenes(&[&[Verb::Try, Verb::Try, Verb::Spawn], &[Verb::Spawn, Verb::Fresh, Verb::Try]]) {
        every_fuse(&scene, reads(|builder| builder.max_age(Duration::ZERO).observer(|_| ())));
    }
}

#[test]
fn p5_bombs_in_writes() {
    for scene in scenes(&[
        &[Verb::Try],
        &[Verb::Try, Verb::Try, Verb::Try, Verb::Wait, Verb::Hasty],
        &[Verb::Spawn, Verb::Spawn, Verb::Try, Verb::Spawn],
    ]) {
        every_fuse(&scene, writes(|builder| builder));
    }
}

/// The write's key is hashed and compared once more, in the group it invalidates; both groups stay whole.
#[test]
fn p5_bombs_in_writes_that_invalidate() {
    for scene in scenes(&[&[Verb::Try, Verb::Try, Verb::Wait], &[Verb::Spawn, Verb::Try, Verb::Spawn]]) {
        every_fuse(&scene, || {
            let invalidated: Reads = Group::builder().shards(1).build();
            writes(|builder| builder.name("saves").debug_keys().observer(|_| ()).invalidates(&invalidated))()
        });
    }
}
