use std::convert::Infallible;
use std::io::{Read, Seek};
use std::sync::Arc;

use rrvmm_devices::Input;
use rrvmm_replay::journal::{Body, Summary};
use rrvmm_replay::timeline::Shelf;
use rrvmm_replay::{JournalReader, Manifest, Replayer, codec};

use super::attendant::Aides;
use super::drive::drive;
use super::host::{Host, Nobody};
use super::setup::Setup;
use crate::accel::{CpuChoice, TcgEngine};
use crate::disk::Disks;
use crate::host::image::Image;
use crate::machine::{BuildError, PcMachine};

use super::{Machine, Options, Outcome, SessionError};

/// A recording that is open, with what its machine is built from.
pub struct Recording<R> {
    seam: Replayer<Input, R>,
    setup: Setup,
    wall_clock: i64,
    manifest: Manifest,
    summary: Summary,
}

impl<R: Read + Seek> Recording<R> {
    /// Opens a recording.
    ///
    /// # Errors
    /// It is not one, is damaged in its beginning or its files, or is of a machine that this rrvmm does not know.
    pub fn open(source: R) -> Result<Self, SessionError> {
        let mut journal = JournalReader::open(source)?;
        let setup = Setup::of_recording(&mut journal)?;
        let (manifest, summary) = (journal.manifest().clone(), journal.summary().clone());
        let wall_clock = wall_clock(&mut journal)?;
        Ok(Self { seam: Replayer::new(journal)?, setup, wall_clock, manifest, summary })
    }

    /// What its machine is built from.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Its machine at power-on, run by `engine`. `images` of its disks, by number, are for what it does not have itself.
    ///
    /// # Errors
    /// The machine cannot be built here.
    pub fn machine(&mut self, engine: TcgEngine, images: &[Arc<Image>]) -> Result<PcMachine, BuildError>
    where
        R: Send + 'static,
    {
        let mut machine = self.setup.build(CpuChoice { engine, model: self.setup.cpu, kvm: false })?;
        if !self.setup.disks.is_empty() {
            let blocks = self.seam.journal().blocks();
            machine.attach(Disks::of_recording(&self.setup.disks, blocks, images));
        }
        Ok(machine)
    }

    /// What its machine's clock was set to at power-on, in seconds since 1970-01-01 00:00:00 UTC.
    pub fn wall_clock(&self) -> i64 {
        self.wall_clock
    }

    /// What it is of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What it has.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The boundary of its replay, for a timeline.
    pub fn into_seam(self) -> Replayer<Input, R> {
        self.seam
    }
}

/// What the first event of a recording says.
fn wall_clock<R: Read + Seek>(journal: &mut JournalReader<R>) -> Result<i64, SessionError> {
    journal.rewind(0)?;
    let Some(Body::Input { payload, .. }) = journal.next_entry()?.map(|entry| entry.body) else {
        return Ok(0);
    };
    Ok(match codec::from_bytes(&payload) {
        Ok(Input::WallClock { unix_seconds }) => unix_seconds,
        // Not what this program writes; the replay will see whether it can be used.
        Ok(
            Input::Serial { .. }
            | Input::Key { .. }
            | Input::PowerButton
            | Input::Time { .. }
            | Input::State { .. }
            | Input::Flags { .. }
            | Input::Frame { .. }
            | Input::Pointer(_)
            | Input::Console { .. },
        )
        | Err(_) => 0,
    })
}

/// Replays `recording` on `machine`, which is at power-on and built from its [`setup`](Recording::setup).
///
/// The host only watches: no input of its own can reach the machine.
///
/// # Errors
/// The run is not the recorded one ([`SessionError::Divergence`]), or the machine, the host or the file fails.
pub fn replay<M, H, R>(
    machine: &mut M,
    recording: Recording<R>,
    host: &mut H,
    options: &Options,
) -> Result<Outcome, SessionError>
where
    M: Machine,
    M::Error: std::error::Error + Send + Sync + 'static,
    H: Host<Offer = Infallible>,
    R: Read + Seek,
{
    replay_with(machine, recording, host, options, None)
}

/// As [`replay`], with checkpoints on the way for `shelf`.
///
/// # Errors
/// As [`replay`].
pub fn replay_with<'a, M, H, R>(
    machine: &mut M,
    recording: Recording<R>,
    host: &mut H,
    options: &Options,
    shelf: Option<&'a mut (dyn Shelf<M::Snapshot> + 'a)>,
) -> Result<Outcome, SessionError>
where
    M: Machine + 'a,
    M::Error: std::error::Error + Send + Sync + 'static,
    H: Host<Offer = Infallible>,
    R: Read + Seek,
{
    replay_aided(machine, recording, host, options, Aides { shelf, attendant: None })
}

/// As [`replay`], with all who help.
///
/// # Errors
/// As [`replay`].
pub fn replay_aided<M, H, R>(
    machine: &mut M,
    recording: Recording<R>,
    host: &mut H,
    options: &Options,
    aides: Aides<'_, M>,
) -> Result<Outcome, SessionError>
where
    M: Machine,
    M::Error: std::error::Error + Send + Sync + 'static,
    H: Host<Offer = Infallible>,
    R: Read + Seek,
{
    let mut seam = recording.seam;
    drive(machine, &mut seam, host, options, aides)
}

/// Replays `recording` as [`replay`] does, for the sake of its digests alone.
///
/// # Errors
/// As [`replay`].
pub fn verify<M, R>(
    machine: &mut M,
    recording: Recording<R>,
    options: &Options,
) -> Result<Outcome, SessionError>
where
    M: Machine,
    M::Error: std::error::Error + Send + Sync + 'static,
    R: Read + Seek,
{
    replay(machine, recording, &mut Nobody::new(), options)
}
