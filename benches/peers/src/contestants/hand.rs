//! What people write: a map of calls in flight, each a mutex and a condvar. No deadlines, no panics, no errors.

use super::{Flights, Key, Look};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

type CallParkingLot = Arc<(parking_lot::Mutex<Option<u64>>, parking_lot::Condvar)>;
type CallStd = Arc<(std::sync::Mutex<Option<u64>>, std::sync::Condvar)>;

fn wait(call: &CallParkingLot) -> u64 {
    let mut value = call.0.lock();
    loop {
        if let Some(value) = *value {
            return value;
        }
        call.1.wait(&mut value);
    }
}

pub struct HandParkingLot<K, S>(parking_lot::Mutex<HashMap<K, CallParkingLot, S>>);

impl<K: Key, S: BuildHasher + Default> Default for HandParkingLot<K, S> {
    fn default() -> Self {
        Self(parking_lot::Mutex::new(HashMap::default()))
    }
}

impl<K: Key + Borrow<Q>, Q: Look<K> + ?Sized, S: BuildHasher + Send + Sync> Flights<Q> for HandParkingLot<K, S> {
    #[inline]
    fn work(&self, key: &Q, work: impl FnOnce() -> u64) -> u64 {
        let call = {
            let mut map = self.0.lock();
            if let Some(call) = map.get(key) {
                let call = call.clone();
                drop(map);
                return wait(&call);
            }
            let call = CallParkingLot::default();
            map.insert(key.to_owned(), call.clone());
            call
        };
        let value = work();
        self.0.lock().remove(key);
        *call.0.lock() = Some(value);
        call.1.notify_all();
        value
    }
}

pub struct HandStd<K, S>(std::sync::Mutex<HashMap<K, CallStd, S>>);

impl<K: Key, S: BuildHasher + Default> Default for HandStd<K, S> {
    fn default() -> Self {
        Self(std::sync::Mutex::new(HashMap::default()))
    }
}

impl<K: Key + Borrow<Q>, Q: Look<K> + ?Sized, S: BuildHasher + Send + Sync> Flights<Q> for HandStd<K, S> {
    #[inline]
    fn work(&self, key: &Q, work: impl FnOnce() -> u64) -> u64 {
        let call = {
            let mut map = self.0.lock().unwrap();
            if let Some(call) = map.get(key) {
                let call = call.clone();
                drop(map);
                let value = call.1.wait_while(call.0.lock().unwrap(), |value| value.is_none()).unwrap();
                return value.expect("waited until it was there");
            }
            let call = CallStd::default();
            map.insert(key.to_owned(), call.clone());
            call
        };
        let value = work();
        self.0.lock().unwrap().remove(key);
        *call.0.lock().unwrap() = Some(value);
        call.1.notify_all();
        value
    }
}

pub struct HandDash<K: Key, S: BuildHasher + Clone + Default>(dashmap::DashMap<K, CallParkingLot, S>);

impl<K: Key, S: BuildHasher + Clone + Default> Default for HandDash<K, S> {
    fn default() -> Self {
        Self(dashmap::DashMap::default())
    }
}

impl<K: Key + Borrow<Q>, Q: Look<K> + ?Sized, S: BuildHasher + Clone + Default + Send + Sync> Flights<Q>
    for HandDash<K, S>
{
    #[inline]
    fn work(&self, key: &Q, work: impl FnOnce() -> u64) -> u64 {
        let call = match self.0.entry(key.to_owned()) {
            dashmap::Entry::Occupied(entry) => {
                let call = entry.get().clone();
                drop(entry);
                return wait(&call);
            }
            dashmap::Entry::Vacant(entry) => {
                let call = CallParkingLot::default();
                entry.insert(call.clone());
                call
            }
        };
        let value = work();
        self.0.remove(key);
        *call.0.lock() = Some(value);
        call.1.notify_all();
        value
    }
}
