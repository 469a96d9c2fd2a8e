//! Time as a value, the boundary every outside input crosses, the journal that keeps it, and the timeline over it.
//!
//! Nothing here knows a CPU, a device or the host: a machine is whatever implements [`timeline::Steppable`], an input
//! whatever implements [`Input`], and a file whatever is `Read`, `Write` or `Seek`.
#![forbid(unsafe_code)]

pub mod codec;
pub mod digest;
pub mod divergence;
pub mod end;
pub mod journal;
pub mod seam;
pub mod time;
pub mod timeline;

pub use digest::{Digest, Hasher, MachineDigest, Part};
pub use divergence::{Difference, Divergence};
pub use end::EndReason;
pub use journal::{JournalError, JournalReader, JournalWriter, Manifest};
pub use seam::{Admitted, Due, Input, Recorder, Replayer, Seam, SeamError, Unrecorded};
pub use time::{Position, Stamp, VirtualTime};
pub use timeline::{Steppable, Stop, Timeline};
