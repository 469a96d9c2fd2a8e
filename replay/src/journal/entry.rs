use serde::{Deserialize, Serialize};

use crate::digest::MachineDigest;
use crate::end::EndReason;
use crate::time::Stamp;

/// One recorded event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the recording, from 0.
    pub number: u64,
    /// When it happened.
    pub stamp: Stamp,
    /// What happened.
    pub body: Body,
}

/// What an event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// An input arrived.
    Input {
        /// The source: the channel's name.
        source: String,
        /// The input's encoding, see [`codec`](crate::codec).
        payload: Vec<u8>,
    },
    /// The machine had this digest.
    Digest(MachineDigest),
    /// The machine was at this place, which its recorder had no count for; encoded by the program that assembles it.
    Landmark(Vec<u8>),
    /// A part of the machine's state where the digest before it was taken, encoded likewise. A replay that has lost the run
    /// can go on from there.
    State(Vec<u8>),
    /// The run ended.
    End {
        /// Why.
        reason: EndReason,
        /// Digest of the machine there.
        digest: MachineDigest,
    },
}

/// What the channel `end` carries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EndPayload {
    pub(crate) reason: EndReason,
    pub(crate) digest: MachineDigest,
}
