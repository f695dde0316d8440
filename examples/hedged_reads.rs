//! What a second request does to the slowest one in a hundred: reads from three replicas over loopback HTTP, one of
//! which stops now and then, as a process does that collects garbage or waits for its disk.
//!
//! `cargo run --release --example hedged_reads` does it; `-- --help` lists the options.
//!
//! Reads come at a steady rate, whether or not earlier ones are done, and each is timed from the moment it was due: a
//! client that waited for a reply before it asked again would ask less just when it hurts. Every read goes to one
//! replica, in turn. "Plain" waits for its reply; "fixed" asks the next replica after 12 ms; "observed" after the 95th
//! percentile of what it has seen, 12 ms at most. Both hedges may ask again for a tenth of the reads. Every reply is
//! checked. The table goes to standard output, the curves to an SVG file in `target`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

#[path = "shared/args.rs"]
mod args;
#[path = "shared/chart.rs"]
mod chart;
#[path = "shared/progress.rs"]
mod progress;
#[path = "shared/quantile.rs"]
mod quantile;

use flight_group::hedge::Threads;
use flight_group::{Error, Hedge, HedgeError};
use lexopt::prelude::*;
use quantile::Sorted;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A healthy reply takes between these.
const QUICK: std::ops::Range<u64> = 1_000..4_000; // microseconds
/// The third replica stands still for the first part of every period: whoever asks then waits for its end.
const PERIOD: Duration = Duration::from_millis(900);
const PAUSE: Duration = Duration::from_millis(70);
const DELAY: Duration = Duration::from_millis(12);
/// Extra attempts: for a tenth of the reads, and as many at once as one pause holds up.
const BUDGET: (f64, u32) = (0.1, 20);
/// Threads that read: more than there are reads in the air while a replica stands still.
const CLIENTS: usize = 64;

const HELP: &str = "\
Reads from three replicas over loopback HTTP, one of which stops now and then: unhedged, and hedged in two ways.

usage: cargo run --release --example hedged_reads -- [options]

  --reads N    how many reads in each of the three ways (default: 4000)
  --rate N     reads a second (default: 400)
  --svg FILE   where to write the curves (default: target/hedged_reads.svg)
  --help       this text
";

fn main() -> ExitCode {
    args::main(HELP, Options::parse, |options| run(&options))
}

fn run(options: &Options) -> Result<(), String> {
    let born = Instant::now();
    let replicas: Arc<[Replica]> = ["a", "b", "c"]
        .map(|name| Replica::start(name, (name == "c").then_some(born)))
        .into_iter()
        .collect::<Result<_, _>>()?;
    // For the reads in the air, and the losers that still wait for the replica that stands still.
    let threads = Threads::new(4 * CLIENTS);
    let hedge = || Hedge::new().threads(&threads).delay(DELAY).max(2);
    let ways = [
        ("plain", hedge().max(1)),
        ("fixed", hedge().budget(BUDGET.0, BUDGET.1)),
        ("observed", hedge().percentile(95.0).budget(BUDGET.0, BUDGET.1)),
    ];

    println!(
        "{} reads from 3 replicas, {} per second; replica c stops for {PAUSE:?} in every {PERIOD:?}",
        options.reads, options.rate
    );
    println!();
    println!("{:<10}{:>10}{:>10}{:>10}{:>10}{:>12}", "way", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "extra %");
    let mut curves = Vec::new();
    for (name, hedge) in ways {
        let before = requests(&replicas);
        let times = measure(name, &hedge, &replicas, options)?;
        // Counted where they arrive, not where they are sent.
        let extra = (requests(&replicas) - before) as f64 / options.reads as f64 - 1.0;
        let ms = |share| times.quantile(share).unwrap_or_default().as_secs_f64() * 1e3;
        println!(
            "{name:<10}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>12.1}",
            ms(0.5),
            ms(0.99),
            ms(0.999),
            ms(1.0),
            extra * 100.0
        );
        curves.push((name, times));
    }

    let chart = options.svg.display();
    std::fs::write(&options.svg, svg(&curves)).map_err(|e| format!("cannot write the chart to {chart}: {e}"))?;
    println!();
    println!("chart: {chart}");
    Ok(())
}

/// Makes all reads, and returns how long each took.
fn measure(
    name: &str,
    hedge: &Hedge,
    replicas: &Arc<[Replica]>,
    options: &Options,
) -> Result<Sorted<Duration>, String> {
    let next = AtomicUsize::new(0);
    let progress = progress::bar(name, options.reads, "reads");
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().into();
    let began = Instant::now();
    let per_client: Vec<Result<Vec<Duration>, String>> = thread::scope(|s| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                s.spawn(|| {
                    let mut times = Vec::new();
                    loop {
                        let read = next.fetch_add(1, Ordering::Relaxed);
                        if read >= options.reads {
                            return Ok(times);
                        }
                        let (agent, replicas) = (agent.clone(), Arc::clone(replicas));
                        let due = began + Duration::from_secs_f64(read as f64 / options.rate as f64);
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        let reply = hedge.run(move |attempt| {
                            // The socket cannot be interrupted; an attempt that has lost before it began need not ask.
                            attempt.token().check().map_err(|e| e.to_string())?;
                            replicas[(read + attempt.index()) % replicas.len()].read(&agent, read)
                        });
                        times.push(due.elapsed());
                        check(read, reply)?;
                        progress.inc(1);
                    }
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("clients do not panic")).collect()
    });
    let mut times = Vec::with_capacity(options.reads);
    for client in per_client {
        times.extend(client?);
    }
    Ok(Sorted::new(times))
}

