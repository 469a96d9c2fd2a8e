//! A recording whose positions were not counted, run once by who counts: the recording that comes of it has them.

use std::io::{Read, Seek, Write};
use std::sync::Arc;

use rrvmm_replay::seam::DigestSchedule;
use rrvmm_replay::{Digest, JournalReader, JournalWriter, Manifest, Recorder};

use super::Machine;
use super::follow::{Follower, Gap, ResolveError, machine_of};
use super::setup::attachments;
use crate::accel::{self, TcgEngine};
use crate::host::image::Image;

/// Name in the manifest's configuration of what a resolved recording is of: the digest of the other's manifest and end.
const RESOLVED: &str = "resolved_from";

/// Whether positions in a recording with this manifest are still to be counted.
pub fn is_unresolved(manifest: &Manifest) -> bool {
    manifest.engine == accel::KVM && manifest.config.get(RESOLVED).is_none()
}

/// Whether `resolved` is what [`resolve`] has made of `raw`.
pub fn is_of<R: Read + Seek, S: Read + Seek>(resolved: &JournalReader<R>, raw: &JournalReader<S>) -> bool {
    let name = resolved.manifest().config.get(RESOLVED).and_then(|value| value.as_str());
    name.is_some_and(|name| name == identity(raw))
}

fn identity<R: Read + Seek>(raw: &JournalReader<R>) -> String {
    let summary = raw.summary();
    let manifest = serde_json::to_vec(raw.manifest()).unwrap_or_default();
    let digest = summary.digest.map(|(_, digest)| digest.combined().to_string());
    let what = format!("{:?} {digest:?} {}", summary.last, summary.landmarks);
    Digest::of(&[&manifest[..], what.as_bytes()].concat()).to_string()
}

/// Runs `raw` in the translator and writes the same run with positions to `out`; where it could not be found again, a later
/// state of the recording takes its place, and these gaps are given back. `progress` hears the number of each event.
///
/// # Errors
/// Something cannot be read or written, or the machine not be built.
pub fn resolve<R, W>(
    mut raw: JournalReader<R>,
    engine: TcgEngine,
    images: &[Arc<Image>],
    out: W,
    mut progress: impl FnMut(u64),
) -> Result<(W, Vec<Gap>), ResolveError>
where
    R: Read + Seek + Send + 'static,
    W: Write,
{
    let (setup, mut machine) = machine_of(&mut raw, engine, false, images)?;
    let mut manifest = raw.manifest().clone();
    manifest.config[RESOLVED] = identity(&raw).into();
    let files = setup.files();
    let journal = JournalWriter::create::<rrvmm_devices::Input>(out, manifest, &attachments(&files))?;
    let mut seam = Recorder::new(journal, DigestSchedule::NEVER);
    if let Some(disks) = machine.first_reads() {
        seam.embed(disks);
    }
    let mut follower = Follower::new(machine, seam);
    while let Some(entry) = raw.next_entry()? {
        progress(entry.number);
        follower.take(entry)?;
    }
    Ok((follower.seam.finish()?, follower.gaps))
}
