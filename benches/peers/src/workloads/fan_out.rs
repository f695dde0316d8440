//! One flight lands with N blocked followers aboard: when is the leader free, and when has everybody left?

use crate::measure::{Contestant, Mark, Metric, Workload, of};
use crate::workloads::{Depth, Planned, plan};
use flight_group_peers::contestants::{
    BroadcastParkingLot, BroadcastStd, Fast, Flights, HAND_STD, OURS, Visitor, each,
};
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// What a worker does when it is let go: calls, as a follower.
type Job = Arc<dyn Fn() + Send + Sync>;

/// N threads that are kept for all contestants: starting 4,096 takes longer than everything that is measured.
struct Crew {
    shared: Arc<Shared>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

struct Shared {
    /// Which round it is, and what to do in it; `None` in the last.
    orders: Mutex<(u64, Option<Job>)>,
    order: Condvar,
    boarding: AtomicUsize,
    finished: Mutex<usize>,
    all_finished: Condvar,
    epoch: Instant,
    /// When each worker's call returned, in nanoseconds since the epoch.
    returned: Vec<AtomicU64>,
}

impl Crew {
    fn hire(size: usize) -> Self {
        let shared = Arc::new(Shared {
            orders: Mutex::new((0, None)),
            order: Condvar::new(),
            boarding: AtomicUsize::new(0),
            finished: Mutex::new(0),
            all_finished: Condvar::new(),
            epoch: Instant::now(),
            returned: (0..size).map(|_| AtomicU64::new(0)).collect(),
        });
        let threads = (0..size)
            .map(|worker| {
                let shared = shared.clone();
                let builder = std::thread::Builder::new().stack_size(64 * 1024);
                builder.spawn(move || shared.work(worker)).expect("a thread for every follower")
            })
            .collect();
        Self { shared, threads }
    }

    fn size(&self) -> usize {
        self.threads.len()
    }

    fn give_order(&self, job: Option<Job>) {
        self.shared.boarding.store(0, SeqCst);
        *self.shared.finished.lock().unwrap() = 0;
        let mut orders = self.shared.orders.lock().unwrap();
        orders.0 += 1;
        orders.1 = job;
        drop(orders);
        self.shared.order.notify_all();
    }

