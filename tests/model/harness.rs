//! How a scenario is explored, and what every scenario asks of the closures it runs.

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Random schedules, then PCT with 2, 3 and 4 preemptions. `FLIGHT_GROUP_MODEL_ROUNDS` multiplies the numbers;
/// `FLIGHT_GROUP_REPLAY` is a schedule to run instead, that of a run that failed.
pub(crate) fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    explore_for(1, scenario);
}

/// The same, for scenarios whose dangerous moment is a narrow one: `patience` times as many schedules.
pub(crate) fn explore_for(patience: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let scenario = Arc::new(scenario);
    if let Ok(schedule) = std::env::var("FLIGHT_GROUP_REPLAY") {
        // As a failing run printed it; it fits this one scenario, and code that has not changed.
        return run(ReplayScheduler::new_from_encoded(&schedule), scenario);
    }
    let factor: usize = std::env::var("FLIGHT_GROUP_MODEL_ROUNDS").ok().map_or(1, |n| n.parse().expect("a number"));
    let rounds = patience * factor;
    run(RandomScheduler::new(1500 * rounds), scenario.clone());
    for preemptions in 2..=4 {
        run(PctScheduler::new(preemptions, 500 * rounds), scenario.clone());
    }
}

fn run(scheduler: impl Scheduler + 'static, scenario: Arc<dyn Fn() + Send + Sync>) {
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(200_000); // a livelock fails, too
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(move || scenario());
}

/// Lets other threads run: what a closure's work is to a scheduler.
pub(crate) fn work() {
    shuttle::thread::yield_now();
    shuttle::thread::yield_now();
}

/// P1: trips if two closures of one key run at once.
#[derive(Default)]
pub(crate) struct Alone {
    running: AtomicBool,
    pub(crate) runs: AtomicUsize,
}

impl Alone {
    pub(crate) fn run<T>(&self, body: impl FnOnce() -> T) -> T {
        assert!(!self.running.swap(true, SeqCst), "two closures of one key at once");
        self.runs.fetch_add(1, SeqCst);
        work();
        let result = body();
        self.running.store(false, SeqCst);
        result
    }
}

/// A clock that every event gets a different reading of. Not the checker's: reading it is no scheduling point.
#[derive(Default)]
pub(crate) struct Clock(AtomicUsize);

impl Clock {
    pub(crate) fn tick(&self) -> usize {
        self.0.fetch_add(1, SeqCst) + 1
    }
}

pub(crate) fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> shuttle::thread::JoinHandle<T> {
    shuttle::thread::spawn(body)
}

/// Long enough that only the coin decides.
pub(crate) const A_WHILE: std::time::Duration = std::time::Duration::from_secs(3600);
