use std::io::Write;

use rrvmm_devices::Input;
use rrvmm_replay::journal::Entry;
use rrvmm_replay::seam::DigestSchedule;
use rrvmm_replay::timeline::DriveError;
use rrvmm_replay::{JournalError, JournalWriter, Recorder, Seam, Unrecorded};

use super::attendant::Aides;
use super::drive::drive;
use super::host::Host;
use super::setup::{Setup, attachments};
use super::{Machine, Options, Outcome, SessionError, writing};

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
    run_from(machine, Start::PowerOn { wall_clock }, host, options, Aides::default())
}

/// Runs `machine`, which is where `start` says, without a recording.
///
/// # Errors
/// The machine or the host fails.
pub fn run_from<M, H>(
    machine: &mut M,
    start: Start,
    host: &mut H,
    options: &Options,
    aides: Aides<'_, M>,
) -> Result<Outcome, SessionError>
where
    M: Machine,
    M::Error: std::error::Error + Send + Sync + 'static,
    H: Host<Offer = Input>,
{
    let mut seam = Unrecorded::new();
    match start {
        Start::PowerOn { wall_clock } => power_on(machine, &mut seam, wall_clock)?,
        Start::Midway(_) => {}
    }
    drive(machine, &mut seam, host, options, aides)
}

/// Runs `machine`, which is at power-on and built from `setup`, and records the run into `out`.
///
/// `out`, which should be buffered, is written by another thread; it is flushed about once a second, and what was flushed stays
/// replayable whatever happens next. It is given back for the caller to sync. `engine` is the engine's name, for the manifest.
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
    W: Write + Send,
{
    let start = Start::PowerOn { wall_clock };
    record_from(machine, setup, engine, out, start, host, options, Aides::default())
}

/// As [`record`], for a machine that is where `start` says. The recording is of the whole run, from power-on.
///
/// # Errors
/// As [`record`].
#[expect(clippy::too_many_arguments, reason = "each is a thing of its own")]
pub fn record_from<M, H, W>(
    machine: &mut M,
    setup: &Setup,
    engine: &str,
    out: W,
    start: Start,
    host: &mut H,
    options: &Options,
    aides: Aides<'_, M>,
) -> Result<(Outcome, W), SessionError>
where
    M: Machine,
    M::Error: std::error::Error + Send + Sync + 'static,
    H: Host<Offer = Input>,
    W: Write + Send,
{
    let files = setup.files();
    let mut manifest = setup.manifest(engine)?;
    if let Start::Midway(_) = start {
        manifest.config["live_from"] = machine.now().position.count().into();
    }
    let journal = JournalWriter::create::<Input>(out, manifest, &attachments(&files))?;
    let (outcome, written) = writing::beside(journal, |desk| {
        let mut seam = Recorder::new(desk, DigestSchedule::default());
        if let Some(disks) = machine.first_reads() {
            seam.embed(disks);
        }
        match start {
            Start::PowerOn { wall_clock } => {
                if options.states.is_some() {
                    // Nothing has changed before that.
                    machine.state_parts().map_err(DriveError::Machine)?;
                }
                power_on(machine, &mut seam, wall_clock)?;
            }
            Start::Midway(past) => {
                for event in past {
                    seam.take_over(&event?)?;
                }
            }
        }
        drive(machine, &mut seam, host, options, aides)
    });
    // What went wrong first is the one to report.
    Ok((outcome?, written?))
}

/// Where a machine is when its session begins.
pub enum Start {
    /// At power-on; its clock is set to this, in seconds since 1970-01-01 00:00:00 UTC.
    PowerOn {
        /// The time.
        wall_clock: i64,
    },
    /// Somewhere in a run that was recorded, which is the past of the run that follows.
    Midway(Past),
}

/// The events that a machine has had, from power-on, in order.
pub type Past = Box<dyn Iterator<Item = Result<Entry, JournalError>>>;

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
