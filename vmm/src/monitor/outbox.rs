//! The way to a client, which may read slowly or not at all.

use std::io::{BufWriter, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::Duration;

/// Lines that may wait for a client to read.
const WAITING: usize = 256;

/// How long a client may leave the connection full before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

enum Item {
    Line(String),
    /// Everything before has been written.
    Settled(Sender<()>),
    /// Nothing more comes.
    End,
}

/// Lines for one client. Clones lead to the same one.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    items: SyncSender<Item>,
    line: Arc<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    is_closed: AtomicBool,
}

impl Connection {
    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Outbox {
    /// Writes to `stream` from a thread of its own.
    pub(super) fn open(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_write_timeout(Some(PATIENCE))?;
        let writer = stream.try_clone()?;
        let line = Arc::new(Connection { stream, is_closed: AtomicBool::new(false) });
        let (items, queue) = sync_channel(WAITING);
        let gone = Arc::clone(&line);
        thread::spawn(move || {
            write(writer, &queue);
            gone.close();
        });
        Ok(Self { items, line })
    }

    /// Sends a line; waits if many are waiting. False if the client has gone.
    pub(super) fn send(&self, line: String) -> bool {
        self.items.send(Item::Line(line)).is_ok()
    }

    /// Sends a line if that needs no waiting; else ends the connection. False if the client has gone.
    pub(super) fn offer(&self, line: String) -> bool {
        match self.items.try_send(Item::Line(line)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.line.close();
                false
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// Waits until the client has been sent everything, at most for `limit`.
    pub(super) fn settle(&self, limit: Duration) {
        let (settled, wait) = channel();
        if self.items.try_send(Item::Settled(settled)).is_ok() {
            // Too late or gone is the same: nobody waits longer.
            let _ = wait.recv_timeout(limit);
        }
    }

    /// Ends the connection.
    pub(super) fn close(&self) {
        self.line.close();
        // A writer with a full queue finds the connection closed.
        let _ = self.items.try_send(Item::End);
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.line.is_closed.load(Ordering::Relaxed)
    }
}

fn write(stream: UnixStream, queue: &Receiver<Item>) {
    let mut out = BufWriter::new(stream);
    for item in queue {
        match item {
            Item::Line(line) => {
                // QMP ends its lines so.
                let written = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\r\n"));
                if written.and_then(|()| out.flush()).is_err() {
                    return;
                }
            }
            Item::Settled(tell) => drop(tell.send(())),
            Item::End => return,
        }
    }
}
