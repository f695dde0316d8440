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
//!             let before = self.cache.lock().unwrap().entry(name).or_default().version;
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
//! A follower can have a deadline; a leader cannot, since nobody can interrupt a closure on its own thread. Who
//! wants the *first* caller, too, to be able to leave spawns, and waits for the receiver:
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
//! Followers get clones of the leader's error, and most errors cannot be cloned. `Arc<dyn Error + Send + Sync>` can
//! hold any of them; [`Error`](crate::Error) shows the one line that makes `?` work with it.
