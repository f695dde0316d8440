//! Pushing state to a webhook: duplicate pushes of one order collapse, and the receiver ends up with the newest state.
//!
//! A shop's orders change on many threads, several times a second each. After every change the partner's webhook is
//! to be told the order's state. Sent by each thread for itself, pushes of one order overtake each other, and the
//! receiver may be left with an old state for good; and of a burst of ten pushes nine were not worth sending.
//! Through a `WriteGroup` one push for each order is on its way, and one more carries whatever changed meanwhile.
//!
//! `cargo run --release --example event_push` does both, over real HTTP, and prints one table. It ends with exit
//! code 1 if through the group pushes of an order overlapped or overtook each other, if a call returned before
//! its change had been delivered, or if the receiver was left with an old state.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program's output")]

use flight_group::{Error, WriteGroup};
use std::collections::HashMap;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tiny_http::{Method, Response, Server};

const HELP: &str = "\
Pushes of changing orders to a webhook over HTTP: each change by itself, and through a `WriteGroup`.

usage: cargo run --release --example event_push -- [options]

  --events N     how many changes of orders (default: 20000)
  --orders N     how many orders (default: 12)
  --threads N    threads on which orders change (default: 32)
  --help         this text
";

#[derive(Clone, Copy)]
struct Options {
    events: usize,
    orders: usize,
    threads: usize,
}

// --- The shop: what a real service would have. ---

const STATES: [&str; 6] = ["placed", "paid", "packed", "shipped", "delivered", "returned"];

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
            webhook.post(order, revision).map(|()| revision).map_err(Arc::from)
        };
        let delivered = match &self.pushes {
            Some(pushes) => pushes.try_write(&order, push)?,
            None => push().map_err(Error::Work)?,
        };
        Ok((changed, delivered))
    }
}

/// The partner's address, and a thread's connection to it.
struct Webhook {
    agent: ureq::Agent,
    base: String,
}

impl Webhook {
    /// Connects, and checks that somebody answers.
    ///
    /// Threads connect one after the other: tiny_http 0.12 may put a connection that comes in together with another
    /// behind it, in the queue of the thread that serves the other until it is closed.
    fn connect(base: &str) -> Result<Self, String> {
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(60)))
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(Duration::from_secs(3_600))
            .build();
        let webhook = Self { agent: config.into(), base: base.to_owned() };
        let mut answer = webhook.agent.get(base).call().map_err(|e| format!("cannot reach {base}: {e}"))?;
        answer.body_mut().read_to_string().map_err(|e| format!("cannot reach {base}: {e}"))?;
        Ok(webhook)
    }

    fn post(&self, order: usize, revision: u32) -> Result<(), String> {
        let state = STATES[revision as usize % STATES.len()];
        let body = format!("revision={revision}&state={state}");
        let request = self.agent.post(format!("{}/orders/{order}", self.base));
        let sent = request.content_type("application/x-www-form-urlencoded").send(body.as_bytes());
        let mut response = sent.map_err(|e| format!("order {order}: {e}"))?;
        // The connection is good for the next request once the body has been read.
        response.body_mut().read_to_string().map(drop).map_err(|e| format!("order {order}: {e}"))
    }
}

// --- The partner: a webhook receiver that keeps a journal. ---

struct Receiver {
    http: Arc<Server>,
    base: String,
    book: Arc<Mutex<Book>>,
    threads: Vec<JoinHandle<()>>,
}

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

impl Receiver {
    fn start(directory: &Path, threads: usize) -> Result<Self, String> {
        let http = Server::http("127.0.0.1:0").map_err(|e| format!("cannot listen on 127.0.0.1: {e}"))?;
        let base = format!("http://{}", http.server_addr());
        let mut receiver = Self { http: Arc::new(http), base, book: Arc::default(), threads: Vec::new() };
        for number in 0..threads {
            let path = directory.join(format!("journal-{number}"));
            let journal = File::create(&path).map_err(|e| format!("cannot create {}: {e}", path.display()))?;
            let (http, book) = (receiver.http.clone(), receiver.book.clone());
            receiver.threads.push(std::thread::spawn(move || {
                // `recv` fails once `unblock` has been called.
                while let Ok(request) = http.recv() {
                    receive(request, &book, &journal);
                }
            }));
        }
        Ok(receiver)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        for _ in &self.threads {
            self.http.unblock();
        }
        for thread in self.threads.drain(..) {
            // It panicked, and its clients have seen as much.
            let _ = thread.join();
        }
    }
}

/// A push counts once it is safe on disk, as with any receiver that answers 200 and means it.
fn receive(mut request: tiny_http::Request, book: &Mutex<Book>, mut journal: &File) {
    if *request.method() == Method::Get {
        // A client that has gone away is no concern of the receiver's, here and below.
        let _ = request.respond(Response::from_string("a webhook for orders\n"));
        return;
    }
    let mut body = String::new();
    let is_read = request.as_reader().read_to_string(&mut body).is_ok();
    let push =
        request.url().strip_prefix("/orders/").and_then(|order| order.parse::<usize>().ok()).zip(revision(&body));
    let Some((order, revision)) = push.filter(|_| is_read) else {
        let _ = request.respond(Response::from_string("expected revision=N&state=NAME").with_status_code(400));
        return;
    };
    {
        let mut book = lock(book);
        let arriving = book.arriving.entry(order).or_default();
        *arriving += 1;
        if *arriving > 1 {
            book.overlapping += 1;
        }
    }
    let written = writeln!(journal, "{order} {body}").and_then(|()| journal.sync_data());
    {
        let mut book = lock(book);
        *book.arriving.entry(order).or_default() -= 1;
        book.received += 1;
        // The partner believes whatever it was told last: it cannot know better.
        if book.last.insert(order, revision).is_some_and(|before| before > revision) {
            book.overtaken += 1;
        }
    }
    let status = if written.is_ok() { 200 } else { 500 };
    let _ = request.respond(Response::from_string("").with_status_code(status));
}

