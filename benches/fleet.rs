//! The fleet, measured: `cargo bench --features redis --bench fleet`.
//!
//! Starts a `redis-server` on a free port of the loopback (`FLEET_URL=redis://..` takes another), and real processes:
//! this binary again. `FLEET_SECONDS=2` shortens every part; the default, 10, is what the figures in the documentation
//! were taken with. A word after `--` runs the parts whose names contain it: `.. --bench fleet -- fairness`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

use flight_group::Role;
use flight_group::fleet::{Fleet, FleetGroup};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

type Group = FleetGroup<u64, u64, String>;
type Part = fn(&Bench);

fn main() {
    if let Ok(role) = std::env::var("FLEET_ROLE") {
        return child(&role);
    }
    // `cargo test --benches` asks for nothing to be measured.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let seconds: f64 = match std::env::var("FLEET_SECONDS").map(|text| text.parse()) {
        Ok(Ok(seconds)) if (0.1..=3600.0).contains(&seconds) => seconds,
        Ok(_) => {
            eprintln!("bad FLEET_SECONDS: expected a number from 0.1 to 3600");
            std::process::exit(2);
        }
        Err(_) => 10.0,
    };
    let server = Server::start();
    println!("{}", describe(&server.url));
    let bench = Bench { url: server.url.clone(), time: Duration::from_secs_f64(seconds) };
    let parts: [(&str, Part); 6] = [
        ("pairs", Bench::pairs),
        ("flights", Bench::flights),
        ("latency", Bench::latency),
        ("sharing", Bench::sharing),
        ("fairness", Bench::fairness),
        ("kills", Bench::kills),
    ];
    for (name, part) in parts {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            println!("\n{name}");
            part(&bench);
        }
    }
}

/// The server's version and the machine, for whoever copies the figures.
fn describe(url: &str) -> String {
    let mut raw = redis::Client::open(url).unwrap().get_connection_with_timeout(Duration::from_secs(5)).unwrap();
    let info: String = redis::cmd("INFO").arg("server").query(&mut raw).unwrap();
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("unknown").trim();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("redis {version}, {cores} cores, load {} at the start", load.split(' ').next().unwrap_or_default())
}

struct Bench {
    url: String,
    time: Duration,
}

impl Bench {
    /// The short parts take a fifth of the time.
    fn short(&self) -> Duration {
        self.time / 5
    }

    fn pairs(&self) {
        println!("  {:>7}  {:>16}", "threads", "lock pairs/s");
        for threads in [1, 8, 32] {
            let fleet = Fleet::connect(&self.url).unwrap();
            let rate = rate(threads, self.short(), |n| {
                fleet.lease(&format!("pair{n}")).acquire().unwrap().release().unwrap();
            });
            println!("  {threads:>7}  {rate:>16.0}");
        }
    }

    fn flights(&self) {
        println!("  {:>7}  {:>16}", "threads", "solo flights/s");
        for threads in [1, 8, 32] {
            let fleet = Fleet::connect(&self.url).unwrap();
            let group: Group = fleet.group("solo");
            let rate = rate(threads, self.short(), |n| {
                group.try_work(&(n as u64), || Ok(0)).unwrap();
            });
            println!("  {threads:>7}  {rate:>16.0}");
        }
    }

    /// From the end of a leader's closure to the return of a call in another fleet.
    fn latency(&self) {
        let (one, other) = (Fleet::connect(&self.url).unwrap(), Fleet::connect(&self.url).unwrap());
        let (leads, follows): (Group, Group) = (one.group("latency"), other.group("latency"));
        let mut waits = Vec::new();
        let origin = Instant::now();
        let elapsed = || origin.elapsed().as_nanos() as u64;
        while origin.elapsed() < self.short() {
            let (started, start) = mpsc::channel();
            let (leads, follows, other, elapsed) = (&leads, &follows, &other, &elapsed);
            std::thread::scope(|s| {
                s.spawn(move || {
                    leads.try_work(&1, || {
                        started.send(()).unwrap();
                        while other.waiting() == 0 {
                            std::thread::yield_now();
                        }
                        // Time for the follower's question to be answered; a round in which it was not does not count.
                        std::thread::sleep(Duration::from_millis(2));
                        Ok(elapsed())
                    })
                });
                start.recv().unwrap();
                let landing = follows.call(&1).run(|| Ok(0)).unwrap();
                if landing.role == Role::Follower {
                    waits.push(elapsed().saturating_sub(landing.value) as f64 / 1000.0);
                }
            });
        }
        waits.sort_by(f64::total_cmp);
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
        let rounds = waits.len();
        println!("  from the end of a closure to a follower's return, {rounds} rounds");
        println!("  p50 {:.0} us, p90 {:.0} us, p99 {:.0} us", at(0.5), at(0.9), at(0.99));
    }

