//! The only user of `bincode`: how plain data becomes bytes in a recording, in a checkpoint and in a digest.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest value one call decodes, in bytes; a length field beyond it is refused before anything is allocated.
pub const DECODE_LIMIT: usize = 64 << 20;

/// A value that could not be turned into bytes, or bytes that are not the value.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The value cannot be encoded (a serde implementation said so).
    #[error("cannot encode the value")]
    Encode(#[source] bincode::error::EncodeError),
    /// The bytes are not an encoding of the value.
    #[error("cannot decode the value")]
    Decode(#[source] bincode::error::DecodeError),
    /// The value ended before the bytes did.
    #[error("{0} bytes are left over after the value")]
    Trailing(usize),
}

type Config = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<DECODE_LIMIT>,
>;

const CONFIG: Config = bincode::config::standard().with_limit::<DECODE_LIMIT>();

/// Encodes `value`.
///
/// # Errors
/// [`CodecError::Encode`] when a serde implementation refuses, for example a sequence of unknown length.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::serde::encode_to_vec(value, CONFIG).map_err(CodecError::Encode)
}

/// For `#[serde(with)]` on a `Vec<u8>`: encodes it in one go instead of byte by byte, as the same bytes.
pub mod bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::journal::Blob;

    /// Encodes `bytes`.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    /// Decodes bytes.
    ///
    /// # Errors
    /// The deserializer's.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Blob::deserialize(deserializer).map(|blob| blob.0)
    }
}

/// Encodes `value` into `out`.
///
/// # Errors
/// As [`to_bytes`]; a failing `out` is reported the same way.
pub fn write_to<T: Serialize + ?Sized>(value: &T, out: &mut impl io::Write) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, out, CONFIG).map_err(CodecError::Encode)?;
    Ok(())
}

/// Decodes a value that fills `bytes` exactly.
///
/// # Errors
/// [`CodecError::Decode`] for bytes that are not such a value, [`CodecError::Trailing`] for bytes left over.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match prefix_from_bytes(bytes)? {
        (value, []) => Ok(value),
        (_, rest) => Err(CodecError::Trailing(rest.len())),
    }
}

/// Decodes a value from the start of `bytes` and returns what follows it.
///
/// # Errors
/// [`CodecError::Decode`] for bytes that do not begin with such a value.
pub fn prefix_from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), CodecError> {
    let (value, used) = bincode::serde::decode_from_slice(bytes, CONFIG).map_err(CodecError::Decode)?;
    Ok((value, &bytes[used..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_length_is_refused() {
        let mut bytes = vec![0xfd];
        bytes.extend(u64::MAX.to_le_bytes());
        assert!(matches!(from_bytes::<Vec<u8>>(&bytes), Err(CodecError::Decode(_))));
    }

    #[test]
    fn bytes_in_one_go_are_the_same_bytes() {
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        struct InOneGo(#[serde(with = "bytes")] Vec<u8>);
        for length in [0, 1, 250, 251, 70_000] {
            let value: Vec<u8> = (0..length).map(|n: u32| n as u8).collect();
            let coded = to_bytes(&value).unwrap();
            assert_eq!(to_bytes(&InOneGo(value.clone())).unwrap(), coded);
            assert_eq!(from_bytes::<InOneGo>(&coded).unwrap(), InOneGo(value));
        }
        // Where people read it, too.
        let text = serde_json::to_string(&InOneGo(vec![1, 2])).unwrap();
        assert_eq!((text.as_str(), serde_json::from_str::<InOneGo>(&text).unwrap().0), ("[1,2]", vec![1, 2]));
    }

    #[test]
    fn left_over_bytes_are_refused() {
        let mut bytes = to_bytes(&7u32).unwrap();
        bytes.push(0);
        assert!(matches!(from_bytes::<u32>(&bytes), Err(CodecError::Trailing(1))));
        assert_eq!(prefix_from_bytes::<u32>(&bytes).unwrap(), (7, &[0u8][..]));
    }
}
