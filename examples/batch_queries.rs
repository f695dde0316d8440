//! When is it worth asking a database for many rows at once, and who gathers them?
//!
//! A pool of threads asks a real SQLite file for one row each, over and over: with a statement for every question (over one
//! connection behind a lock, and over a connection for each thread), and through a `Batcher`, which makes one `IN (..)`
//! statement of all that was asked while the statement before it ran. All of them take turns in one run, and the table shows
//! the ratios of the rounds. The questions differ in what a statement costs:
//!
//! - by primary key, with many threads and with one: a few microseconds, and waking a thread costs as much;
//! - by a column without an index, in the first 100 rows, in the first 1,000 and in all of them: the rows are read for one
//!   key or for many;
//! - a durable write: the disk syncs, for one row or for many.
//!
//! `cargo run --release --example batch_queries` does it; `-- --help` lists the options.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

#[path = "shared/args.rs"]
mod args;
#[path = "shared/chart.rs"]
mod chart;
#[path = "shared/progress.rs"]
mod progress;
#[path = "shared/quantile.rs"]
mod quantile;

use chart::{TEXT, TITLE};
use flight_group::{Batcher, Error};
use indicatif::HumanCount;
use lexopt::prelude::*;
use plotters::prelude::*;
use quantile::Sorted;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// SQLite's errors are not `Clone`, and every caller of a batch gets its own.
type SqlError = Arc<rusqlite::Error>;

const HELP: &str = "\
Asks a SQLite file for a row at a time, with a statement for each question and with one for all who wait.

usage: cargo run --release --example batch_queries -- [options]

  --threads N   how many threads ask (default: 32)
  --seconds S   how long each way of asking is measured (default: 1)
  --rows N      rows in the table (default: 20000)
  --svg FILE    where to write the chart (default: target/batch_queries.svg)
  --help        this text
";

struct Settings {
    threads: u64,
    seconds: f64,
    rows: u64,
    svg: PathBuf,
}

fn main() -> ExitCode {
    args::main(HELP, Settings::parse, |settings| report(&settings))
}

impl Settings {
    /// `None`: help was asked for.
    fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut settings = Self { threads: 32, seconds: 1.0, rows: 20_000, svg: chart::default_path() };
        while let Some(arg) = parser.next()? {
            match arg {
                Long("threads") => settings.threads = args::number(&mut parser, "--threads", 1..=1_024)?,
                Long("seconds") => settings.seconds = args::number(&mut parser, "--seconds", 0.05..=600.0)?,
                Long("rows") => settings.rows = args::number(&mut parser, "--rows", 1..=10_000_000)?,
                Long("svg") => settings.svg = parser.value()?.into(),
                Long("help") | Short('h') => return Ok(None),
                _ => return Err(arg.unexpected()),
            }
        }
        chart::check(&settings.svg)?;
        Ok(Some(settings))
    }
}

/// How one contender did.
struct Row {
    question: String,
    contender: &'static str,
    /// Of each round.
    per_second: Vec<f64>,
    p50: Duration,
    p99: Duration,
    keys_per_statement: f64,
}

impl Row {
    fn is_batcher(&self) -> bool {
        self.contender == BATCHER
    }
}

const LOCKED: &str = "one connection, locked";
const EACH: &str = "a connection each";
const BATCHER: &str = "one connection, Batcher";

fn report(settings: &Settings) -> Result<(), String> {
    let directory =
        TempDir::with_prefix("batch_queries-").map_err(|error| format!("cannot create a folder: {error}"))?;
    let file = directory.path().join("users.db");
    eprintln!("filling a table of {} rows in {}", settings.rows, file.display());
    let _open = fill(&file, settings.rows).map_err(|error| format!("cannot fill {}: {error}", file.display()))?;

    let alone = &Settings { threads: 1, svg: PathBuf::new(), ..*settings };
    let all = settings.rows;
    let mut questions = vec![(alone, Question::ByKey), (settings, Question::ByKey)];
    let scans = [100, 1_000, all].map(|rows| rows.min(all));
    questions.extend(scans.map(|rows| (settings, Question::Scan(rows))));
    questions.dedup_by_key(|(settings, question)| question.text(settings.threads));

    let mut results = Vec::new();
    for (settings, question) in questions {
        let contenders = vec![
            one_connection(&file, question, all)?,
            a_connection_each(&file, question, all, settings.threads)?,
            batched(&file, question, all)?,
        ];
        results.push(measure(settings, question.text(settings.threads), contenders)?);
    }
    results.push(measure(settings, "durable write".to_owned(), vec![commit_each(&file)?, group_commit(&file)?])?);

    print_table(settings, &results);
    print_verdicts(&results);
    draw(settings, &results).map_err(|error| chart::failed(&settings.svg, error))?;
    println!("chart: {}", settings.svg.display());
    Ok(())
}

