//! Real processes: this binary again, with a role.

use crate::support::{Log, patient, wait};
use flight_group::fleet::{Fleet, FleetFlight, FleetGroup, FleetWriteGroup, Json};
use redis::Script;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashMap;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) const ROLE: &str = "FLIGHT_GROUP_TEST_ROLE";

/// The storage that checks fences: keeps the largest, refuses a smaller one.
const STORE: &str = "
local kept = tonumber(redis.call('HGET', KEYS[1], 'fence') or 0)
if tonumber(ARGV[1]) < kept then return 0 end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'body', ARGV[2])
return 1";

pub(crate) struct Process {
    child: Child,
}

/// How a child is to behave.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) role: &'static str,
    pub(crate) url: String,
    pub(crate) ttl: Duration,
    pub(crate) keys: u32,
    pub(crate) threads: usize,
    pub(crate) work: Duration,
}

impl Process {
    pub(crate) fn start(orders: &Orders, log: &Log) -> Self {
        Self::start_within(&[], orders, log)
    }

    /// Started by other means, such as `ip netns exec NAME`.
    pub(crate) fn start_within(within: &[&str], orders: &Orders, log: &Log) -> Self {
        let this = std::env::current_exe().unwrap();
        let mut words = within.iter().map(std::ffi::OsStr::new).chain([this.as_os_str()]);
        let child = Command::new(words.next().unwrap())
            .args(words)
            .args(["children::entry", "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, orders.role)
            .env("URL", &orders.url)
            .env("LOG", log.path())
            .env("TTL", orders.ttl.as_millis().to_string())
            .env("KEYS", orders.keys.to_string())
            .env("THREADS", orders.threads.to_string())
            .env("WORK", orders.work.as_micros().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait::end_with_us(child.id());
        Self { child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it, and notes when it was surely dead.
    pub(crate) fn kill(mut self, killed: &mut HashMap<u32, u64>) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        killed.insert(self.child.id(), crate::support::log::now());
    }

    /// Lets it end by itself, and expects it to be content.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "a child failed: {status}; see its message above");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        wait::ended(self.child.id());
    }
}

/// What a child does; no test, unless a parent gave it a role.
#[test]
fn entry() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let text = |name: &str| std::env::var(name).unwrap();
    let number = |name: &str| text(name).parse::<u64>().unwrap();
    let fleet = patient(&text("URL")).ttl(Duration::from_millis(number("TTL"))).connect().unwrap();
    let log = Log::open(text("LOG").as_ref());
    let work = Duration::from_micros(number("WORK"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        // The parent says stop by closing the pipe, also when it dies.
        s.spawn(|| {
            let _ = std::io::stdin().read(&mut [0]);
            stop.store(true, Ordering::SeqCst);
        });
        let stopped = || stop.load(Ordering::SeqCst);
        match role.as_str() {
            "flights" => flights(&fleet, &log, number("KEYS") as u32, number("THREADS") as usize, work, &stopped),
            "once" => once(&fleet, &log, &stopped),
            "crowd" => crowd(&fleet, &log, number("THREADS") as usize, work),
            "writes" => writes(&fleet, &log, number("THREADS") as usize, work, &stopped),
            "leases" => leases(&fleet, &log, work, &stopped),
            "store" => store(&fleet, &log, &text("URL"), &stopped),
            "fork" => crate::forks::parent(&fleet, &log),
            other => panic!("no role {other}"),
        }
        // Whoever has done his part waits for nobody.
        if matches!(role.as_str(), "once" | "crowd" | "store" | "fork") {
            std::process::exit(0);
        }
    });
}

type Group = FleetGroup<u32, u64, String>;

/// Calls for keys in turn until it is stopped, and logs every execution and every return.
fn flights(fleet: &Fleet, log: &Log, keys: u32, threads: usize, work: Duration, stopped: &(impl Fn() -> bool + Sync)) {
    let group: Group = fleet.group_with("g", Json::new()).refuse_when_unavailable(true).build().unwrap();
    std::thread::scope(|s| {
        for thread in 0..threads {
            let group = &group;
            s.spawn(move || {
                let mut n = thread as u32;
                while !stopped() {
                    let key = n % keys;
                    n += 1;
                    let landing = group.call(&key).run_with(|flight| {
                        let fence = flight.fence().unwrap();
                        log.put("start", &key.to_string(), fence);
                        // The work itself: it takes time, and that is all it does.
                        std::thread::sleep(work);
                        log.put("end", &key.to_string(), fence);
                        own_up(log, &key.to_string(), flight);
                        Ok(fence)
                    });
                    log.put("return", &key.to_string(), landing.unwrap().value);
                }
            });
        }
    });
}

/// Says whether the record was lost when the execution had ended, as on a machine that stood still for so long: then, and
/// only then, the next one may have begun before that.
fn own_up(log: &Log, key: &str, flight: &FleetFlight) {
    if flight.is_lost() {
        log.put("overdue", key, flight.fence().unwrap());
    }
}

/// One call for key 1, which works until it is stopped; what came of it is logged.
fn once(fleet: &Fleet, log: &Log, stopped: &(impl Fn() -> bool + Sync)) {
    let group: Group = fleet.group("g");
    log.put("call", "1", 0);
    let landing = group
        .call(&1)
        .run_with(|flight| {
            let fence = flight.fence().unwrap();
            log.put("start", "1", fence);
            wait::until("told to go on", stopped);
            log.put("end", "1", fence);
            own_up(log, "1", flight);
            Ok(fence)
        })
        .unwrap();
    log.put(if landing.detached() { "detached" } else { "landed" }, "1", landing.value);
}

/// One call for key 1 on each of many threads; whoever leads works for a moment.
fn crowd(fleet: &Fleet, log: &Log, threads: usize, work: Duration) {
    let group: Group = fleet.group("g");
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                let led = |flight: &FleetFlight| {
                    let fence = flight.fence().unwrap();
                    log.put("start", "1", fence);
                    std::thread::sleep(work);
                    log.put("end", "1", fence);
                    Ok(fence)
                };
                log.put("return", "1", group.call(&1).run_with(led).unwrap().value);
            });
        }
        wait::until("all threads wait", || group.followers(&1) + 1 == threads);
        log.put("ready", "1", 0);
    });
}

