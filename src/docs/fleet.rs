//! More than one process: what the fleet guarantees, what nobody can, and what to give your Redis.
//!
//! Needs the feature `redis` (rustc 1.88, which its driver asks for). Everything here is about
//! [`fleet`](crate::fleet).
//!
//! # When to use it
//!
//! When *one execution per process* is still too many. The local groups need no server, answer in a microsecond and
//! cannot be down; eight processes with a local [`Group`](crate::Group) each send a database at most eight queries for
//! one key. Where that is good enough, stop here.
//!
//! # What is guaranteed
//!
//! | | |
//! |---|---|
//! | One flight | For one key of a [`FleetGroup`](crate::fleet::FleetGroup) at most one closure runs in the fleet *while its lease holds*. Different keys never wait for each other. |
//! | Overlap, fresh | As locally: a read gets the outcome of a flight that was in the air during its call; with `fresh`, one that started after it. An outcome is never served after its flight has ended, unless the [reuse window](crate::fleet::FleetGroupBuilder::reuse) is on: it is stored under the flight's number, and not under your key. |
//! | A dead leader | costs its followers the time to live, some 25 ms and a round trip; then exactly one of them leads. |
//! | A leader that panics, or whose error is not shared | costs nothing: its followers are told to board anew. |
//! | Fences | Every flight and lease has a number greater than those of all before it, also after a failover that lost writes (unless clocks of the two servers are further apart than the time between). |
//! | Leases | First come, first served, over all processes. A waiter that dies is skipped after its heartbeat (the time to live, between 0.3 and 3 s). |
//! | Loss | A holder that loses its record is told by [`is_lost`](crate::fleet::Lease::is_lost) and [`on_lost`](crate::fleet::Lease::on_lost), before the server lets the next one in as long as its clock is right; and by the answer to its release. |
//! | Deadlines | No call hangs past its own. Without one, a call gives a silent server up after three command timeouts, and the calls after it at once. (Silence is what a socket can measure: where every byte of one answer takes its time, an answer can take longer, and so can a call with a deadline of more than two command timeouts that happens to read it.) |
//! | No server | Reads fly alone, each process collapsing its own. Leases and writes fail. |
//!
//! # What cannot be promised, and why
//!
//! **Exactly once.** A process can be stopped (by SIGSTOP, a page fault, a hypervisor) between the moment it looks at
//! its lease and the moment it writes. While it is stopped the lease ends and somebody else gets it. When it goes on it
//! does not know. No lock service can prevent that; whoever says so has moved the problem. What prevents the damage is the
//! *storage*: it keeps the greatest fence it has seen and refuses a smaller one.
//!
//! ```
//! use rusqlite::{Connection, params};
//!
//! let db = Connection::open_in_memory()?;
//! db.execute("CREATE TABLE reports (id TEXT PRIMARY KEY, body TEXT, fence INTEGER NOT NULL)", [])?;
//! db.execute("INSERT INTO reports VALUES ('2026-11', '', 0)", [])?;
//!
//! // `false`: somebody with a later lease has written. Not an error of the database, but the end of this job.
//! let write = |body: &str, fence: u64| {
//!     let sql = "UPDATE reports SET body = ?2, fence = ?3 WHERE id = ?1 AND fence <= ?3";
//!     db.execute(sql, params!["2026-11", body, fence as i64]).map(|rows| rows == 1)
//! };
//!
//! let (stopped_too_long, took_over) = (1_795_000_000_000_001, 1_795_000_000_000_002);   // from `lease.fence()`
//! assert!(write("by the second", took_over)?);
//! assert!(!write("by the first, who woke up", stopped_too_long)?);
//! assert!(write("more by the second", took_over)?);
//!
//! let body: String = db.query_row("SELECT body FROM reports", [], |row| row.get(0))?;
//! assert_eq!(body, "more by the second");
//! # Ok::<(), rusqlite::Error>(())
//! ```
//!
//! In a job, the same two lines:
//!
//! ```no_run
//! # use flight_group::fleet::{Fleet, FleetError};
//! # fn write(_: &str, _: u64) -> bool { true }
//! let fleet = Fleet::connect("redis://127.0.0.1/")?;
//! let lease = fleet.lease("report:2026-11").acquire()?;
//! if !write("..", lease.fence()) {
//!     println!("overtaken: leaving the report to whoever holds it now");
//! }
//! # Ok::<(), FleetError>(())
//! ```
//!
//! A fence fits into an `i64` (microseconds since 1970) and stays there.
//!
//! **That a reader sees its own write through another process's flight.** A read that boards a flight in the air may get
//! a value from before a write that has just returned; that is the rule of reads. Ask with
//! [`fresh`](crate::fleet::FleetCall::fresh) after a write.
//!
//! **Deadlocks across processes.** [`Error::Deadlock`](crate::Error::Deadlock) sees the threads of one process. Two
//! processes that wait for each other's flights wait until their deadlines: give calls inside flights one.
//!
//! **A failing Redis Cluster or a quorum.** This is one server, or one primary with replicas behind an address that
//! follows it. After a failover the fences still grow, which is what keeps the storage right; that no two hold one lease
//! in that moment nobody promises.
//!
//! # What Redis needs
//!
//! Version 6.2 or later; all figures and tests here are of 7.0.15. Valkey speaks the same protocol and runs the same
//! scripts, but no test has run against it yet: `FLIGHT_GROUP_REDIS_SERVER=valkey-server cargo test --features redis --test
//! fleet` does. A user of its own, with these permissions and no others (a test runs with exactly this line; `flight` is
//! the [prefix](crate::fleet::FleetBuilder::prefix); with sentinels add `+role`, or do without the check):
//!
//! ```text
//! ACL SETUSER fleet on >secret resetchannels &flight:in:* ~{flight:* -@all +evalsha +eval +publish +subscribe
//!     +unsubscribe +punsubscribe +ping +info +hget +hmget +hset +hdel +hgetall +hincrby +get +set +del +exists +pttl
//!     +pexpire +time +zadd +zrem +zrange +zrank +zscore
//! ```
//!
//! **Memory.** A flight in the air is a hash of about 220 bytes, and 80 more for each process that waits for it; it is gone
//! when it lands. An outcome that somebody waited for stays for the [linger](crate::fleet::FleetGroupBuilder::linger)
//! (the time to live), at most [`max_result`](crate::fleet::FleetGroupBuilder::max_result) bytes. The last fence of every
//! key asked for in the last 24 hours takes about 130 bytes: a million keys a day are 130 MB. It is not needed to keep
//! fences growing while the server's clock does, so a server that must forget may.
//!
//! **Eviction.** `maxmemory-policy noeviction`, on a server that is not also a cache: with a `volatile-*` or `allkeys-*`
//! policy a full server ends leases at random. They are noticed as lost, but work is done twice. A server that is full
//! under `noeviction` goes on giving and taking leases.
//!
//! **Persistence.** None is needed. A server that restarts empty has forgotten who held what: holders are told of the
//! loss within a third of the time to live, and the fences go on growing by its clock.
//!
//! **Clocks.** The server's clock floors the fences and judges heartbeats, its monotonic time the times to live. A clock
//! that is set back costs nothing while the last fence of a key is remembered (24 hours).
//!
//! **Connections.** Two a process, whatever the number of threads and keys.
//!
//! **TLS.** One of the features `redis-rustls` and `redis-native-tls` (with both the driver uses rustls and knows no
//! authority but those it is given), and an address that begins with `rediss://`. The system's authorities are trusted, or
//! those of `FleetBuilder::tls_root_certificate`; a server that wants to know its clients is shown
//! `tls_client_certificate`. With rustls a program that has chosen no cryptography of its own gets `ring` as the process's
//! default at the first connection.
//!
//! **Sentinels.** [`FleetBuilder::sentinels`](crate::fleet::FleetBuilder::sentinels): they are asked at every connection
//! who the master is, and its role is checked. A test fails a real master over. For the records see above: what the old
//! master had not yet told its replica is forgotten.
//!
//! # Which time to live
//!
//! It is what a dead leader costs, and what an outage may last before holders lose what they hold; and a holder that is
//! descheduled for that long is overtaken. Ten seconds, the default, is for machines that swap and servers that fail over
//! by themselves. Below half a second a busy machine will lose leases that nobody took.
//!
//! # Fork
//!
//! A child that was forked makes connections and tokens of its own at its first use. The parent's leases stay the
//! parent's: in the child they are [lost](crate::fleet::Lease::is_lost), and dropping them there releases nothing.
//!
//! # Where it comes from
//!
//! The token that only its owner may delete is the Redis documentation's own pattern; fencing is Martin Kleppmann's ("How
//! to do distributed locking", 2016); renewing from one thread is Redisson's watchdog; the commander is flat combining
//! (Hendler, Incze, Shavit and Tzafrir, 2010). A queue instead of random retries is what makes turns equal.
