//! How an outcome crosses from one process to another.
//!
//! Every outcome is preceded by the codec's mark and its schema number. A process that reads another mark or number,
//! because another version of the program wrote it, runs its own closure: no error, no guess.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// Writes and reads the outcomes of a [`FleetGroup`](super::FleetGroup).
///
/// [`Json`] is the default; [`JsonValues`], [`Raw`] and (feature `postcard`) `Postcard` are the others. To write your own:
///
/// ```
/// use flight_group::fleet::Codec;
///
/// /// Temperatures in tenths of a degree, two bytes each. Errors stay in their process.
/// #[derive(Debug)]
/// struct Tenths;
///
/// impl<E> Codec<f32, E> for Tenths {
///     fn mark(&self) -> u8 { b'T' }
///     fn schema(&self) -> u32 { 1 }
///     fn encode(&self, outcome: Result<&f32, &E>) -> Option<Vec<u8>> {
///         outcome.ok().map(|degrees| ((degrees * 10.0).round() as i16).to_be_bytes().to_vec())
///     }
///     fn decode(&self, bytes: &[u8]) -> Option<Result<f32, E>> {
///         Some(Ok(f32::from(i16::from_be_bytes(bytes.try_into().ok()?)) / 10.0))
///     }
/// }
///
/// let written = Codec::<f32, ()>::encode(&Tenths, Ok(&21.5)).unwrap();
/// assert_eq!(Codec::<f32, ()>::decode(&Tenths, &written), Some(Ok(21.5)));
/// assert_eq!(Codec::<f32, ()>::decode(&Tenths, b"???"), None);      // not ours: run the closure
/// ```
pub trait Codec<V, E>: fmt::Debug + Send + Sync {
    /// Tells this codec's outcomes from those of others.
    fn mark(&self) -> u8;

    /// Which form of `V` and `E` it writes; only the same number is read.
    fn schema(&self) -> u32;

    /// The outcome as bytes; `None` where it cannot or should not be shared: followers then run their own closure.
    fn encode(&self, outcome: Result<&V, &E>) -> Option<Vec<u8>>;

    /// The outcome from bytes; `None` where they are not one.
    fn decode(&self, bytes: &[u8]) -> Option<Result<V, E>>;
}

/// JSON, the default: errors are shared as values are.
///
/// The schema number is 0 unless one is given; raise it when a change of `V` or `E` should not be read by older
/// processes although it could be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json {
    schema: u32,
}

impl Json {
    /// JSON with schema number 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// JSON with this schema number.
    pub fn schema(schema: u32) -> Self {
        Self { schema }
    }
}

impl<V, E> Codec<V, E> for Json
where
    V: Serialize + DeserializeOwned,
    E: Serialize + DeserializeOwned,
{
    fn mark(&self) -> u8 {
        b'j'
    }

    fn schema(&self) -> u32 {
        self.schema
    }

    fn encode(&self, outcome: Result<&V, &E>) -> Option<Vec<u8>> {
        serde_json::to_vec(&outcome).ok()
    }

    fn decode(&self, bytes: &[u8]) -> Option<Result<V, E>> {
        serde_json::from_slice(bytes).ok()
    }
}

/// JSON for values only: a process whose leader failed keeps its error, and its followers run their own closures. For
/// an `E` that serde does not know, [`Infallible`](std::convert::Infallible) among them.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonValues {
    schema: u32,
}

impl JsonValues {
    /// JSON with schema number 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// JSON with this schema number.
    pub fn schema(schema: u32) -> Self {
        Self { schema }
    }
}

impl<V: Serialize + DeserializeOwned, E> Codec<V, E> for JsonValues {
    fn mark(&self) -> u8 {
        b'v'
    }

    fn schema(&self) -> u32 {
        self.schema
    }

    fn encode(&self, outcome: Result<&V, &E>) -> Option<Vec<u8>> {
        serde_json::to_vec(outcome.ok()?).ok()
    }

    fn decode(&self, bytes: &[u8]) -> Option<Result<V, E>> {
        serde_json::from_slice(bytes).ok().map(Ok)
    }
}

/// The value's own bytes; errors are not shared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw;

impl<V, E> Codec<V, E> for Raw
where
    V: AsRef<[u8]> + for<'a> From<&'a [u8]>,
{
    fn mark(&self) -> u8 {
        b'r'
    }

    fn schema(&self) -> u32 {
        0
    }

    fn encode(&self, outcome: Result<&V, &E>) -> Option<Vec<u8>> {
        outcome.ok().map(|value| value.as_ref().to_vec())
    }

    fn decode(&self, bytes: &[u8]) -> Option<Result<V, E>> {
        Some(Ok(V::from(bytes)))
    }
}

