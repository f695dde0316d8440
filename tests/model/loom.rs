//! The smallest scenarios, in every schedule and under the memory model.

use flight_group::{Group, WriteGroup};
use loom::thread;

fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(scenario);
}

#[test]
fn two_readers_share_or_run() {
    explore(|| {
        let group: Group<u8, u8> = Group::builder().shards(1).build();
        let other = {
            let group = group.clone();
            thread::spawn(move || group.work(&1, || 7))
        };
        assert_eq!(group.work(&1, || 7), 7);
        assert_eq!(other.join().unwrap(), 7);
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn two_writers_run_one_after_the_other() {
    explore(|| {
        let group: WriteGroup<u8, u8> = WriteGroup::builder().shards(1).build();
        let cell = loom::sync::Arc::new(loom::cell::UnsafeCell::new(0u8));
        let other = {
            let (group, cell) = (group.clone(), cell.clone());
            thread::spawn(move || group.write(&1, || cell.with_mut(|_| 1)))
        };
        // loom fails the test if the two accesses are not ordered (P1, P9).
        group.write(&1, || cell.with_mut(|_| 2));
        other.join().unwrap();
    });
}

#[test]
fn a_reader_and_a_forgetter() {
    explore(|| {
        let group: Group<u8, u8> = Group::builder().shards(1).build();
        let other = {
            let group = group.clone();
            thread::spawn(move || group.work(&1, || 1))
        };
        group.forget(&1);
        assert_eq!(group.work(&1, || 1), 1);
        assert_eq!(other.join().unwrap(), 1);
        assert_eq!(group.in_flight(), 0);
    });
}
