//! What clients are told without having asked.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rrvmm_replay::EndReason;
use serde_json::{Value, json};

use super::outbox::Outbox;
use crate::host::wall_clock_precise;

/// How long the end of a session waits for clients to read the last lines.
const FAREWELL: Duration = Duration::from_millis(300);

/// Tells every client that listens.
#[derive(Debug, Default)]
pub struct Events {
    listeners: Mutex<Vec<Outbox>>,
}

impl Events {
    /// Somebody listens from now on.
    pub(super) fn add(&self, listener: Outbox) {
        let mut listeners = self.listeners();
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(listener);
    }

    /// The machine runs on.
    pub fn resumed(&self) {
        self.tell("RESUME", None);
    }

    /// The machine stands.
    pub fn stopped(&self) {
        self.tell("STOP", None);
    }

    /// The run has ended: by the guest, or for this reason of the host's.
    pub fn shut_down(&self, guest: bool, reason: &str) {
        self.tell("SHUTDOWN", Some(json!({"guest": guest, "reason": reason})));
    }

    /// The run has ended for `reason`.
    pub fn ended(&self, reason: EndReason) {
        self.shut_down(reason.is_the_guests(), reason_name(reason));
    }

    /// Waits a moment for clients to get what they have been told.
    pub fn settle(&self) {
        let listeners = std::mem::take(&mut *self.listeners());
        for listener in listeners {
            listener.settle(FAREWELL);
        }
    }

    fn tell(&self, event: &str, data: Option<Value>) {
        let (seconds, microseconds) = wall_clock_precise();
        let mut message = json!({
            "event": event,
            "timestamp": {"seconds": seconds, "microseconds": microseconds},
        });
        if let Some(data) = data {
            message["data"] = data;
        }
        let line = message.to_string();
        // One that does not read is cut off: nobody waits for it.
        self.listeners().retain(|listener| listener.offer(line.clone()));
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Outbox>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a run as QMP's `ShutdownCause` has it.
fn reason_name(reason: EndReason) -> &'static str {
    match reason {
        EndReason::PowerOff | EndReason::DebugExit { .. } => "guest-shutdown",
        EndReason::Reset => "guest-reset",
        EndReason::TripleFault | EndReason::HaltedForever => "guest-panic",
        EndReason::Quit | EndReason::Timeout | EndReason::Until => "host-qmp-quit",
        EndReason::Signal => "host-signal",
        EndReason::EngineFault => "host-error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_have_the_names_of_qmp() {
        assert_eq!(reason_name(EndReason::Reset), "guest-reset");
    }
}
