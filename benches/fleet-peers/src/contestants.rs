//! Three ways to hold a lock on Redis. Each thread or task has a lock of its own: what is measured is the way to the server
//! and back, not a queue.

use redis::Script;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TTL: Duration = Duration::from_secs(10);

pub(crate) trait Contestant {
    /// Pairs per second of `threads` threads or tasks.
    fn pairs(&self, threads: usize, time: Duration) -> Result<f64, String>;
}

/// This crate: all threads share one connection.
pub(crate) struct Fleet(flight_group::fleet::Fleet);

impl Fleet {
    pub(crate) fn connect(url: &str) -> Result<Self, String> {
        flight_group::fleet::Fleet::connect(url).map(Self).map_err(|error| error.to_string())
    }
}

impl Contestant for Fleet {
    fn pairs(&self, threads: usize, time: Duration) -> Result<f64, String> {
        on_threads(threads, time, |n| {
            let lease = self.0.lease(&format!("fleet-{n}")).ttl(TTL).acquire();
            lease.and_then(|lease| lease.release()).map_err(|error| error.to_string())
        })
    }
}

/// `rslock` with one server, on tokio: all tasks share one multiplexed connection.
pub(crate) struct Rslock {
    runtime: tokio::runtime::Runtime,
    manager: rslock::LockManager,
}

impl Rslock {
    pub(crate) fn connect(url: &str) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no tokio runtime: {error}"))?;
        Ok(Self { runtime, manager: rslock::LockManager::new(vec![url.to_owned()]) })
    }
}

impl Contestant for Rslock {
    fn pairs(&self, tasks: usize, time: Duration) -> Result<f64, String> {
        self.runtime.block_on(async {
            let begin = Instant::now();
            let running: Vec<_> = (0..tasks)
                .map(|n| {
                    let manager = self.manager.clone();
                    tokio::spawn(async move {
                        let name = format!("rslock-{n}");
                        let mut done = 0u64;
                        while begin.elapsed() < time {
                            let lock = manager.lock(name.as_bytes(), TTL).await.map_err(|error| error.to_string())?;
                            manager.unlock(&lock).await;
                            done += 1;
                        }
                        Ok::<_, String>(done)
                    })
                })
                .collect();
            let mut done = 0;
            for task in running {
                done += task.await.map_err(|error| error.to_string())??;
            }
            Ok(done as f64 / begin.elapsed().as_secs_f64())
        })
    }
}

/// What is written by hand: `SET NX PX`, a script that compares and deletes, and a connection for each thread. No renewal,
/// no queue, no fence, no reconnecting.
pub(crate) struct Hand {
    connections: Vec<Mutex<redis::Connection>>,
    release: Script,
}

impl Hand {
    pub(crate) fn connect(url: &str, threads: usize) -> Result<Self, String> {
        let connect = || {
            use redis::IntoConnectionInfo;
            let info = url.into_connection_info()?;
            // As the fleet sets it; without it every answer waits for an acknowledgement.
            let settings = info.tcp_settings().clone().set_nodelay(true);
            redis::Client::open(info.set_tcp_settings(settings))?.get_connection_with_timeout(Duration::from_secs(5))
        };
        let connections = (0..threads).map(|_| connect().map(Mutex::new)).collect::<redis::RedisResult<_>>();
        let release = Script::new(
            "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end",
        );
        Ok(Self { connections: connections.map_err(|error| error.to_string())?, release })
    }
}

impl Contestant for Hand {
    fn pairs(&self, threads: usize, time: Duration) -> Result<f64, String> {
        on_threads(threads, time, |n| {
            let mut connection = self.connections[n].lock().unwrap();
            let (name, token) = (format!("hand-{n}"), format!("{n}.{:?}", Instant::now()));
            let mut set = redis::cmd("SET");
            set.arg(&name).arg(&token).arg("NX").arg("PX").arg(TTL.as_millis() as u64);
            let taken: bool = set.query(&mut connection).map_err(|error| error.to_string())?;
            let freed: bool =
                self.release.key(&name).arg(&token).invoke(&mut connection).map_err(|error| error.to_string())?;
            if taken && freed { Ok(()) } else { Err("a lock by hand was not held".to_owned()) }
        })
    }
}

fn on_threads(
    threads: usize,
    time: Duration,
    body: impl Fn(usize) -> Result<(), String> + Sync,
) -> Result<f64, String> {
    let (stop, done, failure) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(None));
    let begin = Instant::now();
    std::thread::scope(|s| {
        for n in 0..threads {
            let (stop, done, failure, body) = (&stop, &done, &failure, &body);
            s.spawn(move || {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = body(n) {
                        *failure.lock().unwrap() = Some(error);
                        break;
                    }
                    count += 1;
                }
                done.fetch_add(count, Ordering::Relaxed);
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    match failure.into_inner().unwrap() {
        Some(error) => Err(error),
        None => Ok(done.into_inner() as f64 / begin.elapsed().as_secs_f64()),
    }
}
