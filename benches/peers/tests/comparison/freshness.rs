//! What is read after a write, when a read from before it is still in the air.

use crate::contestants::{Answer, CachedByKey, Contestant, FlightGroup, Moka, QuickCache, Work, plain};
use crate::support::{Held, facts, quiet};
use flight_group::Group;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread::spawn;

facts! {
    after_a_write_flight_group: after_a_write::<FlightGroup> => "the next read: new, at once; the one after: new";
    after_a_write_flight_group_fresh: after_a_write::<Fresh> => "the next read: new, after the old; the one after: new";
    after_a_write_flight_group_left_alone: after_a_write::<LeftAlone> => "the next read: old, after the old; the one after: new";
    after_a_write_moka: after_a_write::<Moka> => "the next read: old, after the old; the one after: old";
    after_a_write_quick_cache: after_a_write::<QuickCache> => "the next read: new, at once; the one after: new";
    after_a_write_cached_by_key: after_a_write::<CachedByKey> => "the next read: old, after the old; the one after: old";
}

/// A read that asks for a flight that starts after it called.
#[derive(Default)]
struct Fresh(Group<u64, u64, String>);

impl Contestant for Fresh {
    fn get(&self, key: u64, work: Work<'_>) -> Answer {
        self.0.call(&key).fresh().run(work).map(|landing| landing.value).map_err(plain)
    }

    fn changed(&self, _: u64) {}
}

/// Nobody tells the group of the write.
#[derive(Default)]
struct LeftAlone(Group<u64, u64, String>);

impl Contestant for LeftAlone {
    fn get(&self, key: u64, work: Work<'_>) -> Answer {
        self.0.try_work(&key, work).map_err(plain)
    }

    fn changed(&self, _: u64) {}
}

const OLD: u64 = 1;
const NEW: u64 = 2;

fn name(answer: Answer) -> &'static str {
    match answer {
        Ok(OLD) => "old",
        Ok(NEW) => "new",
        other => panic!("{other:?}"),
    }
}

fn after_a_write<P: Contestant>() -> String {
    let (peer, source) = (Arc::new(P::default()), Arc::new(AtomicU64::new(OLD)));
    let before = Held::start({
        let (peer, source) = (peer.clone(), source.clone());
        move |stay| {
            peer.get(1, &|| {
                let seen = source.load(SeqCst);
                stay();
                Ok(seen)
            })
        }
    });
    source.store(NEW, SeqCst);
    peer.changed(1);
    // The write has returned. Who calls now?
    let next = spawn({
        let (peer, source) = (peer.clone(), source.clone());
        move || peer.get(1, &|| Ok(source.load(SeqCst)))
    });
    quiet();
    let when = if next.is_finished() { "at once" } else { "after the old" };
    before.let_go();
    let next = name(next.join().unwrap());
    assert_eq!(name(before.release().unwrap()), "old", "it had looked before the write");
    let later = name(peer.get(1, &|| Ok(source.load(SeqCst))));
    format!("the next read: {next}, {when}; the one after: {later}")
}
