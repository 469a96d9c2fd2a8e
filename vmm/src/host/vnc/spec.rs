//! What `--display` says.

use crate::host::spec::parse_tcp;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// A password has no more bytes than this: the protocol looks at no others.
const PASSWORD_BYTES: usize = 8;

/// Where the screen is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DisplaySpec {
    /// Nowhere.
    #[default]
    None,
    /// To VNC clients.
    Vnc(VncSpec),
}

/// A VNC server.
#[derive(Clone, PartialEq, Eq)]
pub struct VncSpec {
    /// Where it listens; port 0 for any free one.
    pub address: SocketAddr,
    /// What clients have to know, if anything.
    pub password: Option<String>,
}

impl fmt::Debug for VncSpec {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VncSpec").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A text that says no display.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDisplayError {
    /// Something else than what there is.
    #[error(
        "not a display: write none or vnc=[ADDRESS:]PORT[,password=TEXT|,password-file=FILE]; without an address it is for this host only"
    )]
    Unknown,
    /// A password that the protocol would cut.
    #[error("a VNC password has 1 to 8 bytes")]
    Password,
    /// A file that cannot be read.
    #[error("cannot read the file with the VNC password: {0}")]
    File(String),
}

impl VncSpec {
    /// Whether other hosts can connect.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        !self.address.ip().is_loopback()
    }
}

impl FromStr for DisplaySpec {
    type Err = ParseDisplayError;

    fn from_str(text: &str) -> Result<Self, ParseDisplayError> {
        if text == "none" {
            return Ok(Self::None);
        }
        let rest = text.strip_prefix("vnc=").ok_or(ParseDisplayError::Unknown)?;
        let (address, option) = match rest.split_once(',') {
            Some((address, option)) => (address, Some(option)),
            None => (rest, None),
        };
        let password = option.map(read_password).transpose()?;
        Ok(Self::Vnc(VncSpec { address: parse_tcp(address).ok_or(ParseDisplayError::Unknown)?, password }))
    }
}

fn read_password(option: &str) -> Result<String, ParseDisplayError> {
    let password = match option.split_once('=') {
        Some(("password", text)) => text.to_owned(),
        Some(("password-file", path)) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| ParseDisplayError::File(error.to_string()))?;
            text.lines().next().unwrap_or_default().to_owned()
        }
        Some(_) | None => return Err(ParseDisplayError::Unknown),
    };
    if (1..=PASSWORD_BYTES).contains(&password.len()) {
        Ok(password)
    } else {
        Err(ParseDisplayError::Password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_are_read() {
        assert_eq!("none".parse(), Ok(DisplaySpec::None));
        let vnc = |address: &str, password: Option<&str>| {
            let (address, password) = (address.parse().unwrap(), password.map(str::to_owned));
            Ok(DisplaySpec::Vnc(VncSpec { address, password }))
        };
        assert_eq!("vnc=5901".parse(), vnc("127.0.0.1:5901", None));
        assert_eq!("vnc=:0".parse(), vnc("127.0.0.1:0", None));
        assert_eq!("vnc=0.0.0.0:5900,password=a=b".parse(), vnc("0.0.0.0:5900", Some("a=b")));
        assert_eq!("vnc=[::1]:5900".parse(), vnc("[::1]:5900", None));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "sdl", "vnc", "vnc=", "vnc=x", "vnc=99999", "vnc=1,x=y", "vnc=1,password"] {
            assert_eq!(text.parse::<DisplaySpec>(), Err(ParseDisplayError::Unknown), "{text:?}");
        }
        for text in ["vnc=1,password=", "vnc=1,password=123456789"] {
            assert_eq!(text.parse::<DisplaySpec>(), Err(ParseDisplayError::Password), "{text:?}");
        }
        assert!("vnc=1,password-file=/no/such/file".parse::<DisplaySpec>().is_err());
    }
}
