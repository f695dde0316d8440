//! Every error that a named group of any kind returns says the group's name. (For tests/it; needs the engine's sites.)

use crate::support::within;
use flight_group::{Batcher, CancelToken, Error, EventGroup, Group, Job, Kind, WriteGroup};
use std::collections::HashMap;
use std::time::Duration;

/// What another thread gets while this one is inside a flight.
fn elsewhere<T: Send>(call: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|s| s.spawn(call).join().unwrap())
}

#[track_caller]
fn comes_from<E: std::fmt::Display>(error: &Error<E>, kind: Kind, name: &str) {
    let site = error.site().expect("only the work's own error has no site");
    assert_eq!((site.kind(), site.name()), (kind, Some(name)), "{error}");
    assert!(error.to_string().contains(&format!("{kind} {name:?}")), "{error}");
}

#[test]
fn the_errors_of_a_group_name_it() {
    within(|| {
        let group: Group<u8, u8, String> = Group::builder().name("users").max_followers(0).build();
        let from = |error: Error<String>, is: fn(&Error<String>) -> bool| {
            assert!(is(&error), "{error:?}");
            comes_from(&error, Kind::Group, "users");
        };
        group
            .try_work(&1, || {
                from(elsewhere(|| group.try_work(&1, || Ok(2))).unwrap_err(), Error::is_overloaded);
                Ok(1)
            })
            .unwrap();

        let group: Group<u8, u8, String> = Group::builder().name("users").executor(|job: Job| drop(job)).build();
        let token = CancelToken::new();
        token.cancel("stop");
        group
            .try_work(&1, || {
                from(group.try_work(&1, || Ok(2)).unwrap_err(), Error::is_deadlock);
                from(
                    elsewhere(|| group.call(&1).timeout(Duration::ZERO).run(|| Ok(2))).unwrap_err(),
                    Error::is_timed_out,
                );
                from(elsewhere(|| group.call(&1).cancel(&token).run(|| Ok(2))).unwrap_err(), Error::is_cancelled);
                Ok(1)
            })
            .unwrap();
        from(group.spawn(&2, || Ok(1)).recv().unwrap().unwrap_err(), Error::is_abandoned);
        from(group.work_many(&[3], |_| Ok(HashMap::new())).remove(&3).unwrap().unwrap_err(), Error::is_missing);
        let group: Group<u8, u8, String> = Group::builder().name("users").build();
        from(group.spawn(&4, || panic!("oh")).recv().unwrap().unwrap_err(), Error::is_panicked);
    });
}

#[test]
fn the_errors_of_a_write_group_name_it() {
    within(|| {
        let group: WriteGroup<u8, u8, String> = WriteGroup::builder().name("saves").build();
        group
            .try_write(&1, || {
                let late = elsewhere(|| group.call(&1).timeout(Duration::ZERO).run(|| Ok(2))).unwrap_err();
                assert!(late.is_timed_out());
                comes_from(&late, Kind::WriteGroup, "saves");
                comes_from(&group.try_write(&1, || Ok(2)).unwrap_err(), Kind::WriteGroup, "saves");
                Ok(1)
            })
            .unwrap();
        let panicked = group.spawn(&4, || panic!("oh")).recv().unwrap().unwrap_err();
        comes_from(&panicked, Kind::WriteGroup, "saves");
    });
}

#[test]
fn the_errors_of_an_event_group_name_it() {
    within(|| {
        let events: EventGroup<u8, u8, (), String> =
            EventGroup::builder(|sum: &mut u8, n| *sum += n, |_: &u8, n| if n == 9 { panic!("oh") } else { Ok(()) })
                .name("views")
                .capacity(1)
                .quiet(Duration::from_secs(3600))
                .build();
        events.submit(&1, 1).unwrap();
        let full = events.submit(&2, 1).unwrap_err();
        assert!(full.is_overloaded());
        comes_from(&full, Kind::EventGroup, "views");
        let late = events.call(&1).timeout(Duration::ZERO).push(1).unwrap_err();
        assert!(late.is_timed_out());
        comes_from(&late, Kind::EventGroup, "views");
    });
}

#[test]
fn the_errors_of_a_batcher_name_it() {
    within(|| {
        let rows: Batcher<u8, u8, String> = Batcher::builder().name("rows").build(|_: &[u8]| Ok(HashMap::new()));
        let missing = rows.load(&1).unwrap_err();
        assert!(missing.is_missing());
        comes_from(&missing, Kind::Batcher, "rows");
    });
}
