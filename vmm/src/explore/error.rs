use rrvmm_replay::JournalError;
use rrvmm_replay::timeline::DriveError;

use super::machine::ExploredError;
use crate::machine::BuildError;
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

impl From<DriveError<ExploredError>> for ExploreError {
    fn from(error: DriveError<ExploredError>) -> Self {
        SessionError::from(error).into()
    }
}
