//! P14: events are merged as they arrive, in the order of their arrival, and nobody waits for a merge but its key.

use super::*;
use crate::support::{Gate, keep_quiet_about};
use flight_group::CancelToken;
use proptest::prelude::*;

type Texts = EventGroup<u8, String, String>;

/// A group that concatenates. Its first run, of "first", is in the air until the gate is opened.
fn behind_a_run() -> (Texts, Arc<Gate>, thread::JoinHandle<String>) {
    let gate = Gate::new();
    let stays = gate.clone();
    let texts: Texts = EventGroup::new(
        |text: &mut String, more: String| text.push_str(&more),
        move |_, text: String| {
            if text == "first" {
                stays.pass();
            }
            Ok(text)
        },
    );
    let pushing = texts.clone();
    let first = thread::spawn(move || pushing.push(&1, "first".to_owned()).unwrap().value);
    until(|| texts.in_flight() == 1);
    (texts, gate, first)
}

#[derive(Clone, Copy, Debug)]
enum Arrival {
    Submit,
    Push,
    /// A push that is cancelled when so many others have come after it.
    Leaves(usize),
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let one = prop_oneof![
        5 => Just(Arrival::Submit),
        1 => Just(Arrival::Push),
        1 => (0_usize..12).prop_map(Arrival::Leaves),
    ];
    proptest::collection::vec(one, 1..60)
}

/// However submits and pushes are mixed and whoever leaves, the run carries what is left in the order of arrival.
fn keeps_the_order(arrivals: &[Arrival]) {
    let (texts, gate, first) = behind_a_run();
    let mut expected = String::new();
    let mut pushes = Vec::new();
    let mut leaving: Vec<(usize, CancelToken, thread::JoinHandle<_>)> = Vec::new();
    for (n, arrival) in arrivals.iter().enumerate() {
        let text = format!("<{n}>");
        let before = texts.followers(&1);
        match *arrival {
            Arrival::Submit => texts.submit(&1, text.clone()).unwrap(),
            Arrival::Push => {
                let (texts, text) = (texts.clone(), text.clone());
                pushes.push(thread::spawn(move || texts.push(&1, text).unwrap().value));
            }
            Arrival::Leaves(after) => {
                let token = CancelToken::new();
                let (texts, text, cancel) = (texts.clone(), text.clone(), token.clone());
                let push =
                    thread::spawn(move || texts.call(&1).cancel(&cancel).push(text).is_err_and(|e| e.is_cancelled()));
                leaving.push((n + after, token, push));
            }
        }
        match arrival {
            Arrival::Leaves(_) => {}
            _ => expected.push_str(&text),
        }
        until(|| texts.followers(&1) == before + usize::from(!matches!(arrival, Arrival::Submit)));
        for (_, token, push) in leaving.extract_if_due(n) {
            token.cancel("enough");
            assert!(push.join().unwrap(), "a push that left, and was told something else");
        }
    }
    for (_, token, push) in leaving {
        token.cancel("enough");
        assert!(push.join().unwrap());
    }
    gate.open();
    assert_eq!(first.join().unwrap(), "first");
    if pushes.is_empty() {
        texts.submit(&1, "<end>".to_owned()).unwrap();
        texts.flush().unwrap();
    }
    for push in pushes {
        assert_eq!(push.join().unwrap(), expected);
    }
    let carried = 1 + arrivals.iter().filter(|arrival| !matches!(arrival, Arrival::Leaves(_))).count();
    assert!(texts.stats().carried as usize >= carried);
}

trait ExtractIfDue: Sized {
    fn extract_if_due(&mut self, now: usize) -> Self;
}

impl<A, B> ExtractIfDue for Vec<(usize, A, B)> {
    fn extract_if_due(&mut self, now: usize) -> Self {
        let (due, later) = std::mem::take(self).into_iter().partition(|(at, ..)| *at <= now);
        *self = later;
        due
    }
}

#[test]
fn p14_merging_keeps_the_order_of_arrival() {
    within(|| {
        proptest!(ProptestConfig::with_cases(60), |(mut arrivals in arrivals())| {
            arrivals.push(Arrival::Push); // one that sees the whole
            keeps_the_order(&arrivals);
        });
    });
}

