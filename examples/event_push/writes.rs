//! Callers that wait for their push: each change by itself, and through a `WriteGroup`.

use crate::http::{Receiver, Webhook, field};
use crate::progress;
use crate::quantile::Sorted;
use crate::{Options, lock, state};
use flight_group::{Error, WriteGroup};
use indicatif::ProgressBar;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Runs both, and prints the table.
pub(crate) fn compare(options: Options, directory: &Path) -> Result<(), String> {
    println!("{} changes of {} orders on {} threads", options.events, options.orders, options.threads);
    println!("the receiver answers 200 once a push is on disk\n");
    let runs = [run(options, false, directory)?, run(options, true, directory)?];
    print!("{}", table(&runs));
    check(&runs[1])?;
    println!(
        "\nthrough the group no push overlapped or overtook another, and the receiver has every order's newest state"
    );
    Ok(())
}

// --- The shop: what a real service would have. ---

struct Shop {
    /// How often each order has changed; its state follows from that.
    orders: Vec<AtomicU32>,
    /// The value is the revision that was delivered. `None` in the run that shows what happens without.
    pushes: Option<WriteGroup<usize, u32, Arc<str>>>,
}

impl Shop {
    /// An order changes, and the partner is told. Returns the order's revision after the change, and the one delivered.
    fn change(&self, order: usize, webhook: &Webhook) -> Result<(u32, u32), Error<Arc<str>>> {
        let changed = self.orders[order].fetch_add(1, Relaxed) + 1;
        // The push sends the order as it is when the push starts, not as it was at the change that asked for it:
        // that is what lets one push stand for many.
        let push = || {
            let revision = self.orders[order].load(Relaxed);
            let form = format!("revision={revision}&state={}", state(revision));
            webhook.post(order, &form).map(|()| revision).map_err(Arc::from)
        };
        let delivered = match &self.pushes {
            Some(pushes) => pushes.try_write(&order, push)?,
            None => push().map_err(Error::Work)?,
        };
        Ok((changed, delivered))
    }
}

// --- The partner: it keeps a journal, and believes what it was told last. ---

/// What the partner knows, and what it noticed.
#[derive(Default)]
struct Book {
    /// The state it was told last.
    last: HashMap<usize, u32>,
    /// Pushes of each order that are being written into the journal.
    arriving: HashMap<usize, usize>,
    received: usize,
    overlapping: usize,
    overtaken: usize,
}

fn partner(directory: &Path, threads: usize, book: &Arc<Mutex<Book>>) -> Result<Receiver, String> {
    let mut takes = Vec::new();
    for number in 0..threads {
        let path = directory.join(format!("journal-{number}"));
        let journal = File::create(&path).map_err(|e| format!("cannot create {}: {e}", path.display()))?;
        let book = book.clone();
        takes.push(move |order: usize, form: &str| take(&book, &journal, order, form));
    }
    Receiver::start(takes)
}

/// A push counts once it is safe on disk, as with any receiver that answers 200 and means it.
fn take(book: &Mutex<Book>, mut journal: &File, order: usize, form: &str) -> u16 {
    let Some(revision) = field(form, "revision").and_then(|revision| revision.parse().ok()) else { return 400 };
    {
        let mut book = lock(book);
        let arriving = book.arriving.entry(order).or_default();
        *arriving += 1;
        if *arriving > 1 {
            book.overlapping += 1;
        }
    }
    let written = writeln!(journal, "{order} {form}").and_then(|()| journal.sync_data());
    let mut book = lock(book);
    *book.arriving.entry(order).or_default() -= 1;
    book.received += 1;
    // It does not compare revisions, as many receivers do not: an old state that comes late replaces a newer one.
    if book.last.insert(order, revision).is_some_and(|before| before > revision) {
        book.overtaken += 1;
    }
    if written.is_ok() { 200 } else { 500 }
}

// --- The two runs, and the table. ---

struct Run {
    name: &'static str,
    events: usize,
    received: usize,
    overlapping: usize,
    overtaken: usize,
    /// Orders of which the partner has not got the newest state.
    stale: usize,
    /// Calls that returned before their change had been delivered.
    early: usize,
    latencies: Sorted<Duration>,
    wall: Duration,
}

