//! Feature `metrics`: what is counted and timed, in every outcome, and that it adds up.

use crate::support::{keep_quiet_about, until, within};
use flight_group::{Batcher, CancelToken, Error, EventGroup, Group, Hedge, Job, WriteGroup};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A recorder of this test's own, and what a scrape of it says.
struct Scrape {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Scrape {
    fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    /// Builds a group that is metered here, whoever calls it later.
    fn group<G>(&self, build: impl FnOnce() -> G) -> G {
        metrics::with_local_recorder(&self.recorder, build)
    }

    fn series(&self) -> BTreeMap<String, f64> {
        let text = self.handle.render();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        // The label that only tells the kinds of group apart has a test of its own.
        let kinds = ["group", "write group", "event group", "batcher", "hedge"].map(|kind| format!(",kind=\"{kind}\""));
        let without_kind =
            |name: &str| kinds.iter().fold(name.to_owned(), |name, kind| name.replace(kind.as_str(), ""));
        lines
            .map(|line| line.rsplit_once(' ').map(|(name, n)| (without_kind(name), n.parse().unwrap())).unwrap())
            .collect()
    }

    #[track_caller]
    fn read(&self, name: &str, labels: &str) -> f64 {
        let (series, wanted) = (self.series(), format!("flight_group_{name}{{{labels}}}"));
        *series.get(&wanted).unwrap_or_else(|| panic!("no {wanted} in {series:#?}"))
    }

    #[track_caller]
    fn landed(&self, group: &str, outcome: &str) -> f64 {
        self.read("landed_total", &format!("group=\"{group}\",outcome=\"{outcome}\""))
    }

