//! The face: auto traits and `Debug` of every public type, builders, keys, statics, errors, landings. Whoever
//! changes one of these changes what users' programs compile with.

use crate::support::{Held, finish, line_up, within};
use flight_group::{
    BatchCall, Call, Cancelled, Deadlock, Ending, Error, Event, EventCall, EventKind, FlightInfo, Group, GroupBuilder,
    Hop, Job, Kind, Landing, ManyCall, Panic, Role, Site, Stats, WriteCall, WriteGroup, WriteGroupBuilder,
};
use once_cell::sync::Lazy;
use std::borrow::Borrow;
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt::Debug;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, RandomState};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

fn all_auto_traits<T: Send + Sync + UnwindSafe + RefUnwindSafe + Unpin>() {}
fn send_and_sync<T: Send + Sync>() {}
fn debug<T: Debug>() {}

/// A type that is `Sync` in no way and `Send` in no way.
type Local = Rc<Cell<u8>>;

/// `true` where `T: Trait` holds, without a compile error where it does not: an inherent associated constant is
/// found before a trait's.
macro_rules! holds {
    ($type:ty: $($bound:tt)+) => {{
        struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code)]
        trait Fallback {
            const HOLDS: bool = false;
        }
        impl<T: ?Sized> Fallback for Probe<T> {}
        #[allow(dead_code)]
        impl<T: ?Sized + $($bound)+> Probe<T> {
            const HOLDS: bool = true;
        }
        <Probe<$type>>::HOLDS
    }};
}

#[test]
fn p12_auto_traits_of_every_public_type() {
    within(|| {
        all_auto_traits::<Group<String, Arc<str>, Arc<str>>>();
        all_auto_traits::<WriteGroup<String, Arc<str>, Arc<str>>>();
        all_auto_traits::<Landing<u8>>();
        all_auto_traits::<Role>();
        all_auto_traits::<Error<u8>>();
        all_auto_traits::<Panic>();
        all_auto_traits::<Deadlock>();
        all_auto_traits::<Hop>();
        all_auto_traits::<Cancelled>();
        all_auto_traits::<Site>();
        all_auto_traits::<Kind>();
        all_auto_traits::<Stats>();
        all_auto_traits::<FlightInfo<String>>();
        all_auto_traits::<Event<'_, String>>();
        all_auto_traits::<EventKind>();
        all_auto_traits::<Ending>();
        send_and_sync::<GroupBuilder<String, u8, u8>>();
        send_and_sync::<WriteGroupBuilder<String, u8, u8>>();
        all_auto_traits::<Call<'_, String, u8, u8, RandomState, str>>();
        all_auto_traits::<ManyCall<'_, String, u8, u8, RandomState>>();
        all_auto_traits::<WriteCall<'_, String, u8, u8, RandomState, str>>();
        assert!(holds!(Job: Send), "a job goes to a pool's worker");

        // A group panics nothing into disorder, whatever its types are.
        assert!(
            holds!(Group<u8, Cell<u8>, Cell<u8>>: UnwindSafe) && holds!(Group<u8, Cell<u8>, Cell<u8>>: RefUnwindSafe)
        );
        assert!(holds!(WriteGroup<u8, Cell<u8>>: UnwindSafe) && holds!(WriteGroup<u8, Cell<u8>>: RefUnwindSafe));
    });
}

/// What may be shared: `K: Send`, and `V, E: Send + Sync`, since followers clone them side by side.
#[test]
fn p12_a_group_is_shared_only_if_its_types_may_be() {
    within(|| {
        assert!(holds!(Group<Cell<u8>, u8>: Sync), "a key is only ever looked at under a lock");
        assert!(!holds!(Group<Local, u8>: Send) && !holds!(Group<Local, u8>: Sync));
        assert!(!holds!(Group<u8, Local>: Send) && !holds!(Group<u8, Local>: Sync));
        assert!(!holds!(Group<u8, Cell<u8>>: Sync), "a value is cloned by several threads at once");
        assert!(!holds!(Group<u8, u8, Local>: Send) && !holds!(Group<u8, u8, Cell<u8>>: Sync));
        assert!(!holds!(WriteGroup<Local, u8>: Send) && !holds!(WriteGroup<u8, Local>: Sync));
        assert!(!holds!(Landing<Local>: Send) && !holds!(Error<Local>: Send));
        assert!(holds!(Landing<Cell<u8>>: Send) && !holds!(Landing<Cell<u8>>: Sync));
    });
}

