//! Whether who waits can leave. `moka::sync`, `once_map`, `singleflight` and `cached` have nothing to say it with.

use crate::contestants::{Contestant, FlightGroup, QuickCache, plain};
use crate::support::{Held, facts};
use quick_cache::sync::GuardResult;
use std::sync::Arc;
use std::time::Duration;

const BRIEF: Duration = Duration::from_millis(20);

facts! {
    follower_flight_group: flight_group => "Error::TimedOut while the leader works; it lands with Ok(1)";
    follower_quick_cache: quick_cache => "GuardResult::Timeout while the leader works; it lands with Ok(1)";
    leader_flight_group: leader => "Timeout while the work goes on; then Ok(1)";
}

fn held<P: Contestant>(peer: &Arc<P>) -> Held<Result<u64, String>> {
    let peer = peer.clone();
    Held::start(move |stay| {
        peer.get(1, &|| {
            stay();
            Ok(1)
        })
    })
}

fn flight_group() -> String {
    let peer = Arc::new(FlightGroup::default());
    let leader = held(&peer);
    let left = peer.0.call(&1).timeout(BRIEF).run(|| Ok(2)).unwrap_err();
    format!("{} while the leader works; it lands with {:?}", plain(left), leader.release().unwrap())
}

fn quick_cache() -> String {
    let peer = Arc::new(QuickCache::default());
    let leader = held(&peer);
    let GuardResult::Timeout = peer.0.get_value_or_guard(&1, Some(BRIEF)) else { panic!("the leader works") };
    format!("GuardResult::Timeout while the leader works; it lands with {:?}", leader.release().unwrap())
}

/// The first caller, too, can leave a spawned flight.
fn leader() -> String {
    let peer = FlightGroup::default();
    let (finish, gate) = std::sync::mpsc::channel::<()>();
    let report = peer.0.spawn(&1, move || {
        let _ = gate.recv();
        Ok(1)
    });
    let left = report.recv_timeout(BRIEF).unwrap_err();
    drop(finish);
    format!("{left:?} while the work goes on; then {:?}", report.recv().unwrap().map(|landing| landing.value))
}
