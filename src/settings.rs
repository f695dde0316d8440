//! The settings that both kinds of group have.

macro_rules! settings {
    ($builder:ident, $group:literal) => {
        impl<K, V, E, S> $builder<K, V, E, S> {
            /// A name for reports. Errors show it, a [`Deadlock`](crate::Deadlock) shows the name of each hop's group,
            /// an [`Event`](crate::Event) carries it, and the threads of spawned calls are named `flight` and the name.
            /// None by default.
            pub fn name(mut self, name: impl Into<String>) -> Self {
                self.config.name = Some(Arc::from(name.into()));
                self
            }

            /// Shows keys in a [`Deadlock`](crate::Deadlock) and in spans. Off by default, for three reasons: it needs
            /// `K: Debug`; a key may be a secret; every follower formats its key.
            pub fn debug_keys(mut self) -> Self
            where
                K: fmt::Debug,
            {
                self.config.debug_key = Some(|key| format!("{key:?}"));
                self
            }

            /// How many shards the table has, rounded up to a power of two, at most 65,536; each is 64 bytes.
            /// By default 32 for each core of the machine, between 256 and 1,024.
            ///
            /// Fewer shards save memory in a program with very many groups. They slow down threads that use different
            /// keys at the same time.
            ///
            /// # Panics
            ///
            /// If `shards` is zero, or larger than 65,536.
            #[track_caller]
            pub fn shards(mut self, shards: usize) -> Self {
                assert!((1..=65_536).contains(&shards), "shards is {shards}, expected 1 to 65536");
                self.shards = Some(shards);
                self
            }

            /// How keys are hashed; std's `RandomState` by default.
            ///
            /// A faster one (foldhash, ahash) makes a lone call on a short key clearly faster: see
            /// [`docs::performance`](crate::docs::performance). With a hasher that has no random seed, a client that
            /// chooses the keys can make them collide. Only keys in use are in the table, so that costs at most as many
            /// comparisons as there are calls at once.
            pub fn hasher<S2>(self, hasher: S2) -> $builder<K, V, E, S2> {
                $builder { hasher, shards: self.shards, config: self.config, types: self.types }
            }

            /// How many callers may wait for one key. A call beyond that returns
            /// [`Error::Overloaded`](crate::Error::Overloaded) at once. Unlimited by default.
            ///
            /// Zero means that nobody waits: a call leads or is refused. Calls that return a bare value are never
            /// refused.
            pub fn max_followers(mut self, max_followers: usize) -> Self {
                self.config.max_followers = max_followers;
                self
            }

            /// Reads the clock at the start of every flight. Then `flights()` shows the age of every flight, also of one
            /// that nobody waits for. It costs some 25 ns a flight. Off by default.
            pub fn timed(mut self) -> Self {
                self.config.timed = true;
                self
            }

            /// Where spawned calls run. By default the group has threads of its own, named `flight` and the group's
            /// name. A spawned call gets an idle one of them, or a new one. A thread leaves after five idle seconds, or
            /// when the group is gone.
            ///
            /// `executor` is called with the [`Job`](crate::Job) of each spawned call that leads. It is called by the
            /// thread that puts the flight into the air: the one that calls `spawn`, or one whose own flight has just
            /// landed. It should give the job to a pool and return. It may run the job itself: a chain of such jobs
            /// does not deepen the stack. If it drops the job, or panics, the flight is abandoned: see
            /// [`Job`](crate::Job).
            pub fn executor(mut self, executor: impl Fn(crate::Job) + Send + Sync + 'static) -> Self {
                self.config.executor = Some(Arc::new(executor));
                self
            }

            /// Calls `observer` for everything that happens to a flight, for logs, traces and metrics. None by default,
            /// which costs nothing.
            ///
            /// It is called by the thread of the event, outside every lock, after all callers that have to be woken were
            /// woken. It adds two readings of the clock and a clone of the key to each call. If it panics, the panic
            /// unwinds in that one call, and the flight lands all the same.
            ///
            /// ```
            /// use std::sync::atomic::{AtomicU64, Ordering};
            /// use std::sync::Arc;
            #[doc = concat!("use flight_group::{EventKind, ", $group, "};")]
            ///
            /// let landed = Arc::new(AtomicU64::new(0));
            /// let counter = landed.clone();
            #[doc = concat!("let group: ", $group, "<&str, u32> = ", $group, "::builder()")]
            ///     .name("prices")
            ///     .observer(move |event| {
            ///         if let EventKind::Landed { .. } = event.kind {
            ///             counter.fetch_add(1, Ordering::Relaxed);
            ///         }
            ///     })
            ///     .build();
            ///
            /// group.call(&"gold").run(|| Ok(4_100)).unwrap();
            /// assert_eq!(landed.load(Ordering::Relaxed), 1);
            /// ```
            pub fn observer(mut self, observer: impl Fn(&crate::Event<'_, K>) + Send + Sync + 'static) -> Self {
                self.config.observer = Some(Arc::new(observer));
                self
            }
        }

        #[cfg(feature = "tracing")]
        impl<K, V, E, S> $builder<K, V, E, S> {
            /// Reports every flight and every wait as a span of the `tracing` crate: feature `tracing`. Off by default,
            /// which costs nothing.
            ///
            /// A flight's span is entered while its closure runs, so that what the closure logs is inside it. A
            /// follower's wait has a span of its own, entered while it is blocked, which *follows from* the
            /// flight's. Keys are shown in groups built with [`debug_keys`](Self::debug_keys) only. Spans, fields,
            /// events and levels: [`docs::observing`](crate::docs::observing#spans).
            ///
            /// The subscriber is called like an [`observer`](Self::observer): outside every lock. If it panics, the
            /// panic unwinds in that one call.
            pub fn traced(mut self) -> Self {
                self.config.wanted.traced = true;
                self
            }
        }

        #[cfg(feature = "metrics")]
        impl<K, V, E, S> $builder<K, V, E, S> {
            /// Counts and times every flight and every wait with the `metrics` facade: feature `metrics`. Off by
            /// default, which costs nothing.
            ///
            /// Install the recorder before you build the group: the group takes its meters from the recorder *when it is
            /// built*, and what it counts without a recorder is lost. Each meter has the group's [`name`](Self::name) as
            /// label `group` (`unnamed` if it has none). Groups of the same name are added up.
            /// Names and units: [`docs::observing`](crate::docs::observing#meters).
            pub fn metered(mut self) -> Self {
                self.config.wanted.metered = true;
                self
            }
        }

        impl<K, V, E, S> fmt::Debug for $builder<K, V, E, S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($builder)).field("name", &self.config.name).finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use settings;