fn check(read: usize, reply: Result<String, HedgeError<String>>) -> Result<(), String> {
    match reply {
        Ok(reply) if reply == row(read) => Ok(()),
        Ok(reply) => Err(format!("read {read} got {reply:?}, expected {:?}", row(read))),
        Err(error) => {
            let last = error.errors().last().map(Error::to_string);
            Err(format!(
                "read {read} failed on every replica; the last one said: {}",
                last.unwrap_or(error.to_string())
            ))
        }
    }
}

fn row(read: usize) -> String {
    format!("row {read}")
}

/// A server of the rows, on a port of its own.
struct Replica {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Replica {
    /// `stops_since`: the replica stands still at times, counted from then.
    fn start(name: &'static str, stops_since: Option<Instant>) -> Result<Self, String> {
        let failed = |e: &dyn std::fmt::Display| format!("replica {name} cannot start: {e}");
        let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").map_err(|e| failed(&e))?);
        let address = server.server_addr().to_ip().ok_or_else(|| failed(&"no address"))?;
        let requests = Arc::new(AtomicUsize::new(0));
        for worker in 0..32_u64 {
            let (server, requests) = (Arc::clone(&server), Arc::clone(&requests));
            let mut random = SmallRng::seed_from_u64(worker << 8 | u64::from(name.as_bytes()[0]));
            let serve = move || {
                while let Ok(request) = server.recv() {
                    requests.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_micros(random.random_range(QUICK)));
                    if let Some(since) = stops_since {
                        let into = Duration::from_nanos((since.elapsed().as_nanos() % PERIOD.as_nanos()) as u64);
                        thread::sleep(PAUSE.saturating_sub(into));
                    }
                    let row = request.url().trim_start_matches("/row/").to_owned();
                    // Whoever asked may have gone: a loser's connection is not an error.
                    let _ = request.respond(tiny_http::Response::from_string(format!("row {row}")));
                }
            };
            thread::Builder::new().name(format!("replica {name}")).spawn(serve).map_err(|e| failed(&e))?;
        }
        Ok(Self { url: format!("http://{address}"), requests })
    }

    fn read(&self, agent: &ureq::Agent, read: usize) -> Result<String, String> {
        let url = format!("{}/row/{read}", self.url);
        let mut reply = agent.get(&url).call().map_err(|e| format!("{url}: {e}"))?;
        reply.body_mut().read_to_string().map_err(|e| format!("{url}: {e}"))
    }
}

fn requests(replicas: &[Replica]) -> usize {
    replicas.iter().map(|replica| replica.requests.load(Ordering::Relaxed)).sum()
}

/// Latency over percentile, both on logarithmic scales: every step to the right is ten times rarer.
fn svg(curves: &[(&str, Sorted<Duration>)]) -> String {
    const LEFT: f64 = 60.0;
    const RIGHT: f64 = 660.0;
    const TOP: f64 = 30.0;
    const BOTTOM: f64 = 330.0;
    let x = |rarity: f64| LEFT + (RIGHT - LEFT) * rarity / 3.0;
    let y = |ms: f64| BOTTOM - (BOTTOM - TOP) * ms.max(1.0).log10() / 2.3;
    let colors = ["#b03a2e", "#2471a3", "#1e8449"];

    let mut svg = String::from(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 390" font-family="sans-serif" font-size="13"><rect width="760" height="390" fill="#ffffff"/>"##,
    );
    let mut put = |text: std::fmt::Arguments<'_>| svg.write_fmt(text).expect("a String takes everything");
    put(format_args!(r##"<text x="{LEFT}" y="18">how long a read takes (ms), and how many take longer</text>"##));
    for ms in [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0] {
        let y = y(ms);
        put(format_args!(
            r##"<path d="M{LEFT} {y:.1}H{RIGHT}" stroke="#dddddd"/><text x="{}" y="{:.1}" text-anchor="end">{ms}</text>"##,
            LEFT - 8.0,
            y + 4.0
        ));
    }
    for (rarity, label) in [(0.0, "all"), (1.0, "1 in 10"), (2.0, "1 in 100"), (3.0, "1 in 1000")] {
        let x = x(rarity);
        put(format_args!(
            r##"<path d="M{x:.1} {TOP}V{BOTTOM}" stroke="#dddddd"/><text x="{x:.1}" y="{}" text-anchor="middle">{label}</text>"##,
            BOTTOM + 20.0
        ));
    }
    for (i, ((name, times), color)) in curves.iter().zip(colors).enumerate() {
        let points: Vec<String> = (0..=120)
            .map(|step| {
                let rarity = f64::from(step) / 40.0;
                let ms = times.quantile(1.0 - 10_f64.powf(-rarity)).unwrap_or_default().as_secs_f64() * 1e3;
                format!("{:.1},{:.1}", x(rarity), y(ms))
            })
            .collect();
        put(format_args!(
            r##"<polyline points="{}" fill="none" stroke="{color}" stroke-width="2"/>"##,
            points.join(" ")
        ));
        put(format_args!(
            r##"<text x="{}" y="{}" fill="{color}">{name}</text>"##,
            RIGHT + 10.0,
            TOP + 10.0 + 20.0 * i as f64
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

struct Options {
    reads: usize,
    rate: usize,
    svg: PathBuf,
}

impl Options {
    /// `None`: help was asked for.
    fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self { reads: 4_000, rate: 400, svg: chart::default_path() };
        while let Some(arg) = parser.next()? {
            match arg {
                Long("reads") => options.reads = args::number(&mut parser, "--reads", 1..=10_000_000)?,
                Long("rate") => options.rate = args::number(&mut parser, "--rate", 1..=2_000)?,
                Long("svg") => options.svg = parser.value()?.into(),
                Long("help") | Short('h') => return Ok(None),
                _ => return Err(arg.unexpected()),
            }
        }
        chart::check(&options.svg)?;
        Ok(Some(options))
    }
}
