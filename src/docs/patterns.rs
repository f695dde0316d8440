//! How to use the groups for what they are for.
//!
//! * [A cache that does not stampede](#a-cache-that-does-not-stampede)
//! * [Writes, reads and a cache](#writes-reads-and-a-cache)
//! * [Coalescing config reloads](#coalescing-config-reloads)
//! * [Debounce and throttle: a file watcher](#debounce-and-throttle-a-file-watcher)
//! * [Pushing events](#pushing-events)
//! * [The order at the far side](#the-order-at-the-far-side)
//! * [On a thread pool](#on-a-thread-pool)
//! * [A limit for a whole request](#a-limit-for-a-whole-request)
//! * [Work-stealing pools (rayon)](#work-stealing-pools-rayon)
//! * [Timeout for the first caller](#timeout-for-the-first-caller)
//! * [Retrying: `backon`](#retrying-backon)
//! * [One error type for `?`](#one-error-type-for-)
//! * [Merging events](#merging-events)
//!   * [Retrying a push](#retrying-a-push)
//! * [Many keys in one call](#many-keys-in-one-call)
//! * [Hedged requests: `Hedge`](#hedged-requests-hedge)
//! * [All of them or the first failure](#all-of-them-or-the-first-failure)
//!
//! # A cache that does not stampede
//!
//! When a hot key expires, every thread that misses it asks the database at once. With a group only one of them asks.
//!
//! [`read_through`](crate::Group::read_through) looks into the cache twice. The first look is before the flight, because a
//! hit must cost nothing. The second look is *inside* the flight, because another flight may have landed and filled the
//! cache after the first look. Without the second look this thread would load the row again.
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
//!         let load = || {
//!             let user = self.query(id)?;
//!             self.cache.lock().unwrap().insert(id, user.clone()); // before the flight lands
//!             Ok(user)
//!         };
//!         self.loads.read_through(&id, || self.cached(id), load)
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
//! assert_eq!(users.queries.load(Ordering::Relaxed), 1); // always exactly one
//! assert!(users.get(0).unwrap_err().is_work());
//! ```
//!
//! `cargo run --release --example stampede` shows what it does to a real database under a load that
//! is chosen to show a stampede. `-- --trace FILE` replays your own log.
//!
//! # Writes, reads and a cache
//!
//! If a read is in the air when a write lands, it may carry the value from before the write. Its callers called before the
//! write returned, so for them the old value is right. The next reader and the cache must not get it.
//!
//! * [`invalidates`](crate::WriteGroupBuilder::invalidates): every write forgets the key's read flight. A read that starts
//!   after the write has returned never joins the old flight.
//! * [`Landing::detached`](crate::Landing::detached): it says that the leader of the old flight must not fill the cache. But
//!   a write may still land after the leader has looked, and before it has stored the value.
//! * A version, read before the row and compared under the cache's lock, closes that gap. A write raises the version before
//!   and after it writes. A load stores its value only if the version is still the same.
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
//!                     return hit; // another flight filled the cache after our first look
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
//! Without a cache [`fresh`](crate::Call::fresh) is enough: the call gets data that was read after it was made.
//!
//! # Coalescing config reloads
//!
//! If the reload takes longer than the pause between two change notices, use a [`WriteGroup`](crate::WriteGroup), as shown
//! here. If it is quicker, as the parsing of a small file, [debounce](#debounce-and-throttle-a-file-watcher) the notices.
//!
//! A reload is a *write*: it makes the program's state what the file says now. If a change arrives while a reload runs, that
//! reload may have missed it, so there is one more reload. If a hundred changes arrive meanwhile, there is still only one
//! more.
//!
//! A file watcher has one thread that calls back for each change. Use [`spawn`](crate::WriteGroup::spawn) there, because it
//! returns at once. With `write` the callbacks would run one after the other, each with a reload of its own, and the
//! watcher's queue would fill up. Use [`try_write`](crate::WriteGroup::try_write) where the caller must know that the reload
//! is done, for instance in the request of an administrator.
//!
//! ```
//! use arc_swap::ArcSwap;
//! use flight_group::{Error, WriteGroup};
//! use std::sync::{Arc, Mutex};
//!
//! struct Config { limit: u32 }
//!
//! let current = Arc::new(ArcSwap::from_pointee(Config { limit: 10 }));
//! let file = Arc::new(Mutex::new("10".to_owned()));        // what is on disk
//! let reloads: WriteGroup<&str, Arc<Config>, Arc<str>> =
//!     WriteGroup::builder().name("config").build();
//!
//! // What a reload does. It reads the file itself, so it always gets the newest state.
//! let reload = {
//!     let (current, file) = (current.clone(), file.clone());
//!     move || {
//!         let text = file.lock().unwrap().clone();
//!         let limit = text.parse().map_err(|e| Arc::from(format!("app.toml: {e}")))?;
//!         let new = Arc::new(Config { limit });
//!         current.store(new.clone());
//!         Ok(new)
//!     }
//! };
//!
//! // In the watcher's callback. Nobody reads the receiver, so the closure reports its own error.
//! let changed = || {
//!     let reload = reload.clone();
//!     let reported = move || reload().inspect_err(|error| eprintln!("{error}"));
//!     drop(reloads.spawn(&"app.toml", reported));
//! };
//! *file.lock().unwrap() = "20".to_owned();
//! (0..100).for_each(|_| changed());
//!
//! // In a request that has to wait until its change is in force:
//! let now = reloads.try_write(&"app.toml", reload.clone()).unwrap();
//! assert_eq!((now.limit, current.load().limit), (20, 20));
//!
//! *file.lock().unwrap() = "twenty".to_owned();
//! match reloads.try_write(&"app.toml", reload) {
//!     Err(Error::Work(why)) => assert!(why.starts_with("app.toml: ")),
//!     _ => unreachable!(),
//! }
//! assert_eq!(current.load().limit, 20);                    // a bad file changes nothing
//! ```
//!
//! If the receiver is dropped, the error of a reload reaches nobody. So report it in the closure. A panic of the
//! closure reaches the panic hook, as every panic does.
//!
//! `cargo run --release --example config_reload` does it with a real file and a real watcher. It measures
//! `spawn` against `write` in the callback, and shows Kubernetes' swap of `..data`, SIGHUP, and a request that waits.
//!
//! # Debounce and throttle: a file watcher
//!
//! A `WriteGroup` collapses only the notices that arrive *while a reload runs*. One change of a small file makes
//! several notices, and a reload of 50 µs is over before the next one comes: then nearly every notice costs a reload,
//! and some of the reloads read a half-written file. Wait until the notices pause. That is an
//! [`EventGroup`](crate::EventGroup) whose events are empty:
//!
//! ```
//! use flight_group::EventGroup;
//! use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
//! use std::path::Path;
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! type Reloads = EventGroup<String, (), (), Arc<str>>;       // the key: a file's name
//!
//! fn reloads(reload: impl Fn(&str) -> Result<(), Arc<str>> + Send + Sync + 'static) -> Reloads {
//!     EventGroup::builder(|_: &mut (), ()| (), move |name: &String, ()| reload(name))
//!         .quiet(Duration::from_millis(20))                  // debounce: wait for a pause,
//!         .max_wait(Duration::from_millis(200))              // but no longer than this
//!         .on_failure(|name, error| eprintln!("{name}: {error}"))
//!         .build()
//! }
//!
//! fn on_event(event: notify::Result<Event>, names: &[&str], reloads: &Reloads) {
//!     let changed = |name: &str| {
//!         if let Err(error) = reloads.submit(name, ()) {
//!             eprintln!("{name} is not reloaded: {error}");
//!         }
//!     };
//!     match event {
//!         Ok(event) if event.kind.is_access() => {}          // the reload itself opens the file
//!         Ok(event) if !event.need_rescan() => {
//!             let paths = event.paths.iter();
//!             let files = paths.filter_map(|path| path.file_name()?.to_str());
//!             files.filter(|name| names.contains(name)).for_each(changed);
//!         }
//!         _ => names.iter().for_each(|name| changed(name)),  // notices were lost: reload all
//!     }
//! }
//!
//! // Watch the directory. An editor replaces the file, and a watch of the old file sees nothing.
//! fn watch(directory: &Path, reloads: Reloads) -> notify::Result<RecommendedWatcher> {
//!     let handler = move |event| on_event(event, &["app.toml", "users.toml"], &reloads);
//!     let mut watcher = notify::recommended_watcher(handler)?;
//!     watcher.watch(directory, RecursiveMode::NonRecursive)?;
//!     Ok(watcher)                                            // it watches until it is dropped
//! }
//!
//! let reloaded = Arc::new(Mutex::new(Vec::new()));
//! let log = reloaded.clone();
//! let reloads = reloads(move |name| Ok(log.lock().unwrap().push(name.to_owned())));
//! let notice = |kind, path: &str| Ok(Event::new(kind).add_path(path.into()));
//! for _ in 0..3 {
//!     let kind = notify::EventKind::Modify(notify::event::ModifyKind::Any);
//!     on_event(notice(kind, "/etc/app/app.toml"), &["app.toml"], &reloads);
//!     let kind = notify::EventKind::Access(notify::event::AccessKind::Any);
//!     on_event(notice(kind, "/etc/app/app.toml"), &["app.toml"], &reloads);
//!     on_event(notice(kind, "/etc/app/other.txt"), &["app.toml"], &reloads);
//! }
//! drop(reloads);                                             // does at once what waits
//! reloaded.lock().unwrap().dedup();
//! assert_eq!(*reloaded.lock().unwrap(), ["app.toml"]);
//! ```
//!
//! To throttle instead (the first notice at once, then at most one reload in each interval), use
//! [`min_interval`](crate::EventGroupBuilder::min_interval). A request that must wait until its change is in force calls
//! [`push`](crate::EventGroup::push): it returns the outcome of the reload. In a directory that Kubernetes mounts only `..data` is replaced,
//! and nothing is reported for the files: take a notice for `..data` as a notice for every file.
//!
//! # Pushing events
//!
//! To tell a partner that an order changed, push the order *as it is when the push starts*, and not as it was when the event
//! arrived. Then queued duplicates may collapse, and the last push is always the newest state.
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
//! `cargo run --release --example event_push` does it over HTTP, with a `WriteGroup` and with an `EventGroup`.
//!
//! # The order at the far side
//!
//! A group keeps the pushes of a key apart as long as their closures run. It cannot see the network. If a push times out at
//! the client, its closure ends, but the request may still wait in a proxy or in a socket's buffer. The next push can overtake
//! it, and then the old state arrives after the new one.
//!
//! So send a version with each push. The receiver ignores a push that is not newer than what it knows:
//!
//! ```
//! use flight_group::{Error, WriteGroup, crossbeam_channel};
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//!
//! #[derive(Clone, Copy, Debug, PartialEq)]
//! struct Order { version: u64, state: &'static str }
//!
//! // The far side.
//! let known: Mutex<HashMap<u32, Order>> = Mutex::default();
//! let receive = |id: u32, order: Order| {
//!     let mut known = known.lock().unwrap();
//!     if known.get(&id).is_some_and(|known| order.version <= known.version) {
//!         return "ignored";                                 // late, or a repeated push
//!     }
//!     known.insert(id, order);
//!     "taken"
//! };
//!
//! // The network. A slow one still has the request when the client gives up.
//! let (delay, delayed) = crossbeam_channel::unbounded();
//! let send = |id: u32, order: Order, is_slow: bool| {
//!     if is_slow {
//!         delay.send((id, order)).unwrap();
//!         return Err("timed out");
//!     }
//!     Ok(receive(id, order))
//! };
//!
//! let orders = Mutex::new(HashMap::from([(17, Order { version: 0, state: "placed" })]));
//! let pushes: WriteGroup<u32, &str, &str> = WriteGroup::new();
//! let changed = |id: u32, state: &'static str, is_slow: bool| {
//!     {
//!         let mut orders = orders.lock().unwrap();
//!         let order = orders.get_mut(&id).unwrap();
//!         *order = Order { version: order.version + 1, state };   // both under one lock
//!     }
//!     pushes.try_write(&id, || {
//!         let order = orders.lock().unwrap()[&id];                // and both read under it
//!         send(id, order, is_slow)
//!     })
//! };
//!
//! assert_eq!(changed(17, "packed", true), Err(Error::Work("timed out")));
//! assert_eq!(changed(17, "sent", false), Ok("taken"));
//!
//! let (id, order) = delayed.recv().unwrap();                // only now the first push arrives
//! assert_eq!(order.state, "packed");
//! assert_eq!(receive(id, order), "ignored");
//! assert_eq!(known.lock().unwrap()[&17], Order { version: 2, state: "sent" });
//! ```
//!
//! * Take the version from where the state is: a column of the row that the same transaction raises, or a sequence. A clock
//!   can go back, and two machines have two clocks.
//! * The receiver answers an ignored push as a success. With an error the sender would retry it for ever.
//! * Because a repeated push is ignored, too, a retry is safe after a timeout.
//! * With an [`EventGroup`](crate::EventGroup) that adds up, a newer push does not contain the older ones, and ignoring one
//!   may lose a part. Send the first and the last version that a push stands for. Then the receiver sees a gap. Repeat a push
//!   unchanged, inside `push`, until the receiver has it: `event_push` does it.
//!
//! # On a thread pool
//!
//! Callers block threads of the pool. If all of them wait for flights whose work needs a thread of the same pool, the pool is
//! stuck. The crate cannot see that: it sees only waits inside its own calls. So:
//!
//! * Work *inside* a flight must not wait for the pool.
//! * If requests pile up behind one slow key, [`max_followers`](crate::GroupBuilder::max_followers) refuses the surplus, and
//!   other keys keep their threads.
//! * A panic of the work goes on in the leader, which is a worker of the pool. A worker's loop must catch it, as any other
//!   panic of a request. [`Job::run`](crate::Job::run) catches it by itself.
//! * At shutdown cancel a token that all calls have: see [`cancel`](crate::Call::cancel). It frees the workers that
//!   wait. Give the work the token, too: see [A limit for a whole request](#a-limit-for-a-whole-request).
//!
//! Spawned calls run on the group's own threads, or on an executor of your choice, for instance the pool's queue:
//!
//! ```
//! use flight_group::{Error, Group, Job, crossbeam_channel};
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
//!     .executor(move |job| drop(queue.send(job)))   // a closed queue: `Error::Abandoned`
//!     .build();
//!
//! let reports: Vec<_> = (0..10).map(|n| group.spawn(&n, move || Ok(n * n))).collect();
//! let sum: u32 = reports.iter().map(|report| report.recv().unwrap().unwrap().value).sum();
//! assert_eq!(sum, 285);
//!
//! drop(group);
//! for worker in workers {
//!     worker.join().unwrap();
//! }
//! ```
//!
//! # A limit for a whole request
//!
//! [`timeout`](crate::Call::timeout), [`deadline`](crate::Call::deadline) and [`cancel`](crate::Call::cancel) end a
//! follower's wait. The leader works, and nobody can interrupt its closure. So give the deadline and the token to the
//! work, too. To get the same error from both, make `E` an `Error<SharedError>`. The closure returns what a wait would
//! return, and `?` outside [flattens](crate::Error::flatten) the error:
//!
//! ```
//! use flight_group::{CancelToken, Error, Group, SharedError};
//! use std::time::{Duration, Instant};
//!
//! type Failure = Error<SharedError>;
//!
//! struct Reports {
//!     flights: Group<u32, u64, Failure>,
//!     shutdown: CancelToken,
//! }
//!
//! impl Reports {
//!     fn total(&self, customer: u32, deadline: Instant) -> Result<u64, Failure> {
//!         let call = self.flights.call(&customer).deadline(deadline).cancel(&self.shutdown);
//!         let landing = call.run(|| {
//!             let mut total = 0;
//!             for page in 0..3 {
//!                 self.shutdown.check()?;                    // becomes `Error::Cancelled`
//!                 if Instant::now() >= deadline {
//!                     return Err(Error::timed_out());
//!                 }
//!                 total += query(customer, page).map_err(|e| Failure::Work(e.into()))?;
//!             }
//!             Ok(total)
//!         })?;                                               // flattens
//!         Ok(landing.value)
//!     }
//! }
//!
//! /// One page of a query, with a time limit of its own.
//! fn query(customer: u32, page: u64) -> std::io::Result<u64> {
//!     if customer == 0 {
//!         return Err(std::io::Error::other("no such customer"));
//!     }
//!     Ok(page)
//! }
//!
//! /// The same for leaders and followers.
//! fn status(outcome: &Result<u64, Failure>) -> u16 {
//!     match outcome {
//!         Ok(_) => 200,
//!         Err(Error::TimedOut(_)) => 504,
//!         Err(Error::Cancelled(_)) => 503,
//!         Err(_) => 500,
//!     }
//! }
//!
//! let reports = Reports { flights: Group::new(), shutdown: CancelToken::new() };
//! let soon = Instant::now() + Duration::from_secs(60);
//! assert_eq!(status(&reports.total(7, soon)), 200);
//! assert_eq!(status(&reports.total(0, soon)), 500);
//! assert_eq!(status(&reports.total(7, Instant::now())), 504);    // it leads, and stops
//! reports.shutdown.cancel("the server shuts down");
//! assert_eq!(status(&reports.total(7, soon)), 503);
//! ```
//!
//! * One long query cannot look at a token. Interrupt it from outside: SQLite calls a `progress_handler` while a query
//!   runs, and most clients of a database or of HTTP have a timeout for each request.
//! * A follower gets the leader's error. If its own deadline is later, it may want to try again: see
//!   [`share_failures`](crate::GroupBuilder::share_failures).
//! * The message of `Error::timed_out()` speaks of a wait for a flight. Match on the variant, and write a message of
//!   your own.
//! * If the leader must be able to leave while its work goes on, spawn the work: see
//!   [Timeout for the first caller](#timeout-for-the-first-caller).
//!
//! # Work-stealing pools (rayon)
//!
//! A worker of rayon can wait in two ways:
//!
//! * *Inside rayon*: in `join`, `scope`, `par_iter`, `yield_now`, or in `install` into another pool. Meanwhile the worker runs
//!   other tasks of its pool. They run on the same stack, on top of the task that waits, and that task cannot go on before
//!   they return.
//! * *Inside a group*, or in `recv`. The worker sleeps and runs no other task. The other workers go on.
//!
//! So each follower takes one worker from the pool until its flight lands. A leader may use `join` and `par_iter`. But if a
//! leader waits inside rayon, and tasks of the same pool call the group, this can happen:
//!
//! | what happens | what the task on top gets |
//! | --- | --- |
//! | A task on top of the leader calls the leader's key. | [`Error::Deadlock`](crate::Error::Deadlock) at once, and this is true: the leader cannot go on before the task returns. `work` and `write` panic. The task may call other keys. |
//! | A task on top of the leader calls another key, and the work for that key, on another worker, waits for the leader's key. | A circle of two flights. The call that closes it gets `Error::Deadlock`, on one of the two workers. |
//! | The leader waits for one of its tasks, which another worker has stolen. On top of that task the other worker runs a task that calls the leader's key. | It hangs, and so does the leader. The check does not see it, because the leader waits inside rayon. |
//! | The leader is a thread outside the pool that waits in `install`. A task on top of its work calls the leader's key. | It hangs in the same way. |
//! | All workers follow a flight whose leader needs a worker. | All of them hang. |
//!
//! A hang ends when the call has a [`timeout`](crate::Call::timeout), a [`deadline`](crate::Call::deadline), a
//! [`takeover_after`](crate::Call::takeover_after), or a [`cancel`](crate::Call::cancel) token that is cancelled. Nothing else
//! ends it.
//!
//! ## What to do
//!
//! Run the work in a pool of its own, in which no task calls the group. Make that pool the group's
//! [executor](crate::GroupBuilder::executor). Then use [`spawn`](crate::Group::spawn) and wait for the receiver: the caller's
//! worker sleeps, and its own tasks never run on top of a leader.
//!
#![cfg_attr(not(doctest), doc = "```")]
#![cfg_attr(not(doctest), doc = include_str!("patterns/rayon_pool.rs"))]
#![cfg_attr(not(doctest), doc = "```")]
//!
//! * A load that needs another key: read it before `spawn`, or without a group, or through a second group with a pool
//!   of its own. Through the same group the loads may take all threads of the pool and wait for each other's keys.
//! * Callers whose calls do not meet load again. With a cache, look into it before `spawn` and once more in the
//!   closure, and store the value there: see [A cache that does not stampede](#a-cache-that-does-not-stampede).
//! * A leader of that pool that waits inside rayon may run another load on top of its own. That does no harm, but the leader
//!   lands later.
//! * Without an executor, spawned calls run on the group's own threads. That is enough if the work does not use rayon. On
//!   these threads `par_iter` uses rayon's global pool, so no task of the global pool may call the group then.
//! * You can also wait outside the pool: the tasks call `spawn` and return the receivers, and a thread outside receives. No worker
//!   waits for a flight then, so even the callers' pool may be the executor.
//! * If you can do neither, give every call on a worker a timeout.
//!
//! ## What does not help
//!
//! * The callers' pool as the executor, while its workers wait for receivers. If all of them wait, the job is never begun. The
//!   check does not see that, because a job that has not begun has no thread.
//! * The group's own threads, if the work uses the callers' pool. If all workers wait for the flight, the flight waits for a
//!   worker.
//! * `install` into the pool that the task is already in: it runs the closure at once, on the same stack.
//! * `install` into another pool, in the leader's closure: the leader's worker waits inside rayon, and runs other tasks of its
//!   own pool on top of the leader.
//!
//! The tests in `benches/peers/tests/work_stealing` show each of these facts with rayon 1.12:
//!
//! ```text
//! cargo test --manifest-path benches/peers/Cargo.toml --test work_stealing
//! ```
//!
//! # Timeout for the first caller
//!
//! A follower can have a deadline. A leader cannot, because nobody can interrupt a closure on its own thread. To let the
//! *first* caller leave, too, spawn the work and wait for the receiver:
//!
//! ```
//! use flight_group::Group;
//! use flight_group::crossbeam_channel::{after, bounded, select};
//! use std::time::Duration;
//!
//! let group: Group<&str, u32> = Group::new();
//! let (finish, gate) = bounded::<()>(0);
//! let report = group.spawn(&"report", move || {
//!     let _ = gate.recv();       // the work lasts until the gate is opened
//!     Ok(42)
//! });
//!
//! let in_time = select! {
//!     recv(report) -> landing => Some(landing.unwrap().unwrap().value),
//!     recv(after(Duration::from_millis(20))) -> _ => None,    // we leave, the work goes on
//! };
//! assert_eq!(in_time, None);
//!
//! let other = group.spawn(&"report", || Ok(0));          // another caller joins the same flight
//! drop(finish);
//! assert_eq!(other.recv().unwrap().unwrap().value, 42);
//! assert_eq!(report.recv().unwrap().unwrap().value, 42); // the first receiver gets it, too
//! ```
//!
//! Exactly one message arrives, so `recv` does not fail: see [`spawn`](crate::Group::spawn).
//!
//! A [`CancelToken`](crate::CancelToken) cannot be put into `select!`. To leave at a deadline *and* when a token is
//! cancelled, spawn the work, and [follow](crate::Call::follow) the flight with the options of a call:
//!
//! ```
//! use flight_group::{CancelToken, Error, Group, Landing};
//! use flight_group::crossbeam_channel::bounded;
//! use std::time::{Duration, Instant};
//!
//! type Reports = Group<u32, u64>;
//!
//! fn report(
//!     group: &Reports,
//!     key: u32,
//!     deadline: Instant,
//!     shutdown: &CancelToken,
//!     work: impl FnOnce() -> u64 + Send + 'static,
//! ) -> Result<Landing<u64>, Error<std::convert::Infallible>> {
//!     let own = group.spawn(&key, move || Ok(work()));
//!     match group.call(&key).deadline(deadline).cancel(shutdown).follow() {
//!         Some(outcome) => outcome,
//!         // It has landed already.
//!         None => own.recv_deadline(deadline).unwrap_or_else(|_| Err(Error::timed_out())),
//!     }
//! }
//!
//! let (group, shutdown) = (Reports::new(), CancelToken::new());
//! let in_time = Instant::now() + Duration::from_secs(60);
//! assert_eq!(report(&group, 7, in_time, &shutdown, || 42).unwrap().value, 42);
//!
//! let (finish, gate) = bounded::<()>(0);
//! let work = move || gate.recv().map_or(43, |()| 0);         // until the gate is opened
//! let late = report(&group, 7, Instant::now() + Duration::from_millis(20), &shutdown, work);
//! assert!(late.unwrap_err().is_timed_out());                 // we left, the work goes on
//!
//! shutdown.cancel("the server shuts down");
//! let left = report(&group, 7, in_time, &shutdown, || 44);   // joins the flight, and leaves
//! assert!(left.unwrap_err().is_cancelled());
//! drop(finish);
//! ```
//!
//! A call that is made in this way counts twice in [`stats`](crate::Group::stats). If its own flight has landed and a
//! newer one has begun, it follows the newer one.
//!
//! # Retrying: `backon`
//!
//! Retry *inside* the flight: one caller retries, and all of them share the outcome. Around the call every follower would
//! retry on its own, at the same moments.
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
//!     let pauses = ExponentialBuilder::default().with_min_delay(Duration::from_millis(1));
//!     load.retry(pauses.with_max_times(5)).when(|error| *error == "connection reset").call()
//! });
//! assert_eq!((row, attempts.get()), (Ok("row"), 3));
//! ```
//!
//! # One error type for `?`
//!
//! All callers of a flight get its error, and most errors cannot be cloned. [`SharedError`](crate::SharedError) holds
//! any of them. `?` makes it in the closure, and `?` turns what the call returns into a `Box<dyn Error>` or an
//! `anyhow::Error`. [`types`](super::types#which-error-type) shows it, and which other error types fit.
//!
//! # Merging events
//!
//! A `WriteGroup` pushes *the newest state*: only the newest queued closure runs. If every caller brings a part of its own (a
//! count, a list of changed rows, a log line), nothing may be dropped. Use an [`EventGroup`](crate::EventGroup) there. It
//! merges the parts as they arrive, in their order, and pushes the result, one push per key at a time. A call of `push`
//! returns the outcome of the push that carried its own part. A call of `submit` returns at once, and a few workers do the
//! rest.
//!
//! `merge` must be associative: see [`EventGroup::new`](crate::EventGroup::new).
//!
//! Here threads count page views. The far side gets at most one change per page and hour: the first one at once, and the sum
//! of the others when the hour is over or the program ends:
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
//!     |sum: &mut u64, more: u64| *sum += more,              // merge: newer into older
//!     move |page: &String, sum| {
//!         if page.is_empty() {
//!             return Err("no page".into());
//!         }
//!         far_side.lock().unwrap().push((page.clone(), sum));
//!         Ok(())
//!     },
//! )
//! .min_interval(Duration::from_secs(3600))                  // the last push always comes
//! .capacity(10_000)                                         // pages that wait, not views
//! .on_failure(|page, error| eprintln!("views of {page:?} are lost: {error}"))
//! .build();
//!
//! // `push` blocks until the far side has it, and returns the outcome.
//! views.push("home", 1).unwrap();
//! assert_eq!(views.push("", 1), Err(Error::Work("no page".into())));
//!
//! // `submit` returns at once: the view is counted, and pushed with the others.
//! std::thread::scope(|s| {
//!     for _ in 0..4 {
//!         s.spawn(|| (0..25).for_each(|_| views.submit("home", 1).unwrap()));
//!     }
//! });
//! assert_eq!(*told.lock().unwrap(), [("home".to_owned(), 1)]);    // the hour is not over
//!
//! drop(views);                                              // pushes all that waits
//! assert_eq!(*told.lock().unwrap(), [("home".to_owned(), 1), ("home".to_owned(), 100)]);
//! ```
//!
//! * If a run fails, its events are gone. They are never put into a newer run. See [Retrying a push](#retrying-a-push).
//! * `quiet` waits until a key's events pause (an editor that saves at every key stroke). Give it a `max_wait`. Otherwise a
//!   steady stream delays the push for ever.
//! * A closure may `submit` to its own group, and may `push` to another key. A `push` to the key that it is pushing returns
//!   `Error::Deadlock`. The closure must not own a handle of its group, or the group never ends.
//!
//! ## Retrying a push
//!
//! Retry inside `push`. The merged event is at hand there, and the key's newer events wait, so the order stays:
//!
//! ```
//! use backon::{BlockingRetryable, ExponentialBuilder};
//! use flight_group::EventGroup;
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! let told: Arc<Mutex<Vec<(u32, String)>>> = Arc::default();     // the far side
//! let (far_side, calls) = (told.clone(), AtomicU32::new(0));
//! let send = move |order: u32, lines: &str| {
//!     if calls.fetch_add(1, Ordering::Relaxed) < 2 {
//!         return Err("connection reset");
//!     }
//!     far_side.lock().unwrap().push((order, lines.to_owned()));
//!     Ok(())
//! };
//!
//! let changes: EventGroup<u32, String, (), &str> = EventGroup::builder(
//!     |lines: &mut String, more: String| lines.push_str(&more),
//!     move |order: &u32, lines: String| {
//!         let pauses = ExponentialBuilder::default().with_min_delay(Duration::from_millis(1));
//!         (|| send(*order, &lines)).retry(pauses.with_max_times(5)).call()
//!     },
//! )
//! .workers(16)               // one for each key that may be failing at a time, and some more
//! .on_failure(|order, error| eprintln!("order {order}: {error}"))
//! .build();
//!
//! changes.submit(&17, "packed".to_owned()).unwrap();
//! drop(changes);                                                 // waits for the tries, too
//! assert_eq!(*told.lock().unwrap(), [(17, "packed".to_owned())]);
//! ```
//!
//! A key that retries holds one worker until its last try. If as many keys retry as there are
//! [`workers`](crate::EventGroupBuilder::workers), all other keys wait for them. So limit the number of tries, and let `push` look
//! at a [`CancelToken`](crate::CancelToken) between the tries, so that a shutdown can end them.
//!
//! Do not submit a failed event again from [`on_failure`](crate::EventGroupBuilder::on_failure) if `merge` keeps the
//! newer event. There are two traps:
//!
//! * *The old state wins.* The failed event is older than those that have arrived meanwhile. Submitted again, it arrives
//!   last and is merged as the newest. If "packed" fails while "delivered" waits, "packed" is sent twice and "delivered"
//!   never.
//! * *A [`delay`](crate::EventCall::delay) is no pause while events arrive.* An event without a delay takes the delayed
//!   ones along, so under a steady stream the failed event is pushed again at once.
//!
//! Submitting again is right only if the order of the events does not matter:
//!
//! * either `merge` adds up, and so does the far side;
//! * or the events carry a version, `merge` keeps the greater one (`if new.version > old.version { *old = new }`), *and* the
//!   receiver ignores a version that is not newer: see [The order at the far side](#the-order-at-the-far-side). `merge`
//!   alone is not enough, because the newer event may have been pushed before the older one is submitted again.
//!
//! Then put the event into the error (`E` is `Arc<Failed>`, with the event in `Failed`), and let `on_failure` reach the
//! group through a `Weak` from `Arc::new_cyclic`. `flush` and the last drop do not wait for events that are submitted
//! again. In the last drop the `Weak` is empty: log those events, or write them to disk.
//!
//! # Many keys in one call
//!
//! A [`Batcher`](crate::Batcher) gathers *different* keys into one call of a function that takes many. It has no timer: calls
//! that arrive while a batch runs form the next batch. With a group around it, callers of one key share a flight, and only the
//! leaders' keys are gathered:
//!
//! ```
//! use flight_group::{Batcher, Error, Group};
//! use std::collections::HashMap;
//!
//! let rows: Batcher<u64, String, &str> = Batcher::new(|ids: &[u64]| {
//!     let found = ids.iter().filter(|id| **id < 10);
//!     Ok(found.map(|id| (*id, format!("row {id}"))).collect::<HashMap<_, _>>())
//! });
//! let reads: Group<u64, Option<String>, Error<&str>> = Group::new();
//! let read = |id: u64| {
//!     reads.try_work(&id, || match rows.load(&id) {
//!         Ok(row) => Ok(Some(row)),
//!         Err(Error::Missing(_)) => Ok(None),    // the function returned nothing for this key
//!         Err(error) => Err(error),
//!     })
//! };
//! assert_eq!(read(7), Ok(Some("row 7".to_owned())));
//! assert_eq!(read(70), Ok(None));
//! ```
//!
//! The function must not read through the same door: a batch for row 1 that reads row 2, while another thread waits for row 2
//! in the next batch, would wait for itself. It gets [`Error::Deadlock`](crate::Error::Deadlock).
//!
//! `cargo run --release --example batch_queries` measures it on SQLite beside a statement for each question. A batch wins where
//! a statement reads many rows or syncs the disk. It loses to point queries by primary key over a connection for each thread,
//! which answer twice as many. The figures: [`Batcher`](crate::Batcher#when-it-pays).
//!
//! # Hedged requests: `Hedge`
//!
//! If replicas mostly answer fast and sometimes late, [`Hedge`](crate::Hedge) asks a second one when the first has taken too
//! long, and returns the first good reply. Put it *inside* the flight: then there is one hedge for all callers of the key.
//! Around the call every follower would ask twice:
//!
//! ```
//! use flight_group::{Group, Hedge, HedgeError};
//! use std::time::Duration;
//!
//! let hedge = Hedge::new().delay(Duration::from_millis(20)).max(2);
//! let group: Group<u64, String, HedgeError<&str>> = Group::new();
//!
//! let reply = group.try_work(&7, || hedge.run(|attempt| {
//!     // Attempt 0 asks the first replica, attempt 1 the second. A loser's token is cancelled.
//!     match attempt.index() {
//!         0 => Err("connection refused"),
//!         _ => Ok("from the second".to_owned()),
//!     }
//! }));
//! assert_eq!(reply.unwrap(), "from the second");
//! ```
//!
//! `cargo run --release --example hedged_reads` does it with three replicas over HTTP.
//!
//! # All of them or the first failure
//!
//! [`ErrGroup`](crate::ErrGroup) runs tasks on scoped threads, which may borrow. Here it asks the shards of a cluster at the
//! same time, and gives up at the first failure: tasks that have not started are skipped, and the others' token is cancelled.
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
