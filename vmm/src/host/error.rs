//! Why a host backend does not work.

use super::ConsoleSpec;
use std::io;
use std::path::PathBuf;

/// Why a host backend does not work.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Two consoles on standard input and output.
    #[error(
        "two consoles cannot share standard input and output; give one of them another place, for example pty or file=F"
    )]
    StdioTwice,
    /// A file for console output cannot be made.
    #[error("cannot create {path} for console output; check the directory and its permissions")]
    CreateFile {
        /// The file.
        path: PathBuf,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// No pseudo terminal.
    #[error("the host gives no pseudo terminal; check that /dev/pts is mounted and not used up")]
    Pty(#[source] io::Error),
    /// A socket cannot be made.
    #[error(
        "cannot listen on the socket {path}; choose a path in a writable directory that is shorter than 108 bytes"
    )]
    Listen {
        /// Path of the socket.
        path: PathBuf,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// A socket's path is taken.
    #[error("{path} exists and {what}; choose another path or remove it")]
    SocketTaken {
        /// Path of the socket.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// The terminal cannot be put into raw mode or read.
    #[error("the terminal on standard input does not work")]
    Terminal(#[source] io::Error),
    /// Console output cannot be written.
    #[error("console output to {to} failed")]
    Write {
        /// Where it goes.
        to: ConsoleSpec,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// Input cannot be read.
    #[error("console input from {from} failed")]
    Read {
        /// Where it comes from.
        from: ConsoleSpec,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// Waiting for input failed.
    #[error("waiting for the host failed")]
    Wait(#[source] io::Error),
    /// Signals cannot be caught.
    #[error("signals cannot be caught")]
    Signals(#[source] io::Error),
}
