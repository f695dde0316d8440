//! Several reads at once, on the one table of single calls.
//!
//! The order is what keeps two such calls from waiting for each other: board every key, run and land the flights
//! this call leads, and only then wait for the others'. A call that waits leads nothing any more.

use crate::engine::board::{Boarded, Caller};
use crate::engine::core::Engine;
use crate::engine::follow::{Ended, WaitGuard};
use crate::engine::land::LeadGuard;
use crate::engine::options::{WaitOptions, Which};
use crate::engine::panics::{caught, resume_unwind};
use crate::error::Error;
use crate::landing::{Landing, Role};
use crate::observer::EventKind;
use crate::report::FlightReport;
use crate::sync::Instant;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};

/// What became of one key of many.
type Share<V, E> = Result<Landing<V>, Error<E>>;

/// Where this call boarded. Whatever unwinds meanwhile, the flights it leads land and those it follows are left.
struct Boardings<'e, 'k, K, V, E, S> {
    led: Vec<Led<'e, 'k, K, V, E, S>>,
    followed: Vec<Followed<'e, 'k, K, V, E, S>>,
}

struct Led<'e, 'k, K, V, E, S> {
    key: &'k K,
    guard: LeadGuard<'e, K, V, E, S, ()>,
    report: FlightReport,
}

struct Followed<'e, 'k, K, V, E, S> {
    key: &'k K,
    guard: WaitGuard<'e, K, V, E, S, ()>,
}

impl<K: Hash + Eq + Clone, V: Clone, E: Clone, S: BuildHasher> Engine<K, V, E, S> {
    pub(crate) fn run_many<F>(&self, keys: &[K], mut options: WaitOptions<'_>, work: F) -> HashMap<K, Share<V, E>>
    where
        F: FnOnce(&[K]) -> Result<HashMap<K, V>, E>,
    {
        if let Err(cancelled) = self.check(&options) {
            return keys.iter().map(|key| (key.clone(), Err(cancelled.clone()))).collect();
        }
        let mut shares = HashMap::with_capacity(keys.len());
        let mut boardings = Boardings { led: Vec::new(), followed: Vec::new() };
        let mut seen = HashSet::with_capacity(keys.len());
        for key in keys.iter().filter(|key| seen.insert(*key)) {
            if let Some(refused) = self.board_one(key, options, &mut boardings) {
                shares.insert(key.clone(), Err(refused));
            }
        }
        let Boardings { led, followed } = boardings;
        self.lead_all(led, work, &mut shares);
        options.start(); // one deadline for all waits
        for Followed { key, mut guard } in followed {
            let share = match self.await_end(key, &options, &mut guard) {
                Ended::Landed => guard.outcome().share(Role::Follower, true),
                ended => Err(self.wait_error(ended, &options)),
            };
            shares.insert(key.clone(), share);
        }
        shares
    }

    /// Boards one key; what it is refused with, if it is.
    fn board_one<'e, 'k>(
        &'e self,
        key: &'k K,
        options: WaitOptions<'_>,
        boardings: &mut Boardings<'e, 'k, K, V, E, S>,
    ) -> Option<Error<E>> {
        let hash = self.hasher.hash_one(key);
        let mut caller = Caller::blocked(Which::Current, options, None);
        let boarded = self.board(hash, key, &mut caller);
        self.tell_expired(key, &mut caller, &boarded);
        match boarded {
            Boarded::Lead(id, _) => {
                let guard = LeadGuard::new(self, id);
                boardings.led.push(Led { key, guard, report: FlightReport::none() });
                None
            }
            Boarded::Wait(flight, place, ticket) => {
                let guard = WaitGuard::new(self, hash, flight, place, ticket);
                boardings.followed.push(Followed { key, guard });
                None
            }
            refused => Some(self.refused(refused, key)),
        }
    }

    /// Runs the closure once for all keys this call leads, and lands each.
    fn lead_all<F>(&self, mut led: Vec<Led<'_, '_, K, V, E, S>>, work: F, shares: &mut HashMap<K, Share<V, E>>)
    where
        F: FnOnce(&[K]) -> Result<HashMap<K, V>, E>,
    {
        if led.is_empty() {
            return; // other callers read all keys: `work` is dropped unrun
        }
        let missing: Vec<K> = led.iter().map(|one| one.key.clone()).collect();
        for Led { key, guard, report } in &mut led {
            *report = self.report_flight(guard.id.number, key, None);
            self.tell(guard.id.number, || key.clone(), EventKind::Led);
        }
        let began = Instant::now();
        let result = caught(|| {
            let _inside = FlightReport::enter_all(led.iter().map(|one| &one.report));
            work(&missing)
        });
        let ran = began.elapsed();
        let (mut values, failure, payload) = match result {
            Ok(Ok(values)) => (values, None, None),
            Ok(Err(error)) => (HashMap::new(), Some(error), None),
            Err(payload) => (HashMap::new(), None, Some(payload)),
        };
        for Led { key, guard, report } in led {
            // User code first, while the guard still holds: `Hash` and `Eq` here, `E::clone` below.
            let outcome = match (&payload, &failure) {
                (Some(payload), _) => Err(self.panicked(payload)),
                (None, Some(error)) => Err(Error::Work(error.clone())),
                (None, None) => values.remove(key).ok_or_else(|| Error::Missing(self.site())),
            };
            let id = guard.id;
            guard.disarm();
            let share = self.land_one_of_many(id, key, outcome, ran, report);
            shares.insert(key.clone(), share);
        }
        if let Some(payload) = payload {
            resume_unwind(payload);
        }
    }
}
