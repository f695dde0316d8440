//! What the crate does not do, and when not to use it.
//!
//! * [It is not a cache](#it-is-not-a-cache)
//! * [It is not async](#it-is-not-async)
//! * [It does not interrupt work](#it-does-not-interrupt-work)
//! * [Followers get the leader's outcome](#followers-get-the-leaders-outcome)
//! * [Thread pools and work stealing](#thread-pools-and-work-stealing)
//! * [What the deadlock check does not see](#what-the-deadlock-check-does-not-see)
//! * [Your code under a lock](#your-code-under-a-lock)
//! * [`panic = "abort"` and double panics](#panic--abort-and-double-panics)
//! * [Fairness](#fairness)
//! * [Exit and statics](#exit-and-statics)
//! * [Fork](#fork)
//! * [More than one process](#more-than-one-process)
//! * [Targets](#targets)
//! * [Where it does not pay](#where-it-does-not-pay)
//!
//! # It is not a cache
//!
//! When a flight has landed, nothing is kept. If the value may be used again, put the group around the code that fills your
//! cache, and look into the cache [twice](super::patterns#a-cache-that-does-not-stampede). A cache with eviction that also
//! loads each key once, such as moka or quick_cache, may be all you need. The page [`comparison`](super::comparison) shows
//! what they do with panics, errors and re-entry, and [`caches`](super::caches) shows them together with a group.
//!
//! # It is not async
//!
//! Every call blocks its thread, except [`Group::spawn`](crate::Group::spawn), [`WriteGroup::spawn`](crate::WriteGroup::spawn)
//! and [`EventGroup::submit`](crate::EventGroup::submit). Do not block the threads of an async runtime. Use the runtime's own
//! crates there.
//!
//! # It does not interrupt work
//!
//! A timeout, a deadline or a cancel token ends a *wait*. If a closure hangs, its leader hangs. Its followers leave at
//! their deadlines, and [`takeover_after`](crate::Call::takeover_after) or [`forget`](crate::Group::forget) lets the
//! next caller start anew. Give the work its own limits: a timeout of the socket, a limit on the query, the cancel
//! token. One example has it all: [A limit for a whole request](super::patterns#a-limit-for-a-whole-request).
//!
//! # Followers get the leader's outcome
//!
//! They get its value, its error and its latency. Put everything the result depends on into the key: tenant, role, locale. If
//! a failure may be the leader's alone, see [`share_failures(false)`](crate::GroupBuilder::share_failures).
//!
//! # Thread pools and work stealing
//!
//! A caller that waits blocks a thread of the pool. If all threads of a pool wait for flights whose work needs a thread of the
//! same pool, the pool is stuck. Work inside a flight must not wait for its own pool. See
//! [On a thread pool](super::patterns#on-a-thread-pool).
//!
//! A work-stealing pool also runs other tasks on top of a task that waits inside the pool. What then happens, and what to do,
//! is in [Work-stealing pools (rayon)](super::patterns#work-stealing-pools-rayon).
//!
//! # What the deadlock check does not see
//!
//! It sees the waits inside this crate's blocking calls. It does not see:
//!
//! * `Receiver::recv`, also of a spawned call;
//! * joining a thread, a mutex, a full pool or channel, another process;
//! * [`CancelToken::wait`](crate::CancelToken::wait);
//! * a wait inside a [work-stealing pool](super::patterns#work-stealing-pools-rayon): `join`, `scope`, `install`.
//!
//! A closure that waits in one of these ways for a thread that waits for the closure hangs, as it would without the crate.
//!
//! A hedged call waits for any of its attempts. It is refused when no further attempt is to come and all running attempts wait
//! for it. Until then, while its delay lasts, it counts as a wait that ends by itself. So a deadlock inside a hedge is found
//! after [`max`](crate::Hedge::max) delays at the latest. An attempt that your own pool has taken and not begun counts as an
//! attempt that will begin.
//!
//! A task of an error group gets the error when it waits for the thread that opened the scope, because that thread cannot leave
//! the scope without the task. In all other circles the thread that closes the circle gets the error.
//!
//! A closure must not call its own group for its own key on the same thread. The call returns
//! [`Error::Deadlock`](crate::Error::Deadlock). `work` and `write`, which return no `Result`, panic.
//!
//! # Your code under a lock
//!
//! The key's `Eq` and, for a new leader, its `to_owned` run under the lock of a shard, and
//! [`flights`](crate::Group::flights) clones keys there. They must be quick and must not call the group. All other code of
//! yours runs outside every lock: `Hash`, `Clone` and `Drop` of values, closures, `merge`, observers, executors. In a
//! [`Batcher`](crate::Batcher) only `K::eq` runs under the lock.
//!
//! # `panic = "abort"` and double panics
//!
//! A panic is contained only if panics unwind. With `panic = "abort"` it ends the process, as it would anyway. A `Drop` that
//! panics while another panic unwinds aborts the process, as everywhere in Rust. The panic hook runs once, for the leader's
//! panic. Followers get its message as a value.
//!
//! # Fairness
//!
//! Only the newest queued write runs, and it covers the others, so there is no queue to be fair about. The shard's lock decides
//! which of several callers becomes the leader of an idle key, and it makes no promise.
//!
//! # Exit and statics
//!
//! Rust does not drop statics. An [`EventGroup`](crate::EventGroup) in a `static` never ends by itself: call
//! [`flush`](crate::EventGroup::flush) before `main` returns and before `std::process::exit`. Otherwise the events that wait
//! are lost with the process.
//!
//! When the process ends, it ends the spawned reads and *writes* that are still in the air. The last handle of an
//! `EventGroup` waits for what was accepted when it is dropped. Dropping a [`Group`](crate::Group) or a
//! [`WriteGroup`](crate::WriteGroup) waits for nothing. So keep the receivers of
//! [`WriteGroup::spawn`](crate::WriteGroup::spawn) and receive from them before `main` returns, or call
//! [`flush`](crate::WriteCall::flush) for each key.
//!
//! [`EventGroup::close`](crate::EventGroup::close) ends in time:
//!
//! * With a deadline that has passed it does not wait, and gives back what is not due. A run that a worker is about to begin
//!   may still begin.
//! * A second call waits for the runs that are still in the air, until its own deadline. It always gives back an empty
//!   list, also if they have not ended: [`in_flight`](crate::EventGroup::in_flight) is 0 when they have.
//!
//! # Fork
//!
//! If a process forks while a flight is in the air, the flight never lands in the child, because its leader's thread does not
//! exist there. Fork before the first call, or use new groups in the child.
//!
//! # More than one process
//!
//! Each process collapses only its own calls. With the feature `redis` the module `fleet` does it for many processes. What it
//! can and cannot promise is on its own page, `docs::fleet`.
//!
//! # Targets
//!
//! The crate needs threads and 64-bit atomics. On a target without them (32-bit PowerPC and MIPS) it does not compile, and
//! says so.
//!
//! # Where it does not pay
//!
//! * Work that takes less than a few microseconds: two locks and, for followers, a sleep and a wake-up cost more.
//! * Keys that hardly ever coincide: each call pays some 10 to 50 ns for nothing (see [`performance`](super::performance)).
//! * Outcomes that must not be shared: one-time tokens, and anything that a caller consumes.
