//! Stale while refresh.

use crate::stale_while_refresh::{Ages, StaleWhileRefresh};
use crate::support::{Source, until, within};
use std::sync::Arc;
use std::thread::spawn;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type Prices<L> = Arc<StaleWhileRefresh<u64, usize, &'static str, L>>;

/// Stale as soon as it is there, so that no test waits for an age to pass.
fn prices(
    source: &Arc<Source>,
    retry_after: Duration,
) -> Prices<impl Fn(&u64) -> Result<usize, &'static str> + 'static> {
    let source = source.clone();
    StaleWhileRefresh::new(100, Ages { fresh_for: Duration::ZERO, retry_after, kept_for: DAY }, move |_| source.ask())
}

#[test]
fn what_is_stale_is_served_while_one_refresh_runs() {
    within(|| {
        let source = Arc::new(Source::default());
        let prices = prices(&source, DAY);
        assert_eq!(prices.get(&1), Ok(1));
        source.gate.shut();
        for _ in 0..10 {
            assert_eq!(prices.get(&1), Ok(1), "stale, and at once: the source answers nobody");
        }
        until(|| source.calls() == 2);
        let waiting = prices.flights.followers(&1);
        assert_eq!((prices.flights.stats().led, waiting), (2, 9), "the first stale read led, the others boarded");
        source.gate.open();
        until(|| prices.flights.in_flight() == 0);
        assert_eq!(source.calls(), 2, "one for the first, and one for ten stale reads");
        assert_eq!(prices.get(&1), Ok(2), "the refresh has landed");
        until(|| prices.flights.in_flight() == 0); // that read was stale, too
    });
}

#[test]
fn a_refresh_that_fails_keeps_the_old_value_and_pauses() {
    within(|| {
        let source = Arc::new(Source::default());
        let prices = prices(&source, DAY);
        assert_eq!(prices.get(&1), Ok(1));
        *source.fails.lock().unwrap() = true;
        assert_eq!(prices.get(&1), Ok(1));
        until(|| prices.flights.stats().failed == 1 && prices.flights.in_flight() == 0);
        assert_eq!(source.calls(), 2);
        for _ in 0..10 {
            assert_eq!(prices.get(&1), Ok(1));
        }
        assert_eq!((source.calls(), prices.flights.stats().led), (2, 2), "not before the pause is over");
    });
}

#[test]
fn after_the_pause_it_is_tried_again() {
    within(|| {
        let source = Arc::new(Source::default());
        let prices = prices(&source, Duration::ZERO);
        assert_eq!(prices.get(&1), Ok(1));
        *source.fails.lock().unwrap() = true;
        assert_eq!(prices.get(&1), Ok(1));
        until(|| prices.flights.stats().failed == 1 && prices.flights.in_flight() == 0);
        *source.fails.lock().unwrap() = false;
        assert_eq!(prices.get(&1), Ok(1));
        until(|| prices.flights.stats().led == 3 && prices.flights.in_flight() == 0);
        assert_eq!(prices.get(&1), Ok(3));
    });
}

#[test]
fn a_refresh_that_panics_keeps_the_old_value() {
    within(|| {
        let source = Arc::new(Source::default());
        let prices = prices(&source, DAY);
        assert_eq!(prices.get(&1), Ok(1));
        *source.panics.lock().unwrap() = true;
        assert_eq!(prices.get(&1), Ok(1));
        until(|| prices.flights.stats().panicked == 1 && prices.flights.in_flight() == 0);
        *source.panics.lock().unwrap() = false;
        assert_eq!(prices.get(&1), Ok(1));
        until(|| prices.flights.stats().led == 3 && prices.flights.in_flight() == 0);
        assert_eq!(prices.get(&1), Ok(3));
    });
}

/// The first read of a key has nothing to serve: it waits, in the same flights.
#[test]
fn many_that_find_nothing_ask_once() {
    within(|| {
        let source = Arc::new(Source::default());
        let prices = prices(&source, DAY);
        source.gate.shut();
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let prices = prices.clone();
                spawn(move || prices.get(&1))
            })
            .collect();
        until(|| prices.flights.followers(&1) == 7);
        source.gate.open();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), Ok(1));
        }
        assert_eq!(source.calls(), 1);
    });
}

/// A value that is not stale is served from memory, and nobody is asked.
#[test]
fn what_is_fresh_asks_nobody() {
    within(|| {
        let source = Arc::new(Source::default());
        let prices = StaleWhileRefresh::new(100, Ages { fresh_for: DAY, retry_after: DAY, kept_for: DAY }, {
            let source = source.clone();
            move |_: &u64| source.ask()
        });
        for _ in 0..10 {
            assert_eq!(prices.get(&1), Ok(1));
        }
        assert_eq!((source.calls(), prices.flights.stats().led), (1, 1));
    });
}
