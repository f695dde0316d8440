//! `--stall`: one key's query hangs, and the operator looks at what is in the air.
//!
//! Everything here goes over HTTP, as it would at 3 a.m.: the server under load answers `GET /flights`.

use crate::args::Options;
use crate::client::Client;
use crate::database::Database;
use crate::metrics;
use crate::paths;
use crate::report::{duration, thousands};
use crate::server::Server;
use crate::site::Site;
use crate::trace::Trace;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests that wait as long as it takes.
const PATIENT: usize = 9;
/// Requests that give up after `WAIT`.
const IMPATIENT: usize = 3;
const WAIT: Duration = Duration::from_millis(1_000);
/// When the operator looks, counted from when all wait; at one of these the flight is forgotten.
const LOOKS: [u64; 6] = [250, 750, 1_250, 1_750, 2_250, 2_750];
const FORGET_AT: u64 = 1_750;
/// When the hanging query goes on by itself.
const END_AT: Duration = Duration::from_millis(3_000);

/// A query that hangs: the first one of a key, until it is let go.
#[derive(Clone)]
pub(crate) struct Stall {
    key: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(PartialEq)]
enum State {
    Armed,
    Holding,
    Over,
}

impl Stall {
    fn new(key: &str) -> Self {
        Self { key: key.to_owned(), state: Arc::new((Mutex::new(State::Armed), Condvar::new())) }
    }

    /// Called where the query of `key` begins.
    pub(crate) fn hold(&self, key: &str) {
        let (state, changed) = &*self.state;
        let mut now = state.lock().unwrap_or_else(PoisonError::into_inner);
        if key != self.key || *now != State::Armed {
            return;
        }
        *now = State::Holding;
        changed.notify_all();
        drop(changed.wait_while(now, |now| *now == State::Holding).unwrap_or_else(PoisonError::into_inner));
    }

