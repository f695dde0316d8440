//! Feature `tracing`: in every schedule, every span is closed and every wait that was served is linked to the
//! flight that served it, also one that began before its leader had a span to show.

use crate::harness::{explore, spawn, work};
use crate::trace;
use flight_group::{Group, WriteGroup};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Each schedule's group has a name, and so a trace, of its own.
fn name() -> String {
    static SCHEDULES: AtomicUsize = AtomicUsize::new(0);
    format!("model {}", SCHEDULES.fetch_add(1, SeqCst))
}

#[test]
fn waits_of_readers_are_linked_and_everything_is_closed() {
    trace::start();
    explore(|| {
        let name = name();
        let group: Group<u8, u8> = Group::builder().name(&*name).traced().build();
        let callers: Vec<_> = (0..3)
            .map(|i| {
                let group = group.clone();
                spawn(move || {
                    let call = || {
                        work();
                        Ok(i)
                    };
                    if i == 2 { group.call(&1).fresh().run(call) } else { group.call(&1).run(call) }
                })
            })
            .collect();
        assert!(group.forget(&1) || group.call(&2).follow().is_none());
        callers.into_iter().for_each(|caller| drop(caller.join().unwrap().unwrap()));
        drop(group);
        trace::of(&name).assert_complete();
        trace::forget(&name);
    });
}

#[test]
fn waits_of_writers_are_linked_and_everything_is_closed() {
    trace::start();
    explore(|| {
        let name = name();
        let group: WriteGroup<u8, u8> = WriteGroup::builder().name(&*name).traced().build();
        let callers: Vec<_> = (0..3)
            .map(|i| {
                let group = group.clone();
                spawn(move || {
                    group.write(&1, || {
                        work();
                        i
                    })
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| assert!(caller.join().unwrap() < 3));
        drop(group);
        trace::of(&name).assert_complete();
        trace::forget(&name);
    });
}
