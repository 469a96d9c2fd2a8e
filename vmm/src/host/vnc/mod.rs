//! The screen over the network: a server of the RFB protocol (RFC 6143), version 3.8 and before.
//!
//! Every client has two threads of its own. One reads what it sends and gives keys and pointer to the machine, if the session takes any;
//! the other sends it pictures as fast as it asks for them. The machine's thread draws a picture only when somebody waits for one,
//! and never waits for a client.

mod auth;
mod client;
mod encode;
mod keysym;
mod pixels;
mod protocol;
mod screen;
mod spec;
#[cfg(test)]
mod tests;

use super::HostError;
use super::inputs::InputSender;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

pub use screen::Screen;
pub use spec::{DisplaySpec, ParseDisplayError, VncSpec};

/// Most clients at a time.
const MOST_CLIENTS: usize = 16;

/// A server that is listening. Its clients stay as long as the process.
#[derive(Debug)]
pub struct VncServer {
    address: SocketAddr,
    screen: Arc<Screen>,
    inputs: Inputs,
}

/// Where keys and pointer go; nowhere while a recording is replayed.
type Inputs = Arc<Mutex<Option<InputSender>>>;

impl VncServer {
    /// Shows a screen to whoever connects; what clients type and point at goes nowhere yet.
    ///
    /// # Errors
    /// The address is taken or is not this host's.
    pub fn listen(spec: &VncSpec) -> Result<Self, HostError> {
        let failed = |source| HostError::Vnc { address: spec.address, source };
        let listener = TcpListener::bind(spec.address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let password = spec.password.clone().map(Arc::<str>::from);
        let (screen, inputs) = (Arc::<Screen>::default(), Inputs::default());
        let server = Self { address, screen: Arc::clone(&screen), inputs: Arc::clone(&inputs) };
        thread::spawn(move || accept(&listener, &screen, &inputs, password.as_ref()));
        Ok(server)
    }

    /// The screen that it shows.
    #[must_use]
    pub fn screen(&self) -> Arc<Screen> {
        Arc::clone(&self.screen)
    }

    /// Gives what clients type and point at to `inputs` from now on.
    pub fn seat(&self, inputs: InputSender) {
        *self.inputs.lock().unwrap_or_else(PoisonError::into_inner) = Some(inputs);
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn accept(listener: &TcpListener, screen: &Arc<Screen>, inputs: &Inputs, password: Option<&Arc<str>>) {
    let count = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // Too many open files, or a client that went at once: neither is the end.
            Err(_) => {
                thread::sleep(std::time::Duration::from_millis(50));
                continue;
            }
        };
        if count.fetch_add(1, Ordering::Relaxed) >= MOST_CLIENTS {
            count.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (screen, inputs, password) = (Arc::clone(screen), Arc::clone(inputs), password.cloned());
        let count = Arc::clone(&count);
        thread::spawn(move || {
            // However it ended, it concerns nobody else.
            let _: io::Result<()> = client::serve(stream, &screen, inputs, password.as_deref());
            count.fetch_sub(1, Ordering::Relaxed);
        });
    }
}