/// Writes one key again and again on each of many threads.
fn writes(fleet: &Fleet, log: &Log, threads: usize, work: Duration, stopped: &(impl Fn() -> bool + Sync)) {
    let group: FleetWriteGroup<u32, u64, String> = fleet.write_group("w");
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                while !stopped() {
                    let landing = group.call(&1).run(|lease| {
                        log.put("start", "1", lease.fence());
                        std::thread::sleep(work);
                        log.put("end", "1", lease.fence());
                        Ok(lease.fence())
                    });
                    log.put("return", "1", landing.unwrap().value);
                }
            });
        }
    });
}

/// Takes a lease again and again, and logs every turn.
fn leases(fleet: &Fleet, log: &Log, work: Duration, stopped: &(impl Fn() -> bool + Sync)) {
    while !stopped() {
        let lease = fleet.lease("l").acquire().unwrap();
        log.put("start", "l", lease.fence());
        std::thread::sleep(work);
        log.put("end", "l", lease.fence());
        lease.release().unwrap();
    }
}

/// Holds a lease, and when it is told to go on, writes with its fence to a storage that checks it.
fn store(fleet: &Fleet, log: &Log, url: &str, stopped: &(impl Fn() -> bool + Sync)) {
    let lease = fleet.lease("l").acquire().unwrap();
    log.put("start", "l", lease.fence());
    wait::until("told to go on", stopped);
    let mut raw = redis::Client::open(url).unwrap().get_connection().unwrap();
    let body = std::process::id();
    let written: bool = Script::new(STORE).key("storage").arg(lease.fence()).arg(body).invoke(&mut raw).unwrap();
    log.put(if written { "written" } else { "refused" }, "l", lease.fence());
    log.put(if lease.is_lost() { "lost" } else { "kept" }, "l", lease.fence());
    log.put(if lease.release().is_ok() { "released" } else { "unreleased" }, "l", 0);
}
