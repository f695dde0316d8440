//! A real SQLite database, filled at start so that one page costs a query that takes a while.

use crate::report::{duration, thousands};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rusqlite::{Connection, OpenFlags, params};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A bigger database takes too long to fill.
const MOST_ORDERS: usize = 1_000_000;

/// The page of a product: what it earned, and how much of everything that is. Nobody has indexed the orders by
/// product, so it reads all of them.
const PAGE: &str = "
    SELECT p.title,
           COUNT(*) FILTER (WHERE o.product = p.id),
           COALESCE(SUM(o.cents) FILTER (WHERE o.product = p.id), 0),
           SUM(o.cents),
           MAX(o.day) FILTER (WHERE o.product = p.id)
    FROM products p CROSS JOIN orders o
    WHERE p.key = ?1
    GROUP BY p.id";

pub(crate) struct Database {
    directory: TempDir,
    orders: usize,
    cost: Duration,
}

/// One thread's connection.
pub(crate) struct Reader {
    connection: Connection,
}

impl Database {
    /// A database in the directory for temporary files, with a product for each key. The query of a page takes about
    /// `wanted` on an idle machine.
    pub(crate) fn create(keys: &[String], wanted: Duration) -> Result<Self, Box<dyn std::error::Error>> {
        let mut database = Self { directory: TempDir::with_prefix("stampede-")?, orders: 0, cost: Duration::ZERO };

        let mut connection = Connection::open(database.file())?;
        // Nobody needs it after a crash.
        connection.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
             CREATE TABLE products (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, title TEXT NOT NULL);
             CREATE TABLE orders (id INTEGER PRIMARY KEY, product INTEGER NOT NULL, cents INTEGER NOT NULL, day INTEGER NOT NULL);",
        )?;
        let filling = connection.transaction()?;
        {
            let mut insert = filling.prepare("INSERT INTO products (id, key, title) VALUES (?1, ?2, ?3)")?;
            for (id, key) in keys.iter().enumerate() {
                insert.execute(params![id as i64, key, format!("Product number {id}")])?;
            }
        }
        filling.commit()?;

        // A debug build's SQLite is several times slower than a release build's: measure, then choose the size.
        database.fill(&mut connection, 10_000, keys.len())?;
        let sample = database.measure(&keys[0])?;
        let orders = 10_000.0 * wanted.as_secs_f64() / sample.as_secs_f64().max(1e-6);
        database.fill(&mut connection, (orders as usize).clamp(10_000, MOST_ORDERS), keys.len())?;
        database.cost = database.measure(&keys[0])?;
        Ok(database)
    }

    pub(crate) fn connect(&self) -> rusqlite::Result<Reader> {
        // Each thread keeps its connection to itself.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Reader { connection: Connection::open_with_flags(self.file(), flags)? })
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("shop.db")
    }

    /// Adds orders until there are `orders`.
    fn fill(&mut self, connection: &mut Connection, orders: usize, products: usize) -> rusqlite::Result<()> {
        let filling = connection.transaction()?;
        {
            let mut insert = filling.prepare("INSERT INTO orders (id, product, cents, day) VALUES (?1, ?2, ?3, ?4)")?;
            let mut random = SmallRng::seed_from_u64(self.orders as u64);
            for id in self.orders..orders {
                let (product, cents) = (random.random_range(0..products as i64), random.random_range(0..10_000_i64));
                insert.execute(params![id as i64, product, cents, (id / 100) as i64])?;
            }
        }
        self.orders = orders;
        filling.commit()
    }

    /// What a query takes: the quickest of some, because whatever else the machine does only adds to it.
    fn measure(&self, key: &str) -> rusqlite::Result<Duration> {
        let reader = self.connect()?;
        let mut quickest = Duration::MAX;
        for _ in 0..15 {
            let start = Instant::now();
            reader.page(key)?;
            quickest = quickest.min(start.elapsed());
        }
        Ok(quickest)
    }
}

impl Reader {
    /// The page of the product; `QueryReturnedNoRows` if there is none.
    pub(crate) fn page(&self, key: &str) -> rusqlite::Result<Arc<str>> {
        let mut query = self.connection.prepare_cached(PAGE)?;
        query.query_row([key], |row| {
            let title: String = row.get(0)?;
            let (orders, cents, all): (i64, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let last: Option<i64> = row.get(4)?;
            let share = 100.0 * cents as f64 / all as f64;
            let last = last.map_or("never".to_owned(), |day| format!("on day {day}"));
            let earned = format!("{}.{:02}", cents / 100, cents % 100);
            Ok(format!("{key}\n{title}: {orders} orders, earned {earned}, {share:.3}% of all, last ordered {last}\n")
                .into())
        })
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SQLite, {} orders; a page's query takes {}", thousands(self.orders), duration(self.cost))
    }
}
