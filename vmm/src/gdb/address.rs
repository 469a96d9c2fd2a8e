use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where gdb connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GdbAddress {
    /// A TCP port; 0 for any free one.
    Tcp(SocketAddr),
    /// A Unix socket, which only this user can use.
    Unix(PathBuf),
}

/// Not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no address for gdb; write a port like 1234 or :1234 (on this host only), ADDRESS:PORT, or the path of a Unix socket"
)]
pub struct ParseGdbAddressError(String);

impl GdbAddress {
    /// Whether other hosts can connect there.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        match self {
            GdbAddress::Tcp(address) => !address.ip().is_loopback(),
            GdbAddress::Unix(_) => false,
        }
    }
}

impl FromStr for GdbAddress {
    type Err = ParseGdbAddressError;

    /// `PORT`, `:PORT` and `localhost:PORT` are on the loopback interface; what has a `/`, or no `:`, is a path.
    fn from_str(text: &str) -> Result<Self, ParseGdbAddressError> {
        let wrong = || ParseGdbAddressError(text.to_owned());
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(GdbAddress::Unix(path.into()));
        }
        if text.contains('/') {
            return Ok(GdbAddress::Unix(text.into()));
        }
        let text_of_port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
        if digits(text_of_port) {
            let port = text_of_port.parse().map_err(|_| wrong())?;
            return Ok(GdbAddress::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
        }
        if text.is_empty() || text.contains(':') {
            return text.parse().map(GdbAddress::Tcp).map_err(|_| wrong());
        }
        Ok(GdbAddress::Unix(text.into()))
    }
}

impl fmt::Display for GdbAddress {
    /// As gdb's `target remote` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GdbAddress::Tcp(address) => address.fmt(f),
            GdbAddress::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> GdbAddress {
        text.parse().unwrap()
    }

    #[test]
    fn a_port_alone_is_on_this_host_only() {
        for text in ["1234", ":1234", "localhost:1234", "127.0.0.1:1234"] {
            assert_eq!(parse(text).to_string(), "127.0.0.1:1234");
            assert!(!parse(text).is_exposed());
        }
        assert!(!parse("[::1]:1234").is_exposed());
        assert!(parse("0.0.0.0:1234").is_exposed());
    }

    #[test]
    fn a_path_is_a_unix_socket() {
        for text in ["/tmp/gdb.sock", "./gdb", "gdb.sock", "unix:gdb.sock"] {
            let GdbAddress::Unix(path) = parse(text) else { panic!("{text}") };
            assert!(!path.to_string_lossy().contains("unix:"));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", ":", "65536", ":70000", "host:name", "1.2.3.4:"] {
            assert!(text.parse::<GdbAddress>().is_err(), "{text:?}");
        }
    }
}
