//! Following a recording whose positions were not counted, by its landmarks.
//!
//! Where user code did something under KVM that it does not do here, the run is lost, which a landmark without a place or a
//! digest shows. It goes on from the next state that the recording has.

use std::io::{Read, Seek};
use std::sync::Arc;

use rrvmm_devices::Input;
use rrvmm_replay::journal::{Body, Entry};
use rrvmm_replay::timeline::DriveError;
use rrvmm_replay::{
    EndReason, JournalError, JournalReader, MachineDigest, Position, Seam, Stamp, Steppable, Unrecorded,
    VirtualTime, codec,
};
use rrvmm_tcg::core::Rings;

use super::SessionError;
use super::setup::Setup;
use crate::accel::{self, CpuChoice, TcgEngine};
use crate::disk::Disks;
use crate::host::image::Image;
use crate::landmark::Landmark;
use crate::machine::{Arrival, Part, PcMachine, Snapshot, parts};

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
        "event {number} of the recording ({place}, at {stamp}) has no place in the replay: {missed}, up to {now}. Something that user code did under KVM is not what the translator does (docs/determinism.md lists what can be)"
    )]
    NoPlace {
        /// The event.
        number: u64,
        /// Its landmark, for people.
        place: String,
        /// Its moment as recorded.
        stamp: Stamp,
        /// What the replay has there instead.
        missed: String,
        /// Where the replay was.
        now: Stamp,
    },
    /// The state at a place is another.
    #[error(
        "at event {number} of the recording ({place}) the replay's state differs: {what}. Something that user code did under KVM is not what the translator does (docs/determinism.md lists what can be)"
    )]
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

/// A stretch of a run that no replay of it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last digest before it: up to there the replay is the run.
    pub since: Stamp,
    /// When the run goes on, in a state that the recording has; nowhere, if it has none later.
    pub to: Option<VirtualTime>,
    /// What showed that the replay was not the run any more.
    pub why: String,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the replay is not sure to be the run from {} ", self.since)?;
        match self.to {
            Some(to) => write!(f, "to {to}, where it goes on with a state of the recording: ")?,
            None => f.write_str("on, and ends: ")?,
        }
        f.write_str(&self.why)
    }
}

/// The machine of `raw` at power-on, its user code run by KVM or not. `images` of its disks, by number, are for what the recording
/// does not have itself.
pub(super) fn machine_of<R: Read + Seek + Send + 'static>(
    raw: &mut JournalReader<R>,
    engine: TcgEngine,
    kvm: bool,
    images: &[Arc<Image>],
) -> Result<(Setup, PcMachine), ResolveError> {
    let setup = Setup::of_recording(raw)?;
    let mut machine = setup.build(CpuChoice { engine, model: setup.cpu, kvm })?;
    machine.follow_landmarks();
    if !setup.disks.is_empty() {
        machine.attach(Disks::of_recording(&setup.disks, raw.blocks(), images));
    }
    raw.rewind(0)?;
    Ok((setup, machine))
}

/// A machine on its way along a recording, and the boundary that it crosses.
pub(super) struct Follower<S> {
    pub(super) machine: PcMachine,
    pub(super) seam: S,
    mark: Option<Landmark>,
    /// The machine as the recording last had it whole, and parts of what it was next.
    state: Snapshot,
    good: Good,
    pub(super) gaps: Vec<Gap>,
    /// How often a place was looked for again by the translator alone.
    pub(super) again: u64,
    /// How the run ended, once it has.
    pub(super) end: Option<EndReason>,
}

/// The last place where the machine's digest was as recorded.
struct Good {
    at: Stamp,
    snapshot: Snapshot,
    crossings: Rings,
    /// What it was told since, and where.
    since: Vec<(Option<Landmark>, Entry)>,
}

impl<S: Seam<Input = Input, Offer = Input>> Follower<S> {
    /// With `machine` at power-on.
    pub(super) fn new(mut machine: PcMachine, seam: S) -> Self {
        let snapshot = machine.save();
        let (at, crossings) = (machine.now(), machine.crossings());
        let good = Good { at, snapshot: snapshot.clone(), crossings, since: Vec::new() };
        Self { machine, seam, mark: None, state: snapshot, good, gaps: Vec::new(), again: 0, end: None }
    }

