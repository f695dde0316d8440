//! What users are given they can build, so that their handling of it can be tested.

use flight_group::{Deadlock, Hop, Kind, Site};

#[test]
fn a_kind_has_words_of_its_own() {
    let kinds = [Kind::Group, Kind::WriteGroup, Kind::EventGroup, Kind::Batcher, Kind::Hedge, Kind::ErrGroup];
    let words = ["group", "write group", "event group", "batcher", "hedge", "error group"];
    assert_eq!(kinds.map(Kind::as_str), words);
    assert_eq!(kinds.map(|kind| kind.to_string()), words);
    assert_eq!(format!("{:>8}|", Kind::Group), "   group|", "it pads like a word");
    let unnamed = kinds.map(|kind| Site::new(kind).to_string());
    assert_eq!(unnamed, ["a group", "a write group", "an event group", "a batcher", "a hedge", "an error group"]);
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
