//! What is reported of flights and waits: the observer's words, spans (feature `tracing`), meters (feature
//! `metrics`).

use flight_group::{Ending, Error, FleetRole, Group, WriteGroup};
use std::cell::Cell;

#[cfg(feature = "metrics")]
mod meters;
#[cfg(feature = "tracing")]
mod spans;
#[cfg(feature = "tracing")]
mod trace;

#[test]
fn every_ending_has_a_word_of_its_own() {
    let endings = [Ending::Value, Ending::Failed, Ending::Panicked, Ending::Abandoned, Ending::Missing];
    let words = endings.map(Ending::as_str);
    assert_eq!(words, ["value", "failed", "panicked", "abandoned", "missing"]);
}

#[test]
fn every_role_in_a_fleet_has_a_word_of_its_own() {
    let roles = [FleetRole::Leader, FleetRole::Follower, FleetRole::Alone];
    assert_eq!(roles.map(FleetRole::as_str), ["leader", "follower", "alone"]);
    assert_eq!(format!("{:>9}|", FleetRole::Leader), "   leader|", "it pads like a word");
}

/// Who asked for nothing gets nothing: with the features, too.
#[test]
fn a_group_that_asked_for_nothing_does_not_read_the_clock_for_it() {
    let group: Group<u8, u8> = Group::new();
    group.work(&1, || {
        assert_eq!(group.flights()[0].age, None);
        1
    });
    let writes: WriteGroup<u8> = WriteGroup::new();
    writes.write(&1, || assert_eq!(writes.flights()[0].age, None));
}

thread_local! {
    static CLONES: Cell<usize> = const { Cell::new(0) };
}

#[derive(PartialEq, Eq, Hash, Debug)]
struct Counted;

impl Clone for Counted {
    fn clone(&self) -> Self {
        CLONES.set(CLONES.get() + 1);
        Self
    }
}

/// A key that could be shown is not made where nobody looks.
#[test]
fn a_key_is_not_cloned_to_tell_nobody() {
    let group: Group<Counted, u8> = Group::builder().debug_keys().max_followers(0).build();
    group.work(&Counted, || {
        let before = CLONES.get();
        assert_eq!(group.call(&Counted).run(|| Ok(2)), Err(Error::overloaded()));
        assert_eq!(CLONES.get(), before);
        1
    });
}
