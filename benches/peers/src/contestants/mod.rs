//! Everything a user could pick instead, behind one face.
//!
//! None of the caches is a single flight: each keeps what it computed. To make them one, the caller that led takes
//! the key out again (`moka`, `quick_cache`), as a user would have to; `once_map` cannot remove through a shared
//! reference, so each flight gets a key of its own there. Until the key is out, a cache serves a value whose
//! flight has landed, which a single flight must not: it costs them nothing here and is not held against them.

mod caches;
mod floors;
mod hand;
mod ours;

pub use caches::{Moka, Once, Quick, Single};
pub use floors::{BroadcastParkingLot, BroadcastStd, Floor};
pub use hand::{HandDash, HandParkingLot, HandStd};
pub use ours::Ours;

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

/// The hasher of the "fast" rows.
pub type Fast = foldhash::fast::RandomState;
/// The hasher of the "default" rows.
pub type Slow = std::hash::RandomState;

/// A keyed single flight, or what is used as one.
pub trait Flights<Q: ?Sized>: Send + Sync {
    fn work(&self, key: &Q, work: impl FnOnce() -> u64) -> u64;

    /// How many followers are registered, where the contestant can tell.
    fn followers(&self, _key: &Q) -> Option<usize> {
        None
    }
}

/// A key type every contestant can be asked for.
pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {}
impl<K: Hash + Eq + Clone + Send + Sync + 'static> Key for K {}

/// How a key is looked up.
pub trait Look<K>: Hash + Eq + ToOwned<Owned = K> + Send + Sync {
    /// Spreads keys over `once_map`'s generations.
    fn place(&self) -> usize;
    /// `singleflight` knows strings only: the key as one, made beforehand where it is none.
    fn text(&self) -> &str;
}

impl Look<u64> for u64 {
    fn place(&self) -> usize {
        *self as usize
    }

    fn text(&self) -> &str {
        static TEXTS: std::sync::LazyLock<Vec<String>> =
            std::sync::LazyLock::new(|| (0..1 << 16).map(|n| n.to_string()).collect());
        &TEXTS[*self as usize]
    }
}

impl Look<String> for str {
    fn place(&self) -> usize {
        self.as_bytes().last().copied().unwrap_or(0) as usize
    }

    fn text(&self) -> &str {
        self
    }
}

impl Look<[u8; 32]> for [u8; 32] {
    fn place(&self) -> usize {
        self[0] as usize
    }

    fn text(&self) -> &str {
        std::str::from_utf8(self).expect("the bench's 32-byte keys are digits")
    }
}

/// Something to be done with each contestant.
pub trait Visitor<Q: ?Sized> {
    fn visit<C: Flights<Q> + 'static>(&mut self, name: &str, make: impl Fn() -> C + Send + Sync + 'static);
}

/// Shows every single flight with hasher `S` to `visitor`; `hash` is what the names call it.
pub fn each<K, Q, S>(hash: &str, visitor: &mut impl Visitor<Q>)
where
    K: Key + Borrow<Q>,
    Q: Look<K> + ?Sized + 'static,
    S: BuildHasher + Default + Clone + Send + Sync + 'static,
    Ours<K, S>: Flights<Q>,
{
    let name = |name: &str| if hash.is_empty() { name.to_owned() } else { format!("{name}, {hash}") };
    visitor.visit(&name(OURS), Ours::<K, S>::default);
    visitor.visit(&name(HAND), HandParkingLot::<K, S>::default);
    visitor.visit(&name(HAND_STD), HandStd::<K, S>::default);
    visitor.visit(&name(HAND_DASH), HandDash::<K, S>::default);
    visitor.visit(&name(ONCE), Once::<K, S>::default);
    visitor.visit(&name(QUICK), Quick::<K, S>::default);
    visitor.visit(&name(MOKA), Moka::<K, S>::default);
}

pub const OURS: &str = "flight-group";
pub const HAND: &str = "by hand, parking_lot";
pub const HAND_STD: &str = "by hand, std";
pub const HAND_DASH: &str = "by hand, dashmap";
pub const ONCE: &str = "once_map";
pub const QUICK: &str = "quick_cache";
pub const MOKA: &str = "moka";
pub const SINGLE: &str = "singleflight 0.3";
