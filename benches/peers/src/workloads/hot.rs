//! Everybody wants the same key, all the time.

use crate::measure::{Contestant, Mark, Metric, Workload, cpu, least_of, of};
use crate::workloads::{Depth, Planned, plan};
use flight_group_peers::contestants::{Fast, Flights, HAND, HAND_DASH, HAND_STD, OURS, SINGLE, Single, Visitor, each};
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::time::{Duration, Instant};

/// What the closure does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Empty,
    Busy(Duration),
    Wait(Duration),
}

impl Work {
    fn run(self) {
        match self {
            Self::Empty => {}
            Self::Busy(time) => {
                let began = Instant::now();
                while began.elapsed() < time {
                    std::hint::spin_loop();
                }
            }
            Self::Wait(time) => std::thread::sleep(time),
        }
    }
}

struct Hot {
    threads: usize,
    work: Work,
    window: Duration,
    contestants: Vec<Contestant>,
}

impl Visitor<u64> for Hot {
    fn visit<C: Flights<u64> + 'static>(&mut self, name: &str, make: impl Fn() -> C + Send + Sync + 'static) {
        let (threads, work, window) = (self.threads, self.work, self.window);
        let run = Box::new(move || sample(&make(), threads, work, window));
        self.contestants.push(Contestant { name: name.to_owned(), run });
    }
}

/// Thousands of calls a second, executions per call, microseconds of processor a call, and stale calls in per cent.
///
/// A call is stale if the closure that answered it had ended before the call came. A flight lands a little after its
/// closure has ended, and a caller that comes in between still follows it (P2 speaks of the flight). The longer that
/// gap, the more such calls. Each closure's last act is to take its number from a count of ended closures, and each
/// caller reads the count before it calls: an answer with a number that had been given out by then is stale. Where the
/// work is empty they are not counted, since counting would take longer than the work.
fn sample<C: Flights<u64>>(contestant: &C, threads: usize, work: Work, window: Duration) -> Vec<f64> {
    let (calls, runs, stale, ended) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (stop, ready) = (AtomicBool::new(false), Barrier::new(threads + 1));
    let mut used = Duration::ZERO;
    let took = std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                let (mut made, mut led, mut late) = (0, 0, 0);
                ready.wait();
                while !stop.load(Relaxed) {
                    if work == Work::Empty {
                        black_box(contestant.work(black_box(&7), || {
                            led += 1;
                            black_box(7)
                        }));
                    } else {
                        let before = ended.load(SeqCst);
                        let run = contestant.work(black_box(&7), || {
                            led += 1;
                            work.run();
                            ended.fetch_add(1, SeqCst) + 1
                        });
                        late += u64::from(run <= before);
                    }
                    made += 1;
                }
                calls.fetch_add(made, Relaxed);
                runs.fetch_add(led, Relaxed);
                stale.fetch_add(late, Relaxed);
            });
        }
        let before = cpu();
        ready.wait();
        let began = Instant::now();
        std::thread::sleep(window);
        stop.store(true, Relaxed);
        let took = began.elapsed();
        used = cpu() - before;
        took
    });
    let (calls, runs) = (calls.into_inner() as f64, runs.into_inner() as f64);
    let stale = if work == Work::Empty { f64::NAN } else { stale.into_inner() as f64 / calls * 100.0 };
    vec![calls / took.as_secs_f64() / 1e3, runs / calls, used.as_secs_f64() * 1e6 / calls, stale]
}

pub fn plans(depth: Depth) -> Vec<Planned> {
    let rounds = depth.pick(2, 9);
    let works = [
        ("empty", Work::Empty, "empty closure"),
        ("busy2us", Work::Busy(Duration::from_micros(2)), "2 us busy"),
        ("wait100us", Work::Wait(Duration::from_micros(100)), "100 us wait"),
        ("wait1ms", Work::Wait(Duration::from_millis(1)), "1 ms wait"),
    ];
    let mut plans = Vec::new();
    for (short, work, words) in works {
        for threads in [2, 8, 64] {
            let window = Duration::from_millis(match work {
                Work::Wait(time) if time >= Duration::from_millis(1) => depth.pick(25, 120),
                _ => depth.pick(15, 60),
            });
            let id = format!("hot-{short}-{threads}");
            plans.push(plan(id, window.as_secs_f64() * 1.1, rounds * 8, move || {
                let mut hot = Hot { threads, work, window, contestants: Vec::new() };
                each::<u64, u64, Fast>("", &mut hot);
                hot.visit(SINGLE, Single::default);
                let others = [HAND, HAND_STD, HAND_DASH, SINGLE];
                // 1, but for the noise: thousandths of a share decide nothing where threads meet by chance.
                let mut marks = vec![Mark::at_most("executions per call", of(OURS, 1), least_of(&others, 1), 1.02)];
                marks.extend(match (threads, work) {
                    (64, Work::Empty) => {
                        let mark = Mark::at_least("calls a second", of(OURS, 0), of(HAND, 0), 2.0).on_page();
                        Some(mark.if_missed("the two are close where no call has to wait"))
                    }
                    (64, Work::Busy(_)) => Some(Mark::absolute("stale, % of calls", of(OURS, 3), 4.0).on_page()),
                    (64, Work::Wait(_)) => {
                        Some(Mark::at_most("processor time a call", of(OURS, 2), of(HAND_STD, 2), 1.08).on_page())
                    }
                    _ => None,
                });
                Workload {
                    title: format!("Hot key, {threads} threads, {words} (foldhash)"),
                    method: format!(
                        "{threads} threads call with the same key, again and again, for {window:?}. Stale: answered \
                         by a closure that had ended before the call came, since its flight had not landed yet. The \
                         caches go on answering so until their key is out again; executions are compared with the \
                         peers that do not."
                    ),
                    metrics: vec![
                        Metric { name: "calls", unit: "k/s" },
                        Metric { name: "executions", unit: "per call" },
                        Metric { name: "cpu", unit: "us/call" },
                        Metric { name: "stale", unit: "% of calls" },
                    ],
                    contestants: hot.contestants,
                    rounds,
                    marks,
                    reference: OURS.to_owned(),
                }
            }));
        }
    }
    plans
}
