//! A process for each scenario, and how to know from outside, and from inside, that it waits.

mod process;
mod threads;

pub(crate) use process::{fact, step};
pub(crate) use threads::{Alone, Gate, Held, message, quiet, silent_panics};

/// Tests that each play a scenario and compare what was found with what the page says.
macro_rules! facts {
    ($($name:ident: $scenario:expr => $found:expr;)*) => {
        $(
            #[test]
            fn $name() {
                $crate::support::fact(concat!(module_path!(), "::", stringify!($name)), $scenario, $found);
            }
        )*
    };
}
pub(crate) use facts;