fn revision(body: &str) -> Option<u32> {
    body.split('&').find_map(|field| field.strip_prefix("revision="))?.parse().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    latencies: Vec<Duration>,
    wall: Duration,
}

fn run(options: Options, with_group: bool, directory: &Path) -> Result<Run, String> {
    let name = if with_group { "with WriteGroup" } else { "each by itself" };
    let receiver = Receiver::start(directory, options.threads)?;
    let shop = Shop {
        orders: (0..options.orders).map(|_| AtomicU32::new(0)).collect(),
        pushes: with_group.then(WriteGroup::new),
    };
    let webhooks = (0..options.threads).map(|_| Webhook::connect(&receiver.base)).collect::<Result<_, _>>()?;
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    let (mut latencies, early) = replay(options, name, &shop, webhooks, &next)?;
    let wall = start.elapsed();
    latencies.sort();

    let book = lock(&receiver.book);
    let is_stale = |(order, now): (usize, &AtomicU32)| book.last.get(&order).copied().unwrap_or(0) != now.load(Relaxed);
    Ok(Run {
        name,
        events: options.events,
        received: book.received,
        overlapping: book.overlapping,
        overtaken: book.overtaken,
        stale: shop.orders.iter().enumerate().filter(|&order| is_stale(order)).count(),
        early,
        latencies,
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
    let (finished, results) = mpsc::channel();
    std::thread::scope(|s| {
        for webhook in webhooks {
            let finished = finished.clone();
            s.spawn(move || {
                let result = change_orders(options, shop, &webhook, next);
                if result.is_err() {
                    // One failure is enough: the others need not go on.
                    next.store(options.events, Relaxed);
                }
                // Nobody listens any more once an error has been received.
                let _ = finished.send(result);
            });
        }
        let mut progress = Progress::new(name, options.events);
        let (mut latencies, mut early) = (Vec::new(), 0);
        for _ in 0..options.threads {
            let (some, too_early) = loop {
                match results.recv_timeout(Duration::from_millis(100)) {
                    Ok(result) => break result?,
                    Err(RecvTimeoutError::Timeout) => progress.show(next.load(Relaxed).min(options.events)),
                    Err(RecvTimeoutError::Disconnected) => return Err("a thread of the shop died".to_owned()),
                }
            };
            latencies.extend(some);
            early += too_early;
        }
        progress.finish();
        Ok((latencies, early))
    })
}

fn change_orders(options: Options, shop: &Shop, webhook: &Webhook, next: &AtomicUsize) -> Result<Deliveries, String> {
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
    }
}

/// A line on a terminal, overwritten as it goes; nothing elsewhere, for a run takes a few seconds.
struct Progress<'a> {
    name: &'a str,
    total: usize,
    is_terminal: bool,
}

impl<'a> Progress<'a> {
    fn new(name: &'a str, total: usize) -> Self {
        Self { name, total, is_terminal: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, done: usize) {
        if self.is_terminal {
            eprint!("\r{}: {done} of {} changes\x1b[K", self.name, self.total);
        }
    }

    fn finish(&mut self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
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
    line("until delivered, p50", &|run| ms(quantile(&run.latencies, 0.50)));
    line("until delivered, p99", &|run| ms(quantile(&run.latencies, 0.99)));
    line("wall time", &|run| format!("{:.1} s", run.wall.as_secs_f64()));
    text
}

/// The value that a share `q` of all does not exceed; of sorted values.
fn quantile(sorted: &[Duration], q: f64) -> Duration {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
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

/// A directory that is removed however the program ends.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is left to the system.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn both_runs(options: Options) -> Result<(), String> {
    let directory = Directory(std::env::temp_dir().join(format!("flight-group-push-{}", std::process::id())));
    std::fs::create_dir_all(&directory.0).map_err(|e| format!("cannot create {}: {e}", directory.0.display()))?;
    println!("{} changes of {} orders on {} threads", options.events, options.orders, options.threads);
    println!("the receiver answers 200 once a push is on disk\n");
    let runs = [run(options, false, &directory.0)?, run(options, true, &directory.0)?];
    print!("{}", table(&runs));
    check(&runs[1])?;
    println!(
        "\nthrough the group no push overlapped or overtook another, and the receiver has every order's newest state"
    );
    Ok(())
}

fn main() -> ExitCode {
    let options = match arguments(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("event_push: {message}");
            return ExitCode::from(2);
        }
    };
    match both_runs(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("event_push: {message}");
            ExitCode::FAILURE
        }
    }
}

/// `None` for help.
fn arguments(mut args: impl Iterator<Item = std::ffi::OsString>) -> Result<Option<Options>, String> {
    let mut options = Options { events: 20_000, orders: 12, threads: 32 };
    while let Some(arg) = args.next() {
        let name = arg.to_string_lossy();
        let (number, most) = match &*name {
            "--help" | "-h" => return Ok(None),
            "--events" => (&mut options.events, 10_000_000),
            "--orders" => (&mut options.orders, 1_000_000),
            "--threads" => (&mut options.threads, 1_000),
            _ => return Err(format!("unknown option {arg:?}; --help lists them")),
        };
        let value = args.next().ok_or_else(|| format!("{name} wants a number, and nothing follows it"))?;
        let parsed = value.to_str().and_then(|text| text.parse().ok()).filter(|number| (1..=most).contains(number));
        *number = parsed.ok_or_else(|| format!("{name} is {value:?}, expected a number from 1 to {most}"))?;
    }
    Ok(Some(options))
}
