//! Several reads at once, on the one table of single calls.
//!
//! The order is what keeps two such calls from waiting for each other: board every key, run and land the flights
//! this call leads, and only then wait for the others'. A call that waits leads nothing any more.

use crate::engine::Engine;
use crate::engine::board::{Boarded, Boarder};
use crate::engine::config::{Patience, Rule};
use crate::engine::flight::Outcome;
use crate::engine::follow::{Aboard, Ended};
use crate::engine::land::Unfinished;
use crate::engine::panics::{caught, describe, resume_unwind};
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
    unfinished: Unfinished<'e, K, V, E, S>,
    report: FlightReport,
}

struct Followed<'e, 'k, K, V, E, S> {
    key: &'k K,
    aboard: Aboard<'e, K, V, E, S>,
}

impl<K: Hash + Eq + Clone, V: Clone, E: Clone, S: BuildHasher> Engine<K, V, E, S> {
    pub(crate) fn run_many<F>(&self, keys: &[K], work: F) -> HashMap<K, Share<V, E>>
    where
        F: FnOnce(&[K]) -> Result<HashMap<K, V>, E>,
    {
        let mut shares = HashMap::with_capacity(keys.len());
        let mut boardings = Boardings { led: Vec::new(), followed: Vec::new() };
        let mut seen = HashSet::with_capacity(keys.len());
        for key in keys.iter().filter(|key| seen.insert(*key)) {
            if let Some(refused) = self.board_one(key, &mut boardings) {
                shares.insert(key.clone(), Err(refused));
            }
        }
        let Boardings { led, followed } = boardings;
        self.lead_all(led, work, &mut shares);
        for Followed { key, mut aboard } in followed {
            let share = match self.await_end(key, &Patience::default(), &mut aboard) {
                Ended::Landed => aboard.outcome().share(Role::Follower, true),
                Ended::Deadlock(circle) => Err(Error::Deadlock(circle)),
                Ended::TimedOut | Ended::Called | Ended::BoardAgain => {
                    unreachable!("without a deadline, a seat or a take-over")
                }
            };
            shares.insert(key.clone(), share);
        }
        shares
    }

    /// Boards one key; what it is refused with, if it is.
    fn board_one<'e, 'k>(&'e self, key: &'k K, boardings: &mut Boardings<'e, 'k, K, V, E, S>) -> Option<Error<E>> {
        let hash = self.hash(key);
        let mut boarder = Boarder::blocked(Patience::default());
        loop {
            let mut boarded = self.board(hash, key, Rule::Join, &mut boarder);
            if let Some(expired) = boarder.expired.take() {
                self.tell_expired(expired, key, &mut boarded);
            }
            match boarded {
                Boarded::Lead(flying) => {
                    let unfinished = Unfinished::new(self, flying);
                    boardings.led.push(Led { key, unfinished, report: FlightReport::none() });
                    return None;
                }
                Boarded::Follow(flight, place) => {
                    let aboard = Aboard::new(self, hash, flight, place);
                    boardings.followed.push(Followed { key, aboard });
                    return None;
                }
                Boarded::Expired(_) => {}
                refused => return Some(self.refused(refused, key)),
            }
        }
    }

    /// Runs the closure once for all keys this call leads, and lands each.
    fn lead_all<F>(&self, mut led: Vec<Led<'_, '_, K, V, E, S>>, work: F, shares: &mut HashMap<K, Share<V, E>>)
    where
        F: FnOnce(&[K]) -> Result<HashMap<K, V>, E>,
    {
        if led.is_empty() {
            return; // somebody else does all of it: `work` is dropped unrun
        }
        let missing: Vec<K> = led.iter().map(|one| one.key.clone()).collect();
        for Led { key, unfinished, report } in &mut led {
            *report = self.report_flight(unfinished.flying.id, key, None);
            self.tell(unfinished.flying.id, || key.clone(), EventKind::Led);
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
        for Led { key, unfinished, report } in led {
            // User code first, while the guard still holds: `Hash` and `Eq` here, `E::clone` below.
            let outcome = match (&payload, &failure) {
                (Some(payload), _) => Outcome::Panicked(describe(payload)),
                (None, Some(error)) => Outcome::Failed(error.clone()),
                (None, None) => values.remove(key).map_or(Outcome::Missing, Outcome::Value),
            };
            let flying = unfinished.flying;
            unfinished.disarm();
            let share = self.land_one_of_many(flying, key, outcome, ran, report);
            shares.insert(key.clone(), share);
        }
        if let Some(payload) = payload {
            resume_unwind(payload);
        }
    }
}
