//! What a command line says of a network card's other end.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The other end of a network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetSpec {
    /// The host's network as a user without privileges has it, through passt.
    User,
    /// Whoever listens on a Unix socket and takes frames, each after its length as four bytes, highest first.
    Unix(PathBuf),
    /// A tap interface of the host.
    Tap(String),
}

impl NetSpec {
    /// The longest packet that it carries, in bytes, if that is known. passt's is the most that fits into 16 bits in words of
    /// four bytes with Ethernet's header, its default.
    #[must_use]
    pub fn mtu(&self) -> Option<u16> {
        match self {
            Self::User => Some(65520),
            Self::Unix(_) | Self::Tap(_) => None,
        }
    }
}

/// Text that names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network; write user, unix=PATH or tap=NAME")]
pub struct ParseNetError;

impl FromStr for NetSpec {
    type Err = ParseNetError;

    fn from_str(text: &str) -> Result<Self, ParseNetError> {
        match text.split_once('=') {
            None if text == "user" => Ok(Self::User),
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("tap", name)) if !name.is_empty() => Ok(Self::Tap(name.to_owned())),
            None | Some(_) => Err(ParseNetError),
        }
    }
}

impl fmt::Display for NetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("user"),
            Self::Unix(path) => write!(f, "unix={}", path.display()),
            Self::Tap(name) => write!(f, "tap={name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_read_and_written_alike() {
        for text in ["user", "unix=/tmp/a=b", "tap=tap0"] {
            assert_eq!(text.parse::<NetSpec>().unwrap().to_string(), text);
        }
        for text in ["", "user=", "tap", "tap=", "unix=", "none"] {
            assert_eq!(text.parse::<NetSpec>(), Err(ParseNetError), "{text:?}");
        }
    }
}
