//! What is kept once it has been computed: a cache's purpose, and none of this crate's.

use crate::contestants::{CachedByKey, Contestant, FlightGroup, Moka, OnceMap, QuickCache, Singleflight};
use crate::support::{Alone, facts};
use cached::Cached;
use cached::macros::cached;

facts! {
    second_call_flight_group: second_call::<FlightGroup> => "2 runs, one after the other";
    second_call_singleflight: second_call::<Singleflight> => "2 runs, one after the other";
    second_call_moka: second_call::<Moka> => "1 run";
    second_call_quick_cache: second_call::<QuickCache> => "1 run";
    second_call_once_map: second_call::<OnceMap> => "1 run";
    second_call_cached_by_key: second_call::<CachedByKey> => "1 run";

    bounded_moka: moka => "at most 100 of 10000";
    bounded_quick_cache: quick_cache => "at most 100 of 10000";
    bounded_cached: cached_bounded => "at most 100 of 10000";
    bounded_once_map: once_map => "10000 of 10000";
    bounded_flight_group: flight_group => "0 of 10000";
}

fn second_call<P: Contestant>() -> String {
    let (peer, runs) = (P::default(), Alone::default());
    for _ in 0..2 {
        assert_eq!(peer.get(1, &|| runs.run(|| Ok(1))), Ok(1));
    }
    runs.told()
}

const MANY: u64 = 10_000;

fn kept(kept: u64) -> String {
    if (1..=100).contains(&kept) { format!("at most 100 of {MANY}") } else { format!("{kept} of {MANY}") }
}

fn fill<P: Contestant>(peer: &P) {
    (0..MANY).for_each(|key| assert_eq!(peer.get(key, &|| Ok(key)), Ok(key)));
}

fn moka() -> String {
    let peer = Moka(moka::sync::Cache::new(100));
    fill(&peer);
    peer.0.run_pending_tasks();
    kept(peer.0.entry_count())
}

fn quick_cache() -> String {
    let peer = QuickCache(quick_cache::sync::Cache::new(100));
    fill(&peer);
    kept(peer.0.len() as u64)
}

#[cached(max_size = 100)]
fn memoized(key: u64) -> u64 {
    key
}

fn cached_bounded() -> String {
    (0..MANY).for_each(|key| assert_eq!(memoized(key), key));
    kept(MEMOIZED.read().cache_size() as u64)
}

fn once_map() -> String {
    let peer = OnceMap::default();
    fill(&peer);
    kept((0..MANY).filter(|key| peer.0.contains_key(key)).count() as u64)
}

fn flight_group() -> String {
    let peer = FlightGroup::default();
    fill(&peer);
    kept(peer.0.in_flight() as u64)
}
