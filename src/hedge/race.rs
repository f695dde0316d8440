//! One hedged call: attempts on other threads, the caller waiting for the first good one.
//!
//! The caller alone decides what starts and when; it holds no lock while it hands a job over. An attempt that ends
//! reports under the race's lock. The first good one closes the race right there, on its own thread: from then on
//! whatever arrives is dropped by the thread that brings it, so that neither a slow nor a panicking `Drop` of a
//! loser's can reach the caller. A job counts as running from before it is handed over until it has reported or
//! was dropped unrun, so "nothing runs" is exact.
//!
//! The call's node ends when *any* of its attempts does. An attempt is a member of it, as the thread that makes it,
//! as long as it runs; before and after, as nobody, until the caller has looked: an attempt that has just ended is
//! about to wake the caller, and is no reason to take the others for its only hope.

use crate::cancel::{CancelToken, Wake};
use crate::engine::deadlock::{EdgeGuard, Ender, NOBODY, Node, runner};
use crate::engine::panics::{caught, describe, drop_quietly};
use crate::error::Error;
use crate::hedge::attempt::Attempt;
use crate::hedge::budget::Budget;
use crate::hedge::counters::Counters;
use crate::hedge::error::HedgeError;
use crate::hedge::job::{Job, Work};
use crate::hedge::latency::Latency;
use crate::hedge::watch::Watched;
use crate::report::Trace;
use crate::site::Kind;
use crate::sync::{self, Arc, Condvar, Duration, Instant, Mutex};

/// What a call may do, and where it counts it.
pub(super) struct Plan<'a> {
    /// The call's number, for reports.
    pub(super) call: u64,
    pub(super) max: usize,
    /// How many start at once, unasked.
    pub(super) at_once: usize,
    pub(super) delay: Option<Duration>,
    pub(super) budget: Option<&'a Budget>,
    pub(super) latency: Option<&'a Arc<Latency>>,
    pub(super) counters: &'a Counters,
    pub(super) executor: &'a (dyn Fn(Job) + Send + Sync),
    pub(super) parent: Option<&'a CancelToken>,
    /// The hedge's name, for reports.
    pub(super) name: Option<Arc<str>>,
    /// Who is told of the call.
    pub(super) watched: Option<&'a Watched<'a>>,
}

struct Race<T, E> {
    state: Mutex<State<T, E>>,
    /// For the caller, the only one that waits.
    changed: Condvar,
    began: Instant,
    latency: Option<Arc<Latency>>,
    node: Arc<Node>,
}

struct State<T, E> {
    won: Option<(usize, T)>,
    /// Somebody has won, or the caller has left: nothing that arrives is wanted.
    over: bool,
    failures: Vec<(usize, Error<E>)>,
    /// Attempts that found no thread.
    refused: Vec<usize>,
    tokens: Vec<CancelToken>,
    running: usize,
    /// An attempt failed since the last one was started: the next need not wait for its delay.
    hurry: bool,
}

/// What the caller does next with an attempt.
enum Step {
    /// Hand it over.
    Start(Attempt),
    /// Hand it over once more: it found no thread before.
    Restart(Attempt),
    /// Make it here: nothing else runs, and no thread could be had.
    RunHere(Attempt),
}

/// One attempt on its way.
struct Entrant<T, E, F> {
    race: Arc<Race<T, E>>,
    attempt: Attempt,
    work: Arc<F>,
    /// The call's span, if it has one.
    trace: Trace,
}

