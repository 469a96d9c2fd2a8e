use rrvmm_replay::timeline::DriveError;
use rrvmm_replay::{Divergence, JournalError, SeamError};

use crate::host::HostError;

/// Why a session failed. A guest that ends, in whatever way, is no failure: see [`Outcome`](super::Outcome).
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The recording cannot be written or read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The replay is not the recorded run.
    #[error(transparent)]
    Divergence(Box<Divergence>),
    /// The machine cannot go on.
    #[error("the machine cannot go on")]
    Machine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A host backend failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The manifest of a recording describes a machine that this rrvmm does not know.
    #[error("the recording is of a machine that this rrvmm cannot build: {0}; use a newer one")]
    UnknownMachine(String),
}

impl From<SeamError> for SessionError {
    fn from(error: SeamError) -> Self {
        match error {
            SeamError::Journal(error) => SessionError::Journal(error),
            SeamError::Divergence(divergence) => SessionError::Divergence(divergence),
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<DriveError<E>> for SessionError {
    fn from(error: DriveError<E>) -> Self {
        match error {
            DriveError::Seam(error) => error.into(),
            DriveError::Machine(error) => SessionError::Machine(Box::new(error)),
        }
    }
}
