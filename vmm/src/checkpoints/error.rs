use std::io;
use std::path::PathBuf;

/// Why there are no checkpoints on disk (any more). A session goes on without them.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The host refuses.
    #[error("cannot use the checkpoints in {}; see to its permissions, or give --checkpoint-every none", .path.display())]
    Host {
        /// Their directory.
        path: PathBuf,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// No room.
    #[error("no room for checkpoints in {}; make room, or delete it: nothing but time is lost", .path.display())]
    Full {
        /// Their directory.
        path: PathBuf,
    },
    /// Another process has them open.
    #[error("the checkpoints in {} are in use by another rrvmm; when that has ended they can be used again", .path.display())]
    InUse {
        /// Their directory.
        path: PathBuf,
    },
    /// Of another recording.
    #[error("the checkpoints in {} are of another recording; delete it: nothing but time is lost", .path.display())]
    Foreign {
        /// Their directory.
        path: PathBuf,
    },
    /// Made by another version of this program.
    #[error("the checkpoints in {} are of another version of rrvmm; delete it: nothing but time is lost", .path.display())]
    Version {
        /// Their directory.
        path: PathBuf,
    },
    /// Not what was written.
    #[error("the checkpoints in {} are damaged ({what}); delete it: nothing but time is lost", .path.display())]
    Damaged {
        /// Their directory.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// What goes wrong inside the store, which does not know its name.
#[derive(Debug)]
pub(super) enum Fault {
    Database(redb::Error),
    Host(io::Error),
    Foreign,
    Version,
    Damaged(String),
}

impl Fault {
    pub(super) fn damaged(what: impl std::fmt::Display) -> Self {
        Fault::Damaged(what.to_string())
    }

    /// As an error about the checkpoints in `path`.
    pub(super) fn at(self, path: PathBuf) -> CheckpointError {
        match self {
            Fault::Database(redb::Error::Io(source)) | Fault::Host(source) => {
                match source.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        CheckpointError::Full { path }
                    }
                    // So the database says that a file is none of its own.
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                        CheckpointError::Damaged { path, what: source.to_string() }
                    }
                    _ => CheckpointError::Host { path, source },
                }
            }
            Fault::Database(redb::Error::DatabaseAlreadyOpen) => CheckpointError::InUse { path },
            Fault::Database(error) => CheckpointError::Damaged { path, what: error.to_string() },
            Fault::Foreign => CheckpointError::Foreign { path },
            Fault::Version => CheckpointError::Version { path },
            Fault::Damaged(what) => CheckpointError::Damaged { path, what },
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Fault::Database(error.into())
    }
}
