//! How every error reads, wherever a program prints it: what happened, where, what to do, and nothing twice.

use flight_group::{Cancelled, Deadlock, Error, Hop, Kind, Panic, Site};
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;

/// An error with one below it, and words of its own for `{:#}`.
#[derive(Debug, Clone, PartialEq)]
struct Layered {
    below: Below,
}

#[derive(Debug, Clone, PartialEq)]
struct Below;

impl Layered {
    fn new() -> Self {
        Self { below: Below }
    }
}

impl fmt::Display for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if f.alternate() { "cannot load user 7 (in full)" } else { "cannot load user 7" })
    }
}

impl StdError for Layered {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.below)
    }
}

impl fmt::Display for Below {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection refused")
    }
}

impl StdError for Below {}

fn users() -> Site {
    Site::new(Kind::Group).named("users")
}

/// What a program prints of one error.
#[derive(Debug, PartialEq)]
struct Printed {
    /// `{}`
    plain: String,
    /// `{:#}`
    alternate: String,
    /// `{:?}`
    debug: String,
    /// anyhow's `{:#}`
    anyhow_line: String,
    /// anyhow's `{:?}`
    anyhow_report: String,
    /// The error and its `source()`s.
    walked: Vec<String>,
}

fn printed<E: StdError + Clone + Send + Sync + 'static>(error: &E) -> Printed {
    let mut walked = vec![error.to_string()];
    let mut next = error.source();
    while let Some(source) = next {
        walked.push(source.to_string());
        next = source.source();
    }
    let any = anyhow::Error::new(error.clone());
    let report = format!("{any:?}");
    let report = report.split("\n\nStack backtrace:").next().unwrap(); // where RUST_BACKTRACE asks for one
    Printed {
        plain: format!("{error}"),
        alternate: format!("{error:#}"),
        debug: format!("{error:?}"),
        anyhow_line: format!("{any:#}"),
        anyhow_report: report.to_owned(),
        walked,
    }
}

/// One line of the table: an error without a chain reads the same everywhere, but for `{:?}`.
fn reads<E: StdError + Clone + Send + Sync + 'static>(error: E, message: &str, debug: &str) {
    let expected = Printed {
        plain: message.to_owned(),
        alternate: message.to_owned(),
        debug: debug.to_owned(),
        anyhow_line: message.to_owned(),
        anyhow_report: message.to_owned(),
        walked: vec![message.to_owned()],
    };
    assert_eq!(printed(&error), expected);
}

