//! What happens to a closure that calls for its own key, on its own thread or round two of them, or for another.

use crate::contestants::{
    CachedByKey, CachedPlain, CachedWhole, Contestant, FlightGroup, Moka, OnceMap, QuickCache, Singleflight,
};
use crate::support::{facts, step};
use std::sync::{Arc, Barrier};
use std::thread::spawn;

facts! {
    same_thread_flight_group: same_thread::<FlightGroup> => "the inner call: Err(\"Error::Deadlock\")";
    same_thread_singleflight: same_thread::<Singleflight> => "hangs: a closure calls for its own key";
    same_thread_moka: same_thread::<Moka> => "hangs: a closure calls for its own key";
    same_thread_quick_cache: same_thread::<QuickCache> => "hangs: a closure calls for its own key";
    same_thread_once_map: same_thread::<OnceMap> => "hangs: a closure calls for its own key";
    same_thread_cached_by_key: same_thread::<CachedByKey> => "hangs: a closure calls for its own key";
    same_thread_cached_whole: same_thread::<CachedWhole> => "hangs: a closure calls for its own key";
    // Nobody waits for anybody.
    same_thread_cached_plain: same_thread::<CachedPlain> => "the inner call: Ok(0)";

    two_threads_flight_group: two_threads::<FlightGroup> => "one is told Error::Deadlock, and both return";
    two_threads_moka: two_threads::<Moka> => "hangs: a asks for b while b asks for a";
    two_threads_quick_cache: two_threads::<QuickCache> => "hangs: a asks for b while b asks for a";
    two_threads_once_map: two_threads::<OnceMap> => "hangs: a asks for b while b asks for a";
    two_threads_cached_by_key: two_threads::<CachedByKey> => "hangs: a asks for b while b asks for a";

    other_key_flight_group: other_key::<FlightGroup> => "Ok(3)";
    other_key_singleflight: other_key::<Singleflight> => "hangs: a closure calls for another key";
    other_key_moka: other_key::<Moka> => "Ok(3)";
    other_key_quick_cache: other_key::<QuickCache> => "Ok(3)";
    other_key_once_map: other_key::<OnceMap> => "Ok(3)";
    other_key_cached_whole: other_key::<CachedWhole> => "hangs: a closure calls for another key";

    chain_flight_group: chain::<FlightGroup> => "Ok(65)";
    chain_moka: chain::<Moka> => "Ok(65)";
    chain_quick_cache: chain::<QuickCache> => "Ok(65)";
    chain_once_map: chain::<OnceMap> => "Ok(65)";
    chain_cached_by_key: chain::<CachedByKey> => "hangs: 65 closures, each calling for the next key";
}

fn same_thread<P: Contestant>() -> String {
    let peer = P::default();
    step("a closure calls for its own key");
    let outer = peer.get(1, &|| match peer.get(1, &|| Ok(0)) {
        Ok(inner) => Err(format!("the inner call: {:?}", Ok::<_, ()>(inner))),
        Err(why) => Err(format!("the inner call: {:?}", Err::<(), _>(why))),
    });
    outer.unwrap_err()
}

fn two_threads<P: Contestant>() -> String {
    let (peer, both_run) = (Arc::new(P::default()), Arc::new(Barrier::new(2)));
    step("a asks for b while b asks for a");
    let callers: Vec<_> = [(1, 2), (2, 1)]
        .into_iter()
        .map(|(mine, other)| {
            let (peer, both_run) = (peer.clone(), both_run.clone());
            spawn(move || {
                peer.get(mine, &|| {
                    both_run.wait();
                    match peer.get(other, &|| Ok(0)) {
                        Err(told) if told == "Error::Deadlock" => Ok(1),
                        answer => answer.map(|_| 0),
                    }
                })
            })
        })
        .collect();
    let told: u64 = callers.into_iter().map(|caller| caller.join().unwrap().unwrap()).sum();
    assert!(told >= 1);
    "one is told Error::Deadlock, and both return".to_owned()
}

fn other_key<P: Contestant>() -> String {
    let peer = P::default();
    step("a closure calls for another key");
    format!("{:?}", peer.get(1, &|| peer.get(2, &|| Ok(2)).map(|value| value + 1)))
}

/// One key more than `#[cached(sync_writes = "by_key")]` has locks: two of them share one.
fn chain<P: Contestant>() -> String {
    fn link<P: Contestant>(peer: &P, key: u64) -> crate::contestants::Answer {
        peer.get(key, &|| if key == 64 { Ok(1) } else { link(peer, key + 1).map(|keys| keys + 1) })
    }
    let peer = P::default();
    step("65 closures, each calling for the next key");
    format!("{:?}", link(&peer, 0))
}