/// What was found for one question.
struct Found {
    /// A statement for one key, when nobody else asks.
    alone: Duration,
    rows: Vec<Row>,
}

#[derive(Clone, Copy)]
enum Question {
    /// `id` is the primary key.
    ByKey,
    /// `number` has no index: so many rows are read to find it.
    Scan(u64),
}

impl Question {
    fn text(self, threads: u64) -> String {
        match self {
            Self::ByKey if threads == 1 => "by key, one thread".to_owned(),
            Self::ByKey => "by primary key".to_owned(),
            Self::Scan(rows) => format!("scan of {rows} rows"),
        }
    }

    /// The column that is asked for, and what else the row has to meet.
    fn condition(self) -> (&'static str, String) {
        match self {
            Self::ByKey => ("id", String::new()),
            Self::Scan(rows) => ("number", format!("id < {rows} AND ")),
        }
    }

    /// A key that is there.
    fn key(self, number: u64, all: u64) -> u64 {
        let rows = if let Self::Scan(rows) = self { rows } else { all };
        number % rows
    }
}

/// Makes the tables. The connection is to be kept open: the last one to close would delete the write-ahead log, and
/// a log that grows is synced ten times slower than one that is written over, which it is once it has been full.
/// Whoever was measured first would pay for that.
fn fill(file: &Path, rows: u64) -> rusqlite::Result<Connection> {
    let mut connection = open(file)?;
    connection.execute_batch(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, number INTEGER NOT NULL, name TEXT NOT NULL);
         CREATE TABLE events (id INTEGER PRIMARY KEY, event INTEGER NOT NULL);",
    )?;
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare("INSERT INTO users VALUES (?1, ?1, ?2)")?;
        for id in 0..rows {
            insert.execute((id as i64, name(id)))?;
        }
    }
    transaction.execute_batch(
        "CREATE TABLE filler (page BLOB);
         WITH RECURSIVE pages(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM pages WHERE n < 2000)
         INSERT INTO filler SELECT zeroblob(4000) FROM pages;",
    )?;
    transaction.commit()?;
    connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))?;
    Ok(connection)
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    // Readers do not wait for the writer, and a commit is on the disk when it returns.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

fn name(id: u64) -> String {
    format!("user number {id}")
}

/// What a thread does, over and over.
struct Contender {
    name: &'static str,
    statements: Arc<AtomicU64>,
    /// Asks for a number of the thread's own; `Err` ends the program.
    ask: Ask,
}

/// The contenders take turns, so that what else the machine does hits all of them.
const ROUNDS: u32 = 5;

fn measure(settings: &Settings, question: String, contenders: Vec<Contender>) -> Result<Found, String> {
    let first = play(&Settings { threads: 1, svg: PathBuf::new(), ..*settings }, &contenders[0], 0)?;
    let alone = Sorted::new(first).quantile(0.5).unwrap_or_default();
    contenders[0].statements.store(0, Relaxed);

    let mut waits = vec![Vec::new(); contenders.len()];
    let mut per_second = vec![Vec::new(); contenders.len()];
    let progress = progress::bar(&question, ROUNDS as usize * contenders.len(), "turns");
    for round in 1..=ROUNDS {
        for (n, contender) in contenders.iter().enumerate() {
            progress.set_message(contender.name);
            let start = Instant::now();
            let answers = play(settings, contender, u64::from(round))?;
            per_second[n].push(answers.len() as f64 / start.elapsed().as_secs_f64());
            waits[n].extend(answers);
            progress.inc(1);
        }
    }
    let rows = contenders.iter().zip(waits).zip(per_second).map(|((contender, waits), per_second)| {
        let keys_per_statement = waits.len() as f64 / contender.statements.load(Relaxed) as f64;
        let waits = Sorted::new(waits);
        Row {
            question: question.clone(),
            contender: contender.name,
            per_second,
            p50: waits.quantile(0.5).unwrap_or_default(),
            p99: waits.quantile(0.99).unwrap_or_default(),
            keys_per_statement,
        }
    });
    Ok(Found { alone, rows: rows.collect() })
}