/// A panic in `merge` under a `submit` fails what waited for the key, and nothing else: the `submit` returns, the
/// blocked caller is told, `on_failure` is told once, and what comes later is carried.
#[test]
fn a_panic_while_merging_arrivals_fails_exactly_what_waited() {
    keep_quiet_about(&["a bad merge"]);
    within(|| {
        let gate = Gate::new();
        let (stays, (failed, failures)) = (gate.clone(), channel());
        let failed = Mutex::new(failed);
        let texts: EventGroup<u8, String, String> = EventGroup::builder(
            |text: &mut String, more: String| {
                if more == "bad" {
                    panic!("a bad merge");
                }
                text.push_str(&more);
            },
            move |_, text: String| {
                if text == "first" {
                    stays.pass();
                }
                Ok(text)
            },
        )
        .on_failure(move |key, error| failed.lock().unwrap().send((*key, error.to_string())).unwrap())
        .build();
        thread::scope(|s| {
            let first = s.spawn(|| texts.push(&1, "first".to_owned()).unwrap().value);
            until(|| texts.in_flight() == 1);
            let doomed = s.spawn(|| texts.push(&1, "doomed".to_owned()));
            until(|| texts.followers(&1) == 1);
            texts.submit(&1, "bad".to_owned()).unwrap(); // the first neighbour is merged into, and its words never seen
            texts.submit(&1, "bad".to_owned()).unwrap();
            until(|| {
                texts.submit(&1, "lost".to_owned()).unwrap();
                texts.waiting(&1) == 0
            });
            assert!(doomed.join().unwrap().unwrap_err().is_panicked());
            assert_eq!(soon(&failures), (1, "the work panicked: a bad merge".to_owned()));
            texts.submit(&1, "later".to_owned()).unwrap();
            let last = s.spawn(|| texts.push(&1, "last".to_owned()).unwrap().value);
            until(|| texts.followers(&1) == 1);
            gate.open();
            assert_eq!(first.join().unwrap(), "first");
            assert_eq!(last.join().unwrap(), "laterlast");
        });
        assert!(failures.try_recv().is_err(), "told twice");
        assert_eq!(texts.stats().panicked, 1);
    });
}

/// While a thread merges, the run that is in the air lands, other keys are pushed, and arrivals return. The merger hands
/// on what it has merged.
#[test]
fn a_merge_that_lasts_holds_up_nobody_but_its_own_flight() {
    within(|| {
        let (gate, merging, merge) = (Gate::new(), Gate::new(), Gate::new());
        let (stays, enters, lasts) = (gate.clone(), merging.clone(), merge.clone());
        let texts: EventGroup<u8, String, String> = EventGroup::new(
            move |text: &mut String, more: String| {
                enters.open();
                lasts.pass();
                text.push_str(&more);
            },
            move |_, text: String| {
                if text == "first" {
                    stays.pass();
                }
                Ok(text)
            },
        );
        thread::scope(|s| {
            let first = s.spawn(|| texts.push(&1, "first".to_owned()).unwrap().value);
            until(|| texts.in_flight() == 1);
            let merger = s.spawn(|| {
                let mut sent = 0;
                while !merging.is_open() {
                    texts.submit(&1, "s".to_owned()).unwrap();
                    sent += 1;
                }
                sent
            });
            merging.pass();
            gate.open();
            assert_eq!(first.join().unwrap(), "first");
            until(|| texts.in_flight() == 0);
            texts.submit(&1, "x".to_owned()).unwrap();
            let push = s.spawn(|| texts.push(&1, "last".to_owned()).unwrap().value);
            until(|| texts.followers(&1) == 1);
            assert_eq!(texts.push(&2, "other".to_owned()).unwrap().value, "other");
            assert_eq!(texts.in_flight(), 0, "nobody leads what is being merged");
            merge.open();
            let sent = merger.join().unwrap();
            assert_eq!(push.join().unwrap(), "s".repeat(sent) + "xlast");
        });
    });
}