    /// Until every worker has begun its call, and all of them have had the time to fall asleep in it: `times` as long
    /// where so many threads want the processors for each that is here for the measurement.
    fn wait_until_aboard(&self, times: u32, registered: impl Fn() -> Option<usize>) {
        let n = self.size();
        while self.shared.boarding.load(SeqCst) < n || registered().is_some_and(|registered| registered < n) {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep((Duration::from_millis(1) + Duration::from_micros(8) * n as u32) * times);
    }

    fn wait_until_finished(&self) {
        let finished = self.shared.finished.lock().unwrap();
        let _finished = self.shared.all_finished.wait_while(finished, |finished| *finished < self.size()).unwrap();
    }
}

impl Shared {
    fn work(&self, worker: usize) {
        let mut seen = 0;
        loop {
            let job = {
                let orders = self.orders.lock().unwrap();
                let orders = self.order.wait_while(orders, |(round, _)| *round == seen).unwrap();
                seen = orders.0;
                orders.1.clone()
            };
            let Some(job) = job else { return };
            self.boarding.fetch_add(1, SeqCst);
            job();
            self.returned[worker].store(self.epoch.elapsed().as_nanos() as u64, SeqCst);
            drop(job);
            let mut finished = self.finished.lock().unwrap();
            *finished += 1;
            if *finished == self.returned.len() {
                self.all_finished.notify_one();
            }
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.give_order(None);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

const KEY: u64 = 7;

/// Microseconds from the end of the leader's closure until the leader's call returns, until a follower's does on
/// average, and until the last one's does.
fn sample<C: Flights<u64> + 'static>(crew: &Crew, spinners: &Spinners, contestant: &Arc<C>) -> Vec<f64> {
    let times = 1 + spinners.threads.len() as u32;
    loop {
        // A round in which a worker came too late to follow is made again.
        let strays = Arc::new(AtomicUsize::new(0));
        let epoch = crew.shared.epoch;
        let mut ended = 0;
        contestant.work(&KEY, || {
            let (contestant, strays) = (contestant.clone(), strays.clone());
            let (counter, own) = (contestant.clone(), strays);
            crew.give_order(Some(Arc::new(move || {
                contestant.work(&KEY, || {
                    own.fetch_add(1, SeqCst);
                    0
                });
            })));
            crew.wait_until_aboard(times, || counter.followers(&KEY));
            ended = epoch.elapsed().as_nanos() as u64;
            1
        });
        let leader = epoch.elapsed().as_nanos() as u64 - ended;
        crew.wait_until_finished();
        if strays.load(SeqCst) > 0 {
            continue;
        }
        let after = |at: &AtomicU64| at.load(SeqCst).saturating_sub(ended) as f64 / 1e3;
        let followers: Vec<f64> = crew.shared.returned.iter().map(after).collect();
        let mean = followers.iter().sum::<f64>() / followers.len() as f64;
        let last = followers.iter().copied().fold(0.0, f64::max);
        return vec![leader as f64 / 1e3, mean, last];
    }
}

struct FanOut {
    crew: Arc<Crew>,
    spinners: Arc<Spinners>,
    contestants: Vec<Contestant>,
}

impl Visitor<u64> for FanOut {
    fn visit<C: Flights<u64> + 'static>(&mut self, name: &str, make: impl Fn() -> C + Send + Sync + 'static) {
        let (crew, spinners) = (self.crew.clone(), self.spinners.clone());
        let run = Box::new(move || sample(&crew, &spinners, &Arc::new(make())));
        self.contestants.push(Contestant { name: name.to_owned(), run });
    }
}

/// Threads that want a processor all the time, as long as this is there.
struct Spinners {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Spinners {
    fn start(n: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..n)
            .map(|_| {
                let stop = stop.clone();
                std::thread::spawn(move || {
                    while !stop.load(Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        Self { stop, threads }
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

const BROADCAST: &str = "bare broadcast, std";
const BROADCAST_PL: &str = "bare broadcast, parking_lot";
/// As many as make a machine of two cores busy twice over.
const SPINNERS: usize = 4;

const LEADER: usize = 0;
const MEAN: usize = 1;
const LAST: usize = 2;

fn marks(followers: usize, busy: bool) -> Vec<Mark> {
    let against = |what, metric, other, bound| Mark::at_most(what, of(OURS, metric), of(other, metric), bound);
    let mut marks = Vec::new();
    if followers == 1 && !busy {
        let mark = against("the follower", LAST, HAND_STD, 1.15).on_page();
        marks.push(mark.if_missed(
            "its way in takes a microsecond longer. Where both cores are busy, the system therefore lets the leader go \
             on first. Against code by hand with one microsecond more on its way in: 1.17",
        ));
    }
    if !(16..=1024).contains(&followers) {
        return marks;
    }
    marks.push(against("mean follower", MEAN, BROADCAST, 1.35).on_page());
    marks.push(against("last follower", LAST, BROADCAST, 1.35));
    if busy {
        return marks; // nobody's ratios but the bare broadcast's are steady here
    }
    marks.push(against("leader", LEADER, BROADCAST, 1.2).on_page());
    let bound = if followers <= 64 { 1.05 } else { 1.10 };
    let mean = against("mean follower", MEAN, HAND_STD, bound).on_page();
    marks.push(mean.if_missed("a follower also takes the shard's lock and enters the deadlock check's map"));
    marks.push(against("last follower", LAST, HAND_STD, bound));
    marks
}

pub fn plans(depth: Depth) -> Vec<Planned> {
    let sizes: &[usize] = depth.pick(&[1, 16, 64, 256], &[1, 16, 64, 256, 1024, 4096]);
    let quiet = sizes.iter().map(|&followers| of_size(depth, followers, false));
    let busy = sizes.iter().filter(|&&followers| (16..=1024).contains(&followers));
    quiet.chain(busy.map(|&followers| of_size(depth, followers, true))).collect()
}

fn of_size(depth: Depth, followers: usize, busy: bool) -> Planned {
    let rounds = match followers {
        0..=256 => depth.pick(9, 101),
        257..=1024 => 41,
        _ => 15,
    };
    let rounds = if busy { rounds.min(depth.pick(5, 41)) } else { rounds };
    let id = format!("fan-out-{followers}{}", if busy { "-busy" } else { "" });
    let seconds = (0.004 + 0.00003 * followers as f64) * if busy { 4.0 } else { 1.0 };
    plan(id, seconds, rounds * 9, move || {
        let mut fan_out = FanOut {
            crew: Arc::new(Crew::hire(followers)),
            spinners: Arc::new(Spinners::start(if busy { SPINNERS } else { 0 })),
            contestants: Vec::new(),
        };
        each::<u64, u64, Fast>("", &mut fan_out);
        fan_out.visit(BROADCAST, BroadcastStd::default);
        fan_out.visit(BROADCAST_PL, BroadcastParkingLot::default);
        let beside = if busy { ", beside four spinning threads" } else { "" };
        Workload {
            title: format!("Fan-out to {followers} blocked follower{}{beside}", if followers == 1 { "" } else { "s" }),
            method: "From the end of the leader's closure, with all followers asleep. `singleflight` has no \
                followers (it holds its map's lock while the closure runs) and takes no part."
                .to_owned(),
            metrics: vec![
                Metric { name: "leader returns", unit: "us" },
                Metric { name: "mean follower", unit: "us" },
                Metric { name: "last follower", unit: "us" },
            ],
            contestants: fan_out.contestants,
            rounds,
            marks: marks(followers, busy),
            reference: OURS.to_owned(),
        }
    })
}
