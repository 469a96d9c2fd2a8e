//! `--display`: the screen for VNC clients.

use rrvmm::explore::Handle;
use rrvmm::host::HostError;
use rrvmm::host::vnc::{DisplaySpec, VncServer};
use rrvmm::tell;
use std::thread;
use std::time::Duration;

/// How often it is looked whether a client wants a picture of an explored recording.
const LOOK: Duration = Duration::from_millis(15);

/// Opens the display, and says where it is.
pub(super) fn open(spec: &DisplaySpec) -> Result<Option<VncServer>, HostError> {
    let DisplaySpec::Vnc(spec) = spec else { return Ok(None) };
    let server = VncServer::listen(spec)?;
    tell!("rrvmm: VNC clients find the screen at {}", server.address());
    if spec.is_exposed() {
        let warning = match spec.password {
            Some(_) => "the password is all that keeps other hosts out, and nothing is encrypted",
            None => "whoever reaches it sees the guest and types into it; vnc=PORT is for this host only",
        };
        tell!("rrvmm: warning: {warning}");
    }
    Ok(Some(server))
}

/// Draws the screen of an explored recording for whoever watches, until the session is over.
pub(super) fn show(server: &VncServer, handle: Handle) {
    let screen = server.screen();
    thread::spawn(move || {
        loop {
            if screen.is_wanted() {
                let shown = handle.ask(|explorer| (explorer.frame(), explorer.keyboard_leds()));
                let Ok((frame, leds)) = shown else { return };
                screen.put(frame, leds);
            }
            thread::sleep(LOOK);
        }
    });
}