    /// Eight processes of four threads, one key, work of 2 ms.
    fn sharing(&self) {
        let reports = self.run_children("share", 8, self.short());
        let sum = |name: &str| reports.iter().map(|report| report[name]).sum::<u64>();
        let (calls, led) = (sum("calls"), sum("led"));
        println!("  8 processes of 4 threads on one key, work of 2 ms");
        println!("  {calls} calls, {led} executions: {:.3} executions per call", led as f64 / calls as f64);
    }

    fn fairness(&self) {
        println!("  {:>9}  {:>8}  {:>14}  {:>10}", "processes", "turns/s", "spread, points", "worst wait");
        for processes in [2, 4, 8] {
            let reports = self.run_children("turns", processes, self.time);
            let turns: Vec<u64> = reports.iter().map(|report| report["turns"]).collect();
            let total: u64 = turns.iter().sum();
            let apart = turns.iter().max().unwrap() - turns.iter().min().unwrap();
            let spread = apart as f64 / total as f64 * 100.0;
            let worst = reports.iter().map(|report| report["worst_us"]).max().unwrap() as f64 / 1000.0;
            let rate = total as f64 / self.time.as_secs_f64();
            println!("  {processes:>9}  {rate:>8.0}  {spread:>14.3}  {worst:>7.1} ms");
        }
    }

    /// Four processes on one key, the leader of the moment killed every 500 ms and replaced.
    fn kills(&self) {
        let path = std::env::temp_dir().join(format!("flight-group-bench-{}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        let start = || {
            let mut worker = Worker::start("victim", &self.url, &path);
            worker.go();
            worker
        };
        let mut workers: Vec<Worker> = (0..4).map(|_| start()).collect();
        let mut killed: HashMap<u32, u64> = HashMap::new();
        let end = Instant::now() + self.time;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(500));
            let text = std::fs::read_to_string(&path).unwrap();
            let leader =
                text.lines().rev().find_map(|line| line.strip_prefix("start ")?.split(' ').next()?.parse().ok());
            if let Some(place) = workers.iter().position(|worker| Some(worker.child.id()) == leader) {
                let mut worker = workers.swap_remove(place);
                worker.child.kill().unwrap();
                worker.child.wait().unwrap();
                killed.insert(worker.child.id(), now());
                workers.push(start());
            }
        }
        let reports = finish(workers);
        let worst = reports.iter().map(|report| report["worst_us"]).max().unwrap_or(0) as f64 / 1000.0;
        let calls: u64 = reports.iter().map(|report| report["calls"]).sum();
        // Judged from the logged intervals: start, process, end.
        let mut runs: Vec<(u64, u32, Option<u64>)> = Vec::new();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let words: Vec<_> = line.split(' ').collect();
            let (pid, at): (u32, u64) = (words[1].parse().unwrap(), words[2].parse().unwrap());
            match words[0] {
                "start" => runs.push((at, pid, killed.get(&pid).copied())),
                _ => runs.iter_mut().rev().find(|run| run.1 == pid).unwrap().2 = Some(at),
            }
        }
        runs.sort_unstable();
        let overlaps = runs.windows(2).filter(|pair| pair[0].2.is_none_or(|end| pair[1].0 < end)).count();
        let (kills, runs) = (killed.len(), runs.len());
        println!("  {kills} kills, time to live 300 ms: {overlaps} overlaps in {runs} executions");
        println!("  {calls} calls of the survivors, the worst took {worst:.0} ms");
        let _ = std::fs::remove_file(&path);
    }

    /// Starts processes, lets them go together, and returns their reports.
    fn run_children(&self, role: &str, count: usize, time: Duration) -> Vec<BTreeMap<String, u64>> {
        let mut workers: Vec<Worker> = (0..count).map(|_| Worker::start(role, &self.url, Path::new(""))).collect();
        workers.iter_mut().for_each(Worker::go);
        std::thread::sleep(time);
        finish(workers)
    }
}

