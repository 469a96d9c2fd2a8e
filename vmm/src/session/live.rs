use std::io::Write;

use rrvmm_devices::Input;
use rrvmm_replay::seam::DigestSchedule;
use rrvmm_replay::timeline::{DriveError, Shelf};
use rrvmm_replay::{JournalWriter, Recorder, Seam, Unrecorded};

use super::drive::drive;
use super::host::Host;
use super::setup::{Setup, attachments};
use super::{Machine, Options, Outcome, SessionError};

/// Runs `machine`, which is at power-on, without a recording.
///
/// `wall_clock` is what the machine's clock is set to, in seconds since 1970-01-01 00:00:00 UTC.
///
/// # Errors
/// The machine or the host fails.
pub fn run<M, H>(
    machine: &mut M,
    wall_clock: i64,
    host: &mut H,
    options: &Options,
) -> Result<Outcome, SessionError>
where
    M: Machine,
    M::Error: std::error::Error + Send + Sync + 'static,
    H: Host<Offer = Input>,
{
    let mut seam = Unrecorded::new();
    power_on(machine, &mut seam, wall_clock)?;
    drive(machine, &mut seam, host, options, None)
}

/// Runs `machine`, which is at power-on and built from `setup`, and records the run into `out`.
///
/// `out` should be buffered; it is flushed about once a second, and what was flushed stays replayable whatever happens
/// next. It is given back for the caller to sync. `engine` is the engine's name, for the manifest.
///
/// # Errors
/// The machine, the host or `out` fails. The recording is then replayable up to the last flush.
pub fn record<M, H, W>(
    machine: &mut M,
    setup: &Setup,
    engine: &str,
    out: W,
    wall_clock: i64,
    host: &mut H,
    options: &Options,
) -> Result<(Outcome, W), SessionError>
where
    M: Machine,
    M::Error: std::error::Error + Send + Sync + 'static,
    H: Host<Offer = Input>,
    W: Write,
{
    record_with(machine, setup, engine, out, wall_clock, host, options, None)
}

/// As [`record`], with checkpoints on the way for `shelf`.
///
/// # Errors
/// As [`record`].
#[expect(clippy::too_many_arguments, reason = "each is a thing of its own")]
pub fn record_with<M, H, W>(
    machine: &mut M,
    setup: &Setup,
    engine: &str,
    out: W,
    wall_clock: i64,
    host: &mut H,
    options: &Options,
    shelf: Option<&mut dyn Shelf<M::Snapshot>>,
) -> Result<(Outcome, W), SessionError>
where
    M: Machine,
    M::Error: std::error::Error + Send + Sync + 'static,
    H: Host<Offer = Input>,
    W: Write,
{
    let files = setup.files();
    let journal = JournalWriter::create::<Input>(out, setup.manifest(engine)?, &attachments(&files))?;
    let mut seam = Recorder::new(journal, DigestSchedule::default());
    power_on(machine, &mut seam, wall_clock)?;
    match drive(machine, &mut seam, host, options, shelf) {
        Ok(outcome) => Ok((outcome, seam.finish()?)),
        Err(error) => {
            // Keep what there is; the first error is the one to report.
            let _ = seam.finish();
            Err(error)
        }
    }
}

/// What the machine is told before its first instruction.
fn power_on<M, S>(machine: &mut M, seam: &mut S, unix_seconds: i64) -> Result<(), SessionError>
where
    M: Machine,
    M::Error: std::error::Error + Send + Sync + 'static,
    S: Seam<Input = Input, Offer = Input>,
{
    let input = seam.admit(Input::WallClock { unix_seconds }, machine.now())?;
    machine.admit(input).map_err(DriveError::Machine)?;
    Ok(())
}
