//! A listening socket as a console, for one client at a time: a Unix socket or a TCP port.

use super::HostError;
use super::sink::Sink;
use rustix::fs::Mode;
use rustix::process::umask;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The socket and its client, shared by the console's two directions.
#[derive(Clone, Debug)]
pub(super) struct SocketConsole(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    listener: Listener,
    client: Mutex<Option<Stream>>,
}

#[derive(Debug)]
enum Listener {
    /// With the path that goes when it goes.
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Listener {
    /// The client that waits, if there is one.
    fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(stream))
            }
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix(listener, _) => listener.as_fd(),
            Listener::Tcp(listener) => listener.as_fd(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tcp(stream) => stream.write(bytes),
        }
    }
}

impl SocketConsole {
    /// Listens on `path`. What is left there of a process that is no more is replaced.
    pub(super) fn listen(path: &Path) -> Result<Self, HostError> {
        let listener = listen_unix(path)?;
        listener
            .set_nonblocking(true)
            .map_err(|source| HostError::Listen { path: path.to_owned(), source })?;
        Ok(Self::new(Listener::Unix(listener, path.to_owned())))
    }

    /// Listens on a TCP port, and says for console `number` which that is.
    pub(super) fn listen_tcp(number: usize, address: SocketAddr) -> Result<Self, HostError> {
        let failed = |source| HostError::ListenTcp { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        crate::tell!("rrvmm: console {number} is at {bound}");
        if !bound.ip().is_loopback() {
            crate::tell!(
                "rrvmm: warning: whoever reaches it can use the console; tcp=PORT is for this host only"
            );
        }
        Ok(Self::new(Listener::Tcp(listener)))
    }

    fn new(listener: Listener) -> Self {
        Self(Arc::new(Shared { listener, client: Mutex::new(None) }))
    }

    /// What becomes readable when a client comes or types.
    pub(super) fn wait_fd(&self) -> io::Result<OwnedFd> {
        match self.client().as_ref() {
            Some(client) => client.as_fd().try_clone_to_owned(),
            None => self.0.listener.as_fd().try_clone_to_owned(),
        }
    }

    /// Reads what the client has typed, without waiting; 0 bytes if there is nothing or nobody.
    pub(super) fn read(&self, buffer: &mut [u8]) -> usize {
        let mut client = self.client();
        let Some(stream) = client.as_mut() else { return 0 };
        match stream.read(buffer) {
            Ok(0) => *client = None,
            Ok(length) => return length,
            Err(error) if is_temporary(&error) => {}
            Err(_) => *client = None,
        }
        0
    }

    /// The client; one that waits at the door is let in first.
    fn client(&self) -> MutexGuard<'_, Option<Stream>> {
        let mut client = self.0.client.lock().unwrap_or_else(PoisonError::into_inner);
        if client.is_none()
            && let Ok(stream) = self.0.listener.accept()
        {
            *client = Some(stream);
        }
        client
    }
}

/// Listens on a Unix socket at `path` to which only this user can connect. What is left there of a process that is no
/// more is replaced.
///
/// # Errors
/// Something else is at `path`, or the host refuses.
pub fn listen_unix(path: &Path) -> Result<UnixListener, HostError> {
    remove_stale(path)?;
    // Made with its final mode, so that there is no moment at which others may connect.
    let before = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    listener.map_err(|source| HostError::Listen { path: path.to_owned(), source })
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn remove_stale(path: &Path) -> Result<(), HostError> {
    let Ok(there) = std::fs::symlink_metadata(path) else { return Ok(()) };
    let taken = |what| Err(HostError::SocketTaken { path: path.to_owned(), what });
    if !there.file_type().is_socket() {
        return taken("is not a socket");
    }
    if UnixStream::connect(path).is_ok() {
        return taken("another process listens there");
    }
    std::fs::remove_file(path).map_err(|source| HostError::Listen { path: path.to_owned(), source })
}

impl Sink for SocketConsole {
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut client = self.client();
        let Some(stream) = client.as_mut() else { return Err(io::ErrorKind::WouldBlock.into()) };
        match stream.write(bytes) {
            Err(error) if !is_temporary(&error) => {
                *client = None;
                Err(io::ErrorKind::WouldBlock.into())
            }
            other => other,
        }
    }

    fn with_fd(&mut self, wait: &mut dyn FnMut(Option<BorrowedFd<'_>>)) {
        wait(self.client().as_ref().map(AsFd::as_fd));
    }

    fn has_reader_for_certain(&self) -> bool {
        false
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = &self.listener {
            // If it is gone already, that was the aim.
            let _ = std::fs::remove_file(path);
        }
    }
}