    /// Nobody is in the air, nobody waits, and what began has ended.
    #[track_caller]
    fn assert_settled(&self, group: &str) {
        let label = format!("group=\"{group}\"");
        until(|| self.read("in_flight", &label) == 0.0); // a leader counts after it has woken its followers
        assert_eq!(self.read("waiting", &label), 0.0);
        let outcomes = ["value", "failed", "panicked", "abandoned", "missing"];
        let landed: f64 = outcomes.iter().map(|outcome| self.landed(group, outcome)).sum();
        assert_eq!(self.read("led_total", &label), landed);
        let ran = landed - self.landed(group, "abandoned");
        assert_eq!(self.read("run_seconds_count", &label), ran);
    }
}

#[test]
fn every_series_is_there_before_anything_happens() {
    let scrape = Scrape::new();
    let _reads: Group<u8, u8> = scrape.group(|| Group::builder().name("reads").metered().build());
    let _writes: WriteGroup<u8> = scrape.group(|| WriteGroup::builder().metered().build());
    for group in ["reads", "unnamed"] {
        for name in ["led", "joined", "timed_out", "deadlocked", "overloaded", "forgotten", "expired", "taken_over"] {
            assert_eq!(scrape.read(&format!("{name}_total"), &format!("group=\"{group}\"")), 0.0);
        }
        assert_eq!(scrape.read("superseded_total", &format!("group=\"{group}\"")), 0.0);
        scrape.assert_settled(group);
    }
}

#[test]
fn names_units_and_kinds_are_as_documented() {
    let recorder = Bombs::default();
    let _group: Group<u8, u8> = metrics::with_local_recorder(&recorder, || Group::builder().metered().build());
    let page = include_str!("../../../src/docs/observing.rs");
    let described = recorder.0.described.lock().unwrap();
    assert_eq!(described.len(), 15);
    for (name, (kind, unit)) in described.iter() {
        let row = page.lines().find(|line| line.contains(&format!("| `{name}` |"))).unwrap_or_else(|| panic!("{name}"));
        assert!(row.contains(&format!("| {kind} |")), "{name} is a {kind}: {row}");
        assert_eq!(row.contains("| seconds |"), *unit == Some(Unit::Seconds), "{row}");
        assert_eq!(name.ends_with("_total"), *kind == "counter");
        assert_eq!(name.ends_with("_seconds"), *kind == "histogram");
    }
}

#[test]
fn a_flight_and_its_followers_are_counted_and_timed() {
    within(|| {
        let scrape = Scrape::new();
        let group: Group<u8, u8, &str> = scrape.group(|| Group::builder().name("g").metered().build());
        std::thread::scope(|s| {
            let led = group.try_work(&1, || {
                for _ in 0..3 {
                    s.spawn(|| group.try_work(&1, || Ok(2)));
                }
                until(|| scrape.read("waiting", "group=\"g\"") == 3.0);
                assert_eq!(scrape.read("in_flight", "group=\"g\""), 1.0);
                until(|| group.followers(&1) == 3);
                Ok(1)
            });
            assert_eq!(led, Ok(1));
        });
        scrape.assert_settled("g");
        assert_eq!((scrape.read("led_total", "group=\"g\""), scrape.landed("g", "value")), (1.0, 1.0));
        assert_eq!(scrape.read("joined_total", "group=\"g\""), 3.0);
        assert_eq!(scrape.read("wait_seconds_count", "group=\"g\""), 3.0);
        assert!(scrape.read("run_seconds_sum", "group=\"g\"") > 0.0);
    });
}

#[test]
fn every_outcome_has_its_counter() {
    within(|| {
        keep_quiet_about(&["the leader's bang"]);
        let scrape = Scrape::new();
        let build = || {
            let executor = |job: Job| drop(job);
            Group::builder().name("g").max_age(Duration::from_secs(3_600)).max_followers(1).executor(executor).metered()
        };
        let group: Group<u8, u8, &str> = scrape.group(|| build().build());
        let count = |name: &str| scrape.read(&format!("{name}_total"), "group=\"g\"");

        group.try_work(&1, || Err("no")).unwrap_err();
        catch_unwind(AssertUnwindSafe(|| group.try_work(&1, || panic!("the leader's bang")))).unwrap_err();
        group.work_many(&[1, 2], |_| Ok([(1, 1)].into()));
        assert_eq!(group.spawn(&1, || Ok(1)).recv().unwrap(), Err(Error::abandoned()));
        let outcomes = ["value", "failed", "panicked", "abandoned", "missing"].map(|word| scrape.landed("g", word));
        assert_eq!(outcomes, [1.0; 5]);

        group
            .try_work(&1, || {
                assert!(matches!(group.try_work(&1, || Ok(0)), Err(Error::Deadlock(_))));
                std::thread::scope(|s| {
                    let wait = s.spawn(|| group.call(&1).timeout(Duration::from_millis(1)).run(|| Ok(0)));
                    assert_eq!(wait.join().unwrap(), Err(Error::timed_out()));
                    let wait = s.spawn(|| group.call(&1).takeover_after(Duration::from_millis(1)).run(|| Ok(0)));
                    wait.join().unwrap().unwrap();
                });
                Ok(1)
            })
            .unwrap();
        group.try_work(&1, || Ok(u8::from(group.forget(&1)))).unwrap();
        for name in ["deadlocked", "timed_out", "taken_over", "forgotten"] {
            assert_eq!(count(name), 1.0, "{name}");
        }
        assert_eq!((count("overloaded"), count("expired"), count("superseded")), (0.0, 0.0, 0.0));

        let full: Group<u8, u8> = scrape.group(|| Group::builder().name("g").max_followers(0).metered().build());
        full.work(&1, || {
            std::thread::scope(|s| s.spawn(|| full.try_work(&1, || Ok(0))).join().unwrap()).unwrap_err();
            1
        });
        let short: Group<u8, u8> =
            scrape.group(|| Group::builder().name("g").max_age(Duration::ZERO).metered().build());
        short.work(&1, || short.work(&1, || 1));
        assert_eq!((count("overloaded"), count("expired")), (1.0, 1.0));
        scrape.assert_settled("g");
    });
}

/// What a scrape says and what `stats` says is the same.
#[test]
fn writes_and_receivers_are_counted_as_in_stats() {
    within(|| {
        let scrape = Scrape::new();
        let writes: WriteGroup<u8, u8> = scrape.group(|| WriteGroup::builder().name("w").metered().build());
        let mut receivers = Vec::new();
        std::thread::scope(|s| {
            writes.write(&1, || {
                for queued in 0..2 {
                    receivers.push(writes.spawn(&1, || Ok(2)));
                    s.spawn(|| writes.write(&1, || 3));
                    until(|| writes.followers(&1) == 2 * queued + 2);
                }
                1
            });
        });
        for receiver in receivers {
            assert!(receiver.recv().unwrap().is_ok());
        }
        let count = |name: &str| scrape.read(&format!("{name}_total"), "group=\"w\"");
        until(|| count("superseded") == 3.0); // a receiver is counted after it has been served
        scrape.assert_settled("w");
        let stats = writes.stats();
        assert_eq!((count("led"), stats.led), (2.0, 2));
        assert_eq!((count("superseded"), stats.superseded), (3.0, 3));
        assert_eq!(count("joined"), 4.0, "the one that led in the end waited, too");
    });
}

#[test]
fn a_job_is_in_flight_while_it_waits_for_a_thread() {
    let scrape = Scrape::new();
    let (jobs, queue) = std::sync::mpsc::channel::<Job>();
    let jobs = Mutex::new(jobs);
    let executor = move |job| drop(jobs.lock().unwrap().send(job));
    let group: Group<u8, u8> = scrape.group(|| Group::builder().name("g").executor(executor).metered().build());
    let receiver = group.spawn(&1, || Ok(1));
    assert_eq!(scrape.read("in_flight", "group=\"g\""), 1.0);
    queue.recv().unwrap().run();
    receiver.recv().unwrap().unwrap();
    scrape.assert_settled("g");
}

#[test]
fn a_group_that_is_not_metered_has_no_series() {
    let scrape = Scrape::new();
    let group: Group<u8, u8> = scrape.group(|| Group::builder().name("g").observer(|_| {}).build());
    group.work(&1, || 1);
    assert!(scrape.series().is_empty());
}

/// P5: a recorder is user code. Whichever of its updates panics, nobody hangs and the key works afterwards.
#[test]
fn p5_a_recorder_that_panics_strands_nobody() {
    keep_quiet_about(&["the recorder's bomb"]);
    within(|| {
        let mut exploded = 0;
        for n in 1..40 {
            let recorder = Bombs::default();
            let group: Group<u8, u8> = metrics::with_local_recorder(&recorder, || Group::builder().metered().build());
            recorder.0.fuse.store(n, SeqCst);
            let survive = |body: &dyn Fn()| drop(catch_unwind(AssertUnwindSafe(body)));
            std::thread::scope(|s| {
                survive(&|| {
                    group.work(&1, || {
                        s.spawn(|| survive(&|| drop(group.try_work(&1, || Ok(2)))));
                        s.spawn(|| survive(&|| drop(group.call(&1).fresh().run(|| Ok(3)))));
                        until(|| group.stats().joined > 0);
                        1
                    });
                });
            });
            assert_eq!(group.in_flight(), 0);
            if recorder.0.fuse.swap(0, SeqCst) == 0 {
                exploded += 1;
            }
            assert_eq!(group.work(&1, || 9), 9);
        }
        assert!((9..39).contains(&exploded), "the bombs covered the scenario and more: {exploded}");
    });
}

/// A recorder whose n-th update panics, and that notes what it is told of names and units.
#[derive(Default)]
struct Bombs(Arc<Fuse>);

#[derive(Default)]
struct Fuse {
    /// How many updates are left; 0: no bomb.
    fuse: AtomicUsize,
    described: Mutex<BTreeMap<String, (&'static str, Option<Unit>)>>,
}

impl Fuse {
    fn burn(&self) {
        let burnt = self.fuse.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        assert!(burnt != Ok(1), "the recorder's bomb");
    }

