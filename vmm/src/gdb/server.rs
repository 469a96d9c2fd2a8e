//! Waiting for one gdb after the other.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::GdbAddress;
use super::session::{self, Left};
use super::stream::Stream;
use crate::explore::Handle;
use crate::host::{HostError, listen_unix};
use crate::tell;

/// Why gdb cannot be waited for.
#[derive(Debug, thiserror::Error)]
pub enum GdbError {
    /// The port.
    #[error("cannot listen on {address} for gdb; choose another port")]
    Listen {
        /// Where.
        address: GdbAddress,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// The Unix socket.
    #[error(transparent)]
    Socket(#[from] HostError),
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Listener::Tcp(listener) => Stream::Tcp(listener.accept()?.0),
            Listener::Unix(listener) => Stream::Unix(listener.accept()?.0),
        })
    }
}

/// A place at which gdb can connect. Dropped, it takes its socket file away.
pub struct Bound {
    listener: Option<Listener>,
    address: GdbAddress,
    path: Option<PathBuf>,
}

impl Bound {
    /// Takes the address; nobody is served yet.
    ///
    /// # Errors
    /// It is taken, or the host refuses.
    pub fn new(address: &GdbAddress) -> Result<Self, GdbError> {
        let failed = |source| GdbError::Listen { address: address.clone(), source };
        Ok(match address {
            GdbAddress::Tcp(wanted) => {
                let listener = TcpListener::bind(wanted).map_err(failed)?;
                let address = GdbAddress::Tcp(listener.local_addr().map_err(failed)?);
                Self { listener: Some(Listener::Tcp(listener)), address, path: None }
            }
            GdbAddress::Unix(path) => {
                let listener = Listener::Unix(listen_unix(path)?);
                Self { listener: Some(listener), address: address.clone(), path: Some(path.clone()) }
            }
        })
    }

    /// Where it is, the port filled in.
    #[must_use]
    pub fn address(&self) -> &GdbAddress {
        &self.address
    }

    /// Serves gdbs from now on, one at a time, on threads of its own. One that kills its target ends the session.
    pub fn serve(&mut self, handle: Handle) {
        let Some(listener) = self.listener.take() else { return };
        let name = self.address.to_string();
        thread::spawn(move || accept(&listener, &name, &handle));
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // If it is gone already, that was the aim.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn accept(listener: &Listener, name: &str, handle: &Handle) {
    let busy = Arc::new(AtomicBool::new(false));
    loop {
        let stream = match listener.accept() {
            Ok(stream) => stream,
            Err(error) => {
                tell!("rrvmm: cannot take a connection on {name}: {error}");
                // Out of descriptors, most likely: others may give some back.
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if busy.swap(true, Ordering::AcqRel) {
            tell!("rrvmm: a second gdb on {name} is refused: one is connected already");
            stream.close();
            continue;
        }
        let (busy, handle) = (Arc::clone(&busy), handle.clone());
        thread::spawn(move || {
            serve_one(&stream, &handle);
            busy.store(false, Ordering::Release);
        });
    }
}

fn serve_one(stream: &Stream, handle: &Handle) {
    // Whatever comes over the connection must not end more than the connection.
    let served = catch_unwind(AssertUnwindSafe(|| session::serve(stream, handle)));
    stream.close();
    match served {
        Ok(Ok(Left::Killed)) => return handle.quit(),
        Ok(Ok(Left::Detached)) => {}
        Ok(Err(error)) => tell!("rrvmm: this gdb is not served any longer: {error}"),
        Err(_) => tell!("rrvmm: this gdb is not served any longer: it sent what no gdb sends"),
    }
    // If the session is over, there is nothing to leave.
    let _ = handle.ask(|explorer| explorer.return_to_recording());
}
