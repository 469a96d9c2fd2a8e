use rrvmm_replay::timeline::DriveError;
use rrvmm_replay::{JournalError, SeamError};

use crate::machine::{BuildError, MachineError};
use crate::session::SessionError;

/// Why a recording cannot be explored, or not any further.
#[derive(Debug, thiserror::Error)]
pub enum ExploreError {
    /// The recording, or the replay of it.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Its machine.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl From<JournalError> for ExploreError {
    fn from(error: JournalError) -> Self {
        SessionError::from(error).into()
    }
}

impl From<SeamError> for ExploreError {
    fn from(error: SeamError) -> Self {
        SessionError::from(error).into()
    }
}

impl From<DriveError<MachineError>> for ExploreError {
    fn from(error: DriveError<MachineError>) -> Self {
        SessionError::from(error).into()
    }
}