/// Postcard: compact, and without names of fields. It reads swapped fields without noticing, so the schema number is
/// compulsory: raise it with every change of `V` or `E`.
#[cfg(feature = "postcard")]
#[derive(Debug, Clone, Copy)]
pub struct Postcard {
    schema: u32,
}

#[cfg(feature = "postcard")]
impl Postcard {
    /// Postcard with this schema number.
    pub fn schema(schema: u32) -> Self {
        Self { schema }
    }
}

#[cfg(feature = "postcard")]
impl<V, E> Codec<V, E> for Postcard
where
    V: Serialize + DeserializeOwned,
    E: Serialize + DeserializeOwned,
{
    fn mark(&self) -> u8 {
        b'p'
    }

    fn schema(&self) -> u32 {
        self.schema
    }

    fn encode(&self, outcome: Result<&V, &E>) -> Option<Vec<u8>> {
        postcard::to_stdvec(&outcome).ok()
    }

    fn decode(&self, bytes: &[u8]) -> Option<Result<V, E>> {
        match postcard::take_from_bytes(bytes) {
            // What is left over belongs to another form of the type.
            Ok((outcome, [])) => Some(outcome),
            _ => None,
        }
    }
}

/// Mark, schema number, then the codec's bytes.
pub(crate) fn seal<V, E>(codec: &dyn Codec<V, E>, outcome: Result<&V, &E>) -> Option<Vec<u8>> {
    let body = codec.encode(outcome)?;
    let mut sealed = Vec::with_capacity(body.len() + 5);
    sealed.push(codec.mark());
    sealed.extend_from_slice(&codec.schema().to_be_bytes());
    sealed.extend_from_slice(&body);
    Some(sealed)
}

pub(crate) fn unseal<V, E>(codec: &dyn Codec<V, E>, sealed: &[u8]) -> Option<Result<V, E>> {
    let (mark, rest) = sealed.split_first()?;
    let (schema, body) = rest.split_first_chunk::<4>()?;
    if *mark != codec.mark() || u32::from_be_bytes(*schema) != codec.schema() {
        return None;
    }
    codec.decode(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<Vec<u32>, String>;

    fn there_and_back(codec: &dyn Codec<Vec<u32>, String>, outcome: &Outcome) -> Option<Outcome> {
        unseal(codec, &seal(codec, outcome.as_ref())?)
    }

    #[test]
    fn values_and_errors_come_back_as_they_were() {
        let (value, error) = (Ok(vec![1, 2]), Err("no row".to_owned()));
        assert_eq!(there_and_back(&Json::new(), &value), Some(value.clone()));
        assert_eq!(there_and_back(&Json::new(), &error), Some(error.clone()));
        assert_eq!(there_and_back(&JsonValues::new(), &value), Some(value.clone()));
        assert_eq!(there_and_back(&JsonValues::new(), &error), None);
        #[cfg(feature = "postcard")]
        {
            assert_eq!(there_and_back(&Postcard::schema(1), &value), Some(value));
            assert_eq!(there_and_back(&Postcard::schema(1), &error), Some(error));
        }
    }

    #[test]
    fn raw_bytes_stay_as_they_are() {
        let codec: &dyn Codec<Vec<u8>, String> = &Raw;
        let sealed = seal(codec, Ok(&vec![0, 255])).unwrap();
        assert_eq!(unseal(codec, &sealed), Some(Ok(vec![0, 255])));
        assert_eq!(seal(codec, Err(&"no".to_owned())), None);
    }

    #[test]
    fn another_codec_or_schema_is_not_read() {
        let value = vec![1, 2];
        let sealed = seal::<_, String>(&Json::schema(1), Ok(&value)).unwrap();
        assert!(unseal::<Vec<u32>, String>(&Json::schema(1), &sealed).is_some());
        assert!(unseal::<Vec<u32>, String>(&Json::schema(2), &sealed).is_none());
        assert!(unseal::<Vec<u32>, String>(&JsonValues::schema(1), &sealed).is_none());
        for cut in 0..sealed.len() {
            assert!(unseal::<Vec<u32>, String>(&Json::schema(1), &sealed[..cut]).is_none(), "{cut}");
        }
    }
}
