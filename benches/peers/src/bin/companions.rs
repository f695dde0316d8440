//! What a call of the companions costs in processor time: `companions --help`.
//!
//! Nobody else offers these types, so that there is nobody to be compared with but another build of this crate.

use flight_group::{Batcher, EventGroup};
use rustix::time::{ClockId, clock_gettime};
use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: companions [WORKLOAD]... [--rounds N] [--against PROGRAM] [--strict] [--plain]

Measures EventGroup and Batcher: microseconds of processor time a call, thousands of calls a second, and, where events
wait behind a run, KiB of memory that they took. Prints medians of the rounds. Every sample is a process of its own.

  WORKLOAD           only these (default: all that are in the table)
  --rounds N         so many samples of each (default: 5)
  --against PROGRAM  the same program of another build: both run in turns, and the ratio is the median of the rounds' ratios
  --strict           exit with 1 if a ratio is over its mark (a lone call or submit: 1.3)
  --plain            one sample of each workload in this process, tabs between, for programs

To compare with another commit:

  git worktree add ../before COMMIT
  cp benches/peers/src/bin/companions.rs ../before/benches/peers/src/bin/
  (cd ../before/benches/peers && cargo build --release --bin companions)
  cd benches/peers
  cargo run --release --bin companions -- --against ../../../before/benches/peers/target/release/companions";

/// What the run of a push or the function of a batcher takes where it is not empty.
const WORK: Duration = Duration::from_micros(100);
const WINDOW: Duration = Duration::from_millis(600);
const EVENTS: u64 = 1_000_000;

#[derive(Clone, Copy)]
struct Sample {
    cpu_us: f64,
    thousands_a_second: f64,
    kib: f64,
}

struct Workload {
    name: &'static str,
    words: &'static str,
    /// How much more processor time than the other build's a call may take.
    mark: Option<f64>,
    run: fn() -> Sample,
}

const WORKLOADS: [Workload; 8] = [
    Workload { name: "push-lone", words: "push, one thread, empty run", mark: Some(1.3), run: push_lone },
    Workload { name: "push-64", words: "push, 64 threads, one key, runs of 100 us", mark: None, run: push_64 },
    Workload { name: "load-lone", words: "load, one thread, empty function", mark: Some(1.3), run: load_lone },
    Workload { name: "load-64", words: "load, 64 threads, function of 100 us", mark: None, run: load_64 },
    Workload { name: "load-64-by-8", words: "load, the same, max_batch(8)", mark: None, run: load_64_by_8 },
    Workload { name: "submit-1", words: "submit, one thread, runs of 100 us", mark: Some(1.3), run: || submit(1) },
    Workload { name: "submit-4", words: "submit, four threads, runs of 100 us", mark: Some(1.3), run: || submit(4) },
    Workload { name: "million", words: "submit, a million behind a run that is stuck", mark: None, run: million },
];

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The most memory the process has had so far, in KiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}

/// So many threads call again and again for [`WINDOW`].
fn threads(n: usize, call: impl Fn(u64) + Sync) -> Sample {
    let (stop, ready, calls) = (AtomicBool::new(false), Barrier::new(n + 1), AtomicU64::new(0));
    let (stop, ready, all, call) = (&stop, &ready, &calls, &call);
    let before = cpu();
    let took = std::thread::scope(|scope| {
        for thread in 0..n as u64 {
            scope.spawn(move || {
                ready.wait();
                let mut made = 0;
                while !stop.load(Relaxed) {
                    call(thread);
                    made += 1;
                }
                all.fetch_add(made, Relaxed);
            });
        }
        ready.wait();
        let began = Instant::now();
        std::thread::sleep(WINDOW);
        stop.store(true, Relaxed);
        began.elapsed()
    });
    let (calls, used) = (calls.load(Relaxed) as f64, cpu() - before);
    Sample {
        cpu_us: used.as_secs_f64() * 1e6 / calls,
        thousands_a_second: calls / took.as_secs_f64() / 1e3,
        kib: f64::NAN,
    }
}

fn events(work: Duration) -> EventGroup<u64, u64, u64, Infallible> {
    let run = move |_: &u64, sum: u64| {
        if !work.is_zero() {
            std::thread::sleep(work);
        }
        Ok(sum)
    };
    EventGroup::builder(|sum: &mut u64, event: u64| *sum += event, run).capacity(usize::MAX).build()
}

fn push_lone() -> Sample {
    let events = events(Duration::ZERO);
    threads(1, |_| drop(events.push(&7, 1)))
}

fn push_64() -> Sample {
    let events = events(WORK);
    threads(64, |_| drop(events.push(&7, 1)))
}

fn submit(n: usize) -> Sample {
    let events = events(WORK);
    let before = peak();
    let sample = threads(n, |_| events.submit(&7, 1).expect("there is room for all"));
    Sample { kib: peak() - before, ..sample }
}

/// The run of the first event does not end before the last one is there.
fn million() -> Sample {
    let stuck = Arc::new((Mutex::new((false, false)), Condvar::new()));
    let run = {
        let stuck = stuck.clone();
        move |_: &u64, sum: u64| {
            let (state, bell) = &*stuck;
            let mut state = state.lock().unwrap();
            state.0 = true;
            bell.notify_all();
            drop(bell.wait_while(state, |(_, released)| !*released).unwrap());
            Ok(sum)
        }
    };
    let merge = |sum: &mut u64, event: u64| *sum += event;
    let events: EventGroup<u64, u64, u64, Infallible> = EventGroup::builder(merge, run).capacity(usize::MAX).build();
    events.submit(&7, 1).expect("there is room for all");
    let (state, bell) = &*stuck;
    drop(bell.wait_while(state.lock().unwrap(), |(running, _)| !*running).unwrap());
    let (memory, used, began) = (peak(), cpu(), Instant::now());
    for _ in 0..EVENTS {
        events.submit(&7, 1).expect("there is room for all");
    }
    let sample = Sample {
        cpu_us: (cpu() - used).as_secs_f64() * 1e6 / EVENTS as f64,
        thousands_a_second: EVENTS as f64 / began.elapsed().as_secs_f64() / 1e3,
        kib: peak() - memory,
    };
    state.lock().unwrap().1 = true;
    bell.notify_all();
    sample
}

