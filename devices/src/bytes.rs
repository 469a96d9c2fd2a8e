//! A fixed number of bytes that can be saved (serde itself stops at arrays of 32).

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::{Deref, DerefMut};

/// `N` bytes on the heap, always exactly `N`, also after loading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Default for Bytes<N> {
    fn default() -> Self {
        Self::filled(0)
    }
}

impl<const N: usize> Bytes<N> {
    /// `N` times `byte`.
    #[must_use]
    pub fn filled(byte: u8) -> Self {
        // Through a slice, so that a large array never stands on the stack.
        let bytes: Result<Box<[u8; N]>, _> = vec![byte; N].into_boxed_slice().try_into();
        Self(bytes.expect("a vector of N bytes has N bytes"))
    }
}

impl<const N: usize> Deref for Bytes<N> {
    type Target = [u8; N];
    fn deref(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> DerefMut for Bytes<N> {
    fn deref_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0[..])
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const N: usize>;
        impl<'de, const N: usize> serde::de::Visitor<'de> for Visitor<N> {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{N} bytes")
            }

            fn visit_bytes<E: Error>(self, v: &[u8]) -> Result<Vec<u8>, E> {
                Ok(v.to_vec())
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::with_capacity(N);
                while let Some(byte) = seq.next_element()? {
                    if bytes.len() == N {
                        return Err(A::Error::invalid_length(N + 1, &self));
                    }
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        let bytes = deserializer.deserialize_bytes(Visitor::<N>)?;
        let found = bytes.len();
        let bytes = bytes.into_boxed_slice().try_into();
        bytes.map(Self).map_err(|_| D::Error::invalid_length(found, &Visitor::<N>))
    }
}