/// `Clone` where it is needed, and only there.
#[test]
fn p12_what_can_be_cloned_and_compared() {
    within(|| {
        assert!(holds!(Group<Local, Local, Local>: Clone), "a handle is cloned without its types' help");
        assert!(holds!(WriteGroup<Local, Local, Local>: Clone));
        assert!(holds!(Error<u8>: Clone) && holds!(Landing<u8>: Clone) && holds!(Stats: Copy) && holds!(Role: Copy));
        assert!(holds!(Error<u8>: Eq) && holds!(Landing<u8>: Eq) && holds!(Role: Hash) && holds!(Ending: Hash));
        assert!(holds!(Site: Eq) && holds!(Kind: Hash) && holds!(Kind: Copy) && holds!(Cancelled: Eq));
        assert!(holds!(Deadlock: Eq) && holds!(Panic: Eq) && holds!(FlightInfo<u8>: Eq) && holds!(EventKind: Eq));
        assert!(holds!(Call<'static, Local, Local, Local, RandomState, Local>: Copy), "options can be used again");
        assert!(holds!(ManyCall<'static, Local, Local, Local, RandomState>: Copy));
        assert!(holds!(WriteCall<'static, Local, Local, Local, RandomState, Local>: Copy));
        assert!(holds!(EventCall<'static, Local, Local, Local, Local, Local>: Copy));
        assert!(holds!(BatchCall<'static, Local, Local, Local, Local>: Copy));
        assert!(!holds!(Job: Clone));
        assert!(holds!(Group<u8, u8>: Default) && holds!(WriteGroup<u8>: Default) && holds!(Stats: Default));
    });
}

#[test]
fn p12_every_public_type_has_a_debug() {
    within(|| {
        debug::<Group<Local, Local, Local, BuildHasherDefault<DefaultHasher>>>();
        debug::<WriteGroup<Local, Local, Local>>();
        debug::<GroupBuilder<Local, Local, Local>>();
        debug::<WriteGroupBuilder<Local, Local, Local>>();
        debug::<Job>();
        debug::<Hop>();
        let group: Group<String, u8> = Group::builder().name("users").build();
        let writes: WriteGroup<String> = WriteGroup::builder().name("saves").build();
        assert_eq!(format!("{group:?}"), "Group { name: Some(\"users\"), in_flight: 0, .. }");
        assert_eq!(format!("{writes:?}"), "WriteGroup { name: Some(\"saves\"), in_flight: 0, .. }");
        assert_eq!(format!("{:?}", Group::<u8, u8>::new()), "Group { name: None, in_flight: 0, .. }");
        let shown = format!("{:?}", group.call("ann").fresh().timeout(Duration::from_secs(5)));
        assert!(shown.starts_with("Call { key: \"ann\", fresh: true, options: ") && shown.contains("5s"), "{shown}");
        let shown = format!("{:?}", group.call_many(&["ann".to_owned()]).timeout(Duration::from_secs(5)));
        assert!(shown.starts_with("ManyCall { keys: [\"ann\"], options: ") && shown.contains("5s"), "{shown}");
        let shown = format!("{:?}", writes.call("ann").timeout(Duration::from_secs(5)));
        assert!(shown.starts_with("WriteCall { key: \"ann\", options: ") && shown.contains("5s"), "{shown}");
        let builder: GroupBuilder<String, u8, u8> = Group::builder().name("users");
        assert_eq!(format!("{builder:?}"), "GroupBuilder { name: Some(\"users\"), .. }");
        let builder: WriteGroupBuilder<String, u8, u8> = WriteGroup::builder();
        assert_eq!(format!("{builder:?}"), "WriteGroupBuilder { name: None, .. }");
        // `Debug` may be asked while flights are in the air: it takes no lock for long and shows no key or value.
        group.work("secret", || {
            assert_eq!(format!("{group:?}"), "Group { name: Some(\"users\"), in_flight: 1, .. }");
            1
        });
        let (jobs, queue) = crossbeam_channel::unbounded::<Job>();
        let spawning: Group<u8, u8> = Group::builder().executor(move |job| jobs.send(job).unwrap()).build();
        let receiver = spawning.spawn(&1, || Ok(1));
        let job = queue.recv().unwrap();
        assert_eq!(format!("{job:?}"), "Job { .. }");
        job.run();
        assert_eq!(receiver.recv().unwrap().unwrap().value, 1);
    });
}

/// One thread may use types that are neither `Send` nor `'static`.
#[test]
fn a_single_thread_may_use_local_types() {
    within(|| {
        let text = String::from("borrowed");
        let group: Group<&str, &str, Rc<str>> = Group::new();
        assert_eq!(group.try_work(&text.as_str(), || Ok(&text)), Ok("borrowed"));
        let group: Group<Rc<str>, Rc<str>> = Group::new();
        let key: Rc<str> = Rc::from("key");
        assert_eq!(&*group.work(&key, || Rc::from("value")), "value");
        let writes: WriteGroup<Rc<str>, Cell<u8>> = WriteGroup::new();
        assert_eq!(writes.write(&key, || Cell::new(3)).get(), 3);
    });
}

/// `&str` for `String`, a slice for a `Vec`, a path for a `PathBuf`, and a borrowed form of one's own.
#[test]
fn keys_are_called_borrowed() {
    within(|| {
        #[derive(Clone, PartialEq, Eq, Hash)]
        struct UserId(u64);
        #[derive(Clone, PartialEq, Eq, Hash)]
        struct Owner(UserId);
        impl Borrow<UserId> for Owner {
            fn borrow(&self) -> &UserId {
                &self.0
            }
        }

        let group: Group<String, u8> = Group::new();
        assert_eq!(group.work("ann", || 1), 1);
        assert_eq!(group.work(&"ann".to_owned(), || 2), 2);
        assert_eq!((group.followers("ann"), group.forget("ann")), (0, false));
        assert!(group.call("ann").follow().is_none());
        let group: Group<Vec<u8>, u8> = Group::new();
        assert_eq!(group.work(&[1u8, 2][..], || 1), 1);
        let group: Group<std::path::PathBuf, u8> = Group::new();
        assert_eq!(group.work(std::path::Path::new("/etc"), || 1), 1);
        let group: WriteGroup<String, u8> = WriteGroup::new();
        assert_eq!(group.write("ann", || 1), 1);
        assert_eq!((group.followers("ann"), group.call("ann").flush()), (0, None));
        // Looking asks for less than calling: no `ToOwned` back to the key.
        let group: Group<Owner, u8> = Group::new();
        assert_eq!(group.followers(&UserId(1)), 0);
        assert!(!group.forget(&Owner(UserId(1))));
        assert_eq!(group.work(&Owner(UserId(1)), || 4), 4);
    });
}

static PAGES: Lazy<Group<String, Arc<str>>> = Lazy::new(Group::new);
static SAVES: Lazy<WriteGroup<String, usize>> = Lazy::new(|| WriteGroup::builder().name("saves").build());

#[test]
fn groups_live_in_statics() {
    within(|| {
        let runs = Arc::new(AtomicUsize::new(0));
        let counter = runs.clone();
        let leader = Held::start(move |stay| {
            PAGES.work("/", || {
                counter.fetch_add(1, SeqCst);
                stay();
                Arc::from("page")
            })
        });
        let followers = line_up(&*PAGES, "/".to_owned(), 3, |_, _| PAGES.work("/", || unreachable!()));
        leader.release();
        assert!(followers.into_iter().all(|follower| &*finish(follower) == "page"));
        assert_eq!((runs.load(SeqCst), SAVES.write("/", || 4)), (1, 4));
    });
}

/// A handle, not a copy: what one sees the other sees.
#[test]
fn a_clone_is_another_handle_to_the_same_group() {
    within(|| {
        let (reads, writes) = (Group::<u8, u8>::new(), WriteGroup::<u8, u8>::new());
        let (more_reads, more_writes) = (reads.clone(), writes.clone());
        reads.work(&1, || {
            assert_eq!(more_reads.in_flight(), 1);
            assert!(more_reads.try_work(&1, || Ok(2)).unwrap_err().is_deadlock());
            1
        });
        writes.write(&1, || {
            assert_eq!(more_writes.in_flight(), 1);
            1
        });
        assert_eq!((more_reads.stats(), more_writes.stats()), (reads.stats(), writes.stats()));
        assert_eq!(more_reads.stats().led + more_writes.stats().led, 2);
    });
}

/// Any hasher: without a seed, with one hash for all, and the default of each.
#[test]
fn groups_hash_with_the_hasher_they_are_given() {
    within(|| {
        #[derive(Clone, Default)]
        struct Counting(Arc<AtomicUsize>);
        impl BuildHasher for Counting {
            type Hasher = DefaultHasher;
            fn build_hasher(&self) -> DefaultHasher {
                self.0.fetch_add(1, SeqCst);
                DefaultHasher::new()
            }
        }
        let counting = Counting::default();
        let group: Group<u8, u8, Infallible, _> = Group::with_hasher(counting.clone());
        assert_eq!(group.work(&1, || 1), 1);
        assert_eq!(counting.0.load(SeqCst), 1, "a lone call hashes its key once: not again to grow or to land");
        assert_eq!(group.call(&1).follow(), None);
        assert_eq!((group.followers(&1), group.forget(&1), counting.0.load(SeqCst)), (0, false, 4));
        let group: WriteGroup<u8, u8, Infallible, _> = WriteGroup::with_hasher(counting.clone());
        assert_eq!((group.write(&1, || 1), counting.0.load(SeqCst)), (1, 5));
        let group: Group<u8, u8, &str, _> = Group::builder().name("n").hasher(counting.clone()).shards(2).build();
        assert_eq!((group.try_work(&1, || Err("e")), counting.0.load(SeqCst)), (Err(Error::Work("e")), 6));
        let group: WriteGroup<u8, u8, &str, _> = WriteGroup::builder().name("n").hasher(counting.clone()).build();
        assert_eq!((group.try_write(&1, || Err("e")), counting.0.load(SeqCst)), (Err(Error::Work("e")), 7));
        assert_eq!(
            format!("{group:?}"),
            "WriteGroup { name: Some(\"n\"), in_flight: 0, .. }",
            "settings survive `hasher`"
        );

        type Fixed = BuildHasherDefault<DefaultHasher>;
        let group: Group<u8, u8, Infallible, Fixed> = Group::default();
        assert_eq!(group.work(&1, || 1), 1);
        let group: WriteGroup<u8, u8, Infallible, Fixed> = WriteGroup::default();
        assert_eq!(group.write(&1, || 1), 1);
    });
}

#[test]
fn shards_are_what_was_asked_for_or_a_clear_panic() {
    within(|| {
        for shards in [1, 2, 3, 64, 65_536] {
            let group: Group<u32, u32> = Group::builder().shards(shards).build();
            // Every shard is reached, and every number given to a flight is different.
            let mut numbers = Vec::new();
            fn nest(group: &Group<u32, u32>, key: u32, numbers: &mut Vec<u64>) {
                if key == 300 {
                    assert_eq!(group.in_flight(), 300);
                    numbers.extend(group.flights().into_iter().map(|flight| flight.flight));
                    return;
                }
                group.work(&key, || {
                    nest(group, key + 1, numbers);
                    key
                });
            }
            nest(&group, 0, &mut numbers);
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), 300);
        }
        for shards in [0, 65_537, usize::MAX] {
            let (words, place) = crate::support::panic_of(|| Group::<u8, u8>::builder().shards(shards));
            assert_eq!(words, format!("shards is {shards}, expected 1 to 65536"));
            assert_eq!(place.file, file!(), "blamed on the caller");
            let (words, _) = crate::support::panic_of(|| WriteGroup::<u8, u8>::builder().shards(shards));
            assert_eq!(words, format!("shards is {shards}, expected 1 to 65536"));
        }
    });
}

#[test]
fn landings_tell_role_and_circumstances() {
    within(|| {
        let group: Group<u8, String> = Group::new();
        let landing = group.call(&1).run(|| Ok("value".to_owned())).unwrap();
        assert_eq!((landing.role, landing.shared(), landing.detached()), (Role::Leader, false, false));
        assert_eq!(landing.clone(), landing);
        assert_eq!(landing.value, "value");
        assert_eq!(landing.into_value(), "value");
    });
}
