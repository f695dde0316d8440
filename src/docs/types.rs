//! Keys and errors: which types work, and the line to write where the compiler asks for one.
//!
//! * [Borrowed keys](#borrowed-keys)
//! * [A newtype as key](#a-newtype-as-key)
//! * [A pair as key](#a-pair-as-key)
//! * [Which error type](#which-error-type)
//! * [Work that cannot fail](#work-that-cannot-fail)
//! * [What the compiler refuses](#what-the-compiler-refuses)
//!
//! # Borrowed keys
//!
//! A call borrows its key. A group of `String`s is called with a `&str`, one of `Vec<u8>`s with a `&[u8]`, one of
//! `PathBuf`s with a `&Path`. A follower never allocates a key. A leader makes the owned key from the borrowed one,
//! because the flight needs it as long as it is in the air. The borrowed type must therefore know which owned type it
//! becomes: `K: Borrow<Q>` and `Q: ToOwned<Owned = K>`.
//!
//! ```
//! use flight_group::Group;
//! use std::path::{Path, PathBuf};
//!
//! let users: Group<String, u32> = Group::new();
//! assert_eq!(users.work("ann", || 1), 1);
//!
//! let files: Group<PathBuf, u64> = Group::new();
//! assert_eq!(files.work(Path::new("/etc/hosts"), || 220), 220);
//!
//! let pages: Group<(u32, u32), u32> = Group::new();     // pass `Copy` keys by reference
//! assert_eq!(pages.work(&(1, 7), || 8), 8);
//! ```
//!
//! # A newtype as key
//!
//! `impl Borrow<str>` for a newtype is not enough, because an owned `str` is a `String`:
//!
//! ```compile_fail,E0271
//! use flight_group::Group;
//! use std::borrow::Borrow;
//!
//! #[derive(Clone, PartialEq, Eq, Hash)]
//! struct Email(String);
//!
//! impl Borrow<str> for Email {
//!     fn borrow(&self) -> &str { &self.0 }
//! }
//!
//! let group: Group<Email, u32> = Group::new();
//! group.work("ann@example.org", || 1);
//! ```
//!
//! ```text
//! error[E0271]: type mismatch resolving `<str as ToOwned>::Owned == Email`
//!  |     group.work("ann@example.org", || 1);
//!  |           ---- ^^^^^^^^^^^^^^^^^ expected `Email`, found `String`
//! ```
//!
//! A `Group<Arc<str>, _>` that is called with a `&str` gets the same error. Call the group with the newtype, and let it hold an
//! `Arc<str>`: then a leader's clone of the key only counts a reference, and nothing is allocated. Calls that only look
//! ([`followers`](crate::Group::followers)) need no owned key, and take the `&str`:
//!
//! ```
//! use flight_group::Group;
//! use std::borrow::Borrow;
//! use std::sync::Arc;
//!
//! #[derive(Clone, PartialEq, Eq, Hash)]
//! struct Email(Arc<str>);
//!
//! impl Borrow<str> for Email {
//!     fn borrow(&self) -> &str { &self.0 }
//! }
//!
//! let group: Group<Email, u32> = Group::new();
//! let ann = Email("ann@example.org".into());           // made once, where the request is parsed
//! assert_eq!(group.work(&ann, || 1), 1);
//! assert_eq!(group.followers("ann@example.org"), 0);
//! ```
//!
//! # A pair as key
//!
//! A `(u32, String)` cannot be borrowed as a `(u32, &str)`:
//!
//! ```compile_fail,E0308
//! use flight_group::Group;
//!
//! let group: Group<(u32, String), u32> = Group::new();
//! group.work(&(7, "ann"), || 1);
//! ```
//!
//! ```text
//! error[E0308]: mismatched types
//!  |     group.work(&(7, "ann"), || 1);
//!  |                     ^^^^^ expected `String`, found `&str`
//! ```
//!
//! Make the key for each call: `&(7, name.to_owned())`, one allocation a call. Or let the pair hold an `Arc<str>`, as above. If
//! neither is good enough, a trait object can be the borrowed form. It takes some lines, once. They must hash and compare
//! exactly as the owned key does:
//!
//! ```
//! use flight_group::Group;
//! use std::borrow::Borrow;
//! use std::hash::{Hash, Hasher};
//!
//! trait UserKey {
//!     fn parts(&self) -> (u32, &str);
//! }
//! impl UserKey for (u32, String) {
//!     fn parts(&self) -> (u32, &str) { (self.0, &self.1) }
//! }
//! impl UserKey for (u32, &str) {
//!     fn parts(&self) -> (u32, &str) { *self }
//! }
//!
//! impl Hash for dyn UserKey + '_ {
//!     fn hash<H: Hasher>(&self, state: &mut H) { self.parts().hash(state) }
//! }
//! impl PartialEq for dyn UserKey + '_ {
//!     fn eq(&self, other: &Self) -> bool { self.parts() == other.parts() }
//! }
//! impl Eq for dyn UserKey + '_ {}
//!
//! impl<'a> Borrow<dyn UserKey + 'a> for (u32, String) {
//!     fn borrow(&self) -> &(dyn UserKey + 'a) { self }
//! }
//! impl ToOwned for dyn UserKey + '_ {
//!     type Owned = (u32, String);
//!     fn to_owned(&self) -> (u32, String) { (self.parts().0, self.parts().1.to_owned()) }
//! }
//!
//! let group: Group<(u32, String), u32> = Group::new();
//! let name = String::from("ann");
//! let borrowed: &dyn UserKey = &(7, name.as_str());
//! let value = group.work(borrowed, || {
//!     // One key, however it is passed:
//!     assert!(group.try_work(&(7, "ann".to_owned()), || Ok(2)).unwrap_err().is_deadlock());
//!     assert!(group.forget(borrowed));
//!     1
//! });
//! assert_eq!(value, 1);
//! ```
//!
//! # Which error type
//!
//! | your work fails with | the group's `E` |
//! | --- | --- |
//! | one error type that is `Clone` | that type |
//! | one error type that is not | `Arc<ThatType>`; `?` wraps it |
//! | several error types | [`SharedError`](crate::SharedError); `?` makes it |
//! | a box, an `anyhow::Error`, a string | [`SharedError`](crate::SharedError); `.map_err(SharedError::new)?` makes it |
//! | the [`Error`](crate::Error) of another flight | `Error<OtherE>`, which `?` [flattens](crate::Error::flatten) on the way out |
//! | nothing | none: see below |
//!
//! ```
//! use flight_group::{Error, Group, SharedError};
//! use std::io;
//! use std::num::ParseIntError;
//! use std::sync::Arc;
//!
//! let clone: Group<u8, u32, ParseIntError> = Group::new();
//! assert!(clone.try_work(&1, || Ok("x".parse()?)).unwrap_err().is_work());
//!
//! let arc: Group<u8, u32, Arc<io::Error>> = Group::new();
//! let outcome = arc.try_work(&1, || Err(io::Error::from(io::ErrorKind::NotFound))?);
//! assert_eq!(outcome.unwrap_err().work().unwrap().kind(), io::ErrorKind::NotFound);
//!
//! let any: Group<u8, u32, SharedError> = Group::new();
//! let read = |text: &str| -> anyhow::Result<u32> {
//!     let value = any.try_work(&1, || {
//!         if text.is_empty() {
//!             return Err(SharedError::new("an empty text"));
//!         }
//!         Ok(text.parse()?)
//!     })?;                              // becomes an `anyhow::Error`, or a `Box<dyn Error>`
//!     Ok(value)
//! };
//! assert_eq!(read("7").unwrap(), 7);
//! assert_eq!(read("").unwrap_err().to_string(), "an empty text");
//!
//! let error = read("x").unwrap_err();
//! assert_eq!(error.to_string(), "invalid digit found in string");
//! let error = error.downcast_ref::<Error<SharedError>>().and_then(Error::work).unwrap();
//! assert!(error.downcast_ref::<ParseIntError>().is_some());
//! ```
//!
//! # Work that cannot fail
//!
//! If you write a group's type without `E`, `E` is `Infallible`. If you leave the type to the compiler, and the closure only
//! returns `Ok`, the compiler does not know what `E` is, and Rust has no default for it:
//!
//! ```compile_fail,E0282
//! use flight_group::Batcher;
//! use std::collections::HashMap;
//!
//! let pairs = |ids: &[u64]| ids.iter().map(|&id| (id, id)).collect::<HashMap<_, _>>();
//! let rows = Batcher::new(move |ids: &[u64]| Ok(pairs(ids)));
//! rows.load(&1).unwrap();
//! ```
//!
//! ```text
//! error[E0282]: type annotations needed for `flight_group::Batcher<u64, u64, _>`
//! help: consider giving `rows` an explicit type, where the type for type parameter `E` is
//!       specified
//!  |     let rows: flight_group::Batcher<_, _, E> = Batcher::new(..
//! ```
//!
//! The hint asks for an `E`. Write the type without it instead, as in the field of a struct or in a `static`. The other
//! constructors get other messages, for the same reason:
//!
//! | constructor | what the compiler says (1.95) | the line to write |
//! | --- | --- | --- |
//! | [`Batcher::new`](crate::Batcher::new) | E0282, "consider giving `rows` an explicit type" | `let rows: Batcher<u64, u64> = ..` |
//! | [`EventGroup::new`](crate::EventGroup::new) | E0283, "cannot satisfy `_: Clone`", "consider specifying the generic arguments" | `let views: EventGroup<String, u32> = ..` |
//! | [`ErrGroup::scope`](crate::ErrGroup::scope) | E0283, "cannot satisfy `_: std::fmt::Display`", "consider giving this closure parameter an explicit type" | `let done: Result<_, Infallible> = ..` |
//!
//! ```compile_fail,E0283
//! use flight_group::EventGroup;
//!
//! let views = EventGroup::new(|sum: &mut u32, more: u32| *sum += more, |_: &String, _| Ok(()));
//! views.push("home", 1).unwrap();
//! ```
//!
//! ```compile_fail,E0283
//! use flight_group::ErrGroup;
//!
//! let done = ErrGroup::scope(|g| {
//!     g.spawn(|_| Ok(()));
//! });
//! done.unwrap();
//! ```
//!
//! These compile. The error is named in the type, or in the closure:
//!
//! ```
//! use flight_group::{Batcher, ErrGroup, EventGroup, Group};
//! use std::collections::HashMap;
//! use std::convert::Infallible;
//!
//! let rows: Batcher<u64, u64> = Batcher::new(|ids| Ok(ids.iter().map(|&id| (id, id)).collect()));
//! assert_eq!(rows.load(&1), Ok(1));
//!
//! let views: EventGroup<String, u32> = EventGroup::new(|sum, more| *sum += more, |_, _| Ok(()));
//! views.push("home", 1).unwrap();
//!
//! let users: Group<u32, String> = Group::new();
//! assert_eq!(users.try_work(&7, || Ok("Ada".to_owned())), Ok("Ada".to_owned()));
//!
//! // A function has no default for its types: name the error where the result is.
//! let done: Result<_, Infallible> = ErrGroup::scope(|g| {
//!     g.spawn(|_| Ok(()));
//! });
//! let Ok(()) = done;                                    // nothing to unwrap: it cannot fail
//!
//! // Or in the closures:
//! let rows = Batcher::new(|ids: &[u64]| {
//!     Ok::<_, Infallible>(ids.iter().map(|&id| (id, id)).collect())
//! });
//! assert_eq!(rows.load(&1), Ok(1));
//!
//! let views = EventGroup::new(
//!     |sum: &mut u32, more: u32| *sum += more,
//!     |_: &String, _| Ok::<_, Infallible>(()),
//! );
//! views.push("home", 1).unwrap();
//!
//! let Ok(()) = ErrGroup::scope(|g| {
//!     g.spawn(|_| Ok::<_, Infallible>(()));
//! });
//! ```
//!
//! # What the compiler refuses
//!
//! Some mistakes do not compile. Each of these has the line that does beside it.
//!
//! A value that threads share must be `Send` and `Sync`. A group of `Rc` works on one thread only:
//!
//! ```compile_fail,E0277
//! use flight_group::Group;
//! use std::rc::Rc;
//!
//! let names: Group<u32, Rc<str>> = Group::new();
//! std::thread::scope(|s| {
//!     s.spawn(|| names.work(&7, || Rc::from("Ada")).len());
//! });
//! ```
//!
//! ```
//! use flight_group::Group;
//! use std::sync::Arc;
//!
//! let names: Group<u32, Arc<str>> = Group::new();
//! std::thread::scope(|s| {
//!     s.spawn(|| names.work(&7, || Arc::from("Ada")).len());
//! });
//! ```
//!
//! A spawned closure runs on another thread and may outlive its caller, so it cannot borrow from the caller:
//!
//! ```compile_fail,E0597
//! use flight_group::Group;
//!
//! let lengths: Group<u32, usize> = Group::new();
//! let name = "Ada".to_owned();
//! let borrowed = &name;
//! lengths.spawn(&7, move || Ok(borrowed.len()));
//! ```
//!
//! ```
//! use flight_group::Group;
//!
//! let lengths: Group<u32, usize> = Group::new();
//! let name = "Ada".to_owned();
//! let borrowed = &name;
//! assert_eq!(lengths.work(&7, || borrowed.len()), 3);        // a call that blocks may borrow
//! let later = lengths.spawn(&7, move || Ok(name.len()));     // a spawned one takes it along
//! assert_eq!(later.recv().unwrap().unwrap().value, 3);
//! ```
//!
//! The same counts for an [`EventGroup`](crate::EventGroup), whose closures run on its workers:
//!
//! ```compile_fail,E0597
//! use flight_group::EventGroup;
//! use std::sync::Mutex;
//!
//! let told = Mutex::new(Vec::new());
//! let far_side = &told;
//! let sums: EventGroup<&str, u32> =
//!     EventGroup::new(|sum, n| *sum += n, move |_, sum| Ok(far_side.lock().unwrap().push(sum)));
//! ```
//!
//! ```
//! use flight_group::EventGroup;
//! use std::sync::{Arc, Mutex};
//!
//! let told = Arc::new(Mutex::new(Vec::new()));
//! let far_side = told.clone();
//! let sums: EventGroup<&str, u32> =
//!     EventGroup::new(|sum, n| *sum += n, move |_, sum| Ok(far_side.lock().unwrap().push(sum)));
//! sums.push(&"home", 1).unwrap();
//! assert_eq!(*told.lock().unwrap(), [1]);
//! ```
//!
//! The tasks of an [`ErrGroup`](crate::ErrGroup) may borrow what lives longer than the scope. They cannot borrow what
//! the scope's closure makes:
//!
//! ```compile_fail,E0597
//! use flight_group::ErrGroup;
//!
//! let done: Result<(), String> = ErrGroup::scope(|g| {
//!     let shard = vec![1, 2];
//!     let shard = &shard;
//!     g.spawn(move |_| Ok(assert_eq!(shard.len(), 2)));
//! });
//! ```
//!
//! ```
//! use flight_group::ErrGroup;
//!
//! let shard = vec![1, 2];
//! let done: Result<(), String> = ErrGroup::scope(|g| {
//!     let shard = &shard;
//!     g.spawn(move |_| Ok(assert_eq!(shard.len(), 2)));
//! });
//! assert_eq!(done, Ok(()));
//! ```
//!
//! Nor can the group leave the scope, because all tasks have ended when it returns:
//!
//! ```compile_fail,E0521
//! use flight_group::ErrGroup;
//!
//! let mut kept = None;
//! let done: Result<(), String> = ErrGroup::scope(|g| kept = Some(g.clone()));
//! ```
//!
//! ```
//! use flight_group::ErrGroup;
//!
//! let done: Result<(), String> = ErrGroup::scope(|g| {
//!     let inner = g.clone();                                 // into a task, yes
//!     g.spawn(move |_| { inner.spawn(|_| Ok(())); Ok(()) });
//! });
//! assert_eq!(done, Ok(()));
//! ```
//!
//! A call borrows its key:
//!
//! ```compile_fail,E0716
//! use flight_group::Group;
//!
//! let users: Group<String, u32> = Group::new();
//! let call = users.call(&String::from("ada")).fresh();
//! assert_eq!(call.run(|| Ok(1)).unwrap().value, 1);
//! ```
//!
//! ```
//! use flight_group::Group;
//!
//! let users: Group<String, u32> = Group::new();
//! let key = String::from("ada");
//! let call = users.call(&key).fresh();
//! assert_eq!(call.run(|| Ok(1)).unwrap().value, 1);
//! assert_eq!(call.run(|| Ok(2)).unwrap().value, 2);          // a call can be used again
//! ```
//!
//! A call that is never run is a warning, `unused_must_use`. Here it is an error:
//!
//! ```compile_fail
//! #![deny(unused_must_use)]
//! use flight_group::Group;
//!
//! let users: Group<u32, u32> = Group::new();
//! users.call(&7).fresh();
//! ```
//!
//! ```
//! #![deny(unused_must_use)]
//! use flight_group::Group;
//!
//! let users: Group<u32, u32> = Group::new();
//! assert_eq!(users.call(&7).fresh().run(|| Ok(1)).unwrap().value, 1);
//! ```
