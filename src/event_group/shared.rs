//! What all handles to an event group, and its workers, share.

use crate::engine::Engine;
use crate::error::Error;
use crate::event_group::agenda::Agenda;
use crate::event_group::events::Events;
use crate::event_group::stats::Counts;
use crate::event_group::telling::Telling;
use crate::sync::{Arc, Mutex};
use crate::threads::Crew;
use std::hash::{Hash, RandomState};

/// What a key must be: workers keep it, and share it with the run in the air.
pub(crate) trait Key: Hash + Eq + Send + Sync + 'static {}
impl<K: Hash + Eq + Send + Sync + 'static> Key for K {}

/// What an event must be: it goes to whichever thread leads.
pub(crate) trait Own: Send + 'static {}
impl<T: Send + 'static> Own for T {}

/// What an outcome must be: it is shared out.
pub(crate) trait Told: Clone + Send + Sync + 'static {}
impl<V: Clone + Send + Sync + 'static> Told for V {}

/// What the handles share; its drop is the group's end. The workers hold `Shared`, and so do not keep it alive.
pub(super) struct Handle<K, T, V, E> {
    pub(super) shared: Arc<Shared<K, T, V, E>>,
    /// `Shared::close`, from where its bounds are known.
    pub(super) close: Close<K, T, V, E>,
}

pub(super) type Close<K, T, V, E> = fn(&Arc<Shared<K, T, V, E>>);

impl<K, T, V, E> Drop for Handle<K, T, V, E> {
    fn drop(&mut self) {
        (self.close)(&self.shared);
    }
}

pub(super) type Merge<T> = Box<dyn Fn(&mut T, T) + Send + Sync>;
pub(super) type Push<K, T, V, E> = Box<dyn Fn(&K, T) -> Result<V, E> + Send + Sync>;
pub(super) type Weigh<T> = Box<dyn Fn(&T) -> usize + Send + Sync>;
pub(super) type OnFailure<K, E> = Box<dyn Fn(&K, &Error<E>) + Send + Sync>;

pub(super) struct Shared<K, T, V, E> {
    /// The key is in an `Arc`, so that a worker and the table share it without `K: Clone`.
    pub(super) engine: Engine<Arc<K>, V, E, RandomState, Events<T>>,
    pub(super) agenda: Mutex<Agenda>,
    pub(super) crew: Crew<Box<dyn FnOnce() + Send>>,
    pub(super) counts: Counts,
    pub(super) merge: Merge<T>,
    pub(super) push: Push<K, T, V, E>,
    pub(super) on_failure: Option<OnFailure<K, E>>,
    pub(super) telling: Arc<Telling>,
    pub(super) weigh: Option<Weigh<T>>,
    pub(super) workers: usize,
}