    fn wait_until_holding(&self) {
        let (state, changed) = &*self.state;
        let now = state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(changed.wait_while(now, |now| *now == State::Armed).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Lets the query go on, however the demonstration ends.
struct LetGo(Stall);

impl Drop for LetGo {
    fn drop(&mut self) {
        let (state, changed) = &*self.0.state;
        *state.lock().unwrap_or_else(PoisonError::into_inner) = State::Over;
        changed.notify_all();
    }
}

/// Whether the demonstration can be shown with so many threads.
pub(crate) fn check(threads: usize) -> Result<(), String> {
    // A stuck thread of the server is stuck: it takes some more to serve everybody else.
    let needed = PATIENT + IMPATIENT + 3;
    if threads < needed {
        return Err(format!("--threads is {threads}, expected at least {needed} with --stall"));
    }
    Ok(())
}

pub(crate) fn run(options: &Options, database: &Database) -> Result<(), String> {
    let trace = &options.trace;
    let key = trace.hottest();
    let stall = Stall::new(key);
    let site = Arc::new(Site::new(options.ttl, true, Some(stall.clone())));
    let server = Server::start(&site, database, options.threads)?;
    let connect = || Client::connect(server.address());
    let clients = (0..PATIENT + IMPATIENT).map(|_| connect()).collect::<Result<Vec<_>, _>>()?;
    let (operator, others, newcomer) = (connect()?, connect()?, connect()?);

    println!(
        "\nthe query for {key} hangs; {PATIENT} requests wait for it, {IMPATIENT} more give up after {}",
        duration(WAIT)
    );
    println!("\n{:>7}   {:<24} {:>7} {:>8} {:>8}", "after", "stuck", "flight", "age", "waiting");
    let over = AtomicBool::new(false);
    std::thread::scope(|s| {
        let let_go = LetGo(stall.clone());
        let start = Instant::now();
        let mut clients = clients.into_iter();
        let path = format!("/page/{}", paths::encode(key));
        let ask = |client: Client, path: String| {
            s.spawn(move || client.get(&path).map(|(status, _)| (status, start.elapsed())))
        };
        // The first is the leader, and stays with its query to the end.
        let mut patient: Vec<_> = clients.next().map(|client| ask(client, path.clone())).into_iter().collect();
        stall.wait_until_holding();
        patient.extend(clients.by_ref().take(PATIENT - 1).map(|client| ask(client, path.clone())));
        let impatient: Vec<_> =
            clients.map(|client| ask(client, format!("{path}?wait={}", WAIT.as_millis()))).collect();
        wait_until_all_wait(&site, start)?;
        let all_wait = Instant::now();
        let bystanders = s.spawn(|| ask_for_others(&others, trace, key, &over));
        let stop = StopOnDrop(&over);

        for at in LOOKS {
            sleep_until(all_wait + Duration::from_millis(at));
            look(&operator, start, key)?;
            if at == FORGET_AT {
                let encoded = paths::encode(key);
                let status = operator.delete(&format!("/flights/{encoded}"))?;
                println!("{:>7}   DELETE /flights/{encoded}: {status}", duration(start.elapsed()));
                let asked_at = Instant::now();
                newcomer.page(key)?;
                let (now, took) = (duration(start.elapsed()), duration(asked_at.elapsed()));
                println!("{now:>7}   a new request for {key} is answered in {took}, with a query of its own");
            }
        }
        // Before the query goes on: an outcome that is there wins over a timeout.
        let (_, gave_up) = statuses(impatient)?;
        sleep_until(all_wait + END_AT);
        let hung = start.elapsed();
        drop(let_go);
        println!("{:>7}   the query goes on, by itself", duration(start.elapsed()));
        drop(stop);

        let (answered, _) = statuses(patient)?;
        let (served, slowest) = bystanders.join().map_err(|_| "a client's thread died".to_owned())??;
        let last = gave_up.iter().max().copied().unwrap_or_default();
        println!();
        println!("{:>6} requests were answered by the one query that hung for {}", answered.len(), duration(hung));
        println!("{:>6} gave up (status 504), the last after {}", gave_up.len(), duration(last));
        println!(
            "{:>6} requests for other keys were answered meanwhile, the slowest in {}",
            thousands(served),
            duration(slowest)
        );
        println!("{:>6} flights are in the air now", site.flights().len());
        if let (200, scraped) = operator.get("/metrics")? {
            let meters = ["joined_total", "timed_out_total", "forgotten_total", "in_flight", "waiting"];
            println!("\nGET /metrics, the group's part of it:");
            for meter in meters {
                let value = metrics::read(&scraped, meter).ok_or(format!("/metrics does not tell {meter}"))?;
                println!("{value:>6} {meter}");
            }
        }
        Ok(())
    })
}

/// Waits until everybody but the leader has boarded the flight; from then on the clock alone decides what happens.
fn wait_until_all_wait(site: &Site, start: Instant) -> Result<(), String> {
    let expected = (PATIENT + IMPATIENT - 1) as u64;
    while site.joined() < expected {
        if start.elapsed() > Duration::from_secs(10) {
            return Err(format!("{} of {expected} requests wait for the query after 10 s", site.joined()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

type Asked<'s> = std::thread::ScopedJoinHandle<'s, Result<(u16, Duration), String>>;

/// When requests were answered (200), and when they gave up (504).
fn statuses(asked: Vec<Asked<'_>>) -> Result<(Vec<Duration>, Vec<Duration>), String> {
    let (mut answered, mut gave_up) = (Vec::new(), Vec::new());
    for request in asked {
        match request.join().map_err(|_| "a client's thread died".to_owned())?? {
            (200, after) => answered.push(after),
            (504, after) => gave_up.push(after),
            (status, _) => return Err(format!("a request for the key that hangs got status {status}")),
        }
    }
    Ok((answered, gave_up))
}

fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

/// Ends the bystanders' requests, however the demonstration ends.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// What the operator sees.
fn look(operator: &Client, start: Instant, key: &str) -> Result<(), String> {
    let (_, flights) = operator.get("/flights")?;
    let now = duration(start.elapsed());
    let mut stuck = 0;
    for flight in flights.lines() {
        let cells: Vec<&str> = flight.split('\t').collect();
        // Other keys' flights come and go.
        if let [name, flight, age, followers] = cells[..] {
            if name == key {
                stuck += 1;
                println!("{now:>7}   {name:<24} {flight:>7} {age:>8} {followers:>8}");
            }
        }
    }
    if stuck == 0 {
        println!("{now:>7}   (nothing)");
    }
    Ok(())
}

/// The rest of the world: one request after the other for every key but the one that hangs.
fn ask_for_others(client: &Client, trace: &Trace, key: &str, over: &AtomicBool) -> Result<(usize, Duration), String> {
    let mut served = 0;
    let mut slowest = Duration::ZERO;
    for other in trace.keys().iter().filter(|other| *other != key).cycle() {
        if over.load(Relaxed) {
            break;
        }
        let start = Instant::now();
        client.page(other)?;
        slowest = slowest.max(start.elapsed());
        served += 1;
    }
    Ok((served, slowest))
}
