//! An access trace, replayed against a source that takes 2 ms: how many questions does the source get?

use crate::measure::{Contestant, Mark, Metric, Workload, of};
use crate::workloads::{Depth, Planned, plan};
use flight_group_peers::contestants::{Fast, Flights, OURS, SINGLE, Visitor, each};
use rand::SeedableRng;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::SmallRng;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

const SOURCE: Duration = Duration::from_millis(2);

/// One key a line, as a number or as anything else, in the order of access.
pub fn read(path: &Path) -> Result<Vec<u64>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let mut numbers = HashMap::new();
    let trace: Vec<u64> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let next = numbers.len() as u64;
            *numbers.entry(line).or_insert(next)
        })
        .collect();
    if trace.is_empty() {
        return Err("there are no keys in it".to_owned());
    }
    Ok(trace)
}

/// Where no trace is given and none is found: 40,000 accesses to 8,000 keys, the n-th wanted in proportion to 1/n.
pub fn made_up() -> Vec<u64> {
    let wanted = WeightedIndex::new((1..=8_000).map(|rank| 1.0 / f64::from(rank))).expect("every key is wanted");
    wanted.sample_iter(SmallRng::seed_from_u64(1)).map(|key| key as u64).take(40_000).collect()
}

/// How many flights a perfect single flight makes of the trace, when a flight takes exactly as long as the source
/// and nothing else takes any time: the distinct keys in the air.
fn ideal(trace: &[u64], clients: usize) -> u64 {
    let mut free: BinaryHeap<Reverse<(u64, usize)>> = (0..clients).map(|client| Reverse((0, client))).collect();
    let mut lands: HashMap<u64, u64> = HashMap::new();
    let mut flights = 0;
    for key in trace {
        let Reverse((now, client)) = free.pop().expect("there are clients");
        let end = lands.entry(*key).or_insert(0);
        if *end <= now {
            *end = now + SOURCE.as_nanos() as u64;
            flights += 1;
        }
        free.push(Reverse((*end, client)));
    }
    flights
}

struct Replay {
    trace: Arc<Vec<u64>>,
    clients: usize,
    ideal: f64,
    contestants: Vec<Contestant>,
}

impl Visitor<u64> for Replay {
    fn visit<C: Flights<u64> + 'static>(&mut self, name: &str, make: impl Fn() -> C + Send + Sync + 'static) {
        if name == SINGLE {
            return;
        }
        let (trace, clients, ideal) = (self.trace.clone(), self.clients, self.ideal);
        let run = Box::new(move || {
            let (calls, seconds) = sample(&make(), &trace, clients);
            vec![calls, calls / ideal, seconds]
        });
        self.contestants.push(Contestant { name: name.to_owned(), run });
    }
}

/// Source calls, and seconds.
fn sample<C: Flights<u64>>(contestant: &C, trace: &[u64], clients: usize) -> (f64, f64) {
    let (next, calls) = (AtomicUsize::new(0), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|s| {
        for _ in 0..clients {
            s.spawn(|| {
                while let Some(key) = trace.get(next.fetch_add(1, Relaxed)) {
                    contestant.work(key, || {
                        calls.fetch_add(1, Relaxed);
                        std::thread::sleep(SOURCE);
                        *key
                    });
                }
            });
        }
    });
    (calls.into_inner() as f64, began.elapsed().as_secs_f64())
}

pub fn plans(depth: Depth, trace: &Arc<Vec<u64>>, name: &str) -> Vec<Planned> {
    let of_clients = |clients: usize| {
        let (trace, name) = (trace.clone(), name.to_owned());
        let accesses = depth.pick(trace.len().min(clients * 60), trace.len());
        let seconds = accesses as f64 / clients as f64 * 0.0021;
        let rounds = depth.pick(1, if clients > 16 { 3 } else { 1 });
        let id = format!("replay-{clients}");
        plan(id, seconds, rounds * 7, move || {
            let trace = Arc::new(trace[..accesses].to_vec());
            let ideal = ideal(&trace, clients);
            let mut replay = Replay { trace, clients, ideal: ideal as f64, contestants: Vec::new() };
            each::<u64, u64, Fast>("", &mut replay);
            Workload {
                title: format!("Replay of {name}, {clients} clients"),
                method: format!(
                    "{accesses} accesses; the source takes 2 ms; no cache. An ideal replay, in which nothing but the \
                     source takes time, makes {ideal} source calls."
                ),
                metrics: vec![
                    Metric { name: "source calls", unit: "calls" },
                    Metric { name: "over ideal", unit: "x" },
                    Metric { name: "wall", unit: "s" },
                ],
                contestants: replay.contestants,
                rounds,
                marks: vec![Mark::absolute("source calls over ideal", of(OURS, 1), 1.02).on_page()],
                reference: OURS.to_owned(),
            }
        })
    };
    vec![of_clients(16), of_clients(64)]
}