/// The table. A change here is a change of what people see in their logs.
#[test]
fn every_variant_reads_well_and_says_nothing_twice() {
    type Plain = Error<Layered>;

    // The work's error: exactly what it shows by itself, in all six.
    let work = Layered::new();
    let alone = printed(&work);
    let through = printed(&Plain::Work(work));
    assert_eq!(through.debug, "Work(Layered { below: Below })");
    assert_eq!(Printed { debug: alone.debug.clone(), ..through }, alone);
    assert_eq!(alone.plain, "cannot load user 7");
    assert_eq!(alone.alternate, "cannot load user 7 (in full)");
    assert_eq!(alone.anyhow_line, "cannot load user 7: connection refused");
    assert_eq!(alone.anyhow_report, "cannot load user 7\n\nCaused by:\n    connection refused");
    assert_eq!(alone.walked, ["cannot load user 7", "connection refused"]);

    // All others, without a group's name and with it.
    reads(
        Plain::Panicked(Panic::new("oh")),
        "the work panicked: oh",
        r#"Panicked(Panic { message: "oh", site: Site { name: None, kind: Group } })"#,
    );
    reads(
        Plain::Panicked(Panic::new("oh").at(users())),
        r#"the work in group "users" panicked: oh"#,
        r#"Panicked(Panic { message: "oh", site: Site { name: Some("users"), kind: Group } })"#,
    );
    reads(
        Plain::timed_out(),
        "timed out waiting for a flight; wait longer, or make its work faster",
        "TimedOut(Site { name: None, kind: Group })",
    );
    reads(
        Plain::TimedOut(users()),
        r#"timed out waiting for a flight in group "users"; wait longer, or make its work faster"#,
        r#"TimedOut(Site { name: Some("users"), kind: Group })"#,
    );
    reads(
        Plain::TimedOut(Site::new(Kind::Batcher).named("rows")),
        r#"timed out waiting for a batch in batcher "rows"; wait longer, or make its work faster"#,
        r#"TimedOut(Site { name: Some("rows"), kind: Batcher })"#,
    );
    reads(
        Plain::Cancelled(Cancelled::new("shutting down")),
        "cancelled: shutting down",
        r#"Cancelled(Cancelled { cause: "shutting down", site: Site { name: None, kind: Group } })"#,
    );
    reads(
        Plain::Cancelled(Cancelled::new("shutting down").at(Site::new(Kind::WriteGroup).named("saves"))),
        r#"cancelled while waiting in write group "saves": shutting down"#,
        r#"Cancelled(Cancelled { cause: "shutting down", site: Site { name: Some("saves"), kind: WriteGroup } })"#,
    );
    reads(
        Plain::Deadlock(Deadlock::new([Hop::new(users(), 3, "thread \"a\"").keyed("7")])),
        "deadlock: this thread would wait for flight 3 of key 7 in group \"users\" on thread \"a\", which is this \
         thread; make this call outside that work",
        "Deadlock(Deadlock { hops: [Hop { site: Site { name: Some(\"users\"), kind: Group }, flight: 3, \
         key: Some(\"7\"), thread: \"thread \\\"a\\\"\" }] })",
    );
    reads(
        Plain::overloaded(),
        "overloaded: too many callers already wait for this key; call again later, or raise max_followers",
        "Overloaded(Site { name: None, kind: Group })",
    );
    reads(
        Plain::Overloaded(users()),
        "overloaded: too many callers already wait for this key in group \"users\"; call again later, or raise \
         max_followers",
        r#"Overloaded(Site { name: Some("users"), kind: Group })"#,
    );
    reads(
        Plain::Overloaded(Site::new(Kind::EventGroup)),
        "overloaded: too many events already wait; submit again later, use push, or raise capacity",
        "Overloaded(Site { name: None, kind: EventGroup })",
    );
    reads(
        Plain::Overloaded(Site::new(Kind::EventGroup).named("views")),
        "overloaded: too many events already wait in event group \"views\"; submit again later, use push, or raise \
         capacity",
        r#"Overloaded(Site { name: Some("views"), kind: EventGroup })"#,
    );
    reads(
        Plain::abandoned(),
        "abandoned: the work of this flight was never run; call again, or see whether the executor drops jobs or \
         the system has no thread to give",
        "Abandoned(Site { name: None, kind: Group })",
    );
    reads(
        Plain::Abandoned(users()),
        "abandoned: the work of this flight in group \"users\" was never run; call again, or see whether the \
         executor drops jobs or the system has no thread to give",
        r#"Abandoned(Site { name: Some("users"), kind: Group })"#,
    );
    reads(
        Plain::missing(),
        "missing: the work returned nothing for this key; treat the key as not found, or return an entry for each key",
        "Missing(Site { name: None, kind: Group })",
    );
    reads(
        Plain::Missing(Site::new(Kind::Batcher).named("rows")),
        "missing: the work in batcher \"rows\" returned nothing for this key; treat the key as not found, or return \
         an entry for each key",
        r#"Missing(Site { name: Some("rows"), kind: Batcher })"#,
    );
    reads(
        Plain::Closed(Site::new(Kind::EventGroup).named("mails")),
        "closed: event group \"mails\" takes no more events; this one was not pushed, keep it for the next start or \
         give it up",
        r#"Closed(Site { name: Some("mails"), kind: EventGroup })"#,
    );
}

