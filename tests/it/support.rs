//! What the tests share: nobody sleeps in hope, and nobody hangs for longer than seconds.
//!
//! A test that has to be somewhere waits for it to be so ([`until`]), every test that could hang runs under a
//! watchdog ([`within`]), and closures stay in the air exactly as long as the test says
//! ([`hold`], and [`Held`] where more is to happen in them).

use flight_group::hedge::Attempt;
use flight_group::{Error, Group, Landing, WriteGroup};
use std::any::Any;
use std::cell::RefCell;
use std::convert::Infallible;
use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, Once};
use std::thread::{JoinHandle, spawn, yield_now};
use std::time::{Duration, Instant};

/// How long a test may take before it counts as hung. Two busy cores and a build with delays are well below; where
/// all is slower (under a sanitizer), `FLIGHT_GROUP_PATIENCE` says how many seconds.
pub(crate) fn patience() -> Duration {
    let seconds = std::env::var("FLIGHT_GROUP_PATIENCE").ok().map_or(25, |s| s.parse().expect("a number of seconds"));
    Duration::from_secs(seconds)
}

/// Long enough never to pass in a test that is not hung.
pub(crate) const AGES: Duration = Duration::from_secs(3600);

/// Short enough to wait for in earnest.
pub(crate) const SOON: Duration = Duration::from_millis(5);

/// Runs a test's body on a thread of its own, and fails if it has not ended within [`patience`].
pub(crate) fn within<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = channel();
    let thread = spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(body));
        let _ = done.send(());
        result.unwrap_or_else(|payload| resume_unwind(payload))
    });
    let patience = patience();
    match ended.recv_timeout(patience) {
        Ok(()) | Err(RecvTimeoutError::Disconnected) => finish(thread),
        Err(RecvTimeoutError::Timeout) => panic!("hangs: not done after {patience:?}"),
    }
}

/// Joins, and lets the thread's panic go on here.
pub(crate) fn finish<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|payload| resume_unwind(payload))
}

/// Calls, each time with a deadline, until the call is refused: then the thread that closes the circle with it waits. (It
/// has joined a moment before that, and would be refused itself if this thread waited first.)
#[track_caller]
pub(crate) fn until_refused<V: std::fmt::Debug, E: std::fmt::Debug>(call: impl Fn() -> Result<Landing<V>, Error<E>>) {
    until(|| match call() {
        Err(Error::TimedOut(_)) => false,
        Err(Error::Deadlock(_)) => true,
        other => panic!("expected a deadlock, got {other:?}"),
    });
}

/// Waits until it is so. A watchdog ends the wait that has no end.
#[track_caller]
pub(crate) fn until(mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < patience(), "the condition never came true");
        yield_now();
    }
}

/// Passed by nobody until it is opened; then by everybody, at once.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.open.lock().unwrap()
    }

    pub(crate) fn pass(&self) {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
    }
}

/// A call whose closure is running, and runs until [`release`](Held::release).
pub(crate) struct Held<T> {
    gate: Arc<Gate>,
    thread: JoinHandle<T>,
}

/// What a held closure calls to say that it runs, and to stay.
pub(crate) type Stay = Arc<dyn Fn() + Send + Sync>;

impl<T: Send + 'static> Held<T> {
    /// Makes the call on a thread of its own, and returns once its closure has called `stay`.
    pub(crate) fn start(call: impl FnOnce(Stay) -> T + Send + 'static) -> Self {
        let held = Self::begin(call);
        held.1.pass();
        held.0
    }

    /// Makes the call and returns at once, with the gate that opens when its closure has called `stay`.
    pub(crate) fn begin(call: impl FnOnce(Stay) -> T + Send + 'static) -> (Self, Arc<Gate>) {
        let (entered, gate) = (Gate::new(), Gate::new());
        let stay: Stay = {
            let (entered, gate) = (entered.clone(), gate.clone());
            Arc::new(move || {
                entered.open();
                gate.pass();
            })
        };
        (Self { gate, thread: spawn(move || call(stay)) }, entered)
    }

    /// Lets the closure go on, and returns what the call returned.
    pub(crate) fn release(self) -> T {
        self.gate.open();
        finish(self.thread)
    }

    /// As [`release`](Self::release), with the call's panic as a value.
    pub(crate) fn release_caught(self) -> std::thread::Result<T> {
        self.gate.open();
        self.thread.join()
    }

    /// Lets the closure go on; the call is joined later.
    pub(crate) fn let_go(&self) {
        self.gate.open();
    }

    pub(crate) fn has_returned(&self) -> bool {
        self.thread.is_finished()
    }
}

