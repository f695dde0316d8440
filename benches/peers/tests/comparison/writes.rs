//! Eight changes come while a first one is being saved: how often is saved, and is the last change saved?

use crate::contestants::{CachedByKey, Contestant, FlightGroup, Moka, QuickCache};
use crate::support::{Alone, Held, facts, quiet};
use flight_group::WriteGroup;
use moka::ops::compute::Op;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

const LATER: u64 = 8;

facts! {
    burst_flight_group: burst::<OurWrites> => "2 runs, one after the other; the last change is saved";
    burst_mutex_per_key: burst::<MutexPerKey> => "9 runs, one after the other; the last change is saved";
    burst_moka_compute: burst::<MokaCompute> => "9 runs, one after the other; the last change is saved";
    // A single flight, or a cache's, is for reads: used for writes it loses them. Ours as well.
    burst_group_for_reads: burst::<ForReads<FlightGroup>> => "1 run; the last change is lost";
    burst_moka: burst::<ForReads<Moka>> => "1 run; the last change is lost";
    burst_quick_cache: burst::<ForReads<QuickCache>> => "1 run; the last change is lost";
    burst_cached_by_key: burst::<ForReads<CachedByKey>> => "1 run; the last change is lost";
}

trait Writes: Default + Send + Sync + 'static {
    fn save(&self, save: &dyn Fn());
}

#[derive(Default)]
struct OurWrites(WriteGroup<u64>);

impl Writes for OurWrites {
    fn save(&self, save: &dyn Fn()) {
        self.0.write(&1, save);
    }
}

/// By hand: serialised, and every one of them runs.
#[derive(Default)]
struct MutexPerKey(Mutex<HashMap<u64, Arc<Mutex<()>>>>);

impl Writes for MutexPerKey {
    fn save(&self, save: &dyn Fn()) {
        let key = self.0.lock().unwrap().entry(1).or_default().clone();
        let _alone = key.lock().unwrap();
        save();
    }
}

/// `entry(key).and_compute_with`: moka's own way to write, one at a time.
#[derive(Default)]
struct MokaCompute(Moka);

impl Writes for MokaCompute {
    fn save(&self, save: &dyn Fn()) {
        self.0.0.entry(1).and_compute_with(|_| {
            save();
            Op::Put(0)
        });
    }
}

#[derive(Default)]
struct ForReads<P>(P);

impl<P: Contestant> Writes for ForReads<P> {
    fn save(&self, save: &dyn Fn()) {
        let saved = self.0.get(1, &|| {
            save();
            Ok(0)
        });
        saved.unwrap();
    }
}

fn burst<W: Writes>() -> String {
    let (writes, runs) = (Arc::new(W::default()), Arc::new(Alone::default()));
    let (state, saved) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(u64::MAX)));
    let first = Held::start({
        let (writes, runs, state, saved) = (writes.clone(), runs.clone(), state.clone(), saved.clone());
        move |stay| {
            writes.save(&|| {
                runs.run(|| {
                    let seen = state.load(SeqCst);
                    stay();
                    saved.store(seen, SeqCst);
                })
            })
        }
    });
    let later: Vec<_> = (1..=LATER)
        .map(|change| {
            state.store(change, SeqCst); // first the change, then the call that saves the state as it is
            let (writes, runs, state, saved) = (writes.clone(), runs.clone(), state.clone(), saved.clone());
            let caller = spawn(move || {
                writes.save(&|| runs.run(|| saved.store(state.load(SeqCst), SeqCst)));
            });
            quiet();
            caller
        })
        .collect();
    first.release().unwrap();
    later.into_iter().for_each(|caller| caller.join().unwrap());
    let fate = if saved.load(SeqCst) == LATER { "saved" } else { "lost" };
    format!("{}; the last change is {fate}", runs.told())
}
