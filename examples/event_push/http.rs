//! The two ends of the wire: the shop's connection to the webhook, and the partner's server.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tiny_http::{Method, Request, Response, Server};

/// The partner's address, and one connection to it.
pub(crate) struct Webhook {
    agent: ureq::Agent,
    base: String,
}

impl Webhook {
    /// Connects, and checks that somebody answers.
    ///
    /// Threads connect one after the other: tiny_http 0.12 may put a connection that comes in together with another
    /// behind it, in the queue of the thread that serves the other until it is closed.
    pub(crate) fn connect(base: &str) -> Result<Self, String> {
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(60)))
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(Duration::from_secs(3_600))
            .http_status_as_error(false)
            .build();
        let webhook = Self { agent: config.into(), base: base.to_owned() };
        let mut answer = webhook.agent.get(base).call().map_err(|e| format!("cannot reach {base}: {e}"))?;
        answer.body_mut().read_to_string().map_err(|e| format!("cannot reach {base}: {e}"))?;
        Ok(webhook)
    }

    /// Sends a form about an order. Any answer but 200 is an error.
    pub(crate) fn post(&self, order: usize, form: &str) -> Result<(), String> {
        let request = self.agent.post(format!("{}/orders/{order}", self.base));
        let sent = request.content_type("application/x-www-form-urlencoded").send(form.as_bytes());
        let mut response = sent.map_err(|e| format!("order {order}: {e}"))?;
        // The connection is good for the next request once the body has been read.
        response.body_mut().read_to_string().map_err(|e| format!("order {order}: {e}"))?;
        if response.status() == 200 { Ok(()) } else { Err(format!("order {order}: status {}", response.status())) }
    }
}

/// A webhook's server on a port of its own.
pub(crate) struct Receiver {
    http: Arc<Server>,
    pub(crate) base: String,
    threads: Vec<JoinHandle<()>>,
}

impl Receiver {
    /// One thread for each of `takes`, which gets an order and a form, and returns the status of the answer.
    pub(crate) fn start<F>(takes: Vec<F>) -> Result<Self, String>
    where
        F: FnMut(usize, &str) -> u16 + Send + 'static,
    {
        let http = Server::http("127.0.0.1:0").map_err(|e| format!("cannot listen on 127.0.0.1: {e}"))?;
        let base = format!("http://{}", http.server_addr());
        let http = Arc::new(http);
        let serve = |mut take: F| {
            let http = http.clone();
            std::thread::spawn(move || {
                // `recv` fails once `unblock` has been called.
                while let Ok(request) = http.recv() {
                    receive(request, &mut take);
                }
            })
        };
        let threads = takes.into_iter().map(serve).collect();
        Ok(Self { http, base, threads })
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

fn receive(mut request: Request, take: &mut impl FnMut(usize, &str) -> u16) {
    let status = if *request.method() == Method::Get {
        200
    } else {
        let mut form = String::new();
        let is_read = request.as_reader().read_to_string(&mut form).is_ok();
        let order = request.url().strip_prefix("/orders/").and_then(|order| order.parse().ok());
        match order.filter(|_| is_read) {
            Some(order) => take(order, &form),
            None => 400,
        }
    };
    // A client that has gone away is no concern of the receiver's.
    let _ = request.respond(Response::from_string("").with_status_code(status));
}

/// A field of a form.
pub(crate) fn field<'a>(form: &'a str, name: &str) -> Option<&'a str> {
    form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