/// Runs `work` as `plan` says, and blocks until there is a good reply, or none will come.
pub(super) fn run<T, E, F>(plan: &Plan<'_>, work: F) -> Result<T, HedgeError<E>>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Fn(Attempt) -> Result<T, E> + Send + Sync + 'static,
{
    let race = Arc::new(Race {
        state: Mutex::new(State {
            won: None,
            over: false,
            failures: Vec::new(),
            refused: Vec::new(),
            tokens: Vec::new(),
            running: 0,
            hurry: false,
        }),
        changed: Condvar::new(),
        began: Instant::now(),
        latency: plan.latency.cloned(),
        node: Node::new(plan.call, Kind::Hedge, plan.name.clone(), Ender::Any(Vec::new())),
    });
    let work = Arc::new(work);
    let caller = Caller { race: &race, plan };
    let _wakes = plan.parent.map(|parent| parent.on_cancel(race.clone()));

    let mut timer = Timer { deadline: None, elapsed: false };
    loop {
        let entrant = |attempt| {
            let trace = plan.watched.map(Watched::trace).unwrap_or_default();
            Job::new(Entrant { race: Arc::clone(&race), attempt, work: Arc::clone(&work), trace })
        };
        match caller.next(&mut timer)? {
            Next::Won(value) => return Ok(value),
            Next::Do(Step::RunHere(attempt)) => entrant(attempt).run(),
            Next::Do(Step::Start(attempt) | Step::Restart(attempt)) => {
                sync::test_delay();
                (plan.executor)(entrant(attempt));
            }
        }
    }
}

/// When the next attempt is due.
struct Timer {
    deadline: Option<Instant>,
    elapsed: bool,
}

impl Timer {
    fn start(&mut self, delay: Option<Duration>) {
        *self = Self { deadline: delay.and_then(sync::after), elapsed: false };
    }

    /// For what could not be had just now: asks again no sooner than this, however short the delay.
    fn start_again(&mut self, delay: Option<Duration>) {
        const BREATH: Duration = Duration::from_millis(1);
        self.start(delay.map(|delay| delay.max(BREATH)));
    }
}

/// What became of the wait.
enum Next<T> {
    Won(T),
    Do(Step),
}

/// The caller's side of a race; leaves it in order, however the call ends.
struct Caller<'a, T, E> {
    race: &'a Arc<Race<T, E>>,
    plan: &'a Plan<'a>,
}

impl<T, E> Caller<'_, T, E> {
    /// Blocks until there is something to return or to do.
    fn next(&self, timer: &mut Timer) -> Result<Next<T>, HedgeError<E>> {
        let mut state = self.race.state.lock();
        loop {
            if let Some((index, value)) = state.won.take() {
                drop(state);
                self.plan.counters.won(index);
                return Ok(Next::Won(value));
            }
            // After the reply: one that is there wins over a cancel. One that comes now is not wanted any more.
            if let Some(Err(cancelled)) = self.plan.parent.map(CancelToken::check) {
                state.over = true;
                return Err(HedgeError::Cancelled(cancelled));
            }
            let due = state.running == 0 || state.hurry || timer.elapsed;
            if let Some(step) = self.step(&mut state, due) {
                state.hurry = false;
                match step {
                    Step::Restart(_) => timer.start_again(self.plan.delay),
                    _ => timer.start(self.plan.delay),
                }
                return Ok(Next::Do(step));
            }
            if state.running == 0 {
                let mut failures = std::mem::take(&mut state.failures);
                drop(state);
                failures.sort_by_key(|&(index, _)| index);
                return Err(HedgeError::Failed(failures.into_iter().map(|(_, error)| error).collect()));
            }
            // Denied, if it was due: asked again after another delay, or once an attempt fails.
            state.hurry = false;
            if timer.elapsed {
                timer.start_again(self.plan.delay);
            }
            let more = state.tokens.len() < self.plan.max || !state.refused.is_empty();
            let deadline = if more { timer.deadline } else { None };
            // With another attempt to come this wait ends by itself. Without one, or where that was denied just now,
            // it depends on those that run.
            let _edge = if deadline.is_none() || due {
                let members = state.running;
                self.race.node.change(|attempts| forget_ended(attempts, members));
                Some(EdgeGuard::begin(&self.race.node, deadline.is_some()).map_err(HedgeError::Deadlock)?)
            } else {
                None
            };
            timer.elapsed = sync::wait_until(&self.race.changed, &mut state, deadline);
        }
    }

    fn step(&self, state: &mut State<T, E>, due: bool) -> Option<Step> {
        let made = state.tokens.len();
        if made < self.plan.at_once {
            return Some(self.start(state));
        }
        if !due {
            return None;
        }
        if let Some(index) = take_first(&mut state.refused) {
            let attempt = Attempt { index, token: state.tokens[index].clone() };
            // Where nothing else runs nothing else can bring a reply.
            let step = if state.running == 0 { Step::RunHere(attempt) } else { Step::Restart(attempt) };
            self.count(state);
            return Some(step);
        }
        if made >= self.plan.max {
            return None;
        }
        if self.plan.budget.is_some_and(|budget| !budget.spend()) {
            self.plan.counters.denied();
            return None;
        }
        Some(self.start(state))
    }

    fn start(&self, state: &mut State<T, E>) -> Step {
        let index = state.tokens.len();
        let token = self.plan.parent.map_or_else(CancelToken::new, CancelToken::child);
        state.tokens.push(token.clone());
        self.count(state);
        self.plan.counters.attempted(index);
        Step::Start(Attempt { index, token })
    }

    fn count(&self, state: &mut State<T, E>) {
        state.running += 1;
        self.race.node.change(|attempts| attempts.push(Ender::Thread(NOBODY)));
    }
}