/// Calls of `body` per second, from `threads` threads.
fn rate(threads: usize, time: Duration, body: impl Fn(usize) + Sync) -> f64 {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|s| {
        for n in 0..threads {
            let (stop, done, body) = (&stop, &done, &body);
            s.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    body(n);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    done.into_inner() as f64 / start.elapsed().as_secs_f64()
}

/// A process of ours: reports that it is ready, goes when told, stops when its input ends.
struct Worker {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Worker {
    fn start(role: &str, url: &str, log: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env("FLEET_ROLE", role)
            .env("FLEET_URL", url)
            .env("FLEET_LOG", log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();
        Self { child, output }
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }
}

/// Tells all to stop, and only then waits for them.
fn finish(mut workers: Vec<Worker>) -> Vec<BTreeMap<String, u64>> {
    workers.iter_mut().for_each(|worker| drop(worker.child.stdin.take()));
    let report = |mut worker: Worker| {
        let lines = worker.output.by_ref().lines().map(Result::unwrap);
        let report = lines
            .filter_map(|line| line.split_once(' ').map(|(name, number)| (name.to_owned(), number.parse().unwrap())))
            .collect();
        worker.child.wait().unwrap();
        report
    };
    workers.into_iter().map(report).collect()
}

fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn child(role: &str) {
    let url = std::env::var("FLEET_URL").unwrap();
    let fleet = Fleet::builder(&url).ttl(Duration::from_millis(300)).connect().unwrap();
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let stop = AtomicBool::new(false);
    let going = || !stop.load(Ordering::SeqCst);
    let (mut count, mut worst) = (0u64, Duration::ZERO);
    std::thread::scope(|s| {
        s.spawn(|| {
            let _ = std::io::stdin().read(&mut [0; 8]);
            stop.store(true, Ordering::SeqCst);
        });
        match role {
            "turns" => {
                while going() {
                    let asked = Instant::now();
                    let lease = fleet.lease("turns").acquire().unwrap();
                    worst = worst.max(asked.elapsed());
                    // A turn counts where it began before the end.
                    count += u64::from(going());
                    std::thread::sleep(Duration::from_millis(1));
                    lease.release().unwrap();
                }
                println!("turns {count}");
            }
            "share" => {
                let group: Group = fleet.group("share");
                let calls = AtomicU64::new(0);
                std::thread::scope(|threads| {
                    for _ in 0..4 {
                        threads.spawn(|| {
                            while going() {
                                group.try_work(&1, || Ok(work(2))).unwrap();
                                calls.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                    }
                });
                println!("calls {}\nled {}", calls.into_inner(), fleet.stats().led);
            }
            _ => {
                let log = std::fs::File::options().append(true).open(std::env::var("FLEET_LOG").unwrap()).unwrap();
                let put = |what: &str| {
                    let line = format!("{what} {} {}\n", std::process::id(), now());
                    (&log).write_all(line.as_bytes()).unwrap();
                };
                let group: Group = fleet.group("kills");
                while going() {
                    let asked = Instant::now();
                    let outcome = group.try_work(&1, || {
                        put("start");
                        work(20);
                        put("end");
                        Ok(0)
                    });
                    outcome.unwrap();
                    worst = worst.max(asked.elapsed());
                    count += 1;
                }
                println!("calls {count}");
            }
        }
    });
    println!("worst_us {}", worst.as_micros());
}

/// Work that waits for something else, as most does.
fn work(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

/// A server of the bench's own, unless it was given one.
struct Server {
    child: Option<Child>,
    url: String,
}

impl Server {
    fn start() -> Self {
        if let Ok(url) = std::env::var("FLEET_URL") {
            return Self { child: None, url };
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            eprintln!("no redis-server on the PATH: install it, e.g. `apt-get install redis-server`, or set FLEET_URL");
            std::process::exit(2);
        };
        let server = Self { child: Some(child), url: format!("redis://127.0.0.1:{port}/") };
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = (child.kill(), child.wait());
        }
    }
}