/// A cause with a chain of its own: the message ends with the cause, the chain goes on behind it.
#[test]
fn a_cancels_chain_goes_on_behind_its_cause() {
    let cancelled = printed(&Error::<Infallible>::Cancelled(Cancelled::new(Layered::new()).at(users())));
    assert_eq!(cancelled.plain, r#"cancelled while waiting in group "users": cannot load user 7"#);
    assert_eq!(cancelled.walked, [cancelled.plain.as_str(), "connection refused"]);
    assert_eq!(
        cancelled.anyhow_line,
        r#"cancelled while waiting in group "users": cannot load user 7: connection refused"#
    );
}

#[cfg(feature = "redis")]
#[test]
fn the_fleets_error_is_shown_as_it_is() {
    use flight_group::fleet::FleetError;
    let error = FleetError::Unavailable { server: "host:6379".to_owned(), reason: "refused".to_owned() };
    let (alone, through) = (printed(&error), printed(&Error::<Layered>::Fleet(error.clone())));
    assert_eq!(Printed { debug: alone.debug.clone(), ..through }, alone);
    assert!(Error::<Layered>::Fleet(error).site().is_none());
}

/// Messages of an error that is no `std::error::Error` read the same.
#[test]
fn an_error_that_is_text_can_be_printed_too() {
    assert_eq!(Error::Work("text").to_string(), "text");
    assert_eq!(format!("{:>6}|", Error::Work("text")), "  text|", "the formatter is handed on as it is");
    assert_eq!(Error::<&str>::timed_out().to_string(), Error::<Layered>::timed_out().to_string());
}

/// One of each, in the order of `predicates`, of one group.
fn one_of_each() -> Vec<Error<Layered>> {
    vec![
        Error::Work(Layered::new()),
        Error::Panicked(Panic::new("oh").at(users())),
        Error::TimedOut(users()),
        Error::Cancelled(Cancelled::new("stop").at(users())),
        Error::Deadlock(Deadlock::new([Hop::new(users(), 1, "t")])),
        Error::Overloaded(users()),
        Error::Abandoned(users()),
        Error::Missing(users()),
        Error::Closed(users()),
    ]
}

#[test]
fn errors_have_predicates_sites_and_messages_of_one_style() {
    let predicates = [
        Error::is_work,
        Error::is_panicked,
        Error::is_timed_out,
        Error::is_cancelled,
        Error::is_deadlock,
        Error::is_overloaded,
        Error::is_abandoned,
        Error::is_missing,
        Error::is_closed,
    ];
    for (i, error) in one_of_each().iter().enumerate() {
        let answers: Vec<_> = predicates.iter().map(|is| is(error)).collect();
        assert_eq!(answers, (0..predicates.len()).map(|n| n == i).collect::<Vec<_>>(), "{error:?}");
        assert_eq!(error.work().is_some(), i == 0);
        assert_eq!(error.clone().into_work().is_ok(), i == 0);
        assert_eq!(error.site(), (i > 0).then(users).as_ref(), "{error:?}");
        let message = error.to_string();
        assert!(message.starts_with(|c: char| c.is_lowercase()) && !message.ends_with('.'), "{message:?}");
        assert_eq!(message.contains("\"users\""), i > 0, "{message:?}");
    }
}

/// The same thing happened: the group it happened in does not count.
#[test]
fn errors_are_equal_whatever_group_they_come_from() {
    let (all, again) = (one_of_each(), one_of_each());
    for (i, error) in all.iter().enumerate() {
        for (j, other) in again.iter().enumerate() {
            let same_cancel = !error.is_cancelled();
            assert_eq!(error == other, i == j && same_cancel, "{error:?} {other:?}");
        }
        assert_eq!(error, &error.clone());
    }
    assert_eq!(all[1], Error::Panicked(Panic::new("oh")));
    assert_ne!(all[1], Error::Panicked(Panic::new("ah")));
    assert_eq!(all[2], Error::timed_out());
    assert_eq!(all[5], Error::overloaded());
    assert_eq!(all[6], Error::abandoned());
    assert_eq!(all[7], Error::missing());
    assert_ne!(Error::Work(1), Error::Work(2));
    let cancelled = Cancelled::new("stop");
    assert_eq!(Error::<u8>::Cancelled(cancelled.clone()), Error::Cancelled(cancelled.at(users())));
}

#[test]
fn an_error_is_put_where_it_comes_from() {
    let saves = Site::new(Kind::WriteGroup).named("saves");
    for error in one_of_each() {
        let (before, moved) = (error.clone(), error.at(saves.clone()));
        assert_eq!(moved, before, "the same thing happened");
        let kept = before.is_work() || before.is_deadlock();
        assert_eq!(moved.site(), if kept { before.site() } else { Some(&saves) });
        assert_eq!(moved.to_string().contains("write group \"saves\""), !kept, "{moved}");
    }
}

#[test]
fn the_works_error_is_mapped_and_all_else_is_kept() {
    for error in one_of_each() {
        let mapped = error.clone().map_work(|layered| format!("<{layered}>"));
        match error {
            Error::Work(_) => assert_eq!(mapped, Error::Work("<cannot load user 7>".to_owned())),
            other => {
                assert_eq!(mapped.to_string(), other.to_string(), "with its group, words and cause");
                assert_eq!(mapped.map_work(|_| Layered::new()), other);
            }
        }
    }
}

#[test]
fn a_nested_flights_error_is_flattened() {
    for inner in one_of_each() {
        assert_eq!(Error::Work(inner.clone()).flatten(), inner);
    }
    for outer in one_of_each().into_iter().skip(1) {
        let nested: Error<Error<Layered>> = outer.clone().map_work(|_| unreachable!());
        assert_eq!(nested.to_string(), outer.to_string());
        assert_eq!(Error::from(nested), outer);
    }
}

/// The ways `?` goes through flights without a line of the user's.
#[test]
fn question_marks_go_through_nested_flights_and_tokens() {
    use flight_group::{CancelToken, Group};
    use std::sync::Arc;

    let inner: Group<u8, u8, &str> = Group::new();

    // Into a function that returns the inner error.
    let outer: Group<u8, u8, Error<&str>> = Group::new();
    let flat = |key: u8| -> Result<u8, Error<&str>> {
        let value = outer.try_work(&key, || inner.try_work(&key, || Err("no such row")))?;
        Ok(value)
    };
    assert_eq!(flat(1), Err(Error::Work("no such row")));

    // Into an `Arc` around it.
    let shared: Group<u8, u8, Arc<Error<&str>>> = Group::new();
    let outcome = shared.try_work(&1, || Ok(inner.try_work(&1, || Err("no such row"))?));
    assert_eq!(outcome, Err(Error::Work(Arc::new(Error::Work("no such row")))));

    // From a token.
    let token = CancelToken::new();
    let check = || -> Result<(), Error<&str>> { Ok(token.check()?) };
    assert_eq!(check(), Ok(()));
    token.cancel("shutting down");
    assert_eq!(check(), Err(Error::Cancelled(token.check().unwrap_err())));
}

/// What travels through every outcome stays small: three words, whatever the work's error is up to two.
#[cfg(not(feature = "redis"))]
#[test]
fn errors_are_small() {
    let words = |bytes: usize| bytes.div_ceil(size_of::<usize>());
    assert_eq!(words(size_of::<Error<()>>()), 3);
    assert_eq!(words(size_of::<Error<Infallible>>()), 3);
    assert_eq!(words(size_of::<Error<flight_group::SharedError>>()), 3);
    assert_eq!(words(size_of::<Result<u64, Error<()>>>()), 3);
    assert_eq!(words(size_of::<Site>()), 2);
    assert_eq!([size_of::<Panic>(), size_of::<Cancelled>()], [size_of::<usize>(); 2]);
}