    fn describe(&self, name: KeyName, kind: &'static str, unit: Option<Unit>) {
        self.described.lock().unwrap().insert(name.as_str().to_owned(), (kind, unit));
    }
}

impl CounterFn for Fuse {
    fn increment(&self, _: u64) {
        self.burn();
    }
    fn absolute(&self, _: u64) {
        self.burn();
    }
}

impl GaugeFn for Fuse {
    fn increment(&self, _: f64) {
        self.burn();
    }
    fn decrement(&self, _: f64) {
        self.burn();
    }
    fn set(&self, _: f64) {
        self.burn();
    }
}

impl HistogramFn for Fuse {
    fn record(&self, _: f64) {
        self.burn();
    }
}

impl Recorder for Bombs {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.0.describe(name, "counter", unit);
    }
    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.0.describe(name, "gauge", unit);
    }
    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.0.describe(name, "histogram", unit);
    }
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.0.clone())
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.0.clone())
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.0.clone())
    }
}

/// Event groups and batchers are metered as groups are, and the label `kind` tells them apart.
#[test]
fn every_kind_has_the_same_meters_and_a_label_of_its_own() {
    within(|| {
        let scrape = Scrape::new();
        let events: EventGroup<u8, u32, (), &str> = scrape.group(|| {
            let fails = |_: &u8, sum| if sum == 13 { Err("unlucky") } else { Ok(()) };
            EventGroup::builder(|sum, n| *sum += n, fails).name("e").metered().build()
        });
        let rows: Batcher<u8, u8> = scrape.group(|| {
            let rows = |keys: &[u8]| Ok(keys.iter().map(|key| (*key, *key)).collect());
            Batcher::builder().name("b").metered().build(rows)
        });
        events.push(&1, 1).unwrap();
        events.submit(&1, 13).unwrap();
        events.flush().unwrap();
        rows.load(&1).unwrap();
        scrape.assert_settled("e");
        scrape.assert_settled("b");
        assert_eq!((scrape.landed("e", "value"), scrape.landed("e", "failed")), (1.0, 1.0));
        let text = scrape.handle.render();
        for line in [
            r#"flight_group_led_total{group="e",kind="event group"} 2"#,
            r#"flight_group_led_total{group="b",kind="batcher"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    });
}

/// A hedge's call is one flight, however many attempts it makes.
#[test]
fn a_hedges_calls_are_counted_and_timed() {
    within(|| {
        let scrape = Scrape::new();
        let hedge = Hedge::new().metered().delay(Duration::MAX).name("h");
        assert!(scrape.series().is_empty(), "its meters are made at the first call: it has a name by then");
        scrape.group(|| hedge.run(|_| Ok::<_, &str>(1))).unwrap();
        hedge.run(|_| Err::<(), _>("down")).unwrap_err();
        let mixed = hedge.run(|attempt| -> Result<(), _> {
            assert!(attempt.index() > 0, "x");
            Err("down")
        });
        assert_eq!(mixed.unwrap_err().errors().len(), 2);
        let token = CancelToken::new();
        token.cancel("gone");
        assert!(hedge.run_under(&token, |_| Ok::<_, &str>(1)).unwrap_err().is_cancelled());
        hedge.first([|_| Ok::<_, &str>(1)]).unwrap();

        scrape.assert_settled("h");
        let outcomes = ["value", "failed", "panicked", "abandoned"].map(|outcome| scrape.landed("h", outcome));
        assert_eq!(outcomes, [1.0; 4]);
        assert_eq!(scrape.read("cancelled_total", "group=\"h\""), 1.0);
        let text = scrape.handle.render();
        let line = r#"flight_group_led_total{group="h",kind="hedge"} 4"#;
        assert!(text.contains(line), "{line} in {text}");
        assert!(!text.contains("unnamed"));
    });
}

#[test]
fn a_hedge_that_is_not_metered_has_no_series() {
    let scrape = Scrape::new();
    scrape.group(|| Hedge::new().name("silent").run(|_| Ok::<_, &str>(1))).unwrap();
    assert!(scrape.series().is_empty());
}
