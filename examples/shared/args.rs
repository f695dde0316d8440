//! The command line. The crate `lexopt` reads it; here is what all examples do alike.

use lexopt::{Error, Parser};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::str::FromStr;

/// Parses the command line and runs the program. `parse` returns `None` if help was asked for.
///
/// Exit codes: 0 if all is well, 1 if `run` fails, 2 if the command line is wrong. An error is one line on stderr.
pub(crate) fn main<O, E: Display>(
    help: &str,
    parse: impl FnOnce(Parser) -> Result<Option<O>, Error>,
    run: impl FnOnce(O) -> Result<(), E>,
) -> ExitCode {
    let name = env!("CARGO_CRATE_NAME");
    let options = match parse(Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{help}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let hint = if matches!(error, Error::Custom(_)) { "" } else { "; --help lists the options" };
            eprintln!("{name}: {error}{hint}");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The number after `option`. The error names the option, the value and the range.
pub(crate) fn number<N>(parser: &mut Parser, option: &str, range: RangeInclusive<N>) -> Result<N, Error>
where
    N: FromStr + PartialOrd + Display,
{
    let value = parser.value()?;
    match value.to_str().and_then(|text| text.parse().ok()) {
        Some(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("{option} is {value:?}, expected a number from {} to {}", range.start(), range.end()).into()),
    }
}
