//! Why a host backend does not work.

use super::ConsoleSpec;
use std::io;
use std::net::SocketAddr;
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
    /// A TCP port cannot be had.
    #[error("cannot listen on {address} for a console; choose another port")]
    ListenTcp {
        /// Where.
        address: SocketAddr,
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
    /// VNC clients cannot be served.
    #[error(
        "cannot listen for VNC clients on {address}; choose another port with --display vnc=[ADDRESS:]PORT"
    )]
    Vnc {
        /// Where.
        address: SocketAddr,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// The way for keys and pointer into a session cannot be made.
    #[error("the host gives no sockets for keys and pointer")]
    Inputs(#[source] io::Error),
    /// No randomness.
    #[error("the host gives no random bytes from /dev/urandom")]
    Random(#[source] io::Error),
    /// The host refuses what a network needs.
    #[error("the host gives no network")]
    Network(#[source] io::Error),
    /// Nobody is at the other end of a network.
    #[error("cannot connect to the socket {path}; start what is to listen there first, or use --net user")]
    Connect {
        /// Path of the socket.
        path: PathBuf,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// passt cannot be started.
    #[error(
        "passt cannot be started; install it (Debian's package passt), or use --net unix=PATH or --net tap=NAME"
    )]
    NoPasst(#[source] io::Error),
    /// passt has ended, or does not listen.
    #[error("passt does not work; it said: {said:?}")]
    PasstFailed {
        /// Its last words.
        said: String,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// No tap interface.
    #[error(
        "cannot attach to the tap interface {name}; it needs to be made for this user first: ip tuntap add {name} mode tap user $USER"
    )]
    Tap {
        /// Name of the interface.
        name: String,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// Signals cannot be caught.
    #[error("signals cannot be caught")]
    Signals(#[source] io::Error),
}
