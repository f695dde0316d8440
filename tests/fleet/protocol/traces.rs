//! The model's traces, run through the scripts on a real server. Every reply, every message and all records are compared.
//!
//! Numbers: the model counts flights, a server gives microseconds. Each new number of the server's stands for the model's
//! from then on, and must be greater than all before it.
//!
//! Time: no test can wait for a real time to live, and none sets the server's clock. Where the model says that a key expires,
//! the key is given one millisecond (`PEXPIRE key 1`), and the trace goes on when the server says that it is gone: it
//! expires as any other key, by the server's own clock, and no script can tell how long it was to live. That the scripts set
//! the right times to live is compared after every command: each has a length that no other has. A clock that was set back
//! is one that is behind the last fence, so those traces begin with a last fence far ahead of the clock.

use super::search::Explored;
use super::server::{
    Command, Flight, Key, Mail, Outcome, PROCESSES, Published, Record, Reply, Rules, Server, Token, Which,
};
use super::world::{Bounds, Taken, World};
use crate::support::{Server as RealServer, until};
use foldhash::fast::FixedState;
use redis::{Commands, Connection, Value};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Write;

const TTL: i64 = 100_000;
const LINGER: i64 = 200_000;
const REUSE: i64 = 300_000;
const DAY: i64 = 86_400_000;
/// How much of a time to live may have passed when it is looked at.
const SLOW: i64 = 60_000;
const INLINE: usize = 64;
/// Where the clock is behind: far ahead of any clock, and still a number that Lua knows exactly.
const AHEAD: u64 = 4_000_000_000_000_000;

pub(crate) type Trace = Vec<Command>;

/// Walks over what an exploration has seen of the server, so that every command is given in every state it came in.
pub(crate) fn covering(rules: &Rules, explored: &Explored) -> Vec<Trace> {
    let mut open: HashMap<Server, Vec<Command>, FixedState> = HashMap::default();
    for (server, command) in &explored.commands {
        open.entry(*server).or_default().push(*command);
    }
    // RENEW does nothing but prolong, so no exploration gives it.
    for commands in open.values_mut() {
        commands.extend((0..PROCESSES).map(|process| Command::Renew { token: Token::new(process, 0) }));
    }
    let all = open.clone();
    let then = |mut server: Server, command| {
        server.execute(rules, command);
        server
    };
    let mut traces = Vec::new();
    loop {
        let (mut trace, mut at) = (Vec::new(), Server::EMPTY);
        // Long enough to be quick, short enough to be read.
        while trace.len() < 60 {
            if let Some(command) = open.get_mut(&at).and_then(Vec::pop) {
                at = then(at, command);
                trace.push(command);
                continue;
            }
            // The nearest state with something left to do.
            let (mut seen, mut queue) = (HashSet::from([at]), VecDeque::from([(at, Vec::new())]));
            let mut found = None;
            while let Some((server, way)) = queue.pop_front() {
                if open.get(&server).is_some_and(|commands| !commands.is_empty()) {
                    found = Some((server, way));
                    break;
                }
                for command in all.get(&server).into_iter().flatten() {
                    let next = then(server, *command);
                    if seen.insert(next) {
                        let way: Vec<Command> = way.iter().copied().chain([*command]).collect();
                        queue.push_back((next, way));
                    }
                }
            }
            let Some((server, way)) = found else { break };
            trace.extend(way);
            at = server;
        }
        if trace.is_empty() {
            return traces;
        }
        traces.push(trace);
    }
}

/// What the server does on random ways through the whole model, further than it can be explored.
pub(crate) fn wandering(bounds: &Bounds, walks: u64) -> Vec<Trace> {
    let walk = |seed: u64| {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let (mut world, mut trace) = (World::start(bounds), Vec::new());
        for _ in 0..200 {
            let mut steps: Vec<Taken> = Vec::new();
            world.steps(bounds, &mut |taken| steps.push(taken));
            if steps.is_empty() {
                break;
            }
            // xorshift: any unevenness will do, and the same each time.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let taken = steps.swap_remove((random % steps.len() as u64) as usize);
            assert_eq!(taken.broken, None, "{:?}", taken.step);
            trace.extend(taken.executed);
            world = taken.world;
        }
        trace
    };
    (1..=walks).map(walk).collect()
}

