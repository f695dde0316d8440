//! What a lone call costs, as far as it can be counted: allocations. Nanoseconds are in `docs::performance`.

use crate::contestants::{CachedByKey, Contestant, FlightGroup, Moka, OnceMap, QuickCache, Singleflight};
use crate::support::facts;

facts! {
    lone_flight_group: lone::<FlightGroup> => "0";
    lone_once_map: lone::<OnceMap> => "0";
    lone_quick_cache: lone::<QuickCache> => "1";
    lone_cached_by_key: lone::<CachedByKey> => "0";
    lone_singleflight: lone::<Singleflight> => "4";
    lone_moka: lone::<Moka> => "9";
}

/// Allocations of a call for a key not seen before, with nobody else there. The least of many: tables grow at times.
fn lone<P: Contestant>() -> String {
    let peer = P::default();
    let least = (0..1000)
        .map(|key| allocation_counter::measure(|| drop(peer.get(key, &|| Ok(key)))).count_total)
        .min()
        .expect("there were some");
    least.to_string()
}