/// The verbs of both groups, under one name.
pub(crate) trait Verbs<K, V, E>: Clone + Send + 'static {
    fn try_lead(&self, key: &K, work: impl FnOnce() -> Result<V, E>) -> Result<V, Error<E>>;
    fn call_lead(&self, key: &K, work: impl FnOnce() -> Result<V, E>) -> Result<Landing<V>, Error<E>>;
}

/// Those without an error.
pub(crate) trait PlainVerbs<K, V>: Clone + Send + 'static {
    fn lead(&self, key: &K, work: impl FnOnce() -> V) -> V;
}

macro_rules! verbs {
    ($group:ident, $plain:ident, $try:ident) => {
        impl<K, V, E, S> Verbs<K, V, E> for $group<K, V, E, S>
        where
            K: Hash + Eq + Clone + Send + 'static,
            V: Clone + Send + Sync + 'static,
            E: Clone + Send + Sync + 'static,
            S: BuildHasher + Send + Sync + 'static,
        {
            fn try_lead(&self, key: &K, work: impl FnOnce() -> Result<V, E>) -> Result<V, Error<E>> {
                self.$try(key, work)
            }
            fn call_lead(&self, key: &K, work: impl FnOnce() -> Result<V, E>) -> Result<Landing<V>, Error<E>> {
                self.call(key).run(work)
            }
        }

        impl<K, V, S> PlainVerbs<K, V> for $group<K, V, Infallible, S>
        where
            K: Hash + Eq + Clone + Send + 'static,
            V: Clone + Send + Sync + 'static,
            S: BuildHasher + Send + Sync + 'static,
        {
            fn lead(&self, key: &K, work: impl FnOnce() -> V) -> V {
                self.$plain(key, work)
            }
        }
    };
}
verbs!(Group, work, try_work);
verbs!(WriteGroup, write, try_write);

/// A flight in the air, by `work` or `write`: its closure runs until it is released, and then ends with `end`.
pub(crate) fn hold<K, V>(group: &impl PlainVerbs<K, V>, key: K, end: impl FnOnce() -> V + Send + 'static) -> Held<V>
where
    K: Send + 'static,
    V: Send + 'static,
{
    let group = group.clone();
    Held::start(move |stay| {
        group.lead(&key, || {
            stay();
            end()
        })
    })
}

/// As [`hold`], by `try_work` or `try_write`.
pub(crate) fn try_hold<K, V, E>(
    group: &impl Verbs<K, V, E>,
    key: K,
    end: impl FnOnce() -> Result<V, E> + Send + 'static,
) -> Held<Result<V, Error<E>>>
where
    K: Send + 'static,
    V: Send + 'static,
    E: Send + 'static,
{
    let group = group.clone();
    Held::start(move |stay| {
        group.try_lead(&key, || {
            stay();
            end()
        })
    })
}

/// As [`hold`], by a call with options, which tells more.
pub(crate) fn hold_call<K, V, E>(
    group: &impl Verbs<K, V, E>,
    key: K,
    end: impl FnOnce() -> Result<V, E> + Send + 'static,
) -> Held<Result<Landing<V>, Error<E>>>
where
    K: Send + 'static,
    V: Send + 'static,
    E: Send + 'static,
{
    let group = group.clone();
    Held::start(move |stay| {
        group.call_lead(&key, || {
            stay();
            end()
        })
    })
}

/// What the tests need of both groups.
pub(crate) trait Counts<K> {
    fn waiting(&self, key: &K) -> usize;
    fn flying(&self) -> usize;
    /// Calls that have boarded so far, as leaders or followers; grows by one each time one does.
    fn boarded(&self) -> u64;
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Counts<K> for Group<K, V, E, S> {
    fn waiting(&self, key: &K) -> usize {
        self.followers(key)
    }
    fn flying(&self) -> usize {
        self.in_flight()
    }
    fn boarded(&self) -> u64 {
        self.stats().led + self.stats().joined
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Counts<K> for WriteGroup<K, V, E, S> {
    fn waiting(&self, key: &K) -> usize {
        self.followers(key)
    }
    fn flying(&self) -> usize {
        self.in_flight()
    }
    fn boarded(&self) -> u64 {
        self.stats().led + self.stats().joined
    }
}

/// Waits until exactly `n` callers wait for the key.
pub(crate) fn until_waiting<K>(group: &impl Counts<K>, key: &K, n: usize) {
    until(|| group.waiting(key) == n);
}

/// Starts `n` calls, each on its own thread, one after the other: the next when the last is waiting. Their order
/// of arrival is their index. Assumes that nobody waits for the key yet and that a flight is in the air.
pub(crate) fn line_up<K, G, T>(
    group: &G,
    key: K,
    n: usize,
    call: impl Fn(&G, usize) -> T + Send + Sync + 'static,
) -> Vec<JoinHandle<T>>
where
    G: Counts<K> + Clone + Send + 'static,
    T: Send + 'static,
{
    let call = Arc::new(call);
    (0..n)
        .map(|i| {
            let (call, group_of_caller) = (call.clone(), group.clone());
            let caller = spawn(move || call(&group_of_caller, i));
            until_waiting(group, &key, i + 1);
            caller
        })
        .collect()
}

/// One clock for all threads: every reading is later than every reading before it.
#[derive(Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    pub(crate) fn tick(&self) -> u64 {
        self.0.fetch_add(1, SeqCst) + 1
    }
}

/// Counts runs, and those that overlap (P1).
#[derive(Default)]
pub(crate) struct Alone {
    running: AtomicBool,
    runs: AtomicUsize,
    overlaps: AtomicUsize,
}

impl Alone {
    pub(crate) fn run<T>(&self, body: impl FnOnce() -> T) -> T {
        struct Leave<'a>(&'a AtomicBool);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.store(false, SeqCst);
            }
        }
        if self.running.swap(true, SeqCst) {
            self.overlaps.fetch_add(1, SeqCst); // told at the end: the caller may be one that swallows panics
        }
        let _leave = Leave(&self.running);
        self.runs.fetch_add(1, SeqCst);
        yield_now(); // so that whoever could overlap has the time to
        body()
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(SeqCst)
    }

    pub(crate) fn assert_never_two(&self) {
        assert_eq!(self.overlaps.load(SeqCst), 0, "two closures of one key ran at the same time");
    }
}