/// The scripts as they are, or one of them spoilt on purpose.
#[derive(Clone)]
pub(crate) struct Scripts {
    join: String,
    finish: String,
    release: String,
    renew: String,
}

impl Scripts {
    pub(crate) fn as_written() -> Self {
        Self {
            join: include_str!("../../../src/fleet/scripts/join.lua").to_owned(),
            finish: include_str!("../../../src/fleet/scripts/finish.lua").to_owned(),
            release: include_str!("../../../src/fleet/scripts/release.lua").to_owned(),
            renew: include_str!("../../../src/fleet/scripts/renew.lua").to_owned(),
        }
    }

    /// With `rule` in one of the scripts replaced.
    #[track_caller]
    pub(crate) fn spoilt(rule: &str, by: &str) -> Self {
        let mut scripts = Self::as_written();
        let all = [&mut scripts.join, &mut scripts.finish, &mut scripts.release, &mut scripts.renew];
        let found: Vec<_> = all.into_iter().filter(|code| code.matches(rule).count() == 1).collect();
        assert_eq!(found.len(), 1, "not in exactly one place: {rule}");
        found.into_iter().for_each(|code| *code = code.replace(rule, by));
        scripts
    }
}

/// Runs `traces`, and says where the scripts first do something else than the model.
pub(crate) fn compare(rules: &Rules, scripts: &Scripts, traces: &[Trace]) -> Result<usize, String> {
    let server = RealServer::start();
    let mut listener = server.raw();
    let mut listener = listener.as_pubsub();
    listener.psubscribe("in:*").unwrap();
    let mut real = Real { connection: server.raw(), rules, scripts, numbers: Vec::new(), texts: HashMap::new() };
    let mut commands = 0;
    for trace in traces {
        real.begin();
        let (mut model, mut told) = (Server::EMPTY, Vec::new());
        for (n, command) in trace.iter().enumerate() {
            let (reply, published) = model.execute(rules, *command);
            let differs = |what: &str, model: &dyn std::fmt::Debug, real: &dyn std::fmt::Debug| {
                let mut text = format!("{what} differ: the model {model:?}, the server {real:?}, after");
                trace[..=n].iter().for_each(|command| write!(text, "\n  {command:?}").unwrap());
                text
            };
            let answered = real.execute(*command);
            if answered != reply {
                return Err(differs("replies", &reply, &answered));
            }
            let (expected, found) = (real.expected(&model), real.records()?);
            if expected != found {
                return Err(differs("records", &expected, &found));
            }
            told.push(real.messages(published));
            commands += 1;
        }
        // What was published before this arrives before this.
        for (n, expected) in told.into_iter().enumerate() {
            let mut heard = Vec::new();
            loop {
                let message = listener.get_message().unwrap();
                let text = String::from_utf8_lossy(message.get_payload_bytes()).into_owned();
                if message.get_channel_name() == "in:mark" {
                    break;
                }
                heard.push(format!("{}: {text}", message.get_channel_name()));
            }
            heard.sort();
            if heard != expected {
                return Err(format!("messages differ: {expected:?}, the server {heard:?}, after {:?}", &trace[..=n]));
            }
        }
    }
    Ok(commands)
}

/// What lies at the three keys, in words.
type Records = (Vec<String>, Option<String>, Vec<String>);

struct Real<'a> {
    connection: Connection,
    rules: &'a Rules,
    scripts: &'a Scripts,
    /// The server's number of each of the model's.
    numbers: Vec<u64>,
    /// What each run came to.
    texts: HashMap<Flight, String>,
}

const RECORD: &str = "{k}:f";
const LAST: &str = "{k}:c";
const STORED: &str = "{k}:r";

