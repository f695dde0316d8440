//! Seeing what a group does: now, in logs and traces, on a dashboard.
//!
//! | To find out | use | costs |
//! | --- | --- | --- |
//! | what is stuck now, since when, who waits | [`flights()`](crate::Group::flights) | nothing until it is called |
//! | how much the group has saved so far | [`stats()`](crate::Group::stats) | nothing |
//! | which request waited for which | [`traced()`](#spans), feature `tracing` | a span for each flight and each wait |
//! | how it goes over weeks, and when to alarm | [`metered()`](#meters), feature `metrics` | some atomic operations a call |
//! | anything else | [`observer`](crate::GroupBuilder::observer) | what you make of it |
//!
//! All of them are chosen per group, when it is built. They cost nothing in a group that chose none. Give groups a
//! [`name`](crate::GroupBuilder::name): everything below shows it.
//!
//! # What is stuck now: `flights()`
//!
//! Requests pile up and nobody knows why. Make a page, a signal or a command that prints [`flights()`], oldest first, and read
//! it like this:
//!
//! ```
//! use std::time::Duration;
//! use flight_group::Group;
//!
//! /// What is in the air, oldest first: for an admin page.
//! fn report(rates: &Group<String, u32>) -> String {
//!     let mut flights = rates.flights();
//!     flights.sort_by_key(|flight| std::cmp::Reverse(flight.age));
//!     let line = |f: &flight_group::FlightInfo<String>| {
//!         let age = f.age.unwrap_or_default();
//!         format!("{} for {age:?}, {} waiting, flight {}\n", f.key, f.followers, f.flight)
//!     };
//!     flights.iter().map(line).collect()
//! }
//!
//! let rates: Group<String, u32> = Group::builder().name("rates").timed().build();
//! rates.work("EUR", || {
//!     let report = report(&rates);
//!     assert!(report.starts_with("EUR for "), "{report}");
//!     assert!(report.contains(", 0 waiting, flight "), "{report}");
//!     1
//! });
//! assert_eq!(report(&rates), "");
//! ```
//!
//! | You see | It is | Do |
//! | --- | --- | --- |
//! | one key, old, many waiting | its leader hangs: a query without a limit, a socket without a timeout | [`forget`](crate::Group::forget) it: the next caller starts anew, those who wait stay with the old flight. Then give the work a timeout, the calls a [`timeout`](crate::Call::timeout) or [`takeover_after`](crate::Call::takeover_after) |
//! | many keys, all old | what they all ask is down or slow | nothing here: the group keeps the load at one call a key; [`max_followers`](crate::GroupBuilder::max_followers) sheds what waits |
//! | many keys, all young | plain load on different keys | nothing to coalesce: a cache, or a [`Batcher`](crate::Batcher) |
//! | young flights, but calls are slow | the same key led again and again: work that fails, or values nobody keeps | the outcomes in `stats()`; a cache behind the group ([patterns](super::patterns#a-cache-that-does-not-stampede)) |
//! | spawned flights, old, and a stack dump finds no thread in their closures | jobs that their executor has not started | the pool is full: look at its queue |
//! | nothing in the air, requests stuck | not this crate | a stack dump |
//!
//! `cargo run --release --example stampede -- --stall` shows it: one key's query hangs in a server under load, and an
//! operator looks at `GET /flights`, sees who waits, and forgets the flight. With `--features metrics` the same
//! server answers `GET /metrics`.
//!
//! The age is exact in groups that read the clock: built with `timed()`, `max_age`, `observer`, `traced()` or
//! `metered()`. Elsewhere it counts from the first follower's arrival, which is when it becomes interesting.
//!
//! A [`Deadlock`](crate::Deadlock) is found at once, so it never shows as something stuck. The call returns an error that names
//! every hop.
//!
//! [`flights()`]: crate::Group::flights
//!
//! # Spans
//!
//! Feature `tracing`, method `traced()` of the builders of groups, write groups, event groups, batchers and a fleet's groups,
//! and of [`Hedge`](crate::Hedge). Target of everything: `flight_group`.
//!
//! | Span | Level | When |
//! | --- | --- | --- |
//! | `flight` | INFO | from the moment its leader has it until it has landed and those who waited have let go of it; entered while the closure runs |
//! | `wait` | INFO | from joining another caller's flight to the end of the wait; entered all the time; *follows from* the `flight` |
//!
//! What the closure logs is inside `flight`. A `flight` is a child of its leader's current span. A flight that was
//! [spawned](crate::Group::spawn) is a child of the span that spawned it, and idle until a thread starts it. A `wait` is a child
//! of its own caller's span, and its link leads to the trace of the request whose work it got. A wait has no link if its flight
//! never began, and if it ended in leading (`outcome` is `led`): that flight comes next in the same parent. Receivers block
//! nobody and have no `wait`. The flights of one [`work_many`](crate::Group::work_many) are side by side.
//!
//! | Field | of | Meaning |
//! | --- | --- | --- |
//! | `group` | all | the group's name, if it has one |
//! | `key` | all but `deadlock` and `landed` | the key, only where the group was built with [`debug_keys`](crate::GroupBuilder::debug_keys) |
//! | `flight` | all but `landed` | the flight's number, the one in `flights()` and in a deadlock's words |
//! | `role` | `flight` of a fleet's group | what this process was in the fleet: `leader`, `follower`, `alone`; see [`FleetRole`](crate::FleetRole) |
//! | `outcome` | `flight`, `landed` | `value`, `failed`, `panicked`, `abandoned`, `missing`: see [`Ending`](crate::Ending) |
//! | `outcome` | `wait` | one of those; or `timed_out`, `cancelled`, `deadlock`, `led`, `boards_again` (after a take-over); `unwound` if something panicked |
//! | `ran_us` | `flight`, `landed` | how long the closure ran, in microseconds |
//! | `followers` | `flight`, `landed` | how many waited for it when it landed, receivers included |
//! | `detached` | `flight`, `landed` | whether it had been forgotten, taken over or found too old |
//! | `waited_us` | `timed out` | how long the call had waited, in microseconds |
//! | `circle` | `deadlock` | who would have waited for whom |
//!
//! | Event | Level | Inside |
//! | --- | --- | --- |
//! | `landed` | DEBUG; WARN if it panicked or was abandoned | its `flight` |
//! | `timed out` | WARN | its `wait`, unless it had no time to wait at all |
//! | `deadlock` | ERROR | its `wait` |
//! | `overloaded`, `expired` | WARN | whatever the caller was doing |
//! | `taken over` | WARN | the `wait` of who took over |
//! | `forgotten` | DEBUG | whatever the caller was doing |
//! | `superseded` | DEBUG | the `wait` whose closure was not needed |
//! | `alone` | WARN | its `flight`, in a fleet's group: the closure runs outside the fleet |
//!
//! To see only trouble and no spans, filter: `RUST_LOG=info,flight_group=warn`.
//!
#![cfg_attr(feature = "tracing", doc = "```")]
#![cfg_attr(not(feature = "tracing"), doc = "```ignore")]
//! use std::io::Write;
//! use std::sync::{Arc, Mutex};
//! use flight_group::Group;
//! use tracing_subscriber::fmt::format::FmtSpan;
//!
//! # #[derive(Clone, Default)]
//! # struct Log(Arc<Mutex<Vec<u8>>>);
//! # impl Write for Log {
//! #     fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> { self.0.lock().unwrap().write(bytes) }
//! #     fn flush(&mut self) -> std::io::Result<()> { Ok(()) }
//! # }
//! # let log = Log::default();
//! # let writer = log.clone();
//! let subscriber = tracing_subscriber::fmt()
//!     .with_ansi(false)
//!     .with_span_events(FmtSpan::CLOSE)
//! #   .with_writer(move || writer.clone())
//!     .finish();
//!
//! tracing::subscriber::with_default(subscriber, || {
//!     let rates: Group<&str, u32> = Group::builder().name("rates").debug_keys().traced().build();
//!     rates.work(&"EUR", || {
//!         tracing::info!("asking the bank");
//!         107
//!     });
//! });
//! # let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
//! // INFO flight{group="rates" key="\"EUR\"" flight=1}: rates: asking the bank
//! // INFO flight{group="rates" key="\"EUR\"" flight=1 outcome="value" ran_us=52 followers=0
//! //     detached=false}: flight_group: close time.busy=61.2µs time.idle=14.7µs
//! # let expected = ["flight{group=\"rates\" key=", "asking the bank", "outcome=\"value\" ran_us=", "close"];
//! # expected.iter().for_each(|words| assert!(log.contains(words), "{words} in {log}"));
//! ```
//!
//! # Meters
//!
//! Feature `metrics`, method `metered()` of the same builders, on the [`metrics`](https://docs.rs/metrics) facade, for
//! whichever exporter the program has. **Install the recorder before the group is built**: the meters are taken
//! from it then, once. (A group in a `static` is built at its first call.) An exporter that removes series nobody
//! has touched for a while (an `idle_timeout`) must not do so with these, since a meter that was removed is not
//! asked for again.
//!
//! Every meter has two labels: `group`, the group's name or `unnamed`; and `kind`, the word of [`Kind`](crate::Kind):
//! `group`, `write group`, `event group`, `batcher`, `hedge`, `fleet group` or `fleet write group`. All are there, at zero, from the start; those of a hedge
//! from its first call.
//!
//! | Meter | Kind | Unit | What |
//! | --- | --- | --- | --- |
//! | `flight_group_led_total` | counter | flights | that began: that found their leader |
//! | `flight_group_joined_total` | counter | calls | that took another caller's flight, receivers included: what the group saved |
//! | `flight_group_landed_total` | counter | flights | that ended; label `outcome`: `value`, `failed`, `panicked`, `abandoned`, `missing` |
//! | `flight_group_timed_out_total` | counter | calls | that ran out of time |
//! | `flight_group_cancelled_total` | counter | waits | that ended because their token was cancelled |
//! | `flight_group_deadlocked_total` | counter | calls | that were refused, because they would have waited for themselves |
//! | `flight_group_overloaded_total` | counter | calls | that were refused, because too many waited already |
//! | `flight_group_forgotten_total` | counter | flights | detached by `forget`, or by a write that invalidates the group |
//! | `flight_group_expired_total` | counter | flights | detached because they were older than `max_age` |
//! | `flight_group_taken_over_total` | counter | flights | detached by `takeover_after` |
//! | `flight_group_superseded_total` | counter | calls | queued ones, whose closure was dropped unrun because a newer one ran |
//! | `flight_group_fleet_total` | counter | flights | only of a fleet's groups: what this process was in the fleet; label `role`: `leader`, `follower`, `alone`; of a fleet's write groups `leader` only |
//! | `flight_group_in_flight` | gauge | flights | that have a leader and have not landed; a spawned one counts while it waits for a thread, too |
//! | `flight_group_waiting` | gauge | calls | blocked on another caller's flight: as many threads |
//! | `flight_group_run_seconds` | histogram | seconds | how long a flight's closure ran |
//! | `flight_group_wait_seconds` | histogram | seconds | how long a call was blocked, however that ended |
//!
//! `led = landed (all outcomes) + in_flight`, whenever the group is idle and at any time but for the instant
//! between two updates. A call that boards again (a failure not shared, a take-over) counts at each boarding.
//!
//! What to look at, in PromQL:
//!
//! ```text
//! share of calls that the group saved:
//!     rate(flight_group_joined_total[5m])
//!     / (rate(flight_group_joined_total[5m]) + rate(flight_group_led_total[5m]))
//! alarm, something hangs:
//!     sum by (group) (flight_group_in_flight) > 0
//!     and sum by (group) (increase(flight_group_landed_total[5m])) == 0
//! alarm, a bug:
//!     increase(flight_group_deadlocked_total[1h]) > 0
//! threads that wait:
//!     flight_group_waiting, beside the size of the thread pool
//! alarm, a process works outside its fleet:
//!     increase(flight_group_fleet_total{role="alone"}[5m]) > 0
//! ```
//!
//! With Prometheus, in a program without async. (The exporter's own server needs a runtime. Its `render` is enough for the
//! `/metrics` route of a blocking server.)
//!
#![cfg_attr(feature = "metrics", doc = "```")]
#![cfg_attr(not(feature = "metrics"), doc = "```ignore")]
//! use flight_group::{Group, WriteGroup};
//! use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
//!
//! // First the recorder, with buckets that suit the work ..
//! let prometheus = PrometheusBuilder::new()
//!     .set_buckets_for_metric(
//!         Matcher::Suffix("_seconds".to_owned()),
//!         &[0.001, 0.01, 0.1, 1.0, 10.0],
//!     )?
//!     .install_recorder()?;
//!
//! // .. then the groups.
//! let rates: Group<&str, u32, &str> = Group::builder().name("rates").metered().build();
//! let saves: WriteGroup<&str> = WriteGroup::builder().name("saves").metered().build();
//!
//! rates.try_work(&"EUR", || Ok(107)).unwrap();
//! rates.try_work(&"XXX", || Err("no such currency")).unwrap_err();
//! saves.write(&"EUR", || ());
//!
//! // The answer of the `/metrics` route. Call `run_upkeep` every few seconds as well, from any
//! // thread.
//! let answer = prometheus.render();
//! for line in [
//!     r#"flight_group_led_total{group="rates",kind="group"} 2"#,
//!     r#"flight_group_landed_total{group="rates",kind="group",outcome="value"} 1"#,
//!     r#"flight_group_landed_total{group="rates",kind="group",outcome="failed"} 1"#,
//!     r#"flight_group_in_flight{group="saves",kind="write group"} 0"#,
//!     r#"flight_group_run_seconds_count{group="saves",kind="write group"} 1"#,
//! ] {
//!     assert!(answer.contains(line), "{line} in {answer}");
//! }
//! # Ok::<(), metrics_exporter_prometheus::BuildError>(())
//! ```
//!
//! # The other kinds
//!
//! | | `flights()` | `stats()` | `observer` | `traced`, `metered` | A flight is |
//! | --- | --- | --- | --- | --- | --- |
//! | [`Group`](crate::Group), [`WriteGroup`](crate::WriteGroup) | yes | yes | yes | yes | a run of a closure |
//! | [`EventGroup`](crate::EventGroup) | yes | yes | yes | yes | a run of `push`; a `submit` shows only if it is refused |
//! | [`Batcher`](crate::Batcher) | yes, with the key `()` | yes | no: a batch has no single key | yes, without `key` | a batch |
//! | [`Hedge`](crate::Hedge) | | yes | yes, with the key `()` | yes, without `key` | a call of `run` or `run_under` |
//! | `FleetGroup`, `FleetWriteGroup` | yes, of this process | `local_stats()`, and `Fleet::stats()` | yes | yes | what this process asks its fleet, once for all of its threads |
//!
//! # Hedges
//!
//! A hedge reports in the same words, with these differences:
//!
//! | | In a hedge |
//! | --- | --- |
//! | a flight | one call, from its beginning to its end, however many attempts it makes; the attempts are counted in [`stats()`](crate::Hedge::stats) |
//! | `Landed`, and the outcome | `value`: an attempt replied. `panicked`: all attempts failed, and at least one of them panicked. `failed`: all attempts returned errors |
//! | `Cancelled`, `Deadlock` | the call ended without a reply: there is no `Landed`, and the flight's outcome in spans and meters is `abandoned`. The same if the executor panics |
//! | `ran`, `flight_group_run_seconds` | how long the call took |
//! | the span `flight` | a child of the caller's span; entered while an attempt runs, on the attempt's thread, by several threads at once if need be. It lands when the call ends, and closes when its last attempt has ended |
//! | followers, `wait` spans, `joined`, `waiting` | none: a call is nobody else's |
//! | the meters | taken from the recorder at the first call, since a hedge is its own builder |
//! | [`first`](crate::Hedge::first) | nobody is told |
//!
//! # Groups of a fleet
//!
//! Feature `redis`. The threads of a process are collapsed by a local group, and that group is what reports. So each process
//! reports its own flights, in the same words, with these differences:
//!
//! | | In a `FleetGroup` | In a `FleetWriteGroup` |
//! | --- | --- | --- |
//! | a flight | one question to the fleet | a run, or a wait for the lease. A run that other callers of the process waited for is two flights: one gets the lease, the next one runs |
//! | `ran`, `flight_group_run_seconds` | from the question until the outcome is here: the closure, or the wait for another process's flight; and the wait for the server | the wait for the lease, the closure, and the release |
//! | followers, `wait` spans, `joined`, `waiting` | threads of this process | the same |
//! | [`InFleet`](crate::EventKind::InFleet), `role`, `flight_group_fleet_total` | `leader`: the closure runs here for the fleet. `follower`: another process ran it, now or within the reuse window. `alone`: it runs here for this process only, because the server is unavailable or the outcome could not be shared | `leader`: the closure runs here, with the lease. So `flight_group_fleet_total` counts the runs |
//! | the outcome of a `follower` | that of the flight in the other process: `value`, or `failed`. If the other process's closure panicked or its process died, this process asks again: its outcome is that of the next flight | |
//! | the fleet returns an error | the outcome is `failed`, and there is no role | the same |
//! | the leader's own deadline or token ends its wait for the fleet | the outcome is `failed`, then `TimedOut` or `Cancelled` for the same flight; threads that followed it and have more time board again | the same |
//! | a forked child | makes its own spans and meters at its first use | the same |
//!
//! `Fleet::stats()` adds up all groups and leases of the process, and tells more: how an outcome came (with the message, fetched,
//! asked for), followed leaders that died, records that were lost. `Fleet::outage()` says why the server is not asked now.
//!
//! # Events
//!
//! An [`observer`](crate::GroupBuilder::observer) is called for every event, for all that spans and meters do not do.
//! [`EventKind`](crate::EventKind) has the list. It is called by the thread of the event, outside every lock, after all callers
//! that have to be woken were woken. So a slow observer delays only its own call.
//!
//! | Event | Told by | Times |
//! | --- | --- | --- |
//! | `Led` | the leader, before its closure runs | one a flight that begins |
//! | `Landed` | the leader, after its followers were woken | one a flight that ran; none if it was abandoned |
//! | `Joined`, then `Followed` | a follower, as it begins to wait and when it has the outcome | one each a wait |
//! | `TimedOut`, `Cancelled`, `Deadlock` | the follower, instead of `Followed` | |
//! | `Overloaded` | the caller that was refused | |
//! | `Forgotten`, `Expired`, `TakenOver` | the caller that detached the flight | one a flight |
//! | `Superseded` | a follower that had been queued, after `Followed` | one a closure not needed |
//! | `InFleet` | the leader, after `Led`, in a fleet's group: before its closure runs, or when the outcome has come | one a flight; none if the fleet returned an error, or the wait ended before |
