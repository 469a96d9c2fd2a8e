//! Living in a recording: one place for "where are we, go there, what is there", whoever asks.
//!
//! An [`Explorer`] owns the [`Timeline`] of a recording and lives on the machine's thread. Front ends (gdb, the monitor, the
//! command line) send it work through a [`Handle`], from any thread, and can interrupt a long motion through the
//! [`Ticket`] they got for it.
//!
//! Nothing a front end does changes the recorded run. Whoever writes to registers or memory is on a *diversion* from then
//! on: the machine runs on from the changed state by itself, without inputs, until someone goes back in time, goes to a
//! position or asks for the recording; then it is again where the diversion began.

mod changes;
mod command;
mod desk;
mod diversion;
mod error;
mod events;
mod heard;
mod inspect;
mod live;
mod machine;
mod motion;
mod parse;
mod queries;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

use std::io::{Read, Seek};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rrvmm_devices::{Input, Output};
use rrvmm_replay::journal::{Manifest, Summary};
use rrvmm_replay::timeline::Policy;
use rrvmm_replay::{JournalReader, Position, Replayer, Stamp, Steppable as _, Timeline};

use crate::accel::TcgEngine;
use crate::checkpoints::{CheckpointError, Checkpoints};
use crate::host::image::Image;
use crate::machine::PcMachine;
use crate::session::{Recording, Setup};

pub use command::{Answer, HELP};
pub use desk::{Desk, Gone, Handle, Ticket};
pub use error::ExploreError;
pub use live::Departure;
pub use machine::Explored;
pub use motion::Halt;
pub use parse::{parse_address, parse_position, parse_range};
pub use queries::{Accessed, Occurrence, Written};

use desk::Progress;
use diversion::Diversion;

/// Where a recording is read from.
pub trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// The timeline that an [`Explorer`] moves on.
pub type RecordedTimeline = Timeline<Explored, Replayer<Input, Box<dyn Source>>>;

/// Where an [`Explorer`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The moment. On a diversion it counts on from where that began.
    pub now: Stamp,
    /// Where the diversion began, if this is one.
    pub diverged_at: Option<Stamp>,
    /// Where the recording ends.
    pub end: Stamp,
}

/// A recording and where one is in it.
pub struct Explorer {
    timeline: RecordedTimeline,
    /// Of the same recording, for its events: the timeline's own reader must stay where it is.
    journal: JournalReader<Box<dyn Source>>,
    setup: Setup,
    wall_clock: i64,
    checkpoints: Option<Checkpoints>,
    manifest: Manifest,
    summary: Summary,
    diversion: Option<Diversion>,
    notices: Vec<String>,
    progress: Arc<Progress>,
}

impl Explorer {
    /// Opens a recording at its beginning. `source` and `again` are two readers of the same file.
    ///
    /// # Errors
    /// It is not a recording, is damaged in its beginning or its files, or its machine cannot be built here.
    pub fn open(
        source: Box<dyn Source>,
        again: Box<dyn Source>,
        engine: TcgEngine,
    ) -> Result<Self, ExploreError> {
        Self::open_with(source, again, engine, &[])
    }

    /// As [`Explorer::open`]. `images` of its disks, by number, are for what the recording does not have itself.
    ///
    /// # Errors
    /// As [`Explorer::open`].
    pub fn open_with(
        source: Box<dyn Source>,
        again: Box<dyn Source>,
        engine: TcgEngine,
        images: &[Arc<Image>],
    ) -> Result<Self, ExploreError> {
        let mut recording = Recording::open(source)?;
        let journal = JournalReader::open(again)?;
        let setup = recording.setup().clone();
        let (manifest, summary) = (recording.manifest().clone(), recording.summary().clone());
        let machine = recording.machine(engine, images)?;
        let progress = Arc::new(Progress::default());
        let wall_clock = recording.wall_clock();
        // Less than what RAM takes would leave no checkpoint but the first.
        let default = Policy::default();
        let budget = usize::try_from(setup.pc.memory_bytes).unwrap_or(usize::MAX).saturating_mul(2);
        let policy = Policy { budget: budget.max(default.budget), ..default };
        let mut timeline = Timeline::with_policy(Explored::new(machine), recording.into_seam(), policy);
        let asked = Arc::clone(&progress);
        timeline.interrupt_by(Box::new(move |position| {
            asked.reached(position);
            asked.is_interrupted()
        }));
        Ok(Self {
            timeline,
            journal,
            setup,
            wall_clock,
            checkpoints: None,
            manifest,
            summary,
            diversion: None,
            notices: Vec::new(),
            progress,
        })
    }

    /// Uses the checkpoints in `directory`, and adds to them where they are `every` apart.
    pub fn use_checkpoints(&mut self, directory: PathBuf, every: Option<Duration>) {
        let checkpoints = Checkpoints::open(directory, &self.setup, self.wall_clock, every);
        self.timeline.use_shelf(Box::new(checkpoints.shelf()));
        self.checkpoints = Some(checkpoints);
    }

    /// What has gone wrong with the checkpoints, once.
    pub fn take_trouble(&mut self) -> Option<CheckpointError> {
        self.checkpoints.as_ref().and_then(Checkpoints::trouble)
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            now: self.timeline.machine().now(),
            diverged_at: self.diversion.as_ref().map(Diversion::began),
            end: self.summary.last,
        }
    }

    /// Instructions completed.
    #[must_use]
    pub fn position(&self) -> Position {
        self.timeline.machine().now().position
    }

    /// What the machine was built from.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What the recording is of.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the recording has.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The timeline, for what the explorer has no words for. Not while on a diversion.
    pub fn timeline(&mut self) -> Option<&mut RecordedTimeline> {
        self.diversion.is_none().then_some(&mut self.timeline)
    }

    /// What the guest has sent out since the last call, at moments to which nobody had come before. Never twice, however
    /// often one goes back; nothing from a diversion.
    pub fn take_outputs(&mut self, outputs: &mut Vec<Output>) {
        self.timeline.machine_mut().take_fresh(outputs);
    }

    /// What the user must know, since the last call: diversions begun and ended.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Whether whoever ordered the work in hand no longer wants it.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.progress.is_interrupted()
    }

    fn machine(&self) -> &PcMachine {
        self.timeline.machine().inner()
    }

    fn machine_mut(&mut self) -> &mut PcMachine {
        self.timeline.machine_mut().inner_mut()
    }
}
