//! The settings that both groups of a fleet have for their part in this process.

macro_rules! local_settings {
    ($builder:ident, $group:literal, $make:literal) => {
        impl<K, V, E> $builder<K, V, E> {
            /// How many threads of this process may wait for one key; a call beyond that returns
            /// [`Error::Overloaded`](crate::Error::Overloaded) at once. Unlimited by default. As
            /// [`GroupBuilder::max_followers`](crate::GroupBuilder::max_followers).
            pub fn max_followers(mut self, max_followers: usize) -> Self {
                self.local.max_followers = max_followers;
                self
            }

            #[doc = concat!("Reads the clock at the start of every flight, so that [`flights`](", $group, "::flights)")]
            /// tells every age. As [`GroupBuilder::timed`](crate::GroupBuilder::timed).
            pub fn timed(mut self) -> Self {
                self.local.timed = true;
                self
            }

            /// Shows keys in a [`Deadlock`](crate::Deadlock) and in spans. As
            /// [`GroupBuilder::debug_keys`](crate::GroupBuilder::debug_keys).
            pub fn debug_keys(mut self) -> Self
            where
                K: fmt::Debug,
            {
                self.local.debug_key = Some(|key| format!("{key:?}"));
                self
            }

            /// Calls `observer` for everything that happens to the flights of this process, as
            /// [`GroupBuilder::observer`](crate::GroupBuilder::observer). None by default, which costs nothing.
            ///
            /// A flight here is one of the local group, which asks the fleet once for all threads of this process. Its
            /// time includes the waiting for other processes and for the server.
            /// [`EventKind::InFleet`](crate::EventKind::InFleet) tells what this process was in the fleet. See
            /// [`docs::observing`](crate::docs::observing#groups-of-a-fleet).
            ///
            /// ```no_run
            /// use flight_group::EventKind;
            #[doc = concat!("use flight_group::fleet::{Fleet, ", $group, ", Json};")]
            ///
            /// # let _ = Json::new();
            /// let fleet = Fleet::connect("redis://127.0.0.1/")?;
            #[doc = concat!("let group: ", $group, "<u64, String, String> = fleet")]
            #[doc = concat!("    .", $make)]
            ///     .observer(|event| {
            ///         if let EventKind::InFleet { role, .. } = event.kind {
            ///             println!("user {}: this process is {role}", event.key);
            ///         }
            ///     })
            ///     .build()?;
            /// # Ok::<(), flight_group::fleet::FleetError>(())
            /// ```
            pub fn observer(mut self, observer: impl Fn(&crate::Event<'_, K>) + Send + Sync + 'static) -> Self {
                self.local.observer = Some(Arc::new(observer));
                self
            }
        }

        #[cfg(feature = "tracing")]
        impl<K, V, E> $builder<K, V, E> {
            /// Reports every flight and every wait of this process as a span of the `tracing` crate: feature `tracing`.
            /// As [`GroupBuilder::traced`](crate::GroupBuilder::traced). Off by default, which costs nothing.
            ///
            /// The field `role` of a flight's span says what this process was in the fleet. See
            /// [`docs::observing`](crate::docs::observing#groups-of-a-fleet).
            pub fn traced(mut self) -> Self {
                self.local.wanted.traced = true;
                self
            }
        }

        #[cfg(feature = "metrics")]
        impl<K, V, E> $builder<K, V, E> {
            /// Counts and times every flight and every wait of this process with the `metrics` facade: feature
            /// `metrics`. As [`GroupBuilder::metered`](crate::GroupBuilder::metered). Off by default, which costs nothing.
            ///
            /// `flight_group_fleet_total` counts what this process was in the fleet. See
            /// [`docs::observing`](crate::docs::observing#groups-of-a-fleet).
            pub fn metered(mut self) -> Self {
                self.local.wanted.metered = true;
                self
            }
        }
    };
}
pub(crate) use local_settings;