impl<T, E> Drop for Caller<'_, T, E> {
    /// After a win, or when all have failed, there is nothing left to tell; otherwise (a cancel, an executor that
    /// panicked) this closes the race and tells whoever still runs.
    fn drop(&mut self) {
        let mut state = self.race.state.lock();
        state.over = true;
        let tokens = if state.running > 0 { std::mem::take(&mut state.tokens) } else { Vec::new() };
        let unwanted = (state.won.take(), std::mem::take(&mut state.failures));
        let refused = std::mem::take(&mut state.refused);
        drop(state);
        for token in tokens {
            token.cancel("the call did not wait for this attempt");
        }
        drop_quietly(unwanted);
        if let Some(budget) = self.plan.budget {
            budget.refund(refused.iter().filter(|&&index| index >= self.plan.at_once).count());
        }
    }
}

impl<T, E> Race<T, E> {
    /// An attempt has ended. Runs on its thread; wakes the caller before anything else is done.
    fn ended(&self, index: usize, outcome: Result<T, Error<E>>) {
        let mut state = self.state.lock();
        state.running -= 1;
        if state.over {
            drop(state);
            return drop_quietly(outcome);
        }
        match outcome {
            Err(error) => {
                state.failures.push((index, error));
                state.hurry = true;
                drop(state);
                self.changed.notify_one();
            }
            Ok(value) => {
                state.won = Some((index, value));
                state.over = true;
                let failures = std::mem::take(&mut state.failures);
                let tokens = std::mem::take(&mut state.tokens);
                drop(state);
                sync::test_delay();
                self.changed.notify_one();
                sync::test_delay();

                let first_failed = failures.iter().any(|&(failed, _)| failed == 0);
                for (other, token) in tokens.iter().enumerate() {
                    if other != index {
                        token.cancel("another attempt was quicker");
                    }
                }
                // A first attempt that lost would have taken longer than this: left out, the percentile would sink
                // with every hedge it causes.
                if let (false, Some(latency)) = (first_failed, &self.latency) {
                    latency.observe(self.began.elapsed());
                }
                drop_quietly(failures);
            }
        }
    }

    fn refused(&self, index: usize) {
        let mut state = self.state.lock();
        state.running -= 1;
        state.refused.push(index);
        drop(state);
        self.changed.notify_one();
    }
}

impl<T: Send + 'static, E: Send + 'static> Wake for Race<T, E> {
    fn wake(&self) {
        // Taken so that the caller is either asleep or has yet to look at its token.
        drop(self.state.lock());
        self.changed.notify_one();
    }
}

impl<T, E, F> Work for Entrant<T, E, F>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Fn(Attempt) -> Result<T, E> + Send + Sync + 'static,
{
    fn run(self: Box<Self>) {
        let Self { race, attempt, work, trace } = *self;
        let index = attempt.index;
        // It may have waited for a thread until nobody wanted it any more.
        if race.state.lock().over {
            race.refused(index);
            return drop_quietly((race, attempt, work, trace));
        }
        race.node.change(|attempts| replace(attempts, NOBODY, runner()));
        let outcome = match caught(|| {
            let _inside = trace.enter();
            work(attempt)
        }) {
            Ok(outcome) => outcome.map_err(Error::Work),
            Err(payload) => {
                let panic = describe(&payload);
                drop_quietly(payload);
                Err(Error::Panicked(panic))
            }
        };
        race.node.change(|attempts| replace(attempts, runner(), NOBODY));
        race.ended(index, outcome);
        // Perhaps the last handles: what they drop is the user's.
        drop_quietly((race, work, trace));
    }

    fn refuse(self: Box<Self>) {
        let Self { race, attempt, work, trace } = *self;
        race.refused(attempt.index);
        drop_quietly((race, attempt, work, trace));
    }
}

fn replace(attempts: &mut [Ender], before: u64, after: u64) {
    let is = |attempt: &&mut Ender| matches!(attempt, Ender::Thread(runner) if *runner == before);
    if let Some(attempt) = attempts.iter_mut().find(is) {
        *attempt = Ender::Thread(after);
    }
}

/// Leaves so many: those that run, or have yet to begin.
fn forget_ended(attempts: &mut Vec<Ender>, running: usize) {
    let mut ended = attempts.len() - running;
    attempts.retain(|attempt| {
        let stays = ended == 0 || !matches!(attempt, Ender::Thread(NOBODY));
        ended -= usize::from(!stays);
        stays
    });
}

fn take_first(indices: &mut Vec<usize>) -> Option<usize> {
    let (at, _) = indices.iter().enumerate().min_by_key(|&(_, index)| index)?;
    Some(indices.swap_remove(at))
}
