//! What `load` and `load_many` have in common: one batch, from the way in to the answers.

use super::batcher::Inner;
use super::keys::Keys;
use super::outcome::{Answers, Outcome};
use crate::engine::load::Bring;
use crate::engine::options::WaitOptions;
use crate::engine::panics;
use crate::error::Error;
use crate::sync::Arc;

impl<K, V, E> Inner<K, V, E> {
    /// Boards a batch, and leads it or waits for it. `alone` is run instead if nobody is there to share a batch with.
    pub(super) fn carry(
        &self,
        options: WaitOptions<'_>,
        brings: &mut dyn Bring<Keys<K>>,
        alone: impl FnOnce() -> Outcome<K, V, E>,
    ) -> Result<Answers<K, V, E>, Error<E>> {
        let rules = &self.engine.rules;
        let holds = rules.window.is_some() && rules.max_batch > 1;
        let (mut outcome, mut batch) = (None, None);
        let landed = self.engine.carry(
            &(),
            options,
            holds,
            brings,
            |load| {
                let Some((_, Keys { keys, handed_on, .. })) = load else {
                    // Nobody shares the outcome, which need not leave this frame.
                    outcome = Some(alone());
                    return Ok(None);
                };
                let keys = batch.insert(keys);
                Ok(Some(Arc::new(self.run(keys, handed_on))))
            },
            |landing| (landing.shared(), landing.value),
        );
        panics::drop_quietly(batch);
        match landed {
            Ok((_, None)) => Ok(Answers::Alone(outcome.expect("it ran alone"))),
            Ok((true, Some(ours))) => Ok(Answers::Ours(ours)),
            Ok((false, Some(outcome))) => Ok(match Arc::try_unwrap(outcome) {
                Ok(mine) => Answers::Mine(mine),
                Err(ours) => Answers::Ours(ours),
            }),
            Err(error) => Err(error.map_work(|never| match never {})),
        }
    }

    /// Runs the function for a batch.
    pub(super) fn run(&self, keys: &[K], handed_on: bool) -> Outcome<K, V, E> {
        self.stats.started(keys.len(), handed_on);
        self.stats.watch(|| (self.function)(keys))
    }

    /// Counts what a key's call came to, and names the batcher in its error.
    pub(super) fn ended(&self, part: Result<V, Error<E>>) -> Result<V, Error<E>> {
        self.stats.ended(&part);
        part.map_err(|error| if error.is_missing() { error.at(self.engine.site()) } else { error })
    }
}
