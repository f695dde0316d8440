//! Whether different keys wait for each other: as many as can are in the air at once.

use crate::contestants::{CachedByKey, CachedWhole, Contestant, FlightGroup, Moka, OnceMap, QuickCache, Singleflight};
use crate::support::{Alone, Gate, facts, quiet};
use std::sync::Arc;
use std::thread::spawn;

/// One more than `#[cached(sync_writes = "by_key")]` has locks.
const KEYS: u64 = 65;

facts! {
    side_by_side_flight_group: side_by_side::<FlightGroup> => "all at once";
    side_by_side_singleflight: side_by_side::<Singleflight> => "one at a time";
    side_by_side_moka: side_by_side::<Moka> => "all at once";
    side_by_side_quick_cache: side_by_side::<QuickCache> => "all at once";
    side_by_side_once_map: side_by_side::<OnceMap> => "all at once";
    side_by_side_cached_by_key: side_by_side::<CachedByKey> => "some wait for others";
    side_by_side_cached_whole: side_by_side::<CachedWhole> => "one at a time";
}

fn side_by_side<P: Contestant>() -> String {
    let (peer, running, gate) = (Arc::new(P::default()), Arc::new(Alone::default()), Arc::new(Gate::default()));
    let callers: Vec<_> = (0..KEYS)
        .map(|key| {
            let (peer, running, gate) = (peer.clone(), running.clone(), gate.clone());
            spawn(move || {
                peer.get(key, &|| {
                    running.run(|| gate.pass());
                    Ok(key)
                })
            })
        })
        .collect();
    quiet();
    let at_once = running.now() as u64;
    gate.open();
    for (key, caller) in callers.into_iter().enumerate() {
        assert_eq!(caller.join().unwrap(), Ok(key as u64));
    }
    match at_once {
        1 => "one at a time".to_owned(),
        KEYS => "all at once".to_owned(),
        some => {
            assert!((2..KEYS).contains(&some), "{some} of {KEYS}");
            "some wait for others".to_owned()
        }
    }
}