    fn is_lost(&self) -> bool {
        self.gaps.last().is_some_and(|gap| gap.to.is_none())
    }

    /// Goes on to `entry`, and has it happen.
    pub(super) fn take(&mut self, entry: Entry) -> Result<(), ResolveError> {
        match &entry.body {
            Body::Landmark(place) => {
                self.mark = Some(Landmark::decode(place).map_err(JournalError::Codec)?);
                Ok(())
            }
            Body::State(part) => self.take_state(entry.stamp, part),
            // The recorder had lost the machine's state. What goes before stays, cut off here.
            Body::End { reason: EndReason::EngineFault, .. } => Ok(()),
            Body::End { .. } if self.is_lost() => self.end_lost(),
            Body::Input { .. } | Body::Digest(_) if self.is_lost() => Ok(()),
            Body::Input { .. } | Body::Digest(_) | Body::End { .. } => match self.follow_surely(&entry) {
                Err(why @ (ResolveError::NoPlace { .. } | ResolveError::State { .. })) => {
                    self.lose(&why)?;
                    if matches!(entry.body, Body::End { .. }) { self.end_lost() } else { Ok(()) }
                }
                done => done,
            },
        }
    }

    /// As [`Follower::follow`], and again in the way that takes longest if that was not right.
    fn follow_surely(&mut self, entry: &Entry) -> Result<(), ResolveError> {
        match self.follow(entry) {
            Err(ResolveError::NoPlace { .. } | ResolveError::State { .. }) if self.may_be_surer() => {
                self.again += 1;
                let mark = self.mark.clone();
                self.surely(|this| {
                    this.go_back()?;
                    this.mark = mark;
                    this.follow(entry)
                })
            }
            done => done,
        }
    }

    /// Does `what` with the translator looking for each place from the beginning.
    fn surely(
        &mut self,
        what: impl FnOnce(&mut Self) -> Result<(), ResolveError>,
    ) -> Result<(), ResolveError> {
        self.machine.be_sure(true);
        let done = what(self);
        self.machine.be_sure(false);
        done
    }

    /// Whether something faster than the translator may have led astray: KVM, or a counter's word.
    fn may_be_surer(&self) -> bool {
        let counted =
            |mark: &Option<Landmark>| mark.as_ref().is_some_and(|mark| mark.least().instructions > 0);
        self.machine.engine() == accel::KVM
            || counted(&self.mark)
            || self.good.since.iter().any(|(mark, _)| counted(mark))
    }

    /// Goes to an event's place, and has it happen.
    fn follow(&mut self, entry: &Entry) -> Result<(), ResolveError> {
        let flags = self.arrive(entry)?;
        match &entry.body {
            Body::Input { payload, .. } => {
                self.keep_flags(flags)?;
                let input: Input = codec::from_bytes(payload).map_err(JournalError::Codec)?;
                self.admit(input)?;
                self.good.since.push((self.mark.clone(), entry.clone()));
            }
            Body::Digest(expected) => {
                let actual = self.machine.digest();
                self.check(entry.number, expected, &actual)?;
                self.keep_flags(flags)?;
                self.seam.digest(self.machine.now(), &actual).map_err(SessionError::from)?;
                self.is_good();
            }
            Body::End { reason, digest } => {
                self.keep_flags(flags)?;
                if reason.is_the_guests() {
                    // The guest ends its run in the instruction after this place at the latest.
                    let next = Position::from_count(self.machine.now().position.count() + 1);
                    self.machine.run_until(next).map_err(DriveError::Machine).map_err(SessionError::from)?;
                }
                let actual = self.machine.digest();
                self.check(entry.number, digest, &actual)?;
                self.seam.end(self.machine.now(), *reason, &actual).map_err(SessionError::from)?;
                self.end = Some(*reason);
            }
            Body::Landmark(_) | Body::State(_) => {}
        }
        Ok(())
    }

    /// Has the flags that the machine was given in the new recording.
    fn keep_flags(&mut self, flags: Option<u64>) -> Result<(), SessionError> {
        if let Some(value) = flags {
            self.seam.admit(Input::Flags { value }, self.machine.now())?;
        }
        Ok(())
    }

    fn admit(&mut self, input: Input) -> Result<(), SessionError> {
        let input = self.seam.admit(input, self.machine.now())?;
        Ok(self.machine.admit(input).map_err(DriveError::Machine)?)
    }

