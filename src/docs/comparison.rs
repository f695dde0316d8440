//! What other crates do, and what this one does: facts, each with the test or the program that shows it.
//!
//! * [What was run](#what-was-run)
//! * [A panic](#a-panic) · [Re-entry](#re-entry) · [Errors](#errors) · [Different keys](#different-keys) ·
//!   [Timeouts and cancellation](#timeouts-and-cancellation) · [After a write](#after-a-write) · [Writes](#writes) ·
//!   [The thread's token](#the-threads-token) · [What is kept](#what-is-kept) · [A lone call](#a-lone-call) ·
//!   [Many waiters](#many-waiters)
//! * [In this crate](#in-this-crate)
//! * [Where a peer is the better choice](#where-a-peer-is-the-better-choice), and
//!   [how to use one together with this crate](super::caches)
//!
//! # What was run
//!
//! | | version | shown by |
//! | --- | --- | --- |
//! | `singleflight` | 0.3.0 | tests |
//! | `moka` (`sync::Cache`) | 0.12.16 | tests |
//! | `quick_cache` (`sync::Cache`) | 0.7.0 | tests |
//! | `once_map` (`OnceMap`) | 0.4.24 | tests |
//! | `cached` (the `#[cached]` macro) | 4.1.0 | tests |
//! | x/sync `singleflight` (Go) | 0.1.0, Go 1.19.8, as in Debian 12 | program |
//! | the published `WriteGroup` (Go) | Xiao Lou, "Boost Go Performance: Enhancing singleflight for Read/Write Concurrency"; built anew from the article, on x/sync | program |
//! | go-zero `SingleFlight` (Go) | `core/syncx/singleflight.go` of zeromicro/go-zero at 457cd45 | its source, not run |
//! | Caffeine (Java) | 2.6.2, Java 17, as in Debian 12 | program |
//!
//! The crates are pinned in `benches/peers/Cargo.lock`; none is a dependency of this crate. Each fact about them, and each
//! about this crate beside them, is a test that plays one scenario with one contestant in a process of its own. A
//! hang is a process all of whose threads have slept through 0.8 s without a switch. The tables name the tests:
//! `panics::waiters` stands for `panics::waiters_moka` and so on. `--nocapture` prints what each found.
//!
//! ```text
//! cargo test --release --manifest-path benches/peers/Cargo.toml --test comparison
//! ```
//!
//! The programs print what they find; what they printed is quoted below. They need Debian's `golang-go` and
//! `golang-golang-x-sync-dev`, and `libcaffeine-java` with a JDK:
//!
//! ```text
//! GO111MODULE=off GOPATH=/usr/share/gocode go run benches/peers/go/main.go
//! java -cp /usr/share/java/caffeine.jar benches/peers/java/CaffeineFacts.java
//! ```
//!
//! # A panic
//!
//! The closure panics while three others wait, whose own would succeed (`panics::waiters`) or would panic as well
//! (`panics::every_time`); nobody waits, and the key is asked for again (`panics::key_afterwards`); the value's
//! `Clone` panics, and the key is asked for again (`panics::clone`).
//!
//! | | waiters whose work would succeed | four that all panic | the key afterwards |
//! | --- | --- | --- | --- |
//! | **flight-group** | 1 run; each gets `Error::Panicked` with the message | 1 run; 1 unwinds | works |
//! | `singleflight` | hang | | hangs |
//! | `moka` | 2 runs; all get the second's value | 4 runs, one after the other; all unwind | works |
//! | `quick_cache` | 2 runs; all get the second's value | 4 runs, one after the other; all unwind | works |
//! | `once_map` | 2 runs; all get the second's value | 4 runs, one after the other; all unwind | works |
//! | `cached`, `sync_writes` | 2 runs; all get the second's value | 4 runs, one after the other; all unwind | works |
//! | x/sync, `Do` | `1 run, 4 of 4 callers panic; then 2` | | works |
//! | x/sync, `DoChan` | `exit status 2: panic: boom`: nobody can recover it | | |
//! | go-zero | get `nil, nil`, a success: `makeCall` releases the waiters in a `defer` that neither recovers nor sets `err` | | works |
//!
//! The caches run the work again. That is better if one caller's closure is to blame for the panic (or, below, for the
//! error), and worse if the work is. Here [`share_failures(false)`](crate::GroupBuilder::share_failures) does it.
//! After a `Clone` that panics the key works with flight-group and quick_cache; with moka the key's next call panics:
//! "Got unexpected state `Computing` after resolving `init` future".
//!
//! # Re-entry
//!
//! A closure asks for its own key (`re_entry::same_thread`); two threads ask for each other's key
//! (`re_entry::two_threads`); a closure asks for another key, which nobody has (`re_entry::other_key`, and 65 of them one
//! inside the other, `re_entry::chain`).
//!
//! | | its own key | a asks for b, b for a | another key |
//! | --- | --- | --- | --- |
//! | **flight-group** | `Error::Deadlock` | one is told `Error::Deadlock`, both return | works |
//! | `singleflight` | hangs | | hangs |
//! | `moka` | hangs | hangs | works |
//! | `quick_cache` | hangs | hangs | works |
//! | `once_map` | hangs | hangs | works |
//! | `cached`, `sync_writes = "by_key"` | hangs | hangs | hangs where two keys share one of its 64 locks |
//! | `cached`, `sync_writes = true` | hangs | | hangs |
//! | `cached` without `sync_writes` | runs the inner one: nobody waits for anybody | | |
//! | x/sync, a program that does nothing else | `fatal error: all goroutines are asleep - deadlock!` | | works: `3` |
//! | x/sync, a program that does | `not back after 3 s, and nothing said` | `not back after 3 s, and nothing said` | works |
//! | Caffeine | `java.lang.IllegalStateException: Recursive update` | `hangs; the JVM finds 2 deadlocked threads when asked` | forbidden by its documentation |
//!
//! # Errors
//!
//! The work fails while eight others wait, whose own would fail too (`errors::shared`).
//!
//! | | |
//! | --- | --- |
//! | **flight-group** | 1 run; all nine get the error |
//! | flight-group, `share_failures(false)` | 9 runs, one after the other |
//! | `moka` (`try_get_with`) | 1 run; all nine get the error, in an `Arc` |
//! | `quick_cache` | 9 runs, one after the other |
//! | `once_map` | 9 runs, one after the other |
//! | `cached`, `sync_writes` | 9 runs, one after the other |
//! | `cached` without `sync_writes` | 9 runs at a time |
//! | x/sync | `1 run, 9 of 9 callers get the error` |
//! | Caffeine | `9 runs, 1 at a time, 9 of 9 callers see an exception` |
//!
//! `singleflight` has no errors, and as a value a `Result` is shared by chance: `Group::work` publishes it, lets the lock
//! go, and takes it again to remove the call; who waited for the lock and gets it in between shares, others run again.
//!
//! # Different keys
//!
//! 65 keys, one caller each, all of whose closures wait until they are let go (`keys::side_by_side`).
//!
//! | | |
//! | --- | --- |
//! | **flight-group**, `moka`, `quick_cache`, `once_map` | all at once |
//! | `singleflight`, `cached` with `sync_writes = true` | one at a time |
//! | `cached` with `sync_writes = "by_key"` | some wait for others: 64 locks, unless `sync_writes_buckets` says otherwise |
//!
//! # Timeouts and cancellation
//!
//! | | a follower | the first caller |
//! | --- | --- | --- |
//! | **flight-group** | [`timeout`](crate::Call::timeout), [`deadline`](crate::Call::deadline), [`cancel`](crate::Call::cancel) | [`spawn`](crate::Group::spawn) and the receiver's `recv_timeout` or `select!` |
//! | `quick_cache` | `get_value_or_guard(key, Some(timeout))` | |
//! | `moka`, `once_map`, `singleflight`, `cached` | nothing in their blocking interfaces | |
//! | x/sync | `DoChan` and `select` | the same |
//! | go-zero | nothing | |
//! | Caffeine | `AsyncLoadingCache`, `get(timeout)` of its future | the same |
//!
//! Tests: `timeouts::follower`, `timeouts::leader`; the programs: "leaving".
//!
//! # After a write
//!
//! A read is in the air and has looked at the source; the source changes, and the writer says so, as well as it can. What
//! does a read get that is called then, and one after both have landed (`freshness::after_a_write`)?
//!
//! | | the writer says so by | the next read | the one after |
//! | --- | --- | --- | --- |
//! | **flight-group** | `forget`, which [`invalidates`](crate::WriteGroupBuilder::invalidates) does by itself | new, at once | new |
//! | flight-group, reading with `fresh` | nothing | new, after the old has landed | new |
//! | flight-group, if nobody says anything | nothing | old | new |
//! | `quick_cache` | `remove` | new, at once | new |
//! | `moka` | `invalidate` | old | **old**: the load fills the cache after it |
//! | `cached`, `"by_key"` | `cache_remove` | old | **old**, likewise |
//! | `once_map`, `singleflight` | nothing that takes `&self` | | |
//! | x/sync | nothing | `old` | |
//! | x/sync | `Forget` | `new` | |
//! | Caffeine | `invalidate`, which `waits for the load`; "undefined" by its documentation | `new` | |
//!
//! quick_cache is the only one whose `remove` outdates the load that is in the air. Behind a group it does not know of the
//! load. There every cache needs the version check in [`patterns`](super::patterns#writes-reads-and-a-cache).
//!
//! # Writes
//!
//! While a save runs that has looked at the state, the state changes eight times, and each change asks for a save
//! (`writes::burst`).
//!
//! | | saves | the last change |
//! | --- | --- | --- |
//! | **flight-group**, [`WriteGroup`](crate::WriteGroup) | 2 | saved |
//! | a mutex for each key | 9, one after the other | saved |
//! | `moka`, `entry(key).and_compute_with` | 9, one after the other | saved |
//! | Caffeine, `asMap().compute` | `9 runs, 1 at a time, state 8, saved 8` | saved |
//! | a single flight used for it: `Group`, x/sync, or a cache's (`moka`, `quick_cache`, `cached`) | 1 | lost: its caller was given a run that began before it called |
//!
//! The published Go `WriteGroup` collapses queued writes, and the idea comes from there. But its first caller and its queue do
//! not know of each other. Two runs of a key overlap (`3 runs, 2 at a time`), and a caller can get the outcome of a run that
//! began before it called (`3 runs, state 1, saved 0 when the caller who changed it is back`).
//!
//! # The thread's token
//!
//! Another thread calls `unpark` for a thread while that thread waits for a load (`tokens::kept`). With flight-group, moka,
//! once_map and cached the token is still there afterwards, and a later `park` returns. quick_cache parks for its own
//! waiting and takes the token, and the later `park` hangs.
//!
//! # What is kept
//!
//! The key is asked for once more (`keeping::second_call`); 10,000 keys are asked for, with a capacity of 100 where there
//! is one (`keeping::bounded`).
//!
//! | | asked once more | kept of 10,000 |
//! | --- | --- | --- |
//! | **flight-group** | runs again | 0 |
//! | `singleflight` | runs again | |
//! | `moka`, `quick_cache`, `cached` with `max_size` | from memory | at most 100 |
//! | `once_map` | from memory | 10,000 |
//!
//! # A lone call
//!
//! Allocations of a call for a key not seen before, the least of a thousand (`allocations::lone`). Nanoseconds of a `u64` key
//! with the fast and the default hasher, from a run of 2026-11-21, before the engine of this crate was rebuilt. Method and
//! command are on the page [`performance`](super::performance).
//!
//! | | allocations | ns |
//! | --- | ---: | ---: |
//! | **flight-group** | 0 | 12.6, 21.6 |
//! | `once_map` | 0 | 56, 70 |
//! | `quick_cache` | 1 | 90, 119 |
//! | `cached`, `"by_key"` | 0 | not measured |
//! | `singleflight` | 4 | 310 |
//! | `moka` | 9 | 1,220, 1,251 |
//! | x/sync | | 121 and 204, in two runs of the program on a busy machine |
//!
//! The caches' nanoseconds are those of a miss, with the value taken out again. They include the work to keep the value. A
//! *hit* is what caches are made for. A group has no hits.
//!
//! # Many waiters
//!
//! Go wakes goroutines without the kernel: with x/sync the last of 64 waiters was back 18 and 53 us after the work had
//! ended, the last of 1,024 after 553 and 417 us, in the same two runs. Threads cost more. What this crate takes for them,
//! beside a bare broadcast, is in [`performance`](super::performance#what-to-expect).
//!
//! # In this crate
//!
//! Its column, as a caller sees it:
//!
//! ```
//! use flight_group::{Error, Group, WriteGroup, crossbeam_channel};
//! use std::panic::{AssertUnwindSafe, catch_unwind};
//! use std::time::Duration;
//!
//! let group: Group<&str, u32, &str> = Group::new();
//! let until_waiting = || while group.followers(&"k") == 0 { std::thread::yield_now() };
//!
//! // A panic goes on in the leader. The follower gets it as a value. The key works afterwards.
//! std::thread::scope(|s| {
//!     let boom = || group.try_work(&"k", || { until_waiting(); panic!("boom") });
//!     let leader = s.spawn(move || catch_unwind(AssertUnwindSafe(boom)));
//!     while group.in_flight() == 0 { std::thread::yield_now() }
//!     match group.try_work(&"k", || unreachable!()) {
//!         Err(Error::Panicked(panic)) => assert_eq!(panic.message(), "boom"),
//!         other => panic!("{other:?}"),
//!     }
//!     assert!(leader.join().unwrap().is_err());
//! });
//! assert_eq!(group.try_work(&"k", || Ok(1)), Ok(1));
//!
//! // Re-entry is an error.
//! let outer = group.try_work(&"k", || {
//!     let inner = group.try_work(&"k", || Ok(0));
//!     Ok(u32::from(inner.unwrap_err().is_deadlock()))
//! });
//! assert_eq!(outer, Ok(1));
//!
//! // A follower can leave, and disturbs nobody.
//! std::thread::scope(|s| {
//!     let (finish, gate) = crossbeam_channel::bounded::<()>(0);
//!     let group = &group;
//!     let leader = s.spawn(move || group.try_work(&"k", || { let _ = gate.recv(); Ok(2) }));
//!     while group.in_flight() == 0 { std::thread::yield_now() }
//!     let late = group.call(&"k").timeout(Duration::from_millis(5)).run(|| Ok(3));
//!     assert!(late.unwrap_err().is_timed_out());
//!     drop(finish);
//!     assert_eq!(leader.join().unwrap(), Ok(2));
//! });
//!
//! // A read after a write does not join the read before it.
//! let reads: Group<&str, u32> = Group::new();
//! let writes: WriteGroup<&str> = WriteGroup::builder().invalidates(&reads).build();
//! let source = std::sync::atomic::AtomicU32::new(1);
//! let look = || source.load(std::sync::atomic::Ordering::SeqCst);
//! std::thread::scope(|s| {
//!     let (finish, gate) = crossbeam_channel::bounded::<()>(0);
//!     let (reads, look) = (&reads, &look);
//!     let (looked, has_looked) = crossbeam_channel::bounded::<()>(0);
//!     let before = s.spawn(move || {
//!         reads.work(&"k", || {
//!             let seen = look();
//!             drop(looked);
//!             let _ = gate.recv();
//!             seen
//!         })
//!     });
//!     let _ = has_looked.recv();
//!     writes.write(&"k", || source.store(2, std::sync::atomic::Ordering::SeqCst));
//!     assert_eq!(reads.work(&"k", look), 2);
//!     drop(finish);
//!     assert_eq!(before.join().unwrap(), 1);
//! });
//! ```
//!
//! # Where a peer is the better choice
//!
//! * You want a **cache**: values kept, evicted by use, by weight or by age. `moka` (ages, listeners, statistics) or
//!   `quick_cache` (quicker above, timeouts, a `remove` that is right during a load). Both load a missing key once by
//!   themselves; what a group adds, and how to put one before the other, is on the page [`caches`](super::caches).
//! * You want to **memoize a function**, with one attribute, in memory, on disk or in Redis: `cached`. Its
//!   `result_fallback` serves the last good value when the function fails. Say `sync_writes = "by_key"` if callers are
//!   not to compute the same thing at the same time: it is not the default.
//! * You want each value computed **once and for all**, and references to it instead of clones: `once_map`.
//! * You are in **async** code: `moka::future`, quick_cache's async methods, or your runtime's own. This crate blocks.
//! * **Thousands of waiters** on one key, over and over: goroutines wake cheaper than threads do.
