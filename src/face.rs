//! The half of a group's face that is the same for reads and writes.

macro_rules! face {
    ($group:ident, $counted:literal, $flights:literal) => {
        impl<K: Hash + Eq, V, E, S: BuildHasher> $group<K, V, E, S> {
            /// How many callers and receivers wait for the key now. A caller counts from the moment it is registered, so
            /// that a test can wait for it.
            #[doc = $counted]
            pub fn followers<Q>(&self, key: &Q) -> usize
            where
                K: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                self.engine.followers(key)
            }
        }

        impl<K, V, E, S> $group<K, V, E, S> {
            /// How many keys have a flight in the air. Detached flights do not count. A key counts until its last flight has
            /// landed, also in the moment between two flights.
            pub fn in_flight(&self) -> usize {
                self.engine.in_flight()
            }

            #[doc = concat!("The ", $flights, ": which key, how old, and how many wait for it.")]
            ///
            /// For diagnosis. It locks one shard after the other, and clones the keys under the lock. A clone that panics
            /// changes nothing.
            ///
            /// ```
            #[doc = concat!("use flight_group::", stringify!($group), ";")]
            ///
            #[doc = concat!("let group: ", stringify!($group), "<&str, u32> = ", stringify!($group), "::builder().timed().build();")]
            /// group
            ///     .call(&"slow")
            ///     .run(|| {
            ///         let stuck = group.flights();
            ///         assert_eq!((stuck[0].key, stuck[0].followers), ("slow", 0));
            ///         assert!(stuck[0].age.is_some());
            ///         Ok(1)
            ///     })
            ///     .unwrap();
            /// assert!(group.flights().is_empty());
            /// ```
            pub fn flights(&self) -> Vec<crate::FlightInfo<K>>
            where
                K: Clone,
            {
                self.engine.flights()
            }

            /// What the group has done since it was made.
            pub fn stats(&self) -> crate::Stats {
                self.engine.stats()
            }
        }

        impl<K, V, E, S> Clone for $group<K, V, E, S> {
            fn clone(&self) -> Self {
                Self { engine: self.engine.clone() }
            }
        }

        impl<K: Hash + Eq, V, E, S: BuildHasher + Default> Default for $group<K, V, E, S> {
            fn default() -> Self {
                Self::with_hasher(S::default())
            }
        }

        impl<K, V, E, S> fmt::Debug for $group<K, V, E, S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($group))
                    .field("name", &self.engine.name())
                    .field("in_flight", &self.in_flight())
                    .finish_non_exhaustive()
            }
        }

        // A panic anywhere in a call leaves the group in order (P5), so it may be used afterwards. The compiler cannot
        // know that: parking_lot's mutexes have no poison, and so are not `UnwindSafe`.
        impl<K, V, E, S> std::panic::UnwindSafe for $group<K, V, E, S> {}
        impl<K, V, E, S> std::panic::RefUnwindSafe for $group<K, V, E, S> {}
    };
}
pub(crate) use face;
