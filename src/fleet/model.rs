//! The commander and the mailroom under shuttle: the code that ships, with a server of the model's own.
//!
//! `RUSTFLAGS="--cfg flight_group_shuttle" cargo test --release --features redis --lib fleet::model`

use super::FleetError;
use super::clock::Moment;
use super::commander::{Commander, Limits};
use super::mailbox::{Mail, Mailroom};
use super::process::Token;
use super::scripts::{JOIN, Request};
use super::until::Until;
use super::wire::{Connect, Wire};
use crate::cancel::CancelToken;
use crate::sync::{Arc, Duration, Instant, after};
use redis::Value;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread;
use shuttle::{Config, MaxSteps, Runner};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let scenario = Arc::new(scenario);
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let mut config = Config::new();
        config.max_steps = MaxSteps::FailAfter(200_000);
        config.silence_warnings = true;
        let scenario = Arc::clone(&scenario);
        Runner::new(scheduler, config).run(move || scenario());
    };
    run(Box::new(RandomScheduler::new(2000)));
    for preemptions in 2..=4 {
        run(Box::new(PctScheduler::new(preemptions, 600)));
    }
}

/// A server that remembers what it executed, and in what order. std's locks: its inside is no scheduling point.
#[derive(Default)]
struct Server {
    executed: std::sync::Mutex<Vec<String>>,
    busy: AtomicBool,
    /// After how many requests each connection breaks; one that is not listed never does.
    breaks: std::sync::Mutex<Vec<usize>>,
    /// So many connections are refused, before one is made.
    refusals: AtomicUsize,
    /// So many requests are answered `BUSY`, before one is executed.
    busy_for: AtomicUsize,
}

impl Server {
    fn times(&self, name: &str) -> usize {
        self.executed.lock().unwrap().iter().filter(|done| *done == name).count()
    }

    fn first(&self, name: &str) -> Option<usize> {
        self.executed.lock().unwrap().iter().position(|done| done == name)
    }
}

struct Connection {
    server: Arc<Server>,
    left: Option<usize>,
}

impl Wire for Connection {
    fn exchange(&mut self, batch: &[(Arc<Request>, bool)], _: Duration) -> (Vec<Value>, Option<String>) {
        assert!(!self.server.busy.swap(true, SeqCst), "two combiners at once");
        thread::yield_now();
        let mut answers = Vec::new();
        for (request, _) in batch {
            if self.left == Some(0) {
                break;
            }
            if self.server.busy_for.load(SeqCst) > 0 {
                self.server.busy_for.fetch_sub(1, SeqCst);
                answers.push(redis::parse_redis_value(b"-BUSY running a script\r\n").unwrap());
                continue;
            }
            self.server.executed.lock().unwrap().push(request.record());
            self.left = self.left.map(|left| left - 1);
            // The last request before the break is executed, but its answer is lost.
            if self.left != Some(0) {
                answers.push(Value::SimpleString(request.record()));
            }
        }
        thread::yield_now();
        self.server.busy.store(false, SeqCst);
        let broken = (answers.len() < batch.len()).then(|| "broken".to_owned());
        (answers, broken)
    }
}

struct Connector(Arc<Server>);

impl Connect for Connector {
    fn connect(&self) -> Result<Box<dyn Wire>, FleetError> {
        thread::yield_now();
        let server = &self.0;
        if server.refusals.load(SeqCst) > 0 {
            server.refusals.fetch_sub(1, SeqCst);
            return Err(FleetError::Unavailable { server: "model".into(), reason: "refused".into() });
        }
        let left = server.breaks.lock().unwrap().pop();
        Ok(Box::new(Connection { server: Arc::clone(server), left }))
    }

    fn server(&self) -> &str {
        "model"
    }
}

fn request(name: &str) -> Request {
    Request::new(&JOIN).key(name.as_bytes().to_vec())
}

/// A commander and its thread; `patience` is its command timeout.
fn commander(server: &Arc<Server>, patience: Duration) -> (Arc<Commander>, thread::JoinHandle<()>) {
    let commander = Arc::new(Commander::new(Arc::new(Connector(Arc::clone(server))), patience));
    let own = Arc::clone(&commander);
    (commander, thread::spawn(move || own.run()))
}

