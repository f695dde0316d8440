//! Bombs: a key, an event, a value and an error whose `Hash`, `Eq`, `Clone` and `Drop` panic on the n-th use.

use super::*;
use std::hash::{Hash, Hasher};

#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
enum Use {
    HashKey,
    EqKey,
    CloneKey,
    DropKey,
    DropEvent,
    CloneValue,
    DropValue,
    CloneError,
    DropError,
}
use Use::*;

const USES: [Use; 9] = [HashKey, EqKey, CloneKey, DropKey, DropEvent, CloneValue, DropValue, CloneError, DropError];

struct Fuse {
    armed: Use,
    left: AtomicIsize,
}

impl Fuse {
    fn burn(&self, used: Use) {
        // A second panic while one unwinds aborts the process, as everywhere: that is not what is tested.
        if used == self.armed && !thread::panicking() && self.left.fetch_sub(1, SeqCst) == 0 {
            panic!("bomb");
        }
    }
}

struct Key(u8, Arc<Fuse>);
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.1.burn(HashKey);
        state.write_u8(0); // all collide: `Eq` is asked every time
    }
}
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.1.burn(EqKey);
        self.0 == other.0
    }
}
impl Eq for Key {}
impl Clone for Key {
    fn clone(&self) -> Self {
        self.1.burn(CloneKey);
        Self(self.0, self.1.clone())
    }
}
impl Drop for Key {
    fn drop(&mut self) {
        self.1.burn(DropKey);
    }
}

macro_rules! bomb {
    ($name:ident, $clone:expr, $drop:expr) => {
        struct $name(Arc<Fuse>);
        impl Clone for $name {
            fn clone(&self) -> Self {
                if let Some(used) = $clone {
                    self.0.burn(used);
                }
                Self(self.0.clone())
            }
        }
        impl Drop for $name {
            fn drop(&mut self) {
                self.0.burn($drop);
            }
        }
    };
}
bomb!(Event, None, DropEvent);
bomb!(Value, Some(CloneValue), DropValue);
bomb!(Failure, Some(CloneError), DropError);

/// Every use of every kind, up to more than the scenario has: nobody hangs, the group works afterwards, and
/// nothing is left in it.
#[test]
fn nobody_is_stranded_whatever_panics() {
    crate::support::keep_quiet_about(&["bomb"]);
    let mut went_off = BTreeMap::new();
    for armed in USES {
        for nth in 0..24 {
            let fuse = Arc::new(Fuse { armed, left: AtomicIsize::new(nth) });
            let (done, is_done) = channel();
            let scenario = fuse.clone();
            thread::spawn(move || {
                bombed(&scenario);
                done.send(()).unwrap();
            });
            is_done
                .recv_timeout(patience())
                .unwrap_or_else(|_| panic!("{armed:?} number {nth}: somebody hangs, or a promise was broken"));
            *went_off.entry(armed).or_insert(0) += usize::from(fuse.left.load(SeqCst) < 0);
        }
    }
    for armed in USES {
        assert!(went_off.get(&armed).is_some_and(|times| *times > 0), "{armed:?} never went off: {went_off:?}");
    }
}

fn bombed(fuse: &Arc<Fuse>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let open = Arc::new(AtomicBool::new(false));
    let (counter, gate, own) = (runs.clone(), open.clone(), fuse.clone());
    let events: EventGroup<Key, Event, Value, Failure> = EventGroup::builder(
        |_: &mut Event, newer: Event| drop(newer),
        move |_: &Key, event: Event| {
            drop(event);
            until(|| gate.load(SeqCst));
            let fails = matches!(own.armed, CloneError | DropError) == (counter.fetch_add(1, SeqCst) % 2 == 1);
            if fails { Err(Failure(own.clone())) } else { Ok(Value(own.clone())) }
        },
    )
    .workers(2)
    .on_failure(|_, error| drop(error.clone()))
    .build();
    let blown = AtomicUsize::new(0);
    let quietly = |call: &mut dyn FnMut()| {
        if catch_unwind(AssertUnwindSafe(call)).is_err() {
            blown.fetch_add(1, SeqCst);
        }
    };
    thread::scope(|s| {
        let (events, quietly) = (&events, &quietly);
        for thread in 0..4 {
            s.spawn(move || {
                for i in 0..5 {
                    let mut key = Some(Key(if i < 2 { 0 } else { (thread + i) % 2 }, fuse.clone()));
                    quietly(&mut || {
                        let (key, event) = (key.as_ref().expect("there"), Event(fuse.clone()));
                        match i {
                            3 => drop(events.submit(key, event)),
                            4 => drop(events.call(key).timeout(Duration::ZERO).push(event)),
                            _ => drop(events.push(key, event)),
                        }
                    });
                    quietly(&mut || drop(key.take()));
                }
            });
        }
        // One is in the air, and the others wait behind it: the next run has followers to clone for.
        until(|| events.stats().pushed as usize + blown.load(SeqCst) >= 4);
        open.store(true, SeqCst);
    });
    fuse.left.store(if fuse.left.load(SeqCst) < 0 { -1 } else { isize::MAX }, SeqCst);
    assert!(events.flush().is_ok());
    for id in 0..2 {
        let key = Key(id, fuse.clone());
        let outcome = events.push(&key, Event(fuse.clone()));
        assert!(outcome.is_ok() || outcome.is_err_and(|error| error.is_work()), "the key does not work any more");
        assert_eq!((events.waiting(&key), events.followers(&key)), (0, 0));
    }
    assert_eq!(events.in_flight(), 0);
    assert!(format!("{events:?}").contains("keys: 0"), "{events:?}");
    drop(events);
    assert_eq!(Arc::strong_count(&runs), 1, "a thread of the group's is left");
}