/// Lets all threads ask for a while; returns how long each answer took.
fn play(settings: &Settings, contender: &Contender, round: u64) -> Result<Vec<Duration>, String> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..settings.threads)
            .map(|thread| {
                let stop = &stop;
                scope.spawn(move || {
                    let mut waits = Vec::new();
                    // The same numbers for every contender.
                    let mut random = SmallRng::seed_from_u64((round << 32) + thread);
                    while !stop.load(Relaxed) {
                        let number = random.random_range(0..1 << 48);
                        let asked = Instant::now();
                        (contender.ask)(thread as usize, number)?;
                        waits.push(asked.elapsed());
                    }
                    Ok(waits)
                })
            })
            .collect();
        thread::sleep(Duration::from_secs_f64(settings.seconds / f64::from(ROUNDS)));
        stop.store(true, Relaxed);
        let mut all = Vec::new();
        for thread in threads {
            let waits: Result<Vec<_>, String> = thread.join().expect("a thread panicked");
            all.extend(waits?);
        }
        Ok(all)
    })
}

fn check(id: u64, found: &str) -> Result<(), String> {
    if found == name(id) { Ok(()) } else { Err(format!("asked for {id}, got {found:?}")) }
}

fn select_one(connection: &Connection, question: Question, id: u64) -> rusqlite::Result<Option<String>> {
    let (column, filter) = question.condition();
    let mut statement = connection.prepare_cached(&format!("SELECT name FROM users WHERE {filter}{column} = ?1"))?;
    statement.query_row([id as i64], |row| row.get(0)).optional()
}

/// One statement for all of them. Its text has room for the next power of two of keys, filled up with the last, so
/// that a handful of prepared statements serves batches of every size.
fn select_many(connection: &Connection, question: Question, ids: &[u64]) -> rusqlite::Result<HashMap<u64, String>> {
    let (column, filter) = question.condition();
    let room = ids.len().next_power_of_two();
    let holes = vec!["?"; room].join(",");
    let mut statement =
        connection.prepare_cached(&format!("SELECT {column}, name FROM users WHERE {filter}{column} IN ({holes})"))?;
    let last = ids[ids.len() - 1];
    let filled = ids.iter().copied().chain(std::iter::repeat(last)).take(room).map(|id| id as i64);
    let rows = statement.query_map(params_from_iter(filled), |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))?;
    rows.collect()
}

fn one_connection(file: &Path, question: Question, rows: u64) -> Result<Contender, String> {
    let connection = Mutex::new(open(file).map_err(text)?);
    Ok(contender(LOCKED, |statements| {
        Box::new(move |_, number| {
            let id = question.key(number, rows);
            statements.fetch_add(1, Relaxed);
            let found = select_one(&connection.lock().unwrap(), question, id).map_err(text)?;
            check(id, &found.ok_or_else(|| format!("no row {id}"))?)
        })
    }))
}

fn a_connection_each(file: &Path, question: Question, rows: u64, threads: u64) -> Result<Contender, String> {
    // A lock that nobody else ever takes: a connection may move between threads and not be shared by them.
    let connections: Result<Vec<_>, _> = (0..threads).map(|_| open(file).map(Mutex::new).map_err(text)).collect();
    let connections = connections?;
    Ok(contender(EACH, |statements| {
        Box::new(move |thread, number| {
            let id = question.key(number, rows);
            statements.fetch_add(1, Relaxed);
            let found = select_one(&connections[thread].lock().unwrap(), question, id).map_err(text)?;
            check(id, &found.ok_or_else(|| format!("no row {id}"))?)
        })
    }))
}