fn run(options: Options, with_group: bool, directory: &Path) -> Result<Run, String> {
    let name = if with_group { "with WriteGroup" } else { "each by itself" };
    let book = Arc::default();
    let receiver = partner(directory, options.threads, &book)?;
    let shop = Shop {
        orders: (0..options.orders).map(|_| AtomicU32::new(0)).collect(),
        pushes: with_group.then(WriteGroup::new),
    };
    let webhooks = (0..options.threads).map(|_| Webhook::connect(&receiver.base)).collect::<Result<_, _>>()?;
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    let (latencies, early) = replay(options, name, &shop, webhooks, &next)?;
    let wall = start.elapsed();

    let book = lock(&book);
    let is_stale = |(order, now): (usize, &AtomicU32)| book.last.get(&order).copied().unwrap_or(0) != now.load(Relaxed);
    Ok(Run {
        name,
        events: options.events,
        received: book.received,
        overlapping: book.overlapping,
        overtaken: book.overtaken,
        stale: shop.orders.iter().enumerate().filter(|&order| is_stale(order)).count(),
        early,
        latencies: Sorted::new(latencies),
        wall,
    })
}

/// How long each change took to be delivered, and how many calls returned too early.
type Deliveries = (Vec<Duration>, usize);

/// All events, on all threads.
fn replay(
    options: Options,
    name: &str,
    shop: &Shop,
    webhooks: Vec<Webhook>,
    next: &AtomicUsize,
) -> Result<Deliveries, String> {
    let progress = progress::bar(name, options.events, "changes");
    std::thread::scope(|s| {
        let change = |webhook: Webhook| {
            let result = change_orders(options, shop, &webhook, next, &progress);
            if result.is_err() {
                // One failure is enough: the others need not go on.
                next.store(options.events, Relaxed);
            }
            result
        };
        let threads: Vec<_> = webhooks.into_iter().map(|webhook| s.spawn(move || change(webhook))).collect();
        let (mut latencies, mut early) = (Vec::new(), 0);
        for thread in threads {
            let (some, too_early) = thread.join().map_err(|_| "a thread of the shop died")??;
            latencies.extend(some);
            early += too_early;
        }
        Ok((latencies, early))
    })
}

fn change_orders(
    options: Options,
    shop: &Shop,
    webhook: &Webhook,
    next: &AtomicUsize,
    progress: &ProgressBar,
) -> Result<Deliveries, String> {
    let (mut latencies, mut early) = (Vec::new(), 0);
    loop {
        let number = next.fetch_add(1, Relaxed);
        if number >= options.events {
            return Ok((latencies, early));
        }
        // A handful of changes of one order after the other, as a shop's orders do change.
        let order = number / 5 * 7 % options.orders;
        let start = Instant::now();
        let (changed, delivered) = shop.change(order, webhook).map_err(|e| e.to_string())?;
        latencies.push(start.elapsed());
        early += usize::from(delivered < changed);
        progress.inc(1);
    }
}

fn table(runs: &[Run]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, cell: &dyn Fn(&Run) -> String| {
        text += &format!("{name:<26}");
        for run in runs {
            text += &format!("{:>17}", cell(run));
        }
        text.push('\n');
    };
    line("", &|run| run.name.to_owned());
    line("changes", &|run| run.events.to_string());
    line("pushes received", &|run| run.received.to_string());
    line("collapsed share", &|run| format!("{:.1}%", 100.0 * (1.0 - run.received as f64 / run.events as f64)));
    line("overlapping pushes", &|run| run.overlapping.to_string());
    line("overtaken by a newer one", &|run| run.overtaken.to_string());
    line("orders left stale", &|run| run.stale.to_string());
    line("until delivered, p50", &|run| ms(run.latencies.quantile(0.5).unwrap_or_default()));
    line("until delivered, p99", &|run| ms(run.latencies.quantile(0.99).unwrap_or_default()));
    line("wall time", &|run| format!("{:.1} s", run.wall.as_secs_f64()));
    text
}

fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// What the group promises, of the run through it.
fn check(run: &Run) -> Result<(), String> {
    for (count, what) in [
        (run.overlapping, "pushes overlapped another push of their order"),
        (run.overtaken, "pushes were overtaken by a newer one"),
        (run.early, "calls returned before their change had been delivered"),
        (run.stale, "orders were left with an old state"),
    ] {
        if count > 0 {
            return Err(format!("with WriteGroup {count} {what}"));
        }
    }
    Ok(())
}
