//! A stream of changes that nobody waits for, through an `EventGroup`, to a partner that is slow and fails at times.

use crate::http::{Receiver, Webhook, field};
use crate::progress;
use crate::{Options, lock, state};
use backon::{BackoffBuilder, ExponentialBuilder};
use flight_group::{CancelToken, Error, EventGroup};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Threads of the shop on which orders change.
const PRODUCERS: usize = 4;
/// Pushes on their way at the same time.
const WORKERS: usize = 16;
/// What the partner takes for a push.
const SERVICE: Duration = Duration::from_millis(5);
/// How long the shutdown waits. Shorter than the partner needs, so that something is left for the next start.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long to wait for what has to end by itself. Only a defect takes so long.
const LONG: Duration = Duration::from_secs(30);

// --- The shop. ---

/// Changes of one order that follow each other: what an event carries, and what is pushed.
///
/// `last` is the version that the partner compares. `first` is there so that it can see a gap.
#[derive(Clone, Copy)]
struct Changes {
    first: u32,
    last: u32,
    /// What these changes add to the order's price. The sum would be wrong if one of them was lost or counted twice.
    cents: u64,
}

impl Changes {
    /// Associative: the oldest `first`, the newest `last`, the sum of the cents.
    fn merge(&mut self, newer: Self) {
        self.last = newer.last;
        self.cents += newer.cents;
    }

    /// The state follows from the newest version.
    fn form(&self) -> String {
        format!("first={}&last={}&state={}&cents={}", self.first, self.last, state(self.last), self.cents)
    }

    fn from_form(form: &str) -> Option<Self> {
        let number = |name| field(form, name)?.parse::<u64>().ok();
        let version = |name| u32::try_from(number(name)?).ok();
        Some(Self { first: version("first")?, last: version("last")?, cents: number("cents")? })
    }
}

/// A push that was given up. The error carries the changes, because the group has them no more.
struct GivenUp {
    changes: Changes,
    why: String,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

type Pushes = EventGroup<usize, Changes, (), Arc<GivenUp>>;

/// An order as the shop knows it.
#[derive(Default)]
struct Order {
    version: u32,
    cents: u64,
}

/// The pushes of one run of the program.
struct Outbox {
    pushes: Pushes,
    stop: CancelToken,
    given_up: Arc<Mutex<Vec<(usize, Changes)>>>,
    /// What is gone for good. Nothing should get here.
    lost: Arc<Mutex<Vec<String>>>,
    retries: Arc<AtomicUsize>,
}

impl Outbox {
    fn open(orders: usize, webhooks: &Arc<Mutex<Vec<Webhook>>>) -> Self {
        let stop = CancelToken::new();
        let (given_up, lost, retries) = <(Arc<Mutex<Vec<_>>>, Arc<Mutex<Vec<_>>>, Arc<AtomicUsize>)>::default();
        let push = {
            let (stop, webhooks, retries) = (stop.clone(), webhooks.clone(), retries.clone());
            move |order: &usize, changes| {
                let webhook =
                    lock(&webhooks).pop().expect("there is a connection for each worker, and one for `flush`");
                let outcome = deliver(&webhook, *order, changes, &stop, &retries);
                lock(&webhooks).push(webhook);
                outcome.map_err(|why| Arc::new(GivenUp { changes, why }))
            }
        };
        let on_failure = {
            let (given_up, lost) = (given_up.clone(), lost.clone());
            move |order: &usize, error: &Error<Arc<GivenUp>>| match error {
                Error::Work(failed) => lock(&given_up).push((*order, failed.changes)),
                other => lock(&lost).push(format!("order {order}: {other}")),
            }
        };
        let pushes = EventGroup::builder(Changes::merge, push)
            .name("orders")
            .workers(WORKERS)
            // Counted after merging: 1 for each order that waits, and for an instant 1 for each thread that merges.
            .capacity(orders + PRODUCERS)
            .on_failure(on_failure)
            .build();
        Self { pushes, stop, given_up, lost, retries }
    }