    /// The machine is as recorded.
    fn is_good(&mut self) {
        let (snapshot, crossings) = (self.machine.save(), self.machine.crossings());
        self.good = Good { at: self.machine.now(), snapshot, crossings, since: Vec::new() };
    }

    /// The run was lost for the reason `why`: goes back to where it was last told something.
    fn lose(&mut self, why: &ResolveError) -> Result<(), ResolveError> {
        self.surely(Self::go_back)?;
        self.good.since.clear();
        self.gaps.push(Gap { since: self.good.at, to: None, why: why.to_string() });
        Ok(())
    }

    /// Goes from where the digest was right to where the machine was last told something.
    fn go_back(&mut self) -> Result<(), ResolveError> {
        self.machine.restore(&self.good.snapshot);
        self.machine.set_crossings(self.good.crossings);
        let mut past = Unrecorded::new();
        for (mark, entry) in self.good.since.clone() {
            let Body::Input { payload, .. } = &entry.body else { continue };
            self.mark = mark;
            self.arrive(&entry)?;
            let input: Input = codec::from_bytes(payload).map_err(JournalError::Codec)?;
            let input = past.admit(input, self.machine.now()).map_err(SessionError::from)?;
            self.machine.admit(input).map_err(DriveError::Machine).map_err(SessionError::from)?;
        }
        Ok(())
    }

    /// Takes a part of the state that the recorder's machine had at the last digest; goes on from there once it is whole, if
    /// the run was lost.
    fn take_state(&mut self, stamp: Stamp, part: &[u8]) -> Result<(), ResolveError> {
        let part: Part = codec::from_bytes(part).map_err(JournalError::Codec)?;
        let machine = |error| SessionError::from(DriveError::Machine(error));
        if !self.state.take(part).map_err(machine)? || !self.is_lost() {
            return Ok(());
        }
        let Some(gap) = self.gaps.last_mut() else { return Ok(()) };
        gap.to = Some(stamp.time);
        let what = gap.to_string();
        let here = self.machine.save();
        for part in parts(&here, &self.state).map_err(JournalError::Codec)? {
            self.admit(Input::State { what: what.clone(), part })?;
        }
        if let Some(mark) = &self.mark {
            self.machine.is_at(mark);
        }
        self.is_good();
        Ok(())
    }

    /// The run has ended, and it is not known how it came there.
    fn end_lost(&mut self) -> Result<(), ResolveError> {
        if let Some(gap) = self.gaps.last() {
            let (what, part) = (gap.to_string(), codec::to_bytes(&Part::Ram(Vec::new())));
            self.admit(Input::State { what, part: part.map_err(JournalError::Codec)? })?;
        }
        let digest = self.machine.digest();
        let now = self.machine.now();
        self.end = Some(EndReason::EngineFault);
        Ok(self.seam.end(now, EndReason::EngineFault, &digest).map_err(SessionError::from)?)
    }

    fn place(&self) -> String {
        self.mark.as_ref().map_or_else(|| "power-on".to_owned(), |mark| mark.to_string())
    }

    /// Goes to the place of `entry`, and gives the machine the flags that it had there, if they are others: which are they?
    fn arrive(&mut self, entry: &Entry) -> Result<Option<u64>, ResolveError> {
        let Some(mark) = self.mark.clone() else { return Ok(None) };
        let Entry { number, stamp, .. } = *entry;
        let arrival = self.machine.go_to(&mark, stamp.time).map_err(DriveError::Machine);
        let missed = match arrival.map_err(SessionError::from)? {
            Arrival::There | Arrival::Ended(_) if self.machine.now().time == stamp.time => {
                let flags = self.machine.undefined_at(&mark);
                flags.into_iter().for_each(|flags| self.machine.set_flags(flags));
                return Ok(flags);
            }
            Arrival::There => "its time there is another".to_owned(),
            Arrival::Ended(reason) => format!("the replay ends: {reason}"),
            Arrival::Passed(missed) => missed.to_string(),
        };
        Err(ResolveError::NoPlace { number, place: self.place(), stamp, missed, now: self.machine.now() })
    }

    fn check(
        &self,
        number: u64,
        expected: &MachineDigest,
        actual: &MachineDigest,
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
