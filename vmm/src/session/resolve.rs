//! A recording whose positions were not counted, run once by who counts: the recording that comes of it has them.

use std::io::{Read, Seek, Write};
use std::sync::Arc;

use rrvmm_devices::Input;
use rrvmm_replay::journal::{Body, Entry};
use rrvmm_replay::seam::DigestSchedule;
use rrvmm_replay::timeline::DriveError;
use rrvmm_replay::{
    Digest, EndReason, JournalError, JournalReader, JournalWriter, Manifest, Position, Recorder, Seam, Stamp,
    Steppable, codec,
};

use super::setup::{Setup, attachments};
use super::{Machine, SessionError};
use crate::accel::{self, CpuChoice, TcgEngine};
use crate::disk::Disks;
use crate::host::image::Image;
use crate::landmark::Landmark;
use crate::machine::{Arrival, PcMachine};

/// Name in the manifest's configuration of what a resolved recording is of: the digest of the other's manifest and end.
const RESOLVED: &str = "resolved_from";

/// Why a recording could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The recording cannot be used, or the new one not be written.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Its machine cannot be built.
    #[error(transparent)]
    Build(#[from] crate::machine::BuildError),
    /// A place was not found.
    #[error(
        "event {number} of the recording ({place}, at {stamp}) has no place in the replay, which was at {now}: something that user code did under KVM is not what the translator does (docs/determinism.md lists what can be)"
    )]
    NoPlace {
        /// The event.
        number: u64,
        /// Its landmark, for people.
        place: String,
        /// Its moment as recorded.
        stamp: Stamp,
        /// Where the replay was.
        now: Stamp,
    },
    /// The state at a place is another.
    #[error("at event {number} of the recording ({place}) the replay's state differs: {what}")]
    State {
        /// The event.
        number: u64,
        /// Its landmark, for people.
        place: String,
        /// The parts that differ.
        what: String,
    },
}

impl From<JournalError> for ResolveError {
    fn from(error: JournalError) -> Self {
        SessionError::from(error).into()
    }
}

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

/// Runs `raw` in the translator and writes the same run with positions to `out`. `progress` hears the number of each event.
///
/// # Errors
/// The run is not the recorded one, or something cannot be read or written.
pub fn resolve<R, W>(
    mut raw: JournalReader<R>,
    engine: TcgEngine,
    images: &[Arc<Image>],
    out: W,
    mut progress: impl FnMut(u64),
) -> Result<W, ResolveError>
where
    R: Read + Seek + 'static,
    W: Write,
{
    let setup = Setup::of_recording(&mut raw)?;
    let mut machine = setup.build(CpuChoice { engine, model: setup.cpu, kvm: false })?;
    machine.follow_landmarks();
    if !setup.disks.is_empty() {
        machine.attach(Disks::of_recording(&setup.disks, raw.blocks(), images));
    }
    let mut manifest = raw.manifest().clone();
    manifest.config[RESOLVED] = identity(&raw).into();
    let files = setup.files();
    let journal = JournalWriter::create::<Input>(out, manifest, &attachments(&files))?;
    let mut seam = Recorder::new(journal, DigestSchedule::NEVER);
    if let Some(disks) = machine.first_reads() {
        seam.embed(disks);
    }
    raw.rewind(0)?;
    let mut resolver = Resolver { machine, seam, mark: None };
    while let Some(entry) = raw.next_entry()? {
        progress(entry.number);
        resolver.take(entry)?;
    }
    Ok(resolver.seam.finish()?)
}

struct Resolver<W: Write> {
    machine: PcMachine,
    seam: Recorder<Input, JournalWriter<W>>,
    mark: Option<Landmark>,
}

impl<W: Write> Resolver<W> {
    fn take(&mut self, entry: Entry) -> Result<(), ResolveError> {
        let Entry { number, stamp, body } = entry;
        match body {
            Body::Landmark(place) => {
                self.mark = Some(Landmark::decode(&place).map_err(JournalError::Codec)?);
            }
            Body::Input { payload, .. } => {
                self.arrive(number, stamp)?;
                let input: Input = codec::from_bytes(&payload).map_err(JournalError::Codec)?;
                let now = self.machine.now();
                let input = self.seam.admit(input, now).map_err(SessionError::from)?;
                self.machine.admit(input).map_err(DriveError::Machine).map_err(SessionError::from)?;
            }
            Body::Digest(expected) => {
                self.arrive(number, stamp)?;
                let actual = self.machine.digest();
                self.check(number, &expected, &actual)?;
                self.seam.digest(self.machine.now(), &actual).map_err(SessionError::from)?;
            }
            // The recorder had lost the machine's state. What goes before stays, cut off here.
            Body::End { reason: EndReason::EngineFault, .. } => {}
            Body::End { reason, digest } => {
                self.arrive(number, stamp)?;
                if reason.is_the_guests() {
                    // The guest ends its run in the instruction after this place at the latest.
                    let next = Position::from_count(self.machine.now().position.count() + 1);
                    self.machine.run_until(next).map_err(DriveError::Machine).map_err(SessionError::from)?;
                }
                let actual = self.machine.digest();
                self.check(number, &digest, &actual)?;
                self.seam.end(self.machine.now(), reason, &actual).map_err(SessionError::from)?;
            }
        }
        Ok(())
    }

    fn place(&self) -> String {
        self.mark.as_ref().map_or_else(|| "power-on".to_owned(), |mark| mark.to_string())
    }

    fn arrive(&mut self, number: u64, stamp: Stamp) -> Result<(), ResolveError> {
        let Some(mark) = self.mark.clone() else { return Ok(()) };
        let arrival = self.machine.go_to(&mark, stamp.time).map_err(DriveError::Machine);
        match arrival.map_err(SessionError::from)? {
            Arrival::There | Arrival::Ended(_) if self.machine.now().time == stamp.time => Ok(()),
            Arrival::There | Arrival::Ended(_) | Arrival::Passed => {
                Err(ResolveError::NoPlace { number, place: self.place(), stamp, now: self.machine.now() })
            }
        }
    }

    fn check(
        &self,
        number: u64,
        expected: &rrvmm_replay::MachineDigest,
        actual: &rrvmm_replay::MachineDigest,
    ) -> Result<(), ResolveError> {
        if expected == actual {
            return Ok(());
        }
        Err(ResolveError::State {
            number,
            place: self.place(),
            what: expected.differing(actual).iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })
    }
}
