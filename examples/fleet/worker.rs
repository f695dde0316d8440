//! One process: four threads that want rows.

use flight_group::fleet::{Fleet, FleetGroup};
use rusqlite::{Connection, params};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Set for workers.
pub(crate) const NUMBER: &str = "FLEET_EXAMPLE_WORKER";
const THREADS: u64 = 4;

type Rows = FleetGroup<u32, String, String>;

pub(crate) fn create(path: &Path, rows: u32) -> rusqlite::Result<()> {
    let mut db = Connection::open(path)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body TEXT, loads INTEGER, fence INTEGER)", [])?;
    let transaction = db.transaction()?;
    for id in 0..rows {
        transaction.execute("INSERT INTO rows VALUES (?1, ?2, 0, 0)", params![id, format!("row {id}")])?;
    }
    transaction.commit()
}

pub(crate) fn main() {
    let text = |name: &str| std::env::var(name).unwrap_or_default();
    // What the killed leader costs the others, and more than a busy machine keeps a process waiting: whoever stands still
    // for longer than this is overtaken.
    let fleet = Fleet::builder(&text("URL")).ttl(Duration::from_secs(2)).command_timeout(Duration::from_secs(10));
    let fleet = match fleet.connect() {
        Ok(fleet) => fleet,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    let rows: Rows = fleet.group("rows");
    let number: u64 = text(NUMBER).parse().unwrap_or(0);
    let (stop, calls, lost) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let worst = AtomicU64::new(0);
    let report = || {
        let stats = fleet.stats();
        let followed = stats.followed_inline + stats.followed_fetched + stats.followed_polled;
        let (calls, lost) = (calls.load(Ordering::Relaxed), lost.load(Ordering::Relaxed));
        let worst = worst.load(Ordering::Relaxed);
        say(&format!("stat {calls} {lost} {} {followed} {} {worst}", stats.led, stats.takeovers));
    };
    std::thread::scope(|s| {
        s.spawn(|| {
            let _ = std::io::stdin().read(&mut [0]);
            stop.store(true, Ordering::Relaxed);
        });
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (rows, stop, calls, lost, worst, database) =
                    (&rows, &stop, &calls, &lost, &worst, text("DATABASE"));
                s.spawn(move || {
                    let db = Connection::open(database).expect("the database that was just made");
                    db.busy_timeout(Duration::from_secs(10)).expect("a number of milliseconds");
                    // All in the same order, a little apart: that is how a stampede looks.
                    let mut id = ((number + thread) % 4) as u32;
                    while !stop.load(Ordering::Relaxed) {
                        let asked = Instant::now();
                        let row = rows.call(&id).run_with(|flight| load(&db, id, flight.fence()));
                        worst.fetch_max(asked.elapsed().as_millis() as u64, Ordering::Relaxed);
                        calls.fetch_add(1, Ordering::Relaxed);
                        if row.map(|landing| landing.value) != Ok(format!("row {id}")) {
                            lost.fetch_add(1, Ordering::Relaxed);
                        }
                        id = (id + 1) % super::ROWS;
                    }
                })
            })
            .collect();
        while !threads.iter().all(|thread| thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(50));
            report();
        }
    });
    report();
}

/// The work: a slow query, and a stamp on what it read.
fn load(db: &Connection, id: u32, fence: Option<u64>) -> Result<String, String> {
    let fence = fence.ok_or("no server: not stamping rows without a fence")?;
    say(&format!("start {id} {fence} {}", now()));
    let explain = |error: rusqlite::Error| error.to_string();
    let body = db.query_row("SELECT body FROM rows WHERE id = ?1", [id], |row| row.get(0)).map_err(explain)?;
    std::thread::sleep(Duration::from_millis(10));
    let sql = "UPDATE rows SET loads = loads + 1, fence = ?2 WHERE id = ?1 AND fence <= ?2";
    let stamped = db.execute(sql, params![id, fence as i64]).map_err(explain)?;
    say(&format!("{} {id} {fence} {}", if stamped == 1 { "end" } else { "stale" }, now()));
    Ok(body)
}

/// One write, so that lines of several threads do not mix; nobody listens any more where it fails.
fn say(line: &str) {
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

/// Microseconds of a clock all processes share.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}
