//! Where a guest's console goes on the host, as the command line says it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// One end of a console on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsoleSpec {
    /// Standard input and output; a terminal is put into raw mode.
    Stdio,
    /// A new pseudo terminal, whose path is printed on standard error.
    Pty,
    /// Nothing comes in, everything that goes out is dropped.
    Null,
    /// Output into a file, which is made anew; nothing comes in.
    File(PathBuf),
    /// A listening socket of mode 0600; one client at a time.
    Unix(PathBuf),
    /// A listening TCP port; one client at a time.
    Tcp(SocketAddr),
}

/// A text that names no console.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a console: write stdio, pty, null, file=PATH, unix=PATH or tcp=[ADDRESS:]PORT")]
pub struct ParseConsoleError;

/// `[ADDRESS:]PORT`; without an address, on this host only.
pub(super) fn parse_tcp(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    match port.parse() {
        Ok(port) => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        Err(_) => text.parse().ok(),
    }
}

impl FromStr for ConsoleSpec {
    type Err = ParseConsoleError;

    fn from_str(text: &str) -> Result<Self, ParseConsoleError> {
        match text.split_once('=') {
            None if text == "stdio" => Ok(Self::Stdio),
            None if text == "pty" => Ok(Self::Pty),
            None if text == "null" => Ok(Self::Null),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("tcp", address)) => parse_tcp(address).ok_or(ParseConsoleError).map(Self::Tcp),
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            None | Some(_) => Err(ParseConsoleError),
        }
    }
}

impl fmt::Display for ConsoleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdio => f.write_str("stdio"),
            Self::Pty => f.write_str("pty"),
            Self::Null => f.write_str("null"),
            Self::File(path) => write!(f, "file={}", path.display()),
            Self::Tcp(address) => write!(f, "tcp={address}"),
            Self::Unix(path) => write!(f, "unix={}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_read_and_written_alike() {
        for text in ["stdio", "pty", "null", "file=a=b", "unix=/tmp/s", "tcp=127.0.0.1:5000", "tcp=[::1]:0"] {
            assert_eq!(text.parse::<ConsoleSpec>().unwrap().to_string(), text);
        }
        for text in ["", "stdio=", "tty", "file", "file=", "unix=", "FILE=x", "tcp=", "tcp=x"] {
            assert_eq!(text.parse::<ConsoleSpec>(), Err(ParseConsoleError), "{text:?}");
        }
    }
}