fn batched(file: &Path, question: Question, rows: u64) -> Result<Contender, String> {
    let connection = Mutex::new(open(file).map_err(text)?);
    Ok(contender(BATCHER, |statements| {
        // SQLite takes no more than 32766 parameters.
        let users: Batcher<u64, String, SqlError> = Batcher::builder().max_batch(16_384).build(move |ids: &[u64]| {
            statements.fetch_add(1, Relaxed);
            Ok(select_many(&connection.lock().unwrap(), question, ids)?)
        });
        Box::new(move |_, number| {
            let id = question.key(number, rows);
            match users.load(&id) {
                Ok(found) => check(id, &found),
                Err(Error::Missing(_)) => Err(format!("no row {id}")),
                Err(error) => Err(error.to_string()),
            }
        })
    }))
}

fn insert(connection: &mut Connection, events: &[u64]) -> rusqlite::Result<HashMap<u64, i64>> {
    let transaction = connection.transaction()?;
    let mut ids = HashMap::new();
    {
        let mut insert = transaction.prepare_cached("INSERT INTO events (event) VALUES (?1)")?;
        for &event in events {
            insert.execute([event as i64])?;
            ids.insert(event, transaction.last_insert_rowid());
        }
    }
    transaction.commit()?;
    Ok(ids)
}

fn commit_each(file: &Path) -> Result<Contender, String> {
    let connection = Mutex::new(open(file).map_err(text)?);
    Ok(contender(LOCKED, |statements| {
        Box::new(move |_, event| {
            statements.fetch_add(1, Relaxed);
            insert(&mut connection.lock().unwrap(), &[event]).map(drop).map_err(text)
        })
    }))
}

/// LevelDB's writer queue in a few lines: one transaction, and one sync, for all that came during the last one.
fn group_commit(file: &Path) -> Result<Contender, String> {
    let connection = Mutex::new(open(file).map_err(text)?);
    Ok(contender(BATCHER, |statements| {
        let events: Batcher<u64, i64, SqlError> = Batcher::new(move |events: &[u64]| {
            statements.fetch_add(1, Relaxed);
            Ok(insert(&mut connection.lock().unwrap(), events)?)
        });
        Box::new(move |_, event| events.load(&event).map(drop).map_err(text))
    }))
}

type Ask = Box<dyn Fn(usize, u64) -> Result<(), String> + Send + Sync>;

