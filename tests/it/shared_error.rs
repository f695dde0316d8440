//! Any error can be the error of a group: what goes in, and how it comes out again.

use flight_group::{CancelToken, Error, Group, SharedError};
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::num::ParseIntError;
use std::panic::{RefUnwindSafe, UnwindSafe};

fn parse_error() -> ParseIntError {
    "x".parse::<u8>().unwrap_err()
}

/// An error with one below it.
#[derive(Debug)]
struct Above(io::Error);

impl fmt::Display for Above {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot read the file")
    }
}

impl StdError for Above {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

fn above() -> Above {
    Above(io::Error::other("disk on fire"))
}

#[test]
fn p12_a_shared_error_has_all_auto_traits_and_its_group_is_an_error() {
    fn all<T: Send + Sync + UnwindSafe + RefUnwindSafe + Unpin + Clone + Eq + 'static>() {}
    fn error<T: StdError + Send + Sync + 'static>() {}
    all::<SharedError>();
    all::<Error<SharedError>>();
    error::<Error<SharedError>>();
    error::<Error<Error<SharedError>>>();
}

/// Every door in: `?` from errors, `new` from what is none.
#[test]
fn any_error_becomes_one() {
    let by_question_mark = || -> Result<u8, SharedError> { Ok("x".parse::<u8>()?) };
    assert!(by_question_mark().unwrap_err().downcast_ref::<ParseIntError>().is_some());

    assert_eq!(SharedError::new("text").to_string(), "text");
    assert_eq!(SharedError::new(format!("text {}", 1)).to_string(), "text 1");
    assert!(SharedError::new(parse_error()).downcast_ref::<ParseIntError>().is_some());
    let boxed: Box<dyn StdError + Send + Sync> = Box::new(parse_error());
    assert!(SharedError::new(boxed).downcast_ref::<ParseIntError>().is_some());

    let token = CancelToken::new();
    token.cancel("stop");
    let checked = || -> Result<(), SharedError> { Ok(token.check()?) };
    assert_eq!(checked().unwrap_err().to_string(), "cancelled: stop");
}

#[test]
fn an_anyhow_error_becomes_one_with_its_chain() {
    let any = || anyhow::Error::new(above()).context("cannot load user 7");
    let error = SharedError::new(any());
    assert_eq!(error.to_string(), "cannot load user 7");
    assert_eq!(format!("{error:#}"), "cannot load user 7: cannot read the file: disk on fire");
    assert_eq!(format!("{error:#}"), format!("{:#}", any()), "as anyhow itself prints it");
    let below = error.source().unwrap();
    assert!(below.downcast_ref::<Above>().is_some(), "the chain below is what it was");

    // In a closure of a group, and out of it into anyhow again: nothing is added.
    let group: Group<u8, u8, SharedError> = Group::new();
    let load = || -> anyhow::Result<u8> {
        let value = group.try_work(&1, || {
            let user: anyhow::Result<u8> = Err(any());
            user.map_err(SharedError::new)
        })?;
        Ok(value)
    };
    assert_eq!(format!("{:#}", load().unwrap_err()), format!("{:#}", any()));

    // anyhow hides what it boxes; its own way out of that works.
    let hidden = SharedError::new(anyhow::Error::new(parse_error()));
    assert!(hidden.downcast_ref::<ParseIntError>().is_none());
    let plain = anyhow::Error::new(parse_error()).reallocate_into_boxed_dyn_error_without_backtrace();
    assert!(SharedError::new(plain).downcast_ref::<ParseIntError>().is_some());
}

#[test]
fn it_shows_what_it_holds() {
    let error = SharedError::from(above());
    assert_eq!(format!("{error}"), "cannot read the file");
    assert_eq!(format!("{error:#}"), "cannot read the file: disk on fire");
    assert_eq!(format!("{error:?}"), format!("{:?}", above()));
    assert_eq!(format!("{:>8}|", SharedError::new("text")), "    text|");
    assert_eq!(error.source().unwrap().to_string(), "disk on fire");
    assert!(error.source().unwrap().downcast_ref::<io::Error>().is_some());

    // Through a group: the same words, and nothing twice.
    let error = Error::Work(error);
    assert_eq!(format!("{error}"), "cannot read the file");
    assert_eq!(format!("{error:#}"), "cannot read the file: disk on fire");
    assert_eq!(error.source().unwrap().to_string(), "disk on fire");
    assert!(error.source().unwrap().source().is_none());
    assert_eq!(format!("{:#}", anyhow::Error::new(error)), "cannot read the file: disk on fire");
    assert!(Error::<SharedError>::timed_out().source().is_none());
}

/// It goes out by `?` where errors are boxed, bare or in an `Error`, and nothing is added to it.
#[test]
fn it_leaves_as_a_box_and_comes_back_as_itself() {
    let error = SharedError::from(above());
    let leave = |error: SharedError| -> Result<(), Box<dyn StdError + Send + Sync>> { Err(error)? };
    let boxed = leave(error.clone()).unwrap_err();
    assert_eq!((boxed.to_string(), format!("{boxed:?}")), (error.to_string(), format!("{error:?}")));
    assert_eq!(boxed.source().unwrap().to_string(), "disk on fire");
    assert_eq!(SharedError::new(boxed), error, "the very same, not a copy around it");

    let leave = |error: SharedError| -> Result<(), Box<dyn StdError>> { Err(error)? };
    assert_eq!(leave(error.clone()).unwrap_err().source().unwrap().to_string(), "disk on fire");

    let any = anyhow::Error::from_boxed(error.clone().into());
    assert_eq!(format!("{any:#}"), "cannot read the file: disk on fire");
    let leave = |error: SharedError| -> anyhow::Result<()> { Err(Error::Work(error))? };
    let any = leave(error.clone()).unwrap_err();
    assert_eq!(any.downcast_ref::<Error<SharedError>>().unwrap().work(), Some(&error));
}

/// However deep a flight is inside others, its error is found at once, and is one and the same.
#[test]
fn a_nested_flights_error_stays_itself() {
    let groups: [Group<u8, u8, SharedError>; 3] = std::array::from_fn(|_| Group::new());
    let error = groups[0]
        .try_work(&1, || Ok(groups[1].try_work(&1, || Ok(groups[2].try_work(&1, || Ok("x".parse::<u8>()?))?))?))
        .unwrap_err();
    assert!(error.work().unwrap().downcast_ref::<ParseIntError>().is_some());

    let inner = SharedError::from(parse_error());
    assert_eq!(SharedError::from(Error::Work(inner.clone())), inner);
    assert_eq!(SharedError::new(Error::Work(inner.clone())), inner);
    assert_eq!(SharedError::new(inner.clone()), inner);

    // What is not the work's own is an error like any other.
    let late = SharedError::from(Error::<SharedError>::timed_out());
    assert!(late.downcast_ref::<Error<SharedError>>().unwrap().is_timed_out());
    assert_eq!(late.to_string(), Error::<SharedError>::timed_out().to_string());
    let other = SharedError::from(Error::Work(parse_error()));
    assert!(other.downcast_ref::<Error<ParseIntError>>().unwrap().is_work(), "another kind of error keeps its type");
}

/// All callers of a flight have the one error, and tell it from another that reads the same.
#[test]
fn equal_is_what_came_of_one_failure() {
    let group: Group<u8, u8, SharedError> = Group::new();
    let fail = || group.try_work(&1, || Ok("x".parse::<u8>()?)).unwrap_err();
    let (first, second) = (fail(), fail());
    assert_eq!(first, first.clone());
    assert_ne!(first, second);
    assert_eq!(first.to_string(), second.to_string());

    let error: &(dyn StdError + Send + Sync) = SharedError::as_ref(first.work().unwrap());
    let same: &(dyn StdError + 'static) = SharedError::as_ref(first.work().unwrap());
    assert!(error.downcast_ref::<ParseIntError>().is_some() && same.downcast_ref::<ParseIntError>().is_some());
}
