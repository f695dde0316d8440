//! Wall time of single calls of the crate alone, for a look while working on the engine:
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench calls`. What users would pick instead is beside it
//! in this package; what may not get worse is counted by `.ci/instructions`.

use divan::{Bencher, black_box};
use flight_group::{Group, WriteGroup};
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

type Fast = foldhash::fast::RandomState;

fn main() {
    divan::main();
}

fn group<S: BuildHasher + Default>() -> Group<u64, u64, Infallible, S> {
    Group::with_hasher(S::default())
}

/// A leader nobody follows; with more threads, each on keys of its own.
#[divan::bench(threads = [1, 2, 8], sample_size = 2000)]
fn lone_u64_foldhash(bencher: Bencher<'_, '_>) {
    lone_u64::<Fast>(bencher);
}

#[divan::bench(threads = [1, 2, 8], sample_size = 2000)]
fn lone_u64_default_hasher(bencher: Bencher<'_, '_>) {
    lone_u64::<RandomState>(bencher);
}

fn lone_u64<S: BuildHasher + Default + Send + Sync>(bencher: Bencher<'_, '_>) {
    let group = group::<S>();
    let first = AtomicU64::new(0);
    bencher.with_inputs(|| first.fetch_add(1, Relaxed)).bench_values(|key| group.work(&black_box(key), || key));
}

#[divan::bench(sample_size = 2000)]
fn lone_str(bencher: Bencher<'_, '_>) {
    let group: Group<String, u64, Infallible, Fast> = Group::with_hasher(Fast::default());
    bencher.bench(|| group.work(black_box("user:000017:profile"), || 17));
}

#[divan::bench(sample_size = 2000)]
fn lone_32_bytes(bencher: Bencher<'_, '_>) {
    let group: Group<[u8; 32], u64, Infallible, Fast> = Group::with_hasher(Fast::default());
    bencher.bench(|| group.work(black_box(&[17; 32]), || 17));
}

#[divan::bench(sample_size = 2000)]
fn lone_write(bencher: Bencher<'_, '_>) {
    let writes: WriteGroup<u64, u64, Infallible, Fast> = WriteGroup::with_hasher(Fast::default());
    bencher.bench(|| writes.write(black_box(&17), || 17));
}

/// A flight whose only follower is asleep when it lands: from the landing until both have returned.
#[divan::bench(sample_count = 50)]
fn one_follower(bencher: Bencher<'_, '_>) {
    let group = group::<Fast>();
    std::thread::scope(|s| {
        let (calls, taken) = crossbeam_channel::bounded::<()>(0);
        let (answers, answered) = crossbeam_channel::bounded::<u64>(1);
        let follower = &group;
        s.spawn(move || taken.into_iter().for_each(|()| answers.send(follower.work(&7, || 0)).expect("awaited")));
        bencher.bench_local(|| {
            let led = group.work(&7, || {
                calls.send(()).expect("the follower lives");
                while group.followers(&7) == 0 {
                    std::thread::sleep(Duration::from_micros(20));
                }
                1
            });
            (led, answered.recv().expect("the follower answers"))
        });
        drop(calls);
    });
}
