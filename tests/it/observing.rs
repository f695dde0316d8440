//! What is reported of flights and waits: the observer's words, spans (feature `tracing`), meters (feature
//! `metrics`).

use flight_group::{Ending, Group, WriteGroup};

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
