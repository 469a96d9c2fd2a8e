//! Waiting for clients.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use super::client;
use super::events::Events;
use super::outbox::Outbox;
use super::qmp::{self, Fault};
use super::subject::Subject;
use crate::host::{HostError, listen_unix};
use crate::tell;

/// Most clients at a time; each costs two threads.
const MOST_CLIENTS: usize = 16;

/// What the clients of a socket share.
pub(super) struct Monitor {
    subject: RwLock<Arc<dyn Subject>>,
    pub(super) events: Arc<Events>,
    clients: AtomicUsize,
}

impl Monitor {
    /// What there is to look at now.
    pub(super) fn subject(&self) -> Arc<dyn Subject> {
        Arc::clone(&self.subject.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A monitor socket. Dropped, it takes its file away.
pub struct Bound {
    listener: Option<UnixListener>,
    path: PathBuf,
    events: Arc<Events>,
    monitor: Option<Arc<Monitor>>,
}

impl Bound {
    /// Takes the path; nobody is served yet. Only this user can connect.
    ///
    /// # Errors
    /// It is taken, or the host refuses.
    pub fn new(path: &Path) -> Result<Self, HostError> {
        let listener = Some(listen_unix(path)?);
        Ok(Self { listener, path: path.to_owned(), events: Arc::default(), monitor: None })
    }

    /// Where the clients are told what happens.
    #[must_use]
    pub fn events(&self) -> Arc<Events> {
        Arc::clone(&self.events)
    }

    /// Serves clients from now on, on threads of its own; or, if it does already, shows them `subject` from now on.
    pub fn serve(&mut self, subject: Arc<dyn Subject>) {
        if let Some(monitor) = &self.monitor {
            *monitor.subject.write().unwrap_or_else(PoisonError::into_inner) = subject;
            return;
        }
        let Some(listener) = self.listener.take() else { return };
        let events = Arc::clone(&self.events);
        let monitor =
            Arc::new(Monitor { subject: RwLock::new(subject), events, clients: AtomicUsize::new(0) });
        self.monitor = Some(Arc::clone(&monitor));
        thread::spawn(move || accept(&listener, &monitor));
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.events.settle();
        // If it is gone already, that was the aim.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn accept(listener: &UnixListener, monitor: &Arc<Monitor>) {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                tell!("rrvmm: cannot take a connection on the monitor socket: {error}");
                // Out of descriptors, most likely: others may give some back.
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        // One that cannot be served finds its connection closed.
        let _ = admit(stream, monitor);
    }
}

fn admit(stream: UnixStream, monitor: &Arc<Monitor>) -> io::Result<()> {
    let outbox = Outbox::open(stream.try_clone()?)?;
    if monitor.clients.fetch_add(1, Ordering::AcqRel) >= MOST_CLIENTS {
        monitor.clients.fetch_sub(1, Ordering::AcqRel);
        let text = format!("{MOST_CLIENTS} clients are connected already; close one of them");
        outbox.send(qmp::reply(Err(Fault::Generic(text)), None));
        outbox.settle(Duration::from_millis(100));
        outbox.close();
        return Ok(());
    }
    let monitor = Arc::clone(monitor);
    thread::spawn(move || {
        // Whatever comes over the connection must not end more than the connection.
        let served = catch_unwind(AssertUnwindSafe(|| client::serve(stream, &outbox, &monitor)));
        if served.is_err() {
            tell!("rrvmm: a client of the monitor is not served any longer: its command failed badly");
        }
        outbox.close();
        monitor.clients.fetch_sub(1, Ordering::AcqRel);
    });
    Ok(())
}