fn contender(name: &'static str, make: impl FnOnce(Arc<AtomicU64>) -> Ask) -> Contender {
    let statements = Arc::new(AtomicU64::new(0));
    Contender { name, ask: make(Arc::clone(&statements)), statements }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn print_table(settings: &Settings, results: &[Found]) {
    println!(
        "\n{} threads, {} s each in {ROUNDS} rounds, {} rows, {} cores\n",
        settings.threads,
        settings.seconds,
        settings.rows,
        thread::available_parallelism().map_or(1, usize::from)
    );
    println!(
        "{:<20} {:<24} {:>10} {:>24} {:>9} {:>9} {:>15}",
        "question", "contender", "answers/s", "Batcher against it", "p50", "p99", "keys/statement"
    );
    for found in results {
        for (n, row) in found.rows.iter().enumerate() {
            let question = if n == 0 { &*row.question } else { "" };
            let against = match against(found, row) {
                _ if row.is_batcher() => String::new(),
                (median, least, most) => format!("{median:.2} ({least:.2} to {most:.2})"),
            };
            println!(
                "{question:<20} {:<24} {:>10.0} {against:>24} {:>9} {:>9} {:>15.1}",
                row.contender,
                median(&row.per_second),
                short(row.p50),
                short(row.p99),
                row.keys_per_statement
            );
        }
    }
    println!(
        "\nBatcher against it: how many times its answers; the median of the rounds' ratios, the least and the greatest"
    );
}

/// For each question: what a statement costs, and whether the `Batcher` won or lost in each round.
fn print_verdicts(results: &[Found]) {
    println!();
    for found in results {
        let mut verdicts = Vec::new();
        for row in found.rows.iter().filter(|row| !row.is_batcher()) {
            let (median, least, most) = against(found, row);
            let verdict = if least > 1.0 {
                "wins"
            } else if most < 1.0 {
                "loses"
            } else {
                "neither wins nor loses"
            };
            verdicts.push(format!("{verdict} against {} ({median:.2})", row.contender));
        }
        let question = &found.rows[0].question;
        println!("{question}, {} a statement: Batcher {}", short(found.alone), verdicts.join(", "));
    }
}

/// How many times the answers of `row` the `Batcher` gave: the median of the rounds, the least and the greatest.
fn against(found: &Found, row: &Row) -> (f64, f64, f64) {
    let batcher = found.rows.iter().find(|row| row.is_batcher()).expect("every question is asked through a Batcher");
    let ratios = Sorted::new(batcher.per_second.iter().zip(&row.per_second).map(|(with, without)| with / without));
    let [median, least, most] = [0.5, 0.0, 1.0].map(|share| ratios.quantile(share).unwrap_or(f64::NAN));
    (median, least, most)
}

fn median(values: &[f64]) -> f64 {
    Sorted::new(values.iter().copied()).quantile(0.5).unwrap_or(f64::NAN)
}

fn short(duration: Duration) -> String {
    let us = duration.as_secs_f64() * 1e6;
    if us < 1000.0 { format!("{us:.0} us") } else { format!("{:.1} ms", us / 1e3) }
}

/// Bars: answers per second, each question against its own best.
fn draw(settings: &Settings, results: &[Found]) -> Result<(), Box<dyn std::error::Error>> {
    const OURS: RGBColor = RGBColor(0x22, 0xAA, 0x77);
    const OTHERS: RGBColor = RGBColor(0x88, 0x99, 0xAA);
    const LINE: i32 = 22;

    // From the top to the bottom: for each question a heading, and a bar for each contender.
    let mut y = -LINE;
    let (mut headings, mut bars) = (Vec::new(), Vec::new());
    for found in results {
        headings.push((y, found.rows[0].question.clone()));
        let best = found.rows.iter().map(|row| median(&row.per_second)).fold(f64::MIN_POSITIVE, f64::max);
        for row in &found.rows {
            y -= LINE;
            bars.push((y, row, median(&row.per_second) / best));
        }
        y -= 2 * LINE;
    }
    let name = |at: &i32| bars.iter().find(|(y, ..)| y == at).map_or("", |(_, row, _)| row.contender).to_owned();

    let root = SVGBackend::new(&settings.svg, (900, y.unsigned_abs() + 90)).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!("SQLite, {} threads: a statement for each question, or one for all who wait", settings.threads);
    let mut chart = ChartBuilder::on(&root)
        .caption(title, TITLE)
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(190)
        .build_cartesian_2d(
            // In per mille. Behind the longest bar there is room for words.
            (0..1_400).with_key_points(vec![0, 250, 500, 750, 1_000]),
            (y..0).with_key_points(bars.iter().map(|(y, ..)| *y).collect::<Vec<_>>()),
        )?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .x_desc("answers per second, in % of the best contender for the question")
        .x_label_formatter(&|mille: &i32| (mille / 10).to_string())
        .y_label_formatter(&name)
        .label_style(TEXT)
        .draw()?;
    let bold = TEXT.into_font().style(FontStyle::Bold);
    chart.draw_series(headings.into_iter().map(|(y, words)| Text::new(words, (8, y + 7), bold.clone())))?;
    for (y, row, share) in &bars {
        let end = (1_000.0 * share) as i32;
        let colour = if row.is_batcher() { OURS } else { OTHERS };
        let words = format!("{}/s, p99 {}", HumanCount(median(&row.per_second) as u64), short(row.p99));
        chart.draw_series([Rectangle::new([(0, y - 8), (end, y + 8)], colour.filled())])?;
        chart.draw_series([Text::new(words, (end + 8, y + 6), TEXT)])?;
    }
    root.present()?;
    Ok(())
}
