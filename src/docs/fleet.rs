//! More than one process: what the fleet guarantees, what nobody can guarantee, and what your Redis needs.
//!
//! Needs the feature `redis` (rustc 1.88, which its driver asks for). Everything here is about
//! [`fleet`](crate::fleet).
//!
//! # When to use it
//!
//! When *one execution per process* is still too many. The local groups need no server, answer in a microsecond and
//! cannot be down; eight processes with a local [`Group`](crate::Group) each send a database at most eight queries for
//! one key. If that is good enough, stop here.
//!
//! # What is guaranteed
//!
//! Each line is tested against a real server, with processes that are killed and stopped, and connections that are cut.
//!
//! | | |
//! |---|---|
//! | One flight | For one key of a [`FleetGroup`](crate::fleet::FleetGroup) at most one closure runs in the fleet *while its record holds*. Different keys never wait for each other. |
//! | Overlap, fresh | As locally: a read gets the outcome of a flight that was in the air during its call. With `fresh`, the flight started after the call. A caller that comes after the flight has ended gets nothing of it, unless the [reuse window](crate::fleet::FleetGroupBuilder::reuse) is on. |
//! | Followers in one process | All threads of a process get what their leader gets. If the message with the outcome was lost, the leader asks again, at the latest when the flight's time to live is over. A thread that joined the leader in between gets that outcome too, though it was published before the thread's own call. |
//! | A dead leader | If a leader's process dies, its followers wait up to one time to live, some 25 ms and a round trip. Then one of them leads, or a caller that came just before them. *All* of them get that one outcome, however short the work is, unless it is larger than [`max_result`](crate::fleet::FleetGroupBuilder::max_result). |
//! | A leader that panics, or whose error is not shared | Its followers in other processes are told at once. One of them leads, and all of them get its outcome. |
//! | Writes | A write gets the outcome of a run that started after its call. It can board until that run starts, also while its process waits for the key's lease. Of the callers that wait in one process, the newest runs. |
//! | Fences | Every flight and lease has a number greater than those of all before it. This holds after a failover that lost writes too, unless the clocks of the two servers are further apart than the time between the two calls. |
//! | Leases | First come, first served, over all processes. A waiter that dies is skipped after its heartbeat (the time to live, but between 0.3 and 3 s). |
//! | Loss | A holder that loses its record is told by [`is_lost`](crate::fleet::Lease::is_lost) and [`on_lost`](crate::fleet::Lease::on_lost), before the server lets the next one in if its clock runs right. The answer to its release is definite. |
//! | Deadlines | A call with a deadline returns by its deadline, also while it releases a lease or lands a flight. Its own work is never interrupted. One exception: a call with more than two [command timeouts](crate::fleet::FleetBuilder::command_timeout) left may read answers for others, and an answer that arrives byte by byte is read to its end. |
//! | Cancellation | A call with a [`cancel`](crate::fleet::FleetCall::cancel) token returns when the token is cancelled, wherever it waits. It gives up its place in a queue. Its own work, and the sending of its outcome, are not interrupted. The same exception as for deadlines. |
//! | A silent server | A read flies alone: after its group's [patience](crate::fleet::FleetGroupBuilder::patience), and at the latest after half of the time that is left to its deadline. A lease or a write waits until its deadline, or for the fleet's [patience](crate::fleet::FleetBuilder::patience) if it has none. |
//! | No server | Reads run in their own process at once; each process still collapses its own. Leases and writes wait for the server, as above, and then return [`Unavailable`](crate::fleet::FleetError::Unavailable). |
//! | A refusal | `OOM`, `MISCONF`, `NOREPLICAS`, `BUSY`, `NOPERM` and `WRONGTYPE` concern the call that gets them. The connection stays, and other calls go on. The end of a flight or lease that was refused is sent again until its record has ended by itself. |
//! | Wrong server | [`connect`](crate::fleet::FleetBuilder::connect) refuses by name: a missing permission, a node of a cluster, a sentinel, a replica, a version before 6.2. |
//!
//! # How long a call waits
//!
//! | | with a deadline | without |
//! |---|---|---|
//! | a read, the server is silent | half of the time left, then it flies alone | [`FleetGroupBuilder::patience`](crate::fleet::FleetGroupBuilder::patience), then it flies alone |
//! | a read, the server is known to be away | not at all: it flies alone | not at all |
//! | a read of a group that [refuses](crate::fleet::FleetGroupBuilder::refuse_when_unavailable) | until the deadline | [`FleetGroupBuilder::patience`](crate::fleet::FleetGroupBuilder::patience), counted anew for each question to the server |
//! | a lease, a write | until the deadline | [`FleetBuilder::patience`](crate::fleet::FleetBuilder::patience), counted anew for each question to the server |
//! | [`Lease::release`](crate::fleet::Lease::release) and its drop | | three command timeouts; not at all if the server is known to be away |
//!
//! Both patiences are three command timeouts, which makes 3 s, unless you set them.
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
//! db.execute("CREATE TABLE reports (id TEXT PRIMARY KEY, body TEXT, fence INTEGER)", [])?;
//! db.execute("INSERT INTO reports VALUES ('2026-11', '', 0)", [])?;
//!
//! // `false`: the holder of a later lease has written. The database reports no error, and this
//! // job must end.
//! let write = |body: &str, fence: u64| {
//!     let sql = "UPDATE reports SET body = ?2, fence = ?3 WHERE id = ?1 AND fence <= ?3";
//!     db.execute(sql, params!["2026-11", body, fence as i64]).map(|rows| rows == 1)
//! };
//!
//! // From `lease.fence()`. The first process was stopped too long, and the second took over.
//! let (first, second) = (1_795_000_000_000_001, 1_795_000_000_000_002);
//! assert!(write("by the second", second)?);
//! assert!(!write("by the first, after it went on", first)?);
//! assert!(write("more by the second", second)?);
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
//! **A Redis Cluster or a quorum.** A fleet needs one server, or one primary with replicas behind sentinels or an address
//! that follows it. After a failover the fences still grow, which keeps the storage right. During a failover two
//! processes can hold one lease.
//!
//! **That a flight is served to a process only once, across a failover.** Replication is asynchronous. If a failover loses
//! the end of a flight, its leader sends it again to the new server. A process that got the outcome before the failover,
//! and calls again after it, can then be served the same flight once more, also with
//! [`fresh`](crate::fleet::FleetCall::fresh). Where a value must never go back, give it a version and keep the greater.
//!
//! # What Redis needs
//!
//! Version 6.2 or later, or Valkey. The figures here are of Redis 7.0.15. The tests run on Redis 7.0.15 and on Valkey 9.1:
//! `FLIGHT_GROUP_REDIS_SERVER=valkey-server cargo test --features redis --test fleet`.
//!
//! Give it a user of its own, with these permissions and no others. A test runs with exactly this line, and another one
//! leaves each of them out and expects `connect` to name it. `flight` is the
//! [prefix](crate::fleet::FleetBuilder::prefix); `+select` is for addresses that name a database (`redis://host/3`).
//!
//! ```text
//! ACL SETUSER fleet on >secret resetchannels &flight:in:* ~{flight:* -@all +evalsha +eval
//!     +publish +subscribe +ping +info +select +hget +hmget +hset +hdel +hgetall +hincrby +get
//!     +set +del +exists +pttl +pexpire +time +zadd +zrem +zrange +zrank +zscore
//! ```
//!
//! A sentinel that asks for a password needs a user that may run `SENTINEL GET-MASTER-ADDR-BY-NAME`, named in its address.
//!
//! **Memory.** A flight in the air is a hash of about 220 bytes, and 80 more for each process that waits for it; it is gone
//! when it lands. For each key the last outcome that somebody waited for stays for the
//! [linger](crate::fleet::FleetGroupBuilder::linger) (the time to live), at most
//! [`max_result`](crate::fleet::FleetGroupBuilder::max_result) bytes. The last fence of every
//! key asked for in the last 24 hours takes about 130 bytes: a million keys a day are 130 MB. It is not needed to keep
//! fences growing while the server's clock does, so a server that must forget may.
//!
//! **Eviction.** `maxmemory-policy noeviction`, on a server that is not also a cache: with a `volatile-*` or `allkeys-*`
//! policy a full server ends leases at random. They are noticed as lost, but work is done twice. A server that is full
//! under `noeviction` goes on giving and taking leases, queueing callers and handing out outcomes.
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
//! who the master is, and its role is checked. The one that knew last time is asked first; if it does not answer within
//! 25 ms the next one is asked beside it, so a sentinel that hangs costs no more than that. A test fails a real master
//! over. What the old master had not yet told its replica is forgotten, as above.
//!
//! # Which time to live
//!
//! It is how long followers wait for a leader that died, and how long an outage may last before holders lose what they
//! hold. A holder that is descheduled for that long is overtaken. Ten seconds, the default, is for machines that swap and
//! servers that fail over by themselves. Below half a second a busy machine will lose leases that nobody took.
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
