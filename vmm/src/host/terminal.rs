//! The terminal on standard input in raw mode, and its way back.

use super::HostError;
use rustix::termios::{OptionalActions, OutputModes, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal, stdin};
use std::sync::{Mutex, PoisonError};

/// The terminal's settings before raw mode, while it is in raw mode.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Gives the terminal on standard input back its settings, if it is in raw mode. For the panic hook; a [`RawTerminal`] does
/// it by itself when it goes.
pub fn restore_terminal() {
    let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(settings) = saved {
        // There is nobody left to tell if the terminal has gone.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &settings);
    }
}

/// The terminal on standard input is in raw mode while this exists.
#[derive(Debug)]
pub(super) struct RawTerminal(());

impl RawTerminal {
    /// Puts the terminal into raw mode; `None` if standard input is not a terminal.
    pub(super) fn enter() -> Result<Option<Self>, HostError> {
        if !stdin().is_terminal() {
            return Ok(None);
        }
        let failed = |error: rustix::io::Errno| HostError::Terminal(error.into());
        let before = tcgetattr(stdin()).map_err(failed)?;
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(before.clone());
        let terminal = Self(());
        set_raw(before).map_err(failed)?;
        Ok(Some(terminal))
    }

    /// Puts it into raw mode again, after somebody else had the terminal.
    pub(super) fn enter_again(&self) {
        let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(before) = saved {
            // If the terminal has gone, reading from it will say so.
            let _ = set_raw(before);
        }
    }
}

/// Output processing stays on, so that our own messages still start at the left margin.
fn set_raw(before: Termios) -> rustix::io::Result<()> {
    let mut raw = before;
    let output = raw.output_modes & OutputModes::OPOST;
    raw.make_raw();
    raw.output_modes |= output;
    tcsetattr(stdin(), OptionalActions::Now, &raw)
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore_terminal();
    }
}
