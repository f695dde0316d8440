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

use chart::{TEXT, TITLE};
use flight_group::hedge::Threads;
use flight_group::{Error, Hedge, HedgeError};
use lexopt::prelude::*;
use plotters::prelude::*;
use quantile::Sorted;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::error::Error as AnyError;
use std::path::{Path, PathBuf};
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

    draw(&options.svg, &curves).map_err(|e| chart::failed(&options.svg, e))?;
    println!();
    println!("chart: {}", options.svg.display());
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

/// Latency over rarity: every step to the right is ten times rarer.
fn draw(path: &Path, curves: &[(&str, Sorted<Duration>)]) -> Result<(), Box<dyn AnyError>> {
    const RAREST: f64 = 1_000.0;
    let ms = |times: &Sorted<Duration>, share| times.quantile(share).unwrap_or_default().as_secs_f64() * 1e3;
    let slowest = curves.iter().map(|(_, times)| ms(times, 1.0 - 1.0 / RAREST)).fold(10.0, f64::max);
    // Room for the legend above the curves.
    let top = 5.0 * slowest;
    let marks = [1.0, 10.0, 100.0, 1_000.0].into_iter().flat_map(|decade| [1.0, 2.0, 5.0].map(|n| n * decade));
    let marks = marks.filter(|mark| *mark < top);
    let words = |name: &str| match name {
        "plain" => "plain: waits for its replica".to_owned(),
        "fixed" => format!("fixed: asks the next replica after {} ms", DELAY.as_millis()),
        _ => format!("observed: asks it after the 95th percentile so far, {} ms at most", DELAY.as_millis()),
    };
    let colours = [RGBColor(0xB0, 0x3A, 0x2E), RGBColor(0x24, 0x71, 0xA3), RGBColor(0x1E, 0x84, 0x49)];

    let root = SVGBackend::new(path, (900, 540)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("How long reads take, without a second request and with one", TITLE)
        .margin(12)
        .margin_right(50)
        .x_label_area_size(48)
        .y_label_area_size(70)
        .build_cartesian_2d(
            (1.0..RAREST).log_scale(),
            (1.0..top).log_scale().with_key_points(marks.collect::<Vec<_>>()),
        )?;
    chart
        .configure_mesh()
        .x_desc("the slowest reads: one in so many takes this long or longer (log scale)")
        .y_desc("latency in ms (log scale)")
        .x_label_formatter(&|&rarity| if rarity < 1.5 { "all".to_owned() } else { format!("1 in {rarity:.0}") })
        .y_label_formatter(&|ms| format!("{ms:.0}"))
        .label_style(TEXT)
        .draw()?;
    for ((name, times), colour) in curves.iter().zip(colours) {
        let points = (0..=120).map(|step| {
            let rarity = RAREST.powf(f64::from(step) / 120.0);
            (rarity, ms(times, 1.0 - 1.0 / rarity).max(1.0))
        });
        let style = colour.stroke_width(2);
        let line = chart.draw_series(LineSeries::new(points, style))?;
        line.label(words(name)).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    let position = SeriesLabelPosition::UpperLeft;
    chart.configure_series_labels().position(position).background_style(WHITE.mix(0.8)).label_font(TEXT).draw()?;
    root.present()?;
    Ok(())
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
