//! Keys in URLs.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The key as one segment of a path.
pub(crate) fn encode(key: &str) -> String {
    utf8_percent_encode(key, ENCODED).to_string()
}

/// The key of a segment; `None` if it is not UTF-8.
pub(crate) fn decode(segment: &str) -> Option<String> {
    percent_decode_str(segment).decode_utf8().ok().map(Into::into)
}
