//! The fleet, measured: `cargo bench --features redis --bench fleet`.
//!
//! Starts a `redis-server` on a free port of the loopback (`FLEET_URL=redis://..` takes another), and real processes:
//! this binary again. `FLEET_SECONDS=2` shortens every part; the default, 10, is what the figures in the documentation
//! were taken with. A word after `--` runs the parts whose names contain it: `.. --bench fleet -- fairness`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

#[path = "../examples/shared/quantile.rs"]
mod quantile;
#[path = "../examples/fleet/server.rs"]
mod server;

use flight_group::Role;
use flight_group::fleet::{Fleet, FleetGroup};
use quantile::Sorted;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
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
    let given = std::env::var("FLEET_URL").ok();
    let started = server::start(given.as_deref(), "FLEET_URL").and_then(|server| Ok((server.describe()?, server)));
    let (description, server) = started.unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2);
    });
    println!("{description}");
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
        self.beside_bare_trips("lock pairs/s", |fleet| {
            move |n| fleet.lease(&format!("pair{n}")).acquire().unwrap().release().unwrap()
        });
    }

    fn flights(&self) {
        self.beside_bare_trips("solo flights/s", |fleet| {
            let group: Group = fleet.group("solo");
            move |n| {
                group.try_work(&(n as u64), || Ok(0)).unwrap();
            }
        });
    }

    /// Prints the rate of what `make` makes, which takes two round trips, beside that of two bare ones (PING, a
    /// connection for each thread): what the machine, the server's loop and the driver leave to be had, in the same minute.
    fn beside_bare_trips<F: Fn(usize) + Sync>(&self, what: &str, make: impl Fn(Fleet) -> F) {
        println!("  {:>7}  {what:>16}  {:>18}  {:>5}", "threads", "bare pairs/s", "ratio");
        for threads in [1, 8, 32] {
            let body = make(Fleet::connect(&self.url).unwrap());
            self.compare(threads, &body);
        }
    }

    fn compare(&self, threads: usize, body: &(impl Fn(usize) + Sync)) {
        const ROUNDS: u32 = 7;
        let client = redis::Client::open(&self.url[..]).unwrap();
        let connect = || Mutex::new(client.get_connection_with_timeout(Duration::from_secs(5)).unwrap());
        let connections: Vec<_> = (0..threads).map(|_| connect()).collect();
        let bare = |n: usize| {
            for _ in 0..2 {
                redis::cmd("PING").exec(&mut *connections[n].lock().unwrap()).unwrap();
            }
        };
        let slice = self.short() / ROUNDS;
        let rounds: Vec<_> = (0..ROUNDS).map(|_| (rate(threads, slice, body), rate(threads, slice, bare))).collect();
        let of = |value: fn(&(f64, f64)) -> f64| {
            Sorted::new(rounds.iter().map(value)).quantile(0.5).expect("there are rounds")
        };
        let (ours, floor, ratio) = (of(|round| round.0), of(|round| round.1), of(|round| round.0 / round.1));
        println!("  {threads:>7}  {ours:>16.0}  {floor:>18.0}  {ratio:>5.2}");
    }

    /// From the end of a leader's closure to the return of a call in another fleet, beside a bare PUBLISH to a thread
    /// that listens and hands on to one that sleeps on a condvar: the same three threads woken, and nothing else done.
    fn latency(&self) {
        let (one, other) = (Fleet::connect(&self.url).unwrap(), Fleet::connect(&self.url).unwrap());
        let (leads, follows): (Group, Group) = (one.group("latency"), other.group("latency"));
        let bare = BarePublish::new(&self.url);
        let (mut waits, mut floors) = (Vec::new(), Vec::new());
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
            floors.push(bare.round(&elapsed));
        }
        println!(
            "  from the end of a closure to a follower's return, {} rounds; a bare PUBLISH beside it",
            waits.len()
        );
        for (name, times) in [("flight", waits), ("bare", floors)] {
            let times = Sorted::new(times);
            let at = |share| times.quantile(share).unwrap_or(f64::NAN);
            println!("  {name:>7}  p50 {:.0} us, p90 {:.0} us, p99 {:.0} us", at(0.5), at(0.9), at(0.99));
        }
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

/// A message on its way through a bare connection, a listening thread and a condvar.
struct BarePublish {
    sender: Mutex<redis::Connection>,
    arrived: Arc<(Mutex<bool>, Condvar)>,
}

impl BarePublish {
    const CHANNEL: &str = "flight-group-bench";

    fn new(url: &str) -> Self {
        let client = redis::Client::open(url).unwrap();
        let connect = || client.get_connection_with_timeout(Duration::from_secs(5)).unwrap();
        let (mut listener, sender) = (connect(), Mutex::new(connect()));
        let arrived = Arc::new((Mutex::new(false), Condvar::new()));
        let (subscribed, subscription) = mpsc::channel();
        let hand_on = arrived.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            let mut channel = listener.as_pubsub();
            channel.subscribe(Self::CHANNEL).unwrap();
            subscribed.send(()).unwrap();
            while channel.get_message().is_ok() {
                *hand_on.0.lock().unwrap() = true;
                hand_on.1.notify_one();
            }
        });
        subscription.recv().unwrap();
        Self { sender, arrived }
    }

    /// Microseconds from before the PUBLISH until the thread that waits for it has it.
    fn round(&self, elapsed: &(impl Fn() -> u64 + Sync)) -> f64 {
        std::thread::scope(|s| {
            let sent = s.spawn(|| {
                std::thread::sleep(Duration::from_millis(2));
                let sent = elapsed();
                let sender = &mut *self.sender.lock().unwrap();
                redis::cmd("PUBLISH").arg(Self::CHANNEL).arg("x").exec(sender).unwrap();
                sent
            });
            let (arrived, bell) = &*self.arrived;
            *bell.wait_while(arrived.lock().unwrap(), |arrived| !*arrived).unwrap() = false;
            let returned = elapsed();
            returned.saturating_sub(sent.join().unwrap()) as f64 / 1000.0
        })
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
