//! A leader nobody follows: what every call pays that meets nobody.

use crate::measure::{Contestant, Mark, Metric, Workload, of};
use crate::workloads::{Depth, Planned, plan};
use flight_group_peers::contestants::{Fast, Flights, Floor, HAND, OURS, SINGLE, Single, Slow, Visitor, each};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const KEYS: usize = 1024;

/// How many calls are timed at once. A slice is short enough that most are not interrupted, and the median slice
/// is what counts.
const SLICES: usize = 60;

const METHOD: &str = "One thread calls with 1,024 keys in turn; the closure returns at once. A sample is the median of 60 passes. \
    The floor is one hash and two uncontended lock and unlock pairs. `.ci/instructions` counts the same exactly.";

struct Lone<T> {
    keys: Arc<Vec<T>>,
    contestants: Vec<Contestant>,
}

impl<T, Q> Visitor<Q> for Lone<T>
where
    T: AsKey<Q> + Send + Sync + 'static,
    Q: ?Sized + 'static,
{
    fn visit<C: Flights<Q> + 'static>(&mut self, name: &str, make: impl Fn() -> C + Send + Sync + 'static) {
        let keys = self.keys.clone();
        let run = Box::new(move || vec![sample(&make(), &keys)]);
        self.contestants.push(Contestant { name: name.to_owned(), run });
    }
}

/// A key as it is kept, and as it is looked up.
trait AsKey<Q: ?Sized> {
    fn as_key(&self) -> &Q;
}

impl AsKey<u64> for u64 {
    fn as_key(&self) -> &u64 {
        self
    }
}

impl AsKey<str> for String {
    fn as_key(&self) -> &str {
        self
    }
}

impl AsKey<[u8; 32]> for [u8; 32] {
    fn as_key(&self) -> &[u8; 32] {
        self
    }
}

/// Nanoseconds a call.
fn sample<Q: ?Sized, T: AsKey<Q>, C: Flights<Q>>(contestant: &C, keys: &[T]) -> f64 {
    let pass = || {
        for (n, key) in keys.iter().enumerate() {
            black_box(contestant.work(black_box(key.as_key()), || black_box(n as u64)));
        }
    };
    pass();
    pass();
    let mut slices: Vec<f64> = (0..SLICES)
        .map(|_| {
            let began = Instant::now();
            pass();
            began.elapsed().as_nanos() as f64 / keys.len() as f64
        })
        .collect();
    slices.sort_by(f64::total_cmp);
    slices[SLICES / 2]
}

fn workload(title: &str, contestants: Vec<Contestant>, rounds: usize, reference: &str, marks: Vec<Mark>) -> Workload {
    Workload {
        title: title.to_owned(),
        method: METHOD.to_owned(),
        metrics: vec![Metric { name: "a call", unit: "ns" }],
        contestants,
        rounds,
        marks,
        reference: reference.to_owned(),
    }
}

const FLOOR: &str = "floor";
const FAST: &str = "foldhash";
const SLOW: &str = "default hasher";

fn named(name: &str, hash: &str) -> String {
    format!("{name}, {hash}")
}

pub fn plans(depth: Depth) -> Vec<Planned> {
    let rounds = depth.pick(11, 61);
    vec![
        plan("lone-u64", 0.01, rounds * 17, move || {
            let keys = Arc::new((0..KEYS as u64).collect::<Vec<_>>());
            let mut lone = Lone { keys, contestants: Vec::new() };
            lone.visit(&named(FLOOR, FAST), Floor::<u64, Fast>::default);
            lone.visit(&named(FLOOR, SLOW), Floor::<u64, Slow>::default);
            each::<u64, u64, Fast>(FAST, &mut lone);
            each::<u64, u64, Slow>(SLOW, &mut lone);
            Visitor::<u64>::visit(&mut lone, SINGLE, Single::default);
            let (ours, floor, hand) = (named(OURS, FAST), named(FLOOR, FAST), named(HAND, FAST));
            let (ours_slow, floor_slow, hand_slow) = (named(OURS, SLOW), named(FLOOR, SLOW), named(HAND, SLOW));
            let marks = vec![
                Mark::at_most("a call, foldhash", of(&ours, 0), of(&floor, 0), 1.35).on_page(),
                Mark::at_most("a call, default hasher", of(&ours_slow, 0), of(&floor_slow, 0), 1.6).on_page(),
                Mark::at_most("a call, foldhash", of(&ours, 0), of(&hand, 0), 0.45).on_page(),
                Mark::at_most("a call, default hasher", of(&ours_slow, 0), of(&hand_slow, 0), 0.45).on_page(),
            ];
            workload("Lone leader, u64 key", lone.contestants, rounds, &ours, marks)
        }),
        plan("lone-str", 0.01, rounds * 8, move || {
            let keys = Arc::new((0..KEYS).map(|n| format!("user:{n:06}:profile")).collect::<Vec<_>>());
            let mut lone = Lone { keys, contestants: Vec::new() };
            each::<String, str, Fast>("", &mut lone);
            Visitor::<str>::visit(&mut lone, SINGLE, Single::default);
            let mark = Mark::at_most("a call", of(OURS, 0), of(HAND, 0), 0.5).on_page();
            let marks = vec![mark.if_missed("the allocation of the owned key is most of it")];
            workload("Lone leader, String key by &str (foldhash)", lone.contestants, rounds, OURS, marks)
        }),
        plan("lone-32-bytes", 0.01, rounds * 8, move || {
            let key = |n: usize| <[u8; 32]>::try_from(format!("{n:032}").as_bytes()).expect("32 digits");
            let keys = Arc::new((0..KEYS).map(key).collect::<Vec<_>>());
            let mut lone = Lone { keys, contestants: Vec::new() };
            each::<[u8; 32], [u8; 32], Fast>("", &mut lone);
            Visitor::<[u8; 32]>::visit(&mut lone, SINGLE, Single::default);
            let marks = vec![Mark::at_most("a call", of(OURS, 0), of(HAND, 0), 0.5).on_page()];
            workload("Lone leader, 32-byte key (foldhash)", lone.contestants, rounds, OURS, marks)
        }),
    ]
}
