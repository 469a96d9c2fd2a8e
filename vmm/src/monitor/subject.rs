//! What a monitor looks at and steers.

use std::path::PathBuf;

use rrvmm_devices::Input;
use rrvmm_devices::vga::Frame;
use rrvmm_replay::Position;

use crate::session::Event;

/// Why a session does not do what it was asked; for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Refused {
    /// An error and what caused it, in one line.
    pub(super) fn because(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            let cause = error.to_string();
            if !text.ends_with(&cause) {
                text.push_str(": ");
                text.push_str(&cause);
            }
            source = error.source();
        }
        Self(text)
    }
}

impl From<crate::explore::Gone> for Refused {
    fn from(gone: crate::explore::Gone) -> Self {
        Self::because(&gone)
    }
}

/// What the machine is doing; the names are QMP's `RunState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It runs.
    Running,
    /// Somebody stopped it.
    Paused,
    /// It stopped where it was told to.
    Debug,
    /// The run has ended.
    Shutdown,
    /// It cannot go on.
    InternalError,
}

impl Status {
    /// As QMP calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Debug => "debug",
            Status::Shutdown => "shutdown",
            Status::InternalError => "internal-error",
        }
    }
}

/// What becomes of the run; the names are QMP's `ReplayMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is neither recorded nor replayed.
    None,
    /// It is recorded.
    Record,
    /// It is replayed.
    Play,
}

impl Mode {
    /// As QMP calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::None => "none",
            Mode::Record => "record",
            Mode::Play => "play",
        }
    }
}

/// Where a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What becomes of the run.
    pub mode: Mode,
    /// The recording, if there is one.
    pub recording: Option<PathBuf>,
    /// Instructions completed.
    pub position: Position,
    /// Where the recording ends, if it has one.
    pub end: Option<Position>,
}

/// Which recorded events are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter {
    /// First position.
    pub from: Position,
    /// Last position.
    pub to: Position,
    /// Source or kind, if only one is wanted: `serial0`, `digest`…
    pub device: Option<String>,
    /// Most events that are given.
    pub most: usize,
}

/// A session as a monitor sees it, from any thread.
pub trait Subject: Send + Sync {
    /// What the machine is doing. Never waits.
    fn status(&self) -> Status;

    /// Where it is. Never waits long.
    fn place(&self) -> Place;

    /// Stops the machine, and returns when it stands.
    ///
    /// # Errors
    /// The session is over.
    fn stop(&self) -> Result<(), Refused>;

    /// Lets the machine run on.
    ///
    /// # Errors
    /// It cannot.
    fn cont(&self) -> Result<(), Refused>;

    /// Goes to a position, past or future, and stands there.
    ///
    /// # Errors
    /// There is no such position, or it was interrupted; or this is not a recording.
    fn seek(&self, to: Position) -> Result<(), Refused>;

    /// Says where the machine stops when it runs there, or that it no longer does.
    ///
    /// # Errors
    /// This session has no place to stop at.
    fn stop_at(&self, at: Option<Position>) -> Result<(), Refused>;

    /// The events so far, in order.
    ///
    /// # Errors
    /// They cannot be read.
    fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, Refused>;

    /// Everything in the CPU that has a name, for people.
    ///
    /// # Errors
    /// The session is over.
    fn registers(&self) -> Result<String, Refused>;

    /// Gives the machine a key or the pointer.
    ///
    /// # Errors
    /// The session is over, or is a replay, which nothing of this host reaches.
    fn input(&self, input: Input) -> Result<(), Refused>;

    /// What the screen shows.
    ///
    /// # Errors
    /// The session is over.
    fn frame(&self) -> Result<Frame, Refused>;

    /// Keeps what there is at this moment, and says what that was.
    ///
    /// # Errors
    /// It cannot be kept.
    fn checkpoint(&self) -> Result<String, Refused>;

    /// Goes live from here, recorded into `output` if given, and says what happens now.
    ///
    /// # Errors
    /// This is live already, or the run has ended here.
    fn live(&self, output: Option<PathBuf>) -> Result<String, Refused>;

    /// Any other command for people.
    ///
    /// # Errors
    /// There is no such command, or it went wrong.
    fn command(&self, line: &str) -> Result<String, Refused>;

    /// What [`command`](Self::command) understands, one line each.
    fn help(&self) -> &'static str;

    /// Ends the session, without waiting for that.
    fn quit(&self);
}
