//! Whether a wait leaves the thread's `unpark` token to the one it was meant for.

use crate::contestants::{CachedByKey, Contestant, FlightGroup, Moka, OnceMap, QuickCache};
use crate::support::{Held, facts, quiet, step};
use std::sync::Arc;
use std::thread::{park, spawn};

facts! {
    kept_flight_group: kept::<FlightGroup> => "park() returns";
    kept_moka: kept::<Moka> => "park() returns";
    kept_quick_cache: kept::<QuickCache> => "hangs: park(), the token having been given";
    kept_once_map: kept::<OnceMap> => "park() returns";
    kept_cached_by_key: kept::<CachedByKey> => "park() returns";
}

/// A thread that waits for somebody's load is unparked meanwhile, for what it does afterwards.
fn kept<P: Contestant>() -> String {
    let peer = Arc::new(P::default());
    let leader = Held::start({
        let peer = peer.clone();
        move |stay| {
            peer.get(1, &|| {
                stay();
                Ok(1)
            })
        }
    });
    let waiter = spawn({
        let peer = peer.clone();
        move || {
            peer.get(1, &|| Ok(2)).unwrap();
            park();
        }
    });
    quiet();
    waiter.thread().unpark();
    quiet(); // whoever wakes up at that has looked about and sleeps again
    step("park(), the token having been given");
    leader.release().unwrap().unwrap();
    waiter.join().unwrap();
    "park() returns".to_owned()
}
