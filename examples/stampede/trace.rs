//! The requests: which keys are asked for, in which order. Read from a file, or generated.

use rand::SeedableRng;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::SmallRng;
use std::collections::HashMap;
use std::io::BufRead;

/// A sequence of requests over a set of keys.
#[derive(Debug, PartialEq)]
pub(crate) struct Trace {
    keys: Vec<String>,
    /// Indices into `keys`.
    requests: Vec<u32>,
    skipped: usize,
}

/// How many keys a generated pattern draws from.
const KEYS: usize = 6;
/// How steep its popularity is: the k-th key is asked for in proportion to `1 / k^SKEW`.
const SKEW: f64 = 1.0;

impl Trace {
    /// A Zipf-like pattern, the same for the same arguments.
    pub(crate) fn zipf(requests: usize, seed: u64) -> Self {
        let popularity = WeightedIndex::new((1..=KEYS).map(|rank| (rank as f64).powf(-SKEW)));
        let popularity = popularity.expect("every key has some popularity");
        let mut random = SmallRng::seed_from_u64(seed);
        Self {
            keys: (1..=KEYS).map(|rank| format!("product-{rank:03}")).collect(),
            requests: (0..requests).map(|_| popularity.sample(&mut random) as u32).collect(),
            skipped: 0,
        }
    }

    /// Reads a trace of one key a line, or a web server's log in the common or combined format, of which it takes
    /// the path of each GET and HEAD. The first line that is not blank tells which of the two it is.
    ///
    /// Blank lines, and log lines of other requests, are skipped. A line that does not fit is an error that names
    /// its number and says what was expected there.
    pub(crate) fn read(lines: impl BufRead) -> Result<Self, String> {
        let mut trace = Self { keys: Vec::new(), requests: Vec::new(), skipped: 0 };
        let mut known: HashMap<String, u32> = HashMap::new();
        let mut is_log = None;
        for (number, line) in (1..).zip(lines.split(b'\n')) {
            let line = line.map_err(|e| format!("line {number}: {e}"))?;
            let line = std::str::from_utf8(&line).map_err(|_| format!("line {number}: expected UTF-8 text"))?.trim();
            if line.is_empty() {
                continue;
            }
            let is_log = *is_log.get_or_insert_with(|| line.contains('"') && line.contains('['));
            let key = if is_log { log_line(line) } else { key_line(line).map(Some) };
            let Some(key) = key.map_err(|expected| format!("line {number}: {expected}"))? else {
                trace.skipped += 1;
                continue;
            };
            let index = *known.entry(key.to_owned()).or_insert_with(|| {
                trace.keys.push(key.to_owned());
                trace.keys.len() as u32 - 1
            });
            trace.requests.push(index);
        }
        if trace.requests.is_empty() {
            return Err("it holds no requests, expected one key a line or a web server's log".to_owned());
        }
        Ok(trace)
    }

    /// Keeps the first `requests` requests, and of the keys those that are left.
    pub(crate) fn truncate(&mut self, requests: usize) {
        self.requests.truncate(requests);
        // Keys were numbered as they came up.
        let used = self.requests.iter().max().map_or(0, |&last| last as usize + 1);
        self.keys.truncate(used);
    }

    pub(crate) fn keys(&self) -> &[String] {
        &self.keys
    }

    pub(crate) fn requests(&self) -> &[u32] {
        &self.requests
    }

    /// How many lines of a log were of other requests.
    pub(crate) fn skipped(&self) -> usize {
        self.skipped
    }

    /// The key asked for most often.
    pub(crate) fn hottest(&self) -> &str {
        let mut count = vec![0_u32; self.keys.len()];
        for &key in &self.requests {
            count[key as usize] += 1;
        }
        let hottest = (0..count.len()).max_by_key(|&key| (count[key], std::cmp::Reverse(key)));
        hottest.map_or("", |key| &self.keys[key])
    }
}

/// The longest key that is believed to be one.
const LONGEST: usize = 2_048;

fn key_line(line: &str) -> Result<&str, String> {
    if line.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("expected one key without white space, found {}", quoted(line)));
    }
    if line.len() > LONGEST {
        return Err(format!("expected a key of at most {LONGEST} bytes, found {}", line.len()));
    }
    Ok(line)
}

/// The path of `host ident user [time] "GET /path HTTP/1.1" 200 512 ..`; `None` if it is another kind of request.
fn log_line(line: &str) -> Result<Option<&str>, String> {
    let malformed = || {
        format!("expected a log line such as 1.2.3.4 - - [time] \"GET /path HTTP/1.1\" 200 512, found {}", quoted(line))
    };
    let (_, after_time) = line.split_once('[').and_then(|(_, rest)| rest.split_once("] \"")).ok_or_else(malformed)?;
    let end = closing_quote(after_time).ok_or_else(malformed)?;
    let (request, rest) = (&after_time[..end], &after_time[end + 1..]);
    let status = rest.split_whitespace().next().unwrap_or_default();
    if status.len() != 3 || !status.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed());
    }
    // A client that sent nothing, or spoke TLS to the plain port, leaves a good log line without a path.
    let mut words = request.split(' ');
    let (Some("GET" | "HEAD"), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let path = match target.split_once("://") {
        Some((_, from_host)) if !target.starts_with('/') => from_host.find('/').map_or("/", |at| &from_host[at..]),
        _ => target,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if !path.starts_with('/') {
        return Ok(None);
    }
    if path.len() > LONGEST {
        return Err(format!("expected a path of at most {LONGEST} bytes, found {}", path.len()));
    }
    Ok(Some(path))
}

/// Servers escape a quote inside the request with a backslash.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// Enough of a line to recognise it by.
fn quoted(line: &str) -> String {
    let mut start: String = line.chars().take(60).collect();
    if start.len() < line.len() {
        start.push_str("..");
    }
    format!("{start:?}")
}
