//! The HTTP server: a pool of threads that answer for a `Site`.
//!
//! | request                     | answer                                                                |
//! |-----------------------------|-----------------------------------------------------------------------|
//! | `GET /page/KEY[?wait=MS]`   | the page; 504 if another request's query took longer than `MS`         |
//! | `DELETE /cache`             | 204: every entry has expired                                          |
//! | `GET /flights`              | what is in the air: key, flight, age, followers; a line each          |
//! | `DELETE /flights/KEY`       | 204: the key's flight is forgotten; 404: there is none                 |
//! | `GET /metrics`              | what Prometheus scrapes; 404 if built without feature `metrics`        |
//! | `GET /health`               | 200                                                                   |

use crate::database::{Database, Reader};
use crate::metrics;
use crate::paths;
use crate::report;
use crate::site::{Fault, Site};
use flight_group::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tiny_http::{Method, Request, Response};

pub(crate) struct Server {
    http: Arc<tiny_http::Server>,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(site: &Arc<Site>, database: &Database, threads: usize) -> Result<Self, String> {
        let http = tiny_http::Server::http("127.0.0.1:0").map_err(|e| format!("cannot listen on 127.0.0.1: {e}"))?;
        let address = http.server_addr().to_ip().ok_or("the server has no address")?;
        let mut server = Self { http: Arc::new(http), address, threads: Vec::new() };
        for number in 0..threads {
            let reader = database.connect().map_err(|e| format!("cannot open the database: {e}"))?;
            let (http, site) = (server.http.clone(), site.clone());
            let thread = std::thread::Builder::new()
                .name(format!("server-{number}"))
                .spawn(move || serve(&http, &site, &reader))
                .map_err(|e| format!("cannot start thread {number} of the server: {e}"))?;
            server.threads.push(thread);
        }
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
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

fn serve(http: &tiny_http::Server, site: &Site, reader: &Reader) {
    // `recv` fails once `unblock` has been called.
    while let Ok(request) = http.recv() {
        let (status, text) = answer(&request, site, reader);
        // A client that has gone away is no concern of the server's.
        let _ = request.respond(Response::from_data(text.as_bytes()).with_status_code(status));
    }
}

fn answer(request: &Request, site: &Site, reader: &Reader) -> (u16, Arc<str>) {
    let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
    let mut segments = path.split('/').skip(1);
    let route = (request.method(), segments.next().unwrap_or_default(), segments.next().map(paths::decode));
    match route {
        (Method::Get, "page", Some(Some(key))) => {
            let wait = query.strip_prefix("wait=").and_then(|ms| ms.parse().ok());
            page(site.page(&key, reader, wait.map_or(Duration::MAX, Duration::from_millis)))
        }
        (Method::Delete, "cache", None) => {
            site.expire_all();
            (204, "".into())
        }
        (Method::Get, "flights", None) => (200, flights(site).into()),
        (Method::Delete, "flights", Some(Some(key))) => (if site.forget(&key) { 204 } else { 404 }, "".into()),
        (Method::Get, "metrics", None) => match metrics::scrape() {
            Some(text) => (200, text.into()),
            None => (404, "built without feature metrics\n".into()),
        },
        (Method::Get, "health", None) => (200, "well\n".into()),
        _ => (404, "no such page\n".into()),
    }
}

/// Which status each outcome has.
fn page(outcome: Result<Arc<str>, Error<Fault>>) -> (u16, Arc<str>) {
    let error = match outcome {
        Ok(page) => return (200, page),
        Err(error) => error,
    };
    let status = match &error {
        Error::Work(fault) if matches!(**fault, rusqlite::Error::QueryReturnedNoRows) => 404,
        Error::TimedOut(_) => 504,
        Error::Overloaded(_) => 503,
        _ => 500,
    };
    (status, format!("{error}\n").into())
}

fn flights(site: &Site) -> String {
    let mut text = String::new();
    for flight in site.flights() {
        let age = flight.age.map_or("?".to_owned(), report::duration);
        text += &format!("{}\t{}\t{}\t{}\n", flight.key, flight.flight, age, flight.followers);
    }
    text
}
