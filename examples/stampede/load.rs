//! The load: clients that replay the trace, each request at its moment.

use crate::args::Options;
use crate::client::Client;
use crate::database::Database;
use crate::progress;
use crate::quantile::Sorted;
use crate::server::Server;
use crate::site::{Counts, Site};
use indicatif::ProgressBar;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub(crate) struct Load<'a> {
    options: &'a Options,
    database: &'a Database,
    /// The first answer for each key. The data never change, so that every other must be the same, in both runs.
    answers: Vec<OnceLock<String>>,
}

/// What one run came to.
pub(crate) struct Run {
    pub(crate) name: &'static str,
    pub(crate) requests: usize,
    pub(crate) counts: Counts,
    /// From when each request was due until its answer was there.
    latencies: Sorted<Duration>,
    /// The share of requests that a user noticed: more than half a second.
    pub(crate) late: f64,
    /// When all entries expired, counted from the start.
    pub(crate) bursts: Vec<Duration>,
    pub(crate) wall: Duration,
}

impl Run {
    /// The latency that this share of requests did not exceed.
    pub(crate) fn latency(&self, share: f64) -> Duration {
        self.latencies.quantile(share).unwrap_or_default()
    }

    /// Whether requests piled up so that the run ended a good deal after the last of them was due.
    pub(crate) fn fell_behind(&self, rate: usize) -> bool {
        let due = Duration::from_secs_f64(self.requests as f64 / rate as f64);
        self.wall > due.mul_f64(1.05) + Duration::from_secs(1)
    }
}

/// What the clients of one run share.
struct Shared<'a> {
    load: &'a Load<'a>,
    start: Instant,
    next: AtomicUsize,
    bursts: Mutex<Vec<Duration>>,
}

impl<'a> Load<'a> {
    pub(crate) fn new(options: &'a Options, database: &'a Database) -> Self {
        Self { options, database, answers: options.trace.keys().iter().map(|_| OnceLock::new()).collect() }
    }

    /// One run: a fresh server with an empty cache, and every request of the trace.
    pub(crate) fn run(&self, with_group: bool) -> Result<Run, String> {
        let name = if with_group { "with Group" } else { "without Group" };
        // The clock of the run starts when the clients do: everybody connects first.
        let site = Arc::new(Site::new(self.options.ttl, with_group, None));
        let server = Server::start(&site, self.database, self.options.threads)?;
        let clients =
            (0..self.options.clients).map(|_| Client::connect(server.address())).collect::<Result<Vec<_>, _>>()?;

        let shared = Shared { load: self, start: Instant::now(), next: AtomicUsize::new(0), bursts: Mutex::default() };
        let latencies = shared.replay(name, clients)?;
        let wall = shared.start.elapsed();
        let late = latencies.iter().filter(|latency| **latency > Duration::from_millis(500)).count();

        let lead_in = shared.start - site.started();
        let mut counts = site.counts();
        for query in &mut counts.queries {
            *query = query.saturating_sub(lead_in);
        }
        let bursts = shared.bursts.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Run {
            name,
            requests: self.options.trace.requests().len(),
            counts,
            late: late as f64 / latencies.len().max(1) as f64,
            latencies: Sorted::new(latencies),
            bursts,
            wall,
        })
    }

    /// Whether all entries expire just before this request.
    fn is_burst(&self, request: usize) -> bool {
        let (requests, bursts) = (self.options.trace.requests().len(), self.options.bursts);
        // Evenly spread, none at either end.
        (1..=bursts).any(|burst| burst * requests / (bursts + 1) == request)
    }
}

impl Shared<'_> {
    /// Has the clients send every request, and returns their latencies.
    fn replay(&self, name: &str, clients: Vec<Client>) -> Result<Vec<Duration>, String> {
        let total = self.load.options.trace.requests().len();
        let progress = progress::bar(name, total, "requests");
        std::thread::scope(|s| {
            let send = |client: Client| {
                let result = self.send_requests(&client, &progress);
                if result.is_err() {
                    // One wrong answer is enough: the others need not go on.
                    self.next.store(total, Relaxed);
                }
                result
            };
            let clients: Vec<_> = clients.into_iter().map(|client| s.spawn(move || send(client))).collect();
            let mut latencies = Vec::with_capacity(total);
            for client in clients {
                latencies.append(&mut client.join().map_err(|_| "a client's thread died")??);
            }
            Ok(latencies)
        })
    }

    /// One client's life: takes the next request, waits until it is due, sends it.
    fn send_requests(&self, client: &Client, progress: &ProgressBar) -> Result<Vec<Duration>, String> {
        let Options { trace, rate, .. } = self.load.options;
        let mut latencies = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Relaxed);
            let Some(&key) = trace.requests().get(number) else { return Ok(latencies) };
            // Users come when they come, however slow the server is. A request that finds no client free is sent
            // late, and its latency counts from when it was due.
            let due = self.start + Duration::from_secs_f64(number as f64 / *rate as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.load.is_burst(number) {
                client.delete("/cache")?;
                self.bursts.lock().unwrap_or_else(PoisonError::into_inner).push(self.start.elapsed());
            }
            let page = client.page(&trace.keys()[key as usize])?;
            latencies.push(due.elapsed());
            let first = self.load.answers[key as usize].get_or_init(|| page.clone());
            if *first != page {
                return Err(format!("two answers for one key: {first:?} and {page:?}"));
            }
            progress.inc(1);
        }
    }
}