fn answer(keys: &[u64]) -> Result<HashMap<u64, u64>, Infallible> {
    Ok(keys.iter().map(|&key| (key, key)).collect())
}

fn answer_later(keys: &[u64]) -> Result<HashMap<u64, u64>, Infallible> {
    std::thread::sleep(WORK);
    answer(keys)
}

fn load_lone() -> Sample {
    let batcher = Batcher::new(answer);
    threads(1, |_| drop(batcher.load(&7)))
}

fn load_64() -> Sample {
    let batcher = Batcher::new(answer_later);
    threads(64, |thread| drop(batcher.load(&thread)))
}

fn load_64_by_8() -> Sample {
    let batcher = Batcher::builder().max_batch(8).build(answer_later);
    threads(64, |thread| drop(batcher.load(&thread)))
}

/// One sample by a program of some build, this one or another.
fn sample(program: &PathBuf, workload: &Workload) -> Result<Sample, String> {
    let wrong = |what: String| format!("{} {}: {what}", program.display(), workload.name);
    let output = Command::new(program).args(["--plain", workload.name]).output().map_err(|e| wrong(e.to_string()))?;
    if !output.status.success() {
        return Err(wrong(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<f64> = text.trim().split('\t').skip(1).filter_map(|field| field.parse().ok()).collect();
    match numbers[..] {
        [cpu_us, thousands_a_second, kib] => Ok(Sample { cpu_us, thousands_a_second, kib }),
        _ => Err(wrong(format!("expected three numbers, found \"{}\"", text.trim()))),
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Args {
    workloads: Vec<&'static Workload>,
    rounds: usize,
    against: Option<PathBuf>,
    strict: bool,
    plain: bool,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Args>, String> {
    let mut args = Args { workloads: Vec::new(), rounds: 5, against: None, strict: false, plain: false };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value, and nothing follows it"));
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--plain" => args.plain = true,
            "--strict" => args.strict = true,
            "--against" => args.against = Some(value()?.into()),
            "--rounds" => {
                let given = value()?;
                args.rounds = given
                    .parse()
                    .ok()
                    .filter(|&n| n > 0)
                    .ok_or(format!("--rounds is \"{given}\", expected a number from 1"))?;
            }
            name => {
                let known = WORKLOADS.iter().find(|workload| workload.name == name);
                args.workloads.push(known.ok_or(format!("\"{name}\": expected an option or a workload of --help"))?);
            }
        }
    }
    if args.workloads.is_empty() {
        args.workloads = WORKLOADS.iter().collect();
    }
    Ok(Some(args))
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{USAGE}\n\nworkloads:");
            WORKLOADS.iter().for_each(|workload| println!("  {:<14} {}", workload.name, workload.words));
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("companions: {error}");
            return ExitCode::from(2);
        }
    };
    if args.plain {
        for workload in args.workloads {
            let Sample { cpu_us, thousands_a_second, kib } = (workload.run)();
            println!("{}\t{cpu_us}\t{thousands_a_second}\t{kib}", workload.name);
        }
        return ExitCode::SUCCESS;
    }
    match compare(&args) {
        Ok(missed) if missed == 0 || !args.strict => ExitCode::SUCCESS,
        Ok(missed) => {
            eprintln!("companions: {missed} marks missed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("companions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the table; returns how many marks were missed.
fn compare(args: &Args) -> Result<usize, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let other = args.against.as_ref().map_or("", |_| "  before   ratio  mark");
    println!("{:<46} {:>9} {:>11} {:>9}{other}", "", "us CPU", "k calls/s", "KiB");
    let mut missed = 0;
    for workload in &args.workloads {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..args.rounds {
            // Who goes first changes from round to round.
            for turn in 0..2 {
                match &args.against {
                    Some(other) if (round + turn) % 2 == 1 => theirs.push(sample(other, workload)?),
                    None if turn == 1 => {}
                    _ => ours.push(sample(&this, workload)?),
                }
            }
        }
        let of = |field: fn(&Sample) -> f64| median(ours.iter().map(field));
        let kib = if of(|s| s.kib).is_nan() { "-".to_owned() } else { format!("{:.0}", of(|s| s.kib)) };
        let rate = of(|s| s.thousands_a_second);
        print!("{:<46} {:>9.3} {rate:>11.1} {kib:>9}", workload.words, of(|s| s.cpu_us));
        if !theirs.is_empty() {
            let before = median(theirs.iter().map(|s| s.cpu_us));
            let ratio = median(ours.iter().zip(&theirs).map(|(ours, theirs)| ours.cpu_us / theirs.cpu_us));
            let verdict = match workload.mark {
                None => String::new(),
                Some(mark) if ratio <= mark => format!("met: <= {mark}"),
                Some(mark) => {
                    missed += 1;
                    format!("MISSED: <= {mark}")
                }
            };
            print!("  {before:>6.3}  {ratio:>6.2}  {verdict}");
        }
        println!();
    }
    Ok(missed)
}