fn by(commander: &Commander, deadline: Option<Instant>) -> Limits<'static> {
    Limits { until: Until::at(deadline), server: commander.three_timeouts(), rides: false }
}

/// As a lease that is waited for, however long it takes.
const RIDES: Limits<'static> = Limits { until: Until::at(None), server: None, rides: true };

/// No wait of this commander ends by itself.
const FOR_EVER: Duration = Duration::MAX;

#[test]
fn everyone_gets_his_own_answer() {
    explore(|| {
        let server = Arc::new(Server::default());
        let (commander, own) = commander(&server, FOR_EVER);
        let callers: Vec<_> = (0..3)
            .map(|n| {
                let commander = Arc::clone(&commander);
                thread::spawn(move || {
                    for round in 0..2 {
                        let name = format!("{n}.{round}");
                        let answer = commander.call(request(&name), by(&commander, None)).unwrap();
                        assert_eq!(answer.value, Value::SimpleString(name));
                        assert!(!answer.resent);
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        commander.stop();
        own.join().unwrap();
        assert_eq!(server.executed.lock().unwrap().len(), 6);
    });
}

#[test]
fn a_landing_goes_before_what_is_asked_later_though_connections_break() {
    explore(|| {
        let server = Arc::new(Server::default());
        *server.breaks.lock().unwrap() = vec![2, 1, 1];
        let (commander, own) = commander(&server, FOR_EVER);
        let others: Vec<_> = (0..2)
            .map(|n| {
                let commander = Arc::clone(&commander);
                thread::spawn(move || {
                    let name = format!("other{n}");
                    match commander.call(request(&name), by(&commander, None)) {
                        Ok(answer) => assert_eq!(answer.value, Value::SimpleString(name)),
                        Err(failure) => assert!(failure.perhaps_done, "both its connections broke on it"),
                    }
                })
            })
            .collect();
        let leader = {
            let commander = Arc::clone(&commander);
            thread::spawn(move || {
                let ticket = commander.promise(request("finish"), Moment::NEVER);
                // Here the local flight lands, and somebody else of this process asks.
                let newcomer = {
                    let commander = Arc::clone(&commander);
                    thread::spawn(move || drop(commander.call(request("join"), by(&commander, None))))
                };
                assert!(commander.wait(ticket, by(&commander, None)).is_ok(), "a promise is kept");
                newcomer.join().unwrap();
            })
        };
        for thread in others.into_iter().chain([leader]) {
            thread.join().unwrap();
        }
        commander.stop();
        own.join().unwrap();
        let (finish, join) = (server.first("finish").unwrap(), server.first("join"));
        assert!(join.is_none_or(|join| finish < join), "{:?}", server.executed);
    });
}

#[test]
fn who_rides_an_outage_out_gets_an_answer() {
    explore(|| {
        let server = Arc::new(Server::default());
        *server.breaks.lock().unwrap() = vec![1];
        server.refusals.store(2, SeqCst);
        server.busy_for.store(1, SeqCst);
        let (commander, own) = commander(&server, FOR_EVER);
        let callers: Vec<_> = (0..3)
            .map(|n| {
                let commander = Arc::clone(&commander);
                thread::spawn(move || {
                    let name = format!("call{n}");
                    let answer = commander.call(request(&name), RIDES).unwrap();
                    assert_eq!(answer.value, Value::SimpleString(name));
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        commander.stop();
        own.join().unwrap();
    });
}

/// A token is cancelled at any step, through breaks and an outage: its caller leaves or has its answer, nothing else ends
/// its wait, and the others have theirs.
#[test]
fn a_cancelled_caller_leaves_and_strands_nobody() {
    explore(|| {
        let server = Arc::new(Server::default());
        *server.breaks.lock().unwrap() = vec![1];
        server.refusals.store(1, SeqCst);
        let (commander, own) = commander(&server, FOR_EVER);
        let token = CancelToken::new();
        let cancelled = {
            let (commander, server, token) = (Arc::clone(&commander), Arc::clone(&server), token.clone());
            thread::spawn(move || {
                let until = Until { deadline: None, cancel: Some(&token) };
                match commander.call(request("mine"), Limits { until, ..RIDES }) {
                    Ok(answer) => assert_eq!(answer.value, Value::SimpleString("mine".into())),
                    Err(failure) => {
                        assert!(failure.error.is_cancelled());
                        assert!(failure.perhaps_done || server.times("mine") == 0);
                    }
                }
            })
        };
        let other = {
            let commander = Arc::clone(&commander);
            thread::spawn(move || assert!(commander.call(request("other"), RIDES).is_ok()))
        };
        assert!(token.cancel("now"));
        cancelled.join().unwrap();
        other.join().unwrap();
        commander.stop();
        own.join().unwrap();
    });
}

/// No server, and no message: nothing but the token ends these waits.
#[test]
fn a_cancel_alone_ends_a_wait() {
    explore(|| {
        let server = Arc::new(Server::default());
        let commander = Arc::new(Commander::new(Arc::new(Connector(server)), FOR_EVER)); // nobody connects
        let room = Arc::new(Mailroom::default());
        let token = CancelToken::new();
        let asker = {
            let (commander, token) = (Arc::clone(&commander), token.clone());
            thread::spawn(move || {
                let until = Until { deadline: None, cancel: Some(&token) };
                let failure = commander.call(request("mine"), Limits { until, ..RIDES }).unwrap_err();
                assert!(failure.error.is_cancelled() && !failure.perhaps_done);
            })
        };
        let waiter = {
            let (letterbox, token) = (room.open(&Token::from("a.1")), token.clone());
            thread::spawn(move || assert_eq!(letterbox.wait(None, Some(&token)), None))
        };
        assert!(token.cancel("now"));
        asker.join().unwrap();
        waiter.join().unwrap();
        assert_eq!(room.len(), 0);
    });
}

/// A promise that a busy server refused stays before what its process asks later.
#[test]
fn a_promise_refused_for_now_goes_before_what_is_asked_later() {
    explore(|| {
        let server = Arc::new(Server::default());
        server.busy_for.store(1, SeqCst);
        let (commander, own) = commander(&server, FOR_EVER);
        let ticket = commander.promise(request("finish"), Moment::NEVER);
        let refused = commander.wait(ticket, by(&commander, None));
        assert!(refused.is_err_and(|failure| failure.error.is_unavailable() && failure.perhaps_done));
        assert!(commander.call(request("join"), by(&commander, None)).is_ok());
        assert!(server.first("finish").unwrap() < server.first("join").unwrap());
        commander.stop();
        own.join().unwrap();
    });
}

#[test]
fn a_server_that_refuses_for_a_while_strands_nobody_and_gets_every_promise() {
    explore(|| {
        let server = Arc::new(Server::default());
        *server.breaks.lock().unwrap() = vec![1];
        server.refusals.store(2, SeqCst);
        let (commander, own) = commander(&server, FOR_EVER);
        commander.post(request("release"), Moment::NEVER);
        let callers: Vec<_> = (0..2)
            .map(|n| {
                let (commander, server) = (Arc::clone(&commander), Arc::clone(&server));
                thread::spawn(move || {
                    let name = format!("call{n}");
                    match commander.call(request(&name), by(&commander, None)) {
                        Ok(answer) => assert_eq!(answer.value, Value::SimpleString(name)),
                        Err(failure) => {
                            assert!(failure.error.is_unavailable());
                            // Who is told that nothing happened can rely on it.
                            assert!(failure.perhaps_done || server.times(&name) == 0);
                        }
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        // Who waits for a promise is sent home while the server refuses, and the promise is kept all the same.
        let ticket = commander.promise(request("last"), Moment::NEVER);
        let last = commander.wait(ticket, by(&commander, None));
        assert!(last.is_ok() || last.is_err_and(|failure| failure.error.is_unavailable()));
        while server.times("release") == 0 || server.times("last") == 0 {
            thread::yield_now();
        }
        commander.stop();
        own.join().unwrap();
    });
}

/// The last handle may go while the keeper still talks to the server.
#[test]
fn the_commander_ends_though_somebody_is_talking() {
    explore(|| {
        let server = Arc::new(Server::default());
        let (commander, own) = commander(&server, FOR_EVER);
        let keeper = {
            let commander = Arc::clone(&commander);
            thread::spawn(move || match commander.call(request("renew"), by(&commander, None)) {
                Ok(answer) => assert_eq!(answer.value, Value::SimpleString("renew".into())),
                Err(failure) => assert!(failure.error.is_unavailable()),
            })
        };
        commander.stop();
        own.join().unwrap();
        keeper.join().unwrap();
        // Nobody is there to connect or to send: refused, and not left waiting.
        let late = commander.call(request("late"), by(&commander, None));
        assert!(late.is_ok() || late.is_err_and(|failure| failure.error.is_unavailable()));
    });
}

/// With deadlines that may pass at any wait: nobody hangs, and who is told "not done" was not.
#[test]
fn deadlines_strand_nobody_else() {
    explore(|| {
        let server = Arc::new(Server::default());
        let (commander, own) = commander(&server, Duration::from_secs(100));
        let callers: Vec<_> = (0..3)
            .map(|n| {
                let (commander, server) = (Arc::clone(&commander), Arc::clone(&server));
                thread::spawn(move || {
                    let name = format!("call{n}");
                    // The first has too little time to be the combiner, the others enough.
                    let deadline = after(Duration::from_secs(if n == 0 { 50 } else { 10_000 }));
                    match commander.call(request(&name), by(&commander, deadline)) {
                        Ok(answer) => assert_eq!(answer.value, Value::SimpleString(name)),
                        Err(failure) => assert!(failure.perhaps_done || server.times(&name) == 0),
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        commander.stop();
        own.join().unwrap();
    });
}

#[test]
fn a_promise_nobody_waits_for_is_delivered_though_nobody_else_calls() {
    explore(|| {
        let server = Arc::new(Server::default());
        let (commander, own) = commander(&server, FOR_EVER);
        assert!(commander.call(request("first"), by(&commander, None)).is_ok());
        commander.post(request("release"), Moment::NEVER);
        // A livelock, if it never is: shuttle counts the steps.
        while server.times("release") == 0 {
            thread::yield_now();
        }
        commander.stop();
        own.join().unwrap();
    });
}

/// The turn to combine may be given to somebody at the very moment he gives up.
#[test]
fn who_gives_up_passes_the_turn_on() {
    explore(|| {
        let server = Arc::new(Server::default());
        let (commander, own) = commander(&server, FOR_EVER);
        let callers: Vec<_> = (0..4)
            .map(|n| {
                let commander = Arc::clone(&commander);
                thread::spawn(move || {
                    let deadline = if n < 2 { after(Duration::from_secs(100)) } else { None };
                    let outcome = commander.call(request(&n.to_string()), by(&commander, deadline));
                    assert!(outcome.is_ok() || deadline.is_some());
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        commander.stop();
        own.join().unwrap();
    });
}

#[test]
fn a_message_that_overtakes_the_answer_is_not_lost() {
    explore(|| {
        let room = Arc::new(Mailroom::default());
        let token: Token = "a.1".into();
        let other: Token = "a.2".into();
        let bystander = room.open(&other);
        // The letterbox is opened before the request is sent, so the message may come at any time from then on.
        let letterbox = room.open(&token);
        let sender = {
            let room = Arc::clone(&room);
            thread::spawn(move || {
                room.deliver("a.1", Mail::Outcome { flight: 1, outcome: b"x".to_vec() });
                room.deliver("gone", Mail::Again);
                room.deliver_lost();
            })
        };
        assert_eq!(letterbox.wait(None, None), Some(Mail::Outcome { flight: 1, outcome: b"x".to_vec() }));
        // Leaves while the next message may be on its way to it.
        drop(letterbox);
        assert_eq!(bystander.wait(None, None), Some(Mail::Lost));
        sender.join().unwrap();
        drop(bystander);
        assert_eq!(room.len(), 0);
    });
}

#[test]
fn a_deadline_never_hides_a_message_that_is_there() {
    explore(|| {
        let room = Arc::new(Mailroom::default());
        let token: Token = "a.1".into();
        let letterbox = room.open(&token);
        let sender = {
            let room = Arc::clone(&room);
            thread::spawn(move || room.deliver("a.1", Mail::Again))
        };
        let seen = letterbox.wait(after(Duration::from_secs(1)), None);
        sender.join().unwrap();
        if seen.is_none() {
            assert_eq!(letterbox.wait(after(Duration::ZERO), None), Some(Mail::Again));
        }
    });
}
