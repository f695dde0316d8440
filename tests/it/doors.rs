//! One blocking call of every kind behind one face: for promises that hold for all of them.

use flight_group::{Batcher, CancelToken, Error, EventGroup, Group, WriteGroup};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) type Outcome = Result<(), Error<Infallible>>;
type Body = Box<dyn FnOnce() + Send>;

/// What the run of a key is to do, for the kinds whose function is given when they are made. Each is done once.
#[derive(Clone, Default)]
pub(crate) struct Bodies(Arc<Mutex<HashMap<u32, Body>>>);

impl Bodies {
    fn run(&self, key: u32) {
        let body = self.0.lock().unwrap().remove(&key);
        if let Some(body) = body {
            body();
        }
    }
}

/// One blocking call, of whatever kind.
#[derive(Clone)]
pub(crate) enum Door {
    Reads(Group<u32, ()>),
    Fresh(Group<u32, ()>),
    Several(Group<u32, ()>),
    Writes(WriteGroup<u32, ()>),
    Events(EventGroup<u32, (), ()>, Bodies),
    Rows(Batcher<u32, ()>, Bodies),
    /// The batcher's call for several keys.
    RowsMany(Batcher<u32, ()>, Bodies),
}

/// How long a call waits, and for what.
#[derive(Clone, Copy)]
pub(crate) struct Wait<'a> {
    pub(crate) timeout: Duration,
    pub(crate) cancel: &'a CancelToken,
}

fn all(keys: &[u32]) -> HashMap<u32, ()> {
    keys.iter().map(|&key| (key, ())).collect()
}

impl Door {
    pub(crate) const KINDS: usize = 7;

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..Self::KINDS).map(Self::new)
    }

    pub(crate) fn new(kind: usize) -> Self {
        let bodies = Bodies::default();
        let inside = bodies.clone();
        match kind % Self::KINDS {
            0 => Self::Reads(Group::new()),
            1 => Self::Fresh(Group::new()),
            2 => Self::Several(Group::new()),
            3 => Self::Writes(WriteGroup::new()),
            4 => {
                let push = move |key: &u32, ()| {
                    inside.run(*key);
                    Ok(())
                };
                Self::Events(EventGroup::new(|(), ()| (), push), bodies)
            }
            kind => {
                let rows = Batcher::new(move |keys: &[u32]| {
                    keys.iter().for_each(|&key| inside.run(key));
                    Ok(all(keys))
                });
                if kind == 5 { Self::Rows(rows, bodies) } else { Self::RowsMany(rows, bodies) }
            }
        }
    }

    /// Does `body` in the key's run.
    pub(crate) fn lead(&self, key: u32, body: impl FnOnce() + Send + 'static) -> Outcome {
        fn work(body: impl FnOnce()) -> impl FnOnce() -> Result<(), Infallible> {
            || {
                body();
                Ok(())
            }
        }
        match self {
            Self::Reads(group) => group.try_work(&key, work(body)),
            Self::Fresh(group) => group.call(&key).fresh().run(work(body)).map(|landing| landing.value),
            Self::Several(group) => {
                let mut found = group.work_many(&[key], |keys| {
                    body();
                    Ok(all(keys))
                });
                found.remove(&key).expect("every key has an entry").map(drop)
            }
            Self::Writes(group) => group.try_write(&key, work(body)),
            Self::Events(_, bodies) | Self::Rows(_, bodies) | Self::RowsMany(_, bodies) => {
                bodies.0.lock().unwrap().insert(key, Box::new(body));
                self.ask(key)
            }
        }
    }

    pub(crate) fn ask(&self, key: u32) -> Outcome {
        self.ask_for(key, Wait { timeout: Duration::MAX, cancel: &CancelToken::new() })
    }

    /// Asks without doing anything in the run.
    pub(crate) fn ask_for(&self, key: u32, wait: Wait<'_>) -> Outcome {
        let Wait { timeout, cancel } = wait;
        match self {
            Self::Reads(group) => group.call(&key).timeout(timeout).cancel(cancel).run(|| Ok(())).map(drop),
            Self::Fresh(group) => group.call(&key).timeout(timeout).cancel(cancel).fresh().run(|| Ok(())).map(drop),
            Self::Several(group) => {
                let mut found = group.call_many(&[key]).timeout(timeout).cancel(cancel).run(|keys| Ok(all(keys)));
                found.remove(&key).expect("every key has an entry").map(drop)
            }
            Self::Writes(group) => group.call(&key).timeout(timeout).cancel(cancel).run(|| Ok(())).map(drop),
            Self::Events(group, _) => group.call(&key).timeout(timeout).cancel(cancel).push(()).map(drop),
            Self::Rows(batcher, _) => batcher.call(&key).timeout(timeout).cancel(cancel).load(),
            Self::RowsMany(batcher, _) => {
                let mut found = batcher.call(&[key]).timeout(timeout).cancel(cancel).load_many();
                found.remove(&key).expect("every key has an entry")
            }
        }
    }

    pub(crate) fn waiting(&self, key: u32) -> usize {
        match self {
            Self::Reads(group) | Self::Fresh(group) | Self::Several(group) => group.followers(&key),
            Self::Writes(group) => group.followers(&key),
            Self::Events(group, _) => group.followers(&key),
            Self::Rows(batcher, _) | Self::RowsMany(batcher, _) => batcher.waiting(),
        }
    }

    /// Runs so far.
    pub(crate) fn runs(&self) -> u64 {
        match self {
            Self::Reads(group) | Self::Fresh(group) | Self::Several(group) => group.stats().led,
            Self::Writes(group) => group.stats().led,
            Self::Events(group, _) => group.stats().runs,
            Self::Rows(batcher, _) | Self::RowsMany(batcher, _) => batcher.stats().batches,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::Reads(group) | Self::Fresh(group) | Self::Several(group) => group.in_flight() == 0,
            Self::Writes(group) => group.in_flight() == 0,
            Self::Events(group, _) => group.in_flight() == 0,
            Self::Rows(batcher, _) | Self::RowsMany(batcher, _) => batcher.queued() + batcher.waiting() == 0,
        }
    }
}
