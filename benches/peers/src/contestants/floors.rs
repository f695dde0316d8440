//! What no single flight can go below.

use super::{Flights, Key, Look};
use std::hash::BuildHasher;
use std::hint::black_box;
use std::marker::PhantomData;

#[repr(align(64))]
struct Line(parking_lot::Mutex<u64>);

/// One hash and two uncontended lock and unlock pairs, one before the work and one after it.
pub struct Floor<K, S> {
    hasher: S,
    lines: Vec<Line>,
    key: PhantomData<fn(K)>,
}

impl<K, S: BuildHasher + Default> Default for Floor<K, S> {
    fn default() -> Self {
        let lines = (0..64).map(|_| Line(parking_lot::Mutex::new(0))).collect();
        Self { hasher: S::default(), lines, key: PhantomData }
    }
}

impl<K: Key, Q: Look<K> + ?Sized, S: BuildHasher + Send + Sync> Flights<Q> for Floor<K, S> {
    #[inline]
    fn work(&self, key: &Q, work: impl FnOnce() -> u64) -> u64 {
        let line = &self.lines[(self.hasher.hash_one(key) >> 58) as usize].0;
        *line.lock() += 1;
        let value = work();
        *black_box(line).lock() -= 1;
        value
    }
}

/// A flag, a mutex and std's condvar, and nothing else: whoever comes first leads, once.
#[derive(Default)]
pub struct BroadcastStd {
    landed: std::sync::Mutex<(bool, Option<u64>)>,
    bell: std::sync::Condvar,
}

impl Flights<u64> for BroadcastStd {
    fn work(&self, _: &u64, work: impl FnOnce() -> u64) -> u64 {
        let mut landed = self.landed.lock().unwrap();
        if landed.0 {
            let landed = self.bell.wait_while(landed, |landed| landed.1.is_none()).unwrap();
            return landed.1.expect("waited until it was there");
        }
        landed.0 = true;
        drop(landed);
        let value = work();
        self.landed.lock().unwrap().1 = Some(value);
        self.bell.notify_all();
        value
    }
}

/// The same with parking_lot's.
#[derive(Default)]
pub struct BroadcastParkingLot {
    landed: parking_lot::Mutex<(bool, Option<u64>)>,
    bell: parking_lot::Condvar,
}

impl Flights<u64> for BroadcastParkingLot {
    fn work(&self, _: &u64, work: impl FnOnce() -> u64) -> u64 {
        let mut landed = self.landed.lock();
        if landed.0 {
            self.bell.wait_while(&mut landed, |landed| landed.1.is_none());
            return landed.1.expect("waited until it was there");
        }
        landed.0 = true;
        drop(landed);
        let value = work();
        self.landed.lock().1 = Some(value);
        self.bell.notify_all();
        value
    }
}