impl Real<'_> {
    fn begin(&mut self) {
        self.restart();
        let first = if self.rules.clock_ahead { 0 } else { AHEAD };
        (self.numbers, self.texts) = (vec![first], HashMap::new());
        if first != 0 {
            let _: () = self.connection.pset_ex(LAST, first, DAY as u64).unwrap();
        }
    }

    fn restart(&mut self) {
        redis::cmd("FLUSHALL").exec(&mut self.connection).unwrap();
    }

    fn execute(&mut self, command: Command) -> Reply {
        let scripts = self.scripts;
        let reply = match command {
            Command::Join { token, first, which } => {
                let which = match which {
                    Which::Any => "any".to_owned(),
                    Which::Fresh => "fresh".to_owned(),
                    Which::After(flight) => self.number(flight),
                };
                let first = if first == 0 { "0".to_owned() } else { self.number(first) };
                let args = [name(token), TTL.to_string(), inbox(token), first, which];
                let value = self.call(&scripts.join, &[RECORD, LAST, STORED], &args);
                self.joined(&value)
            }
            Command::Finish { token, flight, outcome } => {
                let number = self.number(flight);
                let text = match outcome {
                    Outcome::Small => format!("run {number}"),
                    Outcome::Large => format!("run {number} {}", "x".repeat(INLINE)),
                    Outcome::Oversize => String::new(),
                };
                let reuse = if self.rules.reuse { REUSE } else { 0 }.to_string();
                let oversize = if outcome == Outcome::Oversize { "x" } else { "" }.to_owned();
                let args = [name(token), text.clone(), LINGER.to_string(), INLINE.to_string(), reuse, oversize, number];
                match words(&self.call(&scripts.finish, &[RECORD, LAST, STORED], &args)).as_slice() {
                    [landed, waiters] if landed == "1" => {
                        self.texts.insert(flight, text);
                        Reply::Landed(waiters.parse().unwrap())
                    }
                    [_, last] => Reply::Stale(self.flight(last)),
                    other => panic!("FINISH answers {other:?}"),
                }
            }
            Command::Release { token } => {
                let released = self.call(&scripts.release, &[RECORD], &[name(token)]);
                Reply::Released(words(&released) == ["1"])
            }
            Command::Renew { token } => {
                let renewed = self.call(&scripts.renew, &[RECORD], &[name(token), TTL.to_string()]);
                Reply::Renewed(words(&renewed) == ["1"])
            }
            Command::Expire(key) => {
                let key = match key {
                    Key::Record => RECORD,
                    Key::Last => LAST,
                    Key::Stored => STORED,
                };
                let _: () = self.connection.pexpire(key, 1).unwrap();
                until("the key has expired", || !self.connection.exists::<_, bool>(key).unwrap());
                Reply::Nothing
            }
            Command::Restart => {
                self.restart();
                Reply::Nothing
            }
        };
        let _: () = self.connection.publish("in:mark", "").unwrap();
        reply
    }

    fn call(&mut self, code: &str, keys: &[&str], args: &[String]) -> Value {
        let script = redis::Script::new(code);
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(key);
        }
        for arg in args {
            call.arg(arg);
        }
        call.invoke(&mut self.connection).unwrap()
    }

    fn joined(&mut self, value: &Value) -> Reply {
        let answer = words(value);
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        match answer.as_slice() {
            ["L", number] => {
                let number: u64 = number.parse().unwrap();
                if !self.numbers.contains(&number) && self.numbers.iter().all(|earlier| *earlier < number) {
                    self.numbers.push(number);
                }
                Reply::Lead(self.flight(&number.to_string()))
            }
            [kind @ ("F" | "W"), number, left] => {
                assert!((1..=TTL).contains(&left.parse().unwrap()), "{left} ms left");
                let flight = self.flight(number);
                if *kind == "F" { Reply::Follow(flight) } else { Reply::Wait(flight) }
            }
            ["O", number, text] => Reply::Outcome(self.flight(number), self.run(text)),
            ["D", number, text] => Reply::Done(self.flight(number), self.run(text)),
            other => panic!("JOIN answers {other:?}"),
        }
    }

    /// The server's number of a flight; of one that it has not started yet, the smallest it can have.
    fn number(&self, flight: Flight) -> String {
        let flight = usize::from(flight);
        let number = self.numbers.get(flight).copied().or_else(|| Some(self.numbers.get(flight - 1)? + 1));
        number.expect("a number that the server gave, or the next").to_string()
    }

    /// The model's number of a flight; `Flight::MAX` for one the model does not have.
    fn flight(&self, number: &str) -> Flight {
        let known = self.numbers.iter().position(|known| known.to_string() == number);
        known.map_or(Flight::MAX, |flight| flight as Flight)
    }

    fn run(&self, text: &str) -> Flight {
        self.texts.iter().find(|(_, known)| *known == text).map_or(Flight::MAX, |(flight, _)| *flight)
    }

    /// What the model says lies at the three keys.
    fn expected(&self, model: &Server) -> Records {
        let text = |run: Flight| format!("v={}", self.texts.get(&run).map_or("", String::as_str));
        let mut record = match model.record {
            Record::Absent => Vec::new(),
            Record::Running { id, owner, heir, .. } => {
                let mut fields = vec!["s=R".to_owned(), format!("i={}", self.number(id)), format!("t={}", name(owner))];
                if heir {
                    fields.push("h=1".to_owned());
                }
                for token in (0..PROCESSES).flat_map(|process| [Token::new(process, 0), Token::new(process, 1)]) {
                    match model.role(token) {
                        (_, true, _) => fields.push(format!("n:{}=f{}", name(token), inbox(token))),
                        (_, _, true) => fields.push(format!("n:{}=w{}", name(token), inbox(token))),
                        _ => {}
                    }
                }
                fields
            }
            Record::Done { id, run } => vec!["s=D".to_owned(), format!("i={}", self.number(id)), text(run)],
        };
        record.sort();
        let mark = if model.awaited { " w" } else { "" };
        let ahead = (!self.rules.clock_ahead).then(|| self.numbers[0].to_string());
        let last = if model.last == 0 { ahead } else { Some(format!("{}{mark}", self.number(model.last))) };
        let stored = model.stored.map(|(id, run)| vec![format!("i={}", self.number(id)), text(run)]);
        (record, last, stored.unwrap_or_default())
    }

    /// What lies there, with times to live as they should be.
    fn records(&mut self) -> Result<Records, String> {
        type Fields = HashMap<String, String>;
        let (record, last, stored, lives): (Fields, Option<String>, Fields, [i64; 3]) = {
            let mut questions = redis::pipe();
            questions.hgetall(RECORD).get(LAST).hgetall(STORED).pttl(RECORD).pttl(LAST).pttl(STORED);
            let (record, last, stored, a, b, c) = questions.query(&mut self.connection).unwrap();
            (record, last, stored, [a, b, c])
        };
        let of_record = if record.get("s").is_some_and(|state| state == "D") { REUSE } else { TTL };
        let due = [
            (RECORD, !record.is_empty(), of_record),
            (LAST, last.is_some(), DAY),
            (STORED, !stored.is_empty(), LINGER),
        ];
        for ((key, there, due), life) in due.into_iter().zip(lives) {
            if there && !(due - SLOW..=due).contains(&life) {
                return Err(format!("{key} lives for {life} ms more, and should for {due}"));
            }
        }
        let fields = |fields: Fields| {
            let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
            fields.sort();
            fields
        };
        Ok((fields(record), last, fields(stored)))
    }

    /// What the model says was published, as the scripts write it.
    fn messages(&self, published: Published) -> Vec<String> {
        let mut messages: Vec<_> = published
            .into_iter()
            .map(|(token, mail)| {
                let (kind, flight, text) = match mail {
                    // A run lands its own flight and no other.
                    Mail::Outcome(run) => ('o', run, self.texts[&run].as_str()),
                    Mail::Notice(flight) => ('n', flight, ""),
                    Mail::Oversize(flight) => ('x', flight, ""),
                    Mail::Again(flight) => ('a', flight, ""),
                    Mail::Lost => unreachable!("no server sends it"),
                };
                format!("{}: {kind}{} {} {text}", inbox(token), name(token), self.number(flight))
            })
            .collect();
        messages.sort();
        messages
    }
}

fn name(token: Token) -> String {
    format!("p{}.{}", token.process(), token.call())
}

fn inbox(token: Token) -> String {
    format!("in:p{}", token.process())
}

/// A reply as words.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(words).collect(),
        Value::Int(n) => vec![n.to_string()],
        Value::BulkString(bytes) => vec![String::from_utf8_lossy(bytes).into_owned()],
        other => panic!("unexpected {other:?}"),
    }
}