    fn check(&self) -> Result<(), String> {
        match lock(&self.lost).first() {
            Some(first) => Err(format!("the group lost changes: {first}")),
            None => Ok(()),
        }
    }
}

/// Pushes until the partner has the changes. Only a shutdown ends the retries.
///
/// The retry is inside the push, so no newer push of the order can overtake it. What arrives meanwhile is merged and waits.
fn deliver(
    webhook: &Webhook,
    order: usize,
    changes: Changes,
    stop: &CancelToken,
    retries: &AtomicUsize,
) -> Result<(), String> {
    let form = changes.form();
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(5))
        .with_max_delay(Duration::from_millis(200))
        .with_jitter()
        .without_max_times();
    for pause in pauses.build() {
        let Err(why) = webhook.post(order, &form) else { return Ok(()) };
        // The pause ends early if the program ends.
        if stop.wait_timeout(pause).is_some() {
            return Err(why);
        }
        retries.fetch_add(1, Relaxed);
    }
    Err("the back-off has an end".to_owned())
}

// --- The partner. ---

/// What the partner knows of an order.
#[derive(Default)]
struct Known {
    version: u32,
    state: String,
    cents: u64,
    arriving: usize,
}

#[derive(Default)]
struct Ledger {
    orders: HashMap<usize, Known>,
    received: usize,
    refused: usize,
    /// Taken, and answered with 503 all the same: the shop cannot know, and sends it again.
    taken_and_refused: usize,
    ignored: usize,
    gaps: usize,
    overlapping: usize,
}

/// Takes a push if it is newer than what is known. Answers 11 of 100 pushes with 503, of these 5 after taking the push.
fn take(ledger: &Mutex<Ledger>, order: usize, form: &str) -> u16 {
    let Some(changes) = Changes::from_form(form) else { return 400 };
    let dice = {
        let mut ledger = lock(ledger);
        ledger.received += 1;
        let known = ledger.orders.entry(order).or_default();
        known.arriving += 1;
        let overlaps = known.arriving > 1;
        ledger.overlapping += usize::from(overlaps);
        ledger.received * 37 % 100
    };
    std::thread::sleep(SERVICE);
    let (refuses, takes) = (dice < 11, !(5..11).contains(&dice));
    let mut ledger = lock(ledger);
    let known = ledger.orders.entry(order).or_default();
    known.arriving -= 1;
    let is_newer = changes.last > known.version;
    let has_gap = changes.first != known.version + 1;
    if takes && is_newer {
        known.version = changes.last;
        known.state = field(form, "state").unwrap_or_default().to_owned();
        known.cents += changes.cents;
        ledger.gaps += usize::from(has_gap);
        ledger.taken_and_refused += usize::from(refuses);
    }
    ledger.ignored += usize::from(takes && !is_newer);
    ledger.refused += usize::from(refuses);
    if refuses { 503 } else { 200 }
}

// --- The stream, the shutdown, the next start. ---

/// Runs all of it, prints the table, and checks the two sides against each other.
pub(crate) fn stream(options: Options, directory: &Path) -> Result<(), String> {
    let Options { rate, seconds, stream_orders, .. } = options;
    println!("a stream of {rate} changes a second of {stream_orders} orders, for {seconds} s, with EventGroup");
    println!("the partner takes {} ms for a push, and answers 11 of 100 with 503\n", SERVICE.as_millis());

    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let takes = (0..WORKERS).map(|_| {
        let ledger = ledger.clone();
        move |order: usize, form: &str| take(&ledger, order, form)
    });
    let receiver = Receiver::start(takes.collect())?;
    let webhooks = (0..=WORKERS).map(|_| Webhook::connect(&receiver.base)).collect::<Result<Vec<_>, _>>()?;
    let webhooks = Arc::new(Mutex::new(webhooks));
    let orders: Vec<_> = (0..stream_orders).map(|_| Mutex::new(Order::default())).collect();

    let outbox = Outbox::open(stream_orders, &webhooks);
    let streamed = change_orders(options, &orders, &outbox.pushes)?;
    let left = shut_down(outbox, directory)?;
    let pushed_before = lock(&ledger).received;
    let start = Instant::now();
    let retries = left.retries + next_start(stream_orders, &webhooks, directory)?;
    let restart = start.elapsed();

    let ledger = lock(&ledger);
    let line = |name: &str, text: String| println!("{name:<26}{text}");
    let changes: u64 = orders.iter().map(|order| u64::from(lock(order).version)).sum();
    let per_second = changes as f64 / streamed.wall.as_secs_f64();
    line("changes accepted", format!("{changes}, {per_second:.0} a second; {} refused", streamed.refused));
    let per_push = changes as f64 / ledger.received as f64;
    line("pushes received", format!("{}, {per_push:.1} changes each", ledger.received));
    line(
        "answered with 503",
        format!("{}, of these {} after taking the push", ledger.refused, ledger.taken_and_refused),
    );
    line("retries in the push", retries.to_string());
    line("ignored as not newer", ledger.ignored.to_string());
    line(
        "most that waited",
        format!(
            "{} changes, merged into {} events of {} bytes; capacity {}",
            streamed.most_changes,
            streamed.most_events,
            size_of::<Changes>(),
            stream_orders + PRODUCERS
        ),
    );
    line("memory of the process", memory(&streamed));
    line(
        "close after 100 ms",
        format!(
            "gave back {} changes of {} orders; {} pushes gave up their retries; took {:.0} ms in all",
            left.changes,
            left.orders,
            left.given_up,
            left.took.as_secs_f64() * 1e3
        ),
    );
    let pushes = ledger.received - pushed_before;
    line("next start", format!("pushed them with {pushes} pushes in {:.1} s", restart.as_secs_f64()));
    check(&orders, &ledger)?;
    println!("\nthe partner has the newest state of every order, and no change is lost or counted twice");
    Ok(())
}