/// Tells whether what carries it has been dropped.
pub(crate) struct Canary(Arc<AtomicUsize>);

impl Canary {
    /// The canary, and the count of those of its kind that are gone.
    pub(crate) fn new() -> (Self, Arc<AtomicUsize>) {
        let gone = Arc::new(AtomicUsize::new(0));
        (Self(gone.clone()), gone)
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// What a panic said.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    match payload.downcast_ref::<&str>() {
        Some(message) => (*message).to_owned(),
        None => payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "(no message)".to_owned()),
    }
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Makes the hook note where a thread's last panic was, and keep quiet about panics with one of these words.
fn hook(quiet: &'static [&'static str]) {
    static QUIET: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    static HOOK: Once = Once::new();
    QUIET.lock().unwrap().extend(quiet);
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PLACE.with(|place| *place.borrow_mut() = info.location().map(Place::of));
            if !QUIET.lock().unwrap().contains(&message(info.payload()).as_str()) {
                before(info);
            }
        }));
    });
}

/// Thousands of panics on purpose need not be printed.
pub(crate) fn keep_quiet_about(words: &'static [&'static str]) {
    hook(words);
}

/// The words of `body`'s panic, and the place it is blamed on.
pub(crate) fn panic_of<T>(body: impl FnOnce() -> T) -> (String, Place) {
    hook(&[]);
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(_) => panic!("expected a panic"),
        Err(payload) => (message(&*payload), PLACE.with(|place| place.borrow_mut().take()).expect("the hook ran")),
    }
}

/// Where in the source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: u32,
}

impl Place {
    fn of(location: &Location<'_>) -> Self {
        Self { file: location.file().to_owned(), line: location.line() }
    }

    #[track_caller]
    pub(crate) fn here() -> Self {
        Self::of(Location::caller())
    }
}

/// For a hedge of two attempts inside a flight of key 1. The first waits for that flight. The second fails once the call
/// waits, too: nothing is left to wait for, and the call closes the circle.
pub(crate) fn no_hope(group: &Group<u8, u8>) -> impl Fn(Attempt) -> Result<u8, String> + Send + Sync + 'static {
    let again = group.clone();
    move |attempt| {
        if attempt.index() == 0 {
            return again.try_work(&1, || unreachable!("it is in the air")).map_err(|error| error.to_string());
        }
        until_waiting(&again, &1, 1);
        until_refused(|| again.call(&1).timeout(SOON).run(|| unreachable!("it is in the air")));
        Err("the other replica is down".to_owned())
    }
}
