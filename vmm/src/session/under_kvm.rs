//! A recording made under KVM, replayed under KVM: by its landmarks, without positions.

use std::convert::Infallible;
use std::io::{Read, Seek};
use std::sync::Arc;

use rrvmm_replay::journal::{Cut, CutReason};
use rrvmm_replay::{JournalReader, Steppable, Unrecorded};

use super::follow::{Follower, Gap, ResolveError, machine_of};
use super::{Finish, FullPorts, Host, Machine, Outcome, Polled, SessionError};
use crate::accel::TcgEngine;
use crate::host::image::Image;
use crate::machine::PcMachine;

/// A replay that is over.
pub struct Replayed {
    /// The machine at its end.
    pub machine: PcMachine,
    /// How it ended. Its position is of no use: not all instructions were counted.
    pub outcome: Outcome,
    /// What of the run is not sure to be as recorded.
    pub gaps: Vec<Gap>,
    /// How often something was not as recorded and the translator alone tried again: KVM or a counter had gone too far.
    pub again: u64,
}

/// Runs `raw`, which was made under KVM, with its user code under KVM, and compares every digest in it. `engine` runs the kernel,
/// `images` are for what the recording does not have of its disks, `host` sees what the guest sends out, and `progress` hears the
/// number of each event.
///
/// # Errors
/// There is no KVM here, something cannot be read or shown, or the machine not be built.
pub fn replay_under_kvm<R, H>(
    mut raw: JournalReader<R>,
    engine: TcgEngine,
    images: &[Arc<Image>],
    host: &mut H,
    mut progress: impl FnMut(u64),
) -> Result<Replayed, ResolveError>
where
    R: Read + Seek + Send + 'static,
    H: Host<Offer = Infallible>,
{
    let (_, machine) = machine_of(&mut raw, engine, true, images)?;
    let mut follower = Follower::new(machine, Unrecorded::new());
    let mut stopped = None;
    let mut outputs = Vec::new();
    while let Some(entry) = raw.next_entry()? {
        progress(entry.number);
        follower.take(entry)?;
        follower.machine.take_outputs(&mut outputs);
        host.show(&outputs).map_err(SessionError::from)?;
        outputs.clear();
        if let Polled::Stop(reason) = host.poll(FullPorts::default()).map_err(SessionError::from)? {
            stopped = Some(Finish::Stopped(reason));
            break;
        }
    }
    let Follower { mut machine, gaps, again, end, .. } = follower;
    let cut = || {
        let known = raw.summary().cut.clone();
        Finish::Cut(known.unwrap_or(Cut { offset: 0, reason: CutReason::Unclosed }))
    };
    let finish = stopped.or(end.map(Finish::Ended)).unwrap_or_else(cut);
    let (at, digest) = (machine.now(), machine.digest());
    let outcome = Outcome { finish, at, digest, cpus: None };
    Ok(Replayed { machine, outcome, gaps, again })
}