struct Streamed {
    wall: Duration,
    refused: usize,
    most_changes: usize,
    most_events: usize,
    memory_before: Option<u64>,
    memory_most: Option<u64>,
}

/// Changes orders at the given rate, on a few threads, and looks meanwhile at what waits.
fn change_orders(options: Options, orders: &[Mutex<Order>], pushes: &Pushes) -> Result<Streamed, String> {
    let total = options.rate * options.seconds;
    let (done, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let progress = progress::bar("with EventGroup", total, "changes");
    let memory_before = resident();
    let mut streamed = Streamed {
        wall: Duration::ZERO,
        refused: 0,
        most_changes: 0,
        most_events: 0,
        memory_before,
        memory_most: None,
    };
    let (finished, ends) = mpsc::channel();
    let start = Instant::now();
    std::thread::scope(|s| {
        for producer in 0..PRODUCERS {
            let (finished, done, refused) = (finished.clone(), &done, &refused);
            s.spawn(move || {
                let mut number = producer;
                let mut random = SmallRng::seed_from_u64(producer as u64);
                while number < total {
                    // The events that are due by now, as a real stream would bring them.
                    let due = (start.elapsed().as_secs_f64() * options.rate as f64) as usize;
                    while number < total.min(due) {
                        let key = random.random_range(0..orders.len());
                        if change(&orders[key], key, number, pushes) {
                            done.fetch_add(1, Relaxed);
                        } else {
                            refused.fetch_add(1, Relaxed);
                        }
                        number += PRODUCERS;
                    }
                    std::thread::sleep(Duration::from_millis(1)); // until more of them are due
                }
                // Nobody listens any more once a thread has died.
                let _ = finished.send(());
            });
        }
        drop(finished);
        let mut running = PRODUCERS;
        while running > 0 {
            match ends.recv_timeout(Duration::from_millis(10)) {
                Ok(()) => running -= 1,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("a thread of the shop died".to_owned()),
            }
            streamed.most_changes = streamed.most_changes.max(pushes.waiting_events());
            streamed.most_events = streamed.most_events.max(pushes.waiting_keys());
            streamed.memory_most = streamed.memory_most.max(resident());
            progress.set_position(done.load(Relaxed) as u64);
        }
        Ok(())
    })?;
    drop(progress);
    streamed.wall = start.elapsed();
    streamed.refused = refused.load(Relaxed);
    Ok(streamed)
}

/// One change of an order. It is undone if the group does not accept the event: then nobody may count on it.
fn change(order: &Mutex<Order>, key: usize, number: usize, pushes: &Pushes) -> bool {
    // Locked over `submit`, so that the events of an order are submitted in the order of its versions.
    let mut order = lock(order);
    let version = order.version + 1;
    let cents = 1 + number as u64 % 500;
    let is_accepted = pushes.submit(&key, Changes { first: version, last: version, cents }).is_ok();
    if is_accepted {
        order.version = version;
        order.cents += cents;
    }
    is_accepted
}

struct Left {
    changes: u64,
    orders: usize,
    given_up: usize,
    retries: usize,
    took: Duration,
}

/// Ends the pushes in time, and writes what is left into two files.
fn shut_down(outbox: Outbox, directory: &Path) -> Result<Left, String> {
    let start = Instant::now();
    // First: no more runs. What no run has begun to carry by the deadline comes back, merged.
    let waiting = outbox.pushes.close(start + PATIENCE);
    // Then: the runs in the air end. One that is in a back-off gives up, and one that waits for an answer gets it.
    outbox.stop.cancel("the program ends");
    outbox.pushes.close(Instant::now() + LONG);
    let in_flight = outbox.pushes.in_flight();
    if in_flight > 0 {
        return Err(format!("{in_flight} pushes did not end within {LONG:?}"));
    }
    let took = start.elapsed();
    outbox.check()?;
    let given_up = std::mem::take(&mut *lock(&outbox.given_up));
    save(&directory.join("given-up"), &given_up)?;
    save(&directory.join("waiting"), &waiting)?;
    let changes = waiting.iter().map(|(_, changes)| u64::from(changes.last - changes.first + 1)).sum();
    let retries = outbox.retries.load(Relaxed);
    Ok(Left { changes, orders: waiting.len(), given_up: given_up.len(), retries, took })
}

/// The program starts again, and pushes what was left. Returns how many retries that took.
fn next_start(orders: usize, webhooks: &Arc<Mutex<Vec<Webhook>>>, directory: &Path) -> Result<usize, String> {
    let outbox = Outbox::open(orders, webhooks);
    // The partner may have taken a push that was given up. It ignores a repeated push, but only if the push is the same as
    // before: so it must be done before newer changes can be merged into it.
    for file in ["given-up", "waiting"] {
        for (order, changes) in load(&directory.join(file))? {
            outbox.pushes.submit(&order, changes).map_err(|e| e.to_string())?;
        }
        outbox.pushes.flush().map_err(|e| e.to_string())?;
    }
    let left = outbox.pushes.close(Instant::now() + LONG);
    outbox.check()?;
    let given_up = lock(&outbox.given_up).len();
    if !left.is_empty() || given_up > 0 {
        return Err(format!("the next start left {} orders and gave up {given_up} pushes", left.len()));
    }
    Ok(outbox.retries.load(Relaxed))
}

fn save(path: &Path, lines: &[(usize, Changes)]) -> Result<(), String> {
    let mut text = String::new();
    for (order, changes) in lines {
        let _ = writeln!(text, "order={order}&{}", changes.form());
    }
    std::fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

fn load(path: &Path) -> Result<Vec<(usize, Changes)>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let parse = |line| Some((field(line, "order")?.parse().ok()?, Changes::from_form(line)?));
    text.lines().map(|line| parse(line).ok_or_else(|| format!("{}: {line:?}", path.display()))).collect()
}

/// Both sides know the same, and the partner saw each change once and in order.
fn check(orders: &[Mutex<Order>], ledger: &Ledger) -> Result<(), String> {
    let (mut stale, mut wrong) = (0, 0);
    let nothing = Known::default();
    for (key, order) in orders.iter().enumerate() {
        let (order, known) = (lock(order), ledger.orders.get(&key).unwrap_or(&nothing));
        let newest = if order.version == 0 { "" } else { state(order.version) };
        stale += usize::from((known.version, &*known.state) != (order.version, newest));
        wrong += usize::from(known.cents != order.cents);
    }
    for (count, what) in [
        (stale, "orders were left with an old state"),
        (wrong, "orders have a wrong sum: changes were lost or counted twice"),
        (ledger.gaps, "pushes left out changes, or repeated some"),
        (ledger.overlapping, "pushes overlapped another push of their order"),
    ] {
        if count > 0 {
            return Err(format!("with EventGroup {count} {what}"));
        }
    }
    Ok(())
}

fn memory(streamed: &Streamed) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    match (streamed.memory_before, streamed.memory_most) {
        (Some(before), Some(most)) => format!("{:.1} MiB before the stream, {:.1} MiB at most", mib(before), mib(most)),
        _ => "not known on this system".to_owned(),
    }
}

/// What the process has in memory, in bytes; known on Linux only.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?;
    Some(kib.trim().parse::<u64>().ok()? * 1024)
}
