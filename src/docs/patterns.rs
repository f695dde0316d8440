//! How to use the groups for what they are for.
//!
//! * [A cache that does not stampede](#a-cache-that-does-not-stampede)
//! * [Writes, reads and a cache](#writes-reads-and-a-cache)
//! * [Coalescing config reloads](#coalescing-config-reloads)
//! * [Pushing events](#pushing-events)
//! * [On a thread pool](#on-a-thread-pool)
//! * [Being able to leave: `select!`](#being-able-to-leave-select)
//! * [Retrying: `backon`](#retrying-backon)
//! * [One error type for `?`](#one-error-type-for-)
//! * [Merging events](#merging-events)
//! * [Many keys in one call](#many-keys-in-one-call)
//! * [The first good reply](#the-first-good-reply)
//! * [All of them or the first failure](#all-of-them-or-the-first-failure)
//!
//! # A cache that does not stampede
//!
//! When a hot key expires, every thread that misses it asks the database at once. A group lets one of them ask.
//! The cache is looked at twice: before the flight, because a hit must cost nothing; and *inside* it, because
//! between this thread's miss and its boarding another flight may have landed and filled the cache. Without the
//! second look that thread would load the row again.
//!
//! ```
//! use flight_group::Group;
//! use std::collections::HashMap;
//! use std::sync::atomic::{AtomicUsize, Ordering};
//! use std::sync::{Arc, Mutex};
//!
//! #[derive(Default)]
//! struct Users {
//!     cache: Mutex<HashMap<u64, Arc<str>>>,
//!     loads: Group<u64, Arc<str>, Arc<str>>,
//!     queries: AtomicUsize,
//! }
//!
//! impl Users {
//!     fn get(&self, id: u64) -> Result<Arc<str>, flight_group::Error<Arc<str>>> {
//!         if let Some(hit) = self.cached(id) {
//!             return Ok(hit);
//!         }
//!         self.loads.try_work(&id, || {
//!             if let Some(hit) = self.cached(id) {
//!                 return Ok(hit); // landed between our miss and our boarding
//!             }
//!             let user = self.query(id)?;
//!             self.cache.lock().unwrap().insert(id, user.clone());
//!             Ok(user)
//!         })
//!     }
//!
//!     fn cached(&self, id: u64) -> Option<Arc<str>> {
//!         self.cache.lock().unwrap().get(&id).cloned()
//!     }
//!
//!     fn query(&self, id: u64) -> Result<Arc<str>, Arc<str>> {
//!         self.queries.fetch_add(1, Ordering::Relaxed);
//!         if id == 0 { Err("no such user".into()) } else { Ok(format!("user {id}").into()) }
//!     }
//! }
//!
//! let users = Users::default();
//! std::thread::scope(|s| {
//!     for _ in 0..8 {
//!         s.spawn(|| assert_eq!(&*users.get(7).unwrap(), "user 7"));
//!     }
//! });
//! assert_eq!(users.queries.load(Ordering::Relaxed), 1); // exactly one, however the threads were scheduled
//! assert!(users.get(0).unwrap_err().is_work());
//! ```
//!
//! `cargo run --release --example stampede` shows what it does to a real database under a real load.
//!
//! # Writes, reads and a cache
//!
//! A read that was in the air when a write landed may carry the value from before it. Its own callers called
//! before the write returned, so for them that is right; the next reader, and the cache, must not get it.
//!
//! * [`invalidates`](crate::WriteGroupBuilder::invalidates) makes a landing write forget the key's read flight: a
//!   read that starts after the write has returned never joins the old one.
//! * [`Landing::detached`](crate::Landing::detached) tells the old flight's leader not to fill the cache. That
//!   leaves the moment between asking and storing, in which a write may land.
//! * A version, read before the row and compared under the cache's lock, closes it: a write raises the version
//!   before and after, and a load that began before either stores nothing.
//!
//! ```
//! use flight_group::{Group, WriteGroup};
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//!
//! #[derive(Default)]
//! struct Entry {
//!     version: u64,          // raised by writes
//!     value: Option<u32>,
//! }
//!
//! struct Prices {
//!     stored: Mutex<u32>,    // the database
//!     cache: Mutex<HashMap<&'static str, Entry>>,
//!     reads: Group<&'static str, u32>,
//!     writes: WriteGroup<&'static str>,
//! }
//!
//! impl Prices {
//!     fn get(&self, name: &'static str) -> u32 {
//!         if let Some(hit) = self.cache.lock().unwrap().get(name).and_then(|entry| entry.value) {
//!             return hit;
//!         }
//!         self.reads.work(&name, || {
//!             let before = {
//!                 let mut cache = self.cache.lock().unwrap();
//!                 let entry = cache.entry(name).or_default();
//!                 if let Some(hit) = entry.value {
//!                     return hit; // landed between our miss and our boarding
//!                 }
//!                 entry.version
//!             };
//!             let value = *self.stored.lock().unwrap();
//!             let mut cache = self.cache.lock().unwrap();
//!             let entry = cache.entry(name).or_default();
//!             if entry.version == before {
//!                 entry.value = Some(value);
//!             }
//!             value
//!         })
//!     }
//!
//!     fn set(&self, name: &'static str, price: u32) {
//!         self.writes.write(&name, || {
//!             self.outdate(name);                     // loads that began before
//!             *self.stored.lock().unwrap() = price;
//!             self.outdate(name);                     // loads that began in between
//!         });
//!     }
//!
//!     fn outdate(&self, name: &'static str) {
//!         let mut cache = self.cache.lock().unwrap();
//!         let entry = cache.entry(name).or_default();
//!         entry.version += 1;
//!         entry.value = None;
//!     }
//! }
//!
//! let reads = Group::new();
//! let writes = WriteGroup::builder().invalidates(&reads).build();
//! let prices = Prices { stored: Mutex::new(1), cache: Mutex::default(), reads, writes };
//! assert_eq!(prices.get("gold"), 1);
//! prices.set("gold", 2);
//! assert_eq!(prices.get("gold"), 2);
//! ```
//!
//! Without a cache, and where a read must not be older than the call that asks for it,
//! [`fresh`](crate::Call::fresh) alone does.
//!
//! # Coalescing config reloads
//!
//! A reload is a *write*: it makes the program's state what the file says now. A change that arrives while a
//! reload runs may not be covered by it, and so waits for the next; a hundred that arrive meanwhile are covered by
//! one. Whoever asked for the reload returns when the state is at least as new as its question.
//!
//! ```
//! use arc_swap::ArcSwap;
//! use flight_group::{Error, WriteGroup};
//! use std::sync::Arc;
//!
//! struct Config { limit: u32 }
//!
//! let current = ArcSwap::from_pointee(Config { limit: 10 });
//! let reloads: WriteGroup<&str, Arc<Config>, Arc<str>> = WriteGroup::builder().name("config").build();
//!
//! let reload = |text: &str| {
//!     reloads.try_write(&"app.toml", || {
//!         let limit = text.parse().map_err(|e| Arc::from(format!("app.toml: {e}")))?;
//!         let new = Arc::new(Config { limit });
//!         current.store(new.clone());
//!         Ok(new)
//!     })
//! };
//!
//! assert_eq!(reload("20").unwrap().limit, 20);
//! match reload("twenty") {
//!     Err(Error::Work(why)) => assert!(why.starts_with("app.toml: ")),
//!     _ => unreachable!(),
//! }
//! assert_eq!(current.load().limit, 20); // a bad file changes nothing
//! ```
//!
//! `cargo run --release --example config_reload` does it with a real file and a real watcher.
//!
//! # Pushing events
//!
//! To tell a partner that an order changed, push the order *as it is when the push starts*, not as it was when the
//! event came: then queued duplicates may collapse, and the last push is always the newest state.
//!
//! ```
//! use flight_group::WriteGroup;
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//!
//! let orders = Mutex::new(HashMap::from([(17, "packed")]));
//! let partner = Mutex::new(Vec::new());
//! let pushes: WriteGroup<u32> = WriteGroup::new();
//!
//! let changed = |order: u32, state: &'static str| {
//!     orders.lock().unwrap().insert(order, state);          // first the state,
//!     pushes.write(&order, || {                             // then the push, which reads it
//!         let state = orders.lock().unwrap()[&order];
//!         partner.lock().unwrap().push(state);
//!     });
//! };
//! std::thread::scope(|s| {
//!     s.spawn(|| changed(17, "sent"));
//!     s.spawn(|| changed(17, "sent"));
//! });
//! changed(17, "delivered");
//! assert_eq!(partner.lock().unwrap().last(), Some(&"delivered"));
//! ```
//!
//! `cargo run --release --example event_push` does it over HTTP.
//!
//! # On a thread pool
//!
//! Callers that block are the pool's own threads: with `n` workers all following flights that need a worker to
//! finish, the pool is stuck, and the crate cannot see it (it sees only waits inside its own calls). Two rules keep
//! clear of it: work that runs *inside* a flight does not wait for the pool; and where requests pile up behind one
//! slow key, [`max_followers`](crate::GroupBuilder::max_followers) sheds them so that other keys keep their
//! threads.
//!
//! Spawned flights go to an executor of your choice, for instance the pool's own queue:
//!
//! ```
//! use flight_group::{Error, Group, Job};
//!
//! let (queue, jobs) = crossbeam_channel::unbounded::<Job>();
//! let workers: Vec<_> = (0..2)
//!     .map(|_| {
//!         let jobs = jobs.clone();
//!         std::thread::spawn(move || jobs.into_iter().for_each(Job::run))
//!     })
//!     .collect();
//!
//! let group: Group<u32, u32, &str> = Group::builder()
//!     .name("reports")
//!     .max_followers(100)
//!     .executor(move |job| drop(queue.send(job)))   // a closed queue drops the job: `Error::Abandoned`
//!     .build();
//!
//! let reports: Vec<_> = (0..10).map(|n| group.call(&n).spawn(move || Ok(n * n))).collect();
//! let sum: u32 = reports.iter().map(|report| report.recv().unwrap().unwrap().value).sum();
//! assert_eq!(sum, 285);
//!
//! drop(group);
//! for worker in workers {
//!     worker.join().unwrap();
//! }
//! ```
//!
//! # Being able to leave: `select!`
//!
//! A follower can have a deadline; a leader cannot, since nobody can interrupt a closure on its own thread. To let
//! the *first* caller leave, too, spawn the work and wait for the receiver:
//!
//! ```
//! use crossbeam_channel::{after, bounded, select};
//! use flight_group::Group;
//! use std::time::Duration;
//!
//! let group: Group<&str, u32> = Group::new();
//! let (finish, gate) = bounded::<()>(0);
//! let report = group.call(&"report").spawn(move || {
//!     let _ = gate.recv();       // the work takes until somebody opens the gate
//!     Ok(42)
//! });
//!
//! let in_time = select! {
//!     recv(report) -> landing => Some(landing.unwrap().unwrap().value),
//!     recv(after(Duration::from_millis(20))) -> _ => None,    // we leave; the work goes on for whoever waits
//! };
//! assert_eq!(in_time, None);
//!
//! let other = group.call(&"report").spawn(|| Ok(0));          // somebody else boards the same flight
//! drop(finish);
//! assert_eq!(other.recv().unwrap().unwrap().value, 42);
//! assert_eq!(report.recv().unwrap().unwrap().value, 42);      // and the first may come back to its receiver
//! ```
//!
//! # Retrying: `backon`
//!
//! Retry *inside* the flight: then one caller retries, and everybody shares the outcome. Around the call every
//! follower would retry on its own, in step.
//!
//! ```
//! use backon::{BlockingRetryable, ExponentialBuilder};
//! use flight_group::Group;
//! use std::cell::Cell;
//! use std::time::Duration;
//!
//! let attempts = Cell::new(0);
//! let load = || {
//!     attempts.set(attempts.get() + 1);
//!     if attempts.get() < 3 { Err("connection reset") } else { Ok("row") }
//! };
//!
//! let group: Group<u32, &str, &str> = Group::new();
//! let row = group.try_work(&1, || {
//!     load.retry(ExponentialBuilder::default().with_min_delay(Duration::from_millis(1)).with_max_times(5))
//!         .when(|error| *error == "connection reset")
//!         .call()
//! });
//! assert_eq!((row, attempts.get()), (Ok("row"), 3));
//! ```
//!
//! # One error type for `?`
//!
//! All callers of a flight get its error, and most errors cannot be cloned. [`SharedError`](crate::SharedError) holds
//! any of them: `?` makes it in the closure, and `?` turns what the call returns into a `Box<dyn Error>` or an
//! `anyhow::Error`. [`types`](super::types) shows it, and which other error types fit.
//!
//! # Merging events
//!
//! A `WriteGroup` pushes *the newest state*: of the closures queued for a key one runs. Where every caller brings a
//! part of its own (a count, a list of changed rows, a log line) nothing may be dropped: that is what
//! [`EventGroup`](crate::EventGroup) is for. It queues the parts, merges those that waited in the order of their
//! arrival, and pushes the result, one push per key at a time. Whoever `push`es gets the outcome of the push that
//! carried its own part; whoever `submit`s returns at once, and a few workers do the rest.
//!
//! Here threads report page views; the far side is told of at most one change per page and hour, the first at once,
//! and of what was counted meanwhile when the hour is over, or when the program ends:
//!
//! ```
//! use flight_group::{Error, EventGroup};
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! let told: Arc<Mutex<Vec<(String, u64)>>> = Arc::default();      // the far side
//! let far_side = told.clone();
//!
//! let views: EventGroup<String, u64, (), Arc<str>> = EventGroup::builder(
//!     |sum: &mut u64, more: u64| *sum += more,                    // merge: a newer event into the older
//!     move |page: &String, sum| {
//!         if page.is_empty() {
//!             return Err("no page".into());
//!         }
//!         far_side.lock().unwrap().push((page.clone(), sum));
//!         Ok(())
//!     },
//! )
//! .min_interval(Duration::from_secs(3600))                        // the trailing push always comes
//! .capacity(10_000)                                               // then `submit` says `Overloaded`
//! .on_failure(|page, error| eprintln!("views of {page:?} are lost: {error}"))
//! .build();
//!
//! // Must be told before we go on: blocks, and knows how it went.
//! views.push("home", 1).unwrap();
//! assert_eq!(views.push("", 1), Err(Error::Work("no page".into())));
//!
//! // Need not be: counted now, told with the others.
//! std::thread::scope(|s| {
//!     for _ in 0..4 {
//!         s.spawn(|| (0..25).for_each(|_| views.submit("home", 1).unwrap()));
//!     }
//! });
//! assert_eq!(*told.lock().unwrap(), [("home".to_owned(), 1)]);    // the hour is not over
//!
//! drop(views);                                                    // drains: nothing accepted is lost
//! assert_eq!(*told.lock().unwrap(), [("home".to_owned(), 1), ("home".to_owned(), 100)]);
//! ```
//!
//! * A run that fails takes its events with it: they are never put into a newer run behind anybody's back. Retry
//!   inside `push`, where the merged event is at hand; or keep it in the error (`E` is `Arc<Failed>`, with the event
//!   in `Failed`) and submit it again in `on_failure`, with a [`delay`](crate::EventCall::delay) so as not to spin.
//!   There a `Weak` from `Arc::new_cyclic` is the way to the group. `flush` and the last drop do not wait for what is
//!   submitted again, and in the last drop the `Weak` is empty: write to disk, or log, what is left then.
//! * `quiet` waits for a key's events to pause (an editor that saves at every key stroke); give it a `max_wait`, or
//!   a steady stream puts the push off for ever.
//! * A closure may `submit` to its own group, and `push` to another key of it; a `push` to the key it is pushing for
//!   would wait for itself and returns `Error::Deadlock`. It must not own a handle of its group, or the group never
//!   ends: look it up where the program keeps it.
//!
//! # Many keys in one call
//!
//! A [`Batcher`](crate::Batcher) gathers *different* keys into one call of a function that takes many, without a
//! timer: whoever comes while a batch runs is in the next. With a group before it, callers of one key share a flight
//! first, and only the leaders' keys are gathered:
//!
//! ```
//! use flight_group::{Batcher, Error, Group};
//! use std::collections::HashMap;
//!
//! let rows: Batcher<u64, String, &str> = Batcher::new(|ids: &[u64]| {
//!     Ok(ids.iter().filter(|id| **id < 10).map(|id| (*id, format!("row {id}"))).collect::<HashMap<_, _>>())
//! });
//! let reads: Group<u64, Option<String>, Error<&str>> = Group::new();
//! let read = |id: u64| {
//!     reads.try_work(&id, || match rows.load(&id) {
//!         Ok(row) => Ok(Some(row)),
//!         Err(Error::Missing(_)) => Ok(None),        // the function returned nothing for this key
//!         Err(error) => Err(error),
//!     })
//! };
//! assert_eq!(read(7), Ok(Some("row 7".to_owned())));
//! assert_eq!(read(70), Ok(None));
//! ```
//!
//! `cargo run --release --example batch_queries` shows when it pays on SQLite, and when it does not.
//!
//! # The first good reply
//!
//! Where replicas answer mostly fast and sometimes late, [`Hedge`](crate::Hedge) asks a second one when the first has
//! taken too long, and returns the first good reply. *Inside* a flight there is one hedge, and one budget, for all who
//! wait for the key; around the call every follower would ask twice:
//!
//! ```
//! use flight_group::{Group, Hedge, HedgeError};
//! use std::time::Duration;
//!
//! let hedge = Hedge::new().delay(Duration::from_millis(20)).max(2);
//! let group: Group<u64, String, HedgeError<&str>> = Group::new();
//!
//! let reply = group.try_work(&7, || hedge.run(|attempt| {
//!     // Attempt 0 asks the first replica, attempt 1 the second; a loser is told by `attempt.token()`.
//!     if attempt.index() == 0 { Err("connection refused") } else { Ok("from the second".to_owned()) }
//! }));
//! assert_eq!(reply.unwrap(), "from the second");
//! ```
//!
//! `cargo run --release --example hedged_reads` does it with three replicas over HTTP.
//!
//! # All of them or the first failure
//!
//! [`ErrGroup`](crate::ErrGroup) asks the shards of a cluster at once, on scoped threads that may borrow, and gives up
//! at the first failure: tasks not started yet are skipped, running ones are told.
//!
//! ```
//! use flight_group::ErrGroup;
//!
//! let shards = [vec![1, 2], vec![3], vec![]];
//! let total = std::sync::atomic::AtomicUsize::new(0);
//! let outcome = ErrGroup::scope(|g| {
//!     for shard in &shards {
//!         let total = &total;
//!         g.spawn(move |_| {
//!             if shard.is_empty() {
//!                 return Err("an empty shard");
//!             }
//!             total.fetch_add(shard.len(), std::sync::atomic::Ordering::Relaxed);
//!             Ok(())
//!         });
//!     }
//! });
//! assert_eq!(outcome, Err("an empty shard"));
//! ```
//!
//! `cargo run --release --example shard_fanout` does it with SQLite files.
