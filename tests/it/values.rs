//! What users are given they can build, so that their handling of it can be tested.

use flight_group::{
    BatchStats, Batcher, Deadlock, Ending, EventGroup, EventStats, FlightInfo, Group, Hop, Kind, Landing, Role, Site,
    Stats,
};
use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

#[test]
fn a_kind_has_words_of_its_own() {
    let kinds = [
        (Kind::Group, "group", "a group"),
        (Kind::WriteGroup, "write group", "a write group"),
        (Kind::EventGroup, "event group", "an event group"),
        (Kind::Batcher, "batcher", "a batcher"),
        (Kind::Hedge, "hedge", "a hedge"),
        (Kind::ErrGroup, "error group", "an error group"),
        (Kind::FleetGroup, "fleet group", "a fleet group"),
        (Kind::FleetWriteGroup, "fleet write group", "a fleet write group"),
    ];
    for (kind, word, unnamed) in kinds {
        assert_eq!((kind.as_str(), kind.to_string()), (word, word.to_owned()));
        assert_eq!(Site::new(kind).to_string(), unnamed);
    }
    assert_eq!(format!("{:>8}|", Kind::Group), "   group|", "it pads like a word");
    assert_eq!(Site::default(), Site::new(Kind::Group));
}

/// A name ends up in logs: what it holds cannot break the line.
#[test]
fn a_site_quotes_its_name() {
    let site = Site::new(Kind::Batcher).named("a\"b\nc".to_owned());
    assert_eq!((site.kind(), site.name()), (Kind::Batcher, Some("a\"b\nc")));
    assert_eq!(site.to_string(), r#"batcher "a\"b\nc""#);
    assert_ne!(site, Site::new(Kind::Batcher));
    assert_ne!(Site::new(Kind::Group), Site::new(Kind::WriteGroup));
    assert_eq!(site.clone(), site);
}

#[test]
fn a_hop_names_what_is_waited_for_where_and_on_which_thread() {
    let hop = |kind| Hop::new(Site::new(kind).named("n"), 7, "thread \"t\"").keyed("\"ann\"");
    let words = |kind: Kind| hop(kind).to_string();
    assert_eq!(words(Kind::Group), r#"flight 7 of key "ann" in group "n" on thread "t""#);
    assert_eq!(words(Kind::WriteGroup), r#"flight 7 of key "ann" in write group "n" on thread "t""#);
    assert_eq!(words(Kind::EventGroup), r#"flight 7 of key "ann" in event group "n" on thread "t""#);
    assert_eq!(words(Kind::Batcher), r#"batch 7 of key "ann" in batcher "n" on thread "t""#);
    assert_eq!(words(Kind::Hedge), r#"hedged call 7 of key "ann" in hedge "n" on thread "t""#);
    assert_eq!(words(Kind::FleetGroup), r#"flight 7 of key "ann" in fleet group "n" on thread "t""#);
    assert_eq!(words(Kind::FleetWriteGroup), r#"flight 7 of key "ann" in fleet write group "n" on thread "t""#);
    assert_eq!(words(Kind::ErrGroup), r#"scope 7 of key "ann" in error group "n" on thread "t""#);

    let bare = Hop::new(Site::new(Kind::EventGroup), 1, String::from("main"));
    assert_eq!(bare.to_string(), "flight 1 in an event group on main");
    assert_eq!((bare.kind(), bare.group(), bare.key()), (Kind::EventGroup, None, None));
    assert_eq!((bare.flight(), bare.thread(), bare.site()), (1, "main", &Site::new(Kind::EventGroup)));
    assert_eq!((hop(Kind::Group).group(), hop(Kind::Group).key()), (Some("n"), Some("\"ann\"")));
    assert_ne!(bare, bare.clone().keyed("1"));
}

#[test]
fn a_deadlock_says_what_to_do_about_it() {
    let hop = |flight| Hop::new(Site::new(Kind::Group), flight, "t");
    let one = Deadlock::new([hop(1)]);
    let two = Deadlock::new(vec![hop(1), hop(2)]);
    assert_eq!(
        one.to_string(),
        "deadlock: this thread would wait for flight 1 in a group on t, which is this thread; \
         make this call outside that work"
    );
    assert_eq!(
        two.to_string(),
        "deadlock: this thread would wait for flight 1 in a group on t, which waits for flight 2 in a group on t, \
         which is this thread; make one of these calls outside the work of the other"
    );
    assert_eq!((one.hops(), two.hops().len()), (&[hop(1)][..], 2));
    assert_ne!(one, two);
}

/// What `run` returns, built by hand: equal in all that can be seen.
#[test]
fn landings_are_built_for_tests() {
    let group: Group<u8, &str> = Group::new();
    let led = group.call(&1).run(|| Ok("a")).unwrap();
    assert_eq!(led, Landing::leader("a"));
    let forgotten = group
        .call(&1)
        .run(|| {
            assert!(group.forget(&1));
            Ok("b")
        })
        .unwrap();
    assert_eq!(forgotten, Landing::leader("b").with_detached(true));
    assert!(forgotten.led() && forgotten.detached() && !forgotten.shared());

    let follower = Landing::follower("a");
    assert_eq!(
        (follower.role, follower.led(), follower.shared(), follower.detached()),
        (Role::Follower, false, true, false)
    );
    assert_eq!(follower.clone().with_shared(false), follower, "a follower is never alone");
    let followed = Landing::leader("a").with_shared(true);
    assert!(followed.led() && followed.shared());
    assert_ne!(followed, led);
    assert_eq!(followed.with_shared(false), led);
}

#[test]
fn a_landing_is_mapped_with_its_circumstances() {
    for landing in [
        Landing::leader("seven"),
        Landing::leader("seven").with_shared(true),
        Landing::leader("seven").with_detached(true),
        Landing::follower("seven"),
        Landing::follower("seven").with_detached(true),
    ] {
        let (role, shared, detached) = (landing.role, landing.shared(), landing.detached());
        let length = landing.map(str::len);
        assert_eq!((length.role, length.shared(), length.detached()), (role, shared, detached));
        assert_eq!(length.into_value(), 5);
    }
}

#[test]
fn roles_and_endings_have_words() {
    assert_eq!([Role::Leader, Role::Follower].map(|role| role.to_string()), ["leader", "follower"]);
    assert_eq!(format!("{:<9}|{:>9}", Role::Leader, Role::Follower.as_str()), "leader   | follower");
    let endings = [Ending::Value, Ending::Failed, Ending::Panicked, Ending::Abandoned, Ending::Missing];
    assert_eq!(endings.map(|ending| ending.to_string()), ["value", "failed", "panicked", "abandoned", "missing"]);
    assert_eq!(format!("{:>10}|", Ending::Value), "     value|");
}

#[test]
fn flight_infos_are_built_for_tests() {
    let group: Group<&str, u8> = Group::new();
    let mut built = FlightInfo::new("a");
    group.work(&"a", || {
        let seen = group.flights().remove(0);
        built.flight = seen.flight;
        assert_eq!(seen, built);
        built.age = Some(Duration::from_secs(1));
        assert_ne!(seen, built);
        1
    });
}

/// What happened between two looks: of a real group, and of every counter.
#[test]
fn stats_are_subtracted_counter_by_counter() {
    let group: Group<u8, u8, &str> = Group::new();
    let _ = group.try_work(&1, || Err("first"));
    let before = group.stats();
    let _ = group.try_work(&1, || Err("second"));
    let _ = group.try_work(&1, || Ok(1));
    let between = group.stats() - before;
    let mut expected = Stats::default();
    (expected.led, expected.failed) = (2, 1);
    assert_eq!(between, expected);
    assert_eq!(before - group.stats(), Stats::default(), "never less than 0");

    let counters: [fn(&mut Stats) -> &mut u64; 12] = [
        |s| &mut s.led,
        |s| &mut s.joined,
        |s| &mut s.failed,
        |s| &mut s.panicked,
        |s| &mut s.timed_out,
        |s| &mut s.superseded,
        |s| &mut s.taken_over,
        |s| &mut s.forgotten,
        |s| &mut s.expired,
        |s| &mut s.overloaded,
        |s| &mut s.deadlocked,
        |s| &mut s.abandoned,
    ];
    let (mut later, mut earlier, mut expected) = (Stats::default(), Stats::default(), Stats::default());
    for (n, counter) in (1..).zip(counters) {
        (*counter(&mut later), *counter(&mut earlier), *counter(&mut expected)) = (100 + n, 3 * n, 100 - 2 * n);
    }
    assert_eq!(later - earlier, expected);
}

#[test]
fn stats_of_events_and_batches_are_subtracted_too() {
    let events: EventGroup<u8, u8> = EventGroup::new(|sum, n| *sum += n, |_, _| Ok(()));
    events.push(&1, 1).unwrap();
    let before = events.stats();
    events.push(&1, 1).unwrap();
    let mut expected = EventStats::default();
    (expected.pushed, expected.runs, expected.carried) = (1, 1, 1);
    assert_eq!(events.stats() - before, expected);
    assert_eq!(before - events.stats(), EventStats::default());

    let batcher =
        Batcher::new(|keys: &[u8]| Ok::<_, Infallible>(keys.iter().map(|&k| (k, k)).collect::<HashMap<_, _>>()));
    assert_eq!(batcher.stats(), BatchStats::default());
    batcher.load(&1).unwrap();
    let before = batcher.stats();
    batcher.load(&2).unwrap();
    batcher.load(&3).unwrap();
    let between = batcher.stats() - before.clone();
    assert_eq!((between.loads, between.batches, between.keys, between.largest), (2, 2, 2, 1));
    assert_eq!(between.sizes().collect::<Vec<_>>(), [(1..=1, 2)]);
    assert_eq!((before - batcher.stats()).sizes().count(), 0);
}
