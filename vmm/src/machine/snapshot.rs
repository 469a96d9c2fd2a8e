//! The whole machine as a value that is cheap to make, to keep and to go back to: what did not change is shared.

use super::{OutputDigest, PcMachine, clock::Clock};
use crate::{accel::Accelerator, pages::Pages};
use rrvmm_devices::{Pc, PcConfig, PcState};
use rrvmm_replay::EndReason;
use rrvmm_tcg::x86::{self, engine::Translations};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is known of RAM without looking at it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// RAM as it was last saved or restored.
    known: Pages,
    /// Pages written since.
    unsaved: Vec<usize>,
    /// Pages written since the last trace or restore, any number of times.
    pub traced: Vec<usize>,
}

impl Memory {
    /// Takes note of what was written.
    pub fn follow(&mut self, accel: &mut dyn Accelerator) {
        let written = accel.take_written();
        self.unsaved.extend_from_slice(&written);
        self.traced.extend_from_slice(&written);
    }

    fn save(&mut self, accel: &mut dyn Accelerator) -> Pages {
        self.follow(accel);
        for page in self.unsaved.drain(..) {
            self.known.set(page, accel.page(page));
        }
        self.known.clone()
    }

    fn restore(&mut self, accel: &mut dyn Accelerator, pages: &Pages) {
        self.follow(accel);
        self.unsaved.extend(self.known.differing(pages));
        for page in self.unsaved.drain(..) {
            if page < accel.pages() {
                accel.set_page(page, pages.get(page));
            }
        }
        self.known = pages.clone();
        // What was just written is known.
        accel.take_written();
        self.traced.clear();
    }
}

/// Everything of a machine but its RAM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CoreState {
    pub(super) cpu: x86::State,
    pub(super) board: PcState,
    pub(super) clock: Clock,
    pub(super) nmi: bool,
    pub(super) ended: Option<EndReason>,
    pub(super) output_digest: OutputDigest,
}

impl CoreState {
    /// Whether it can be that of a machine of `config`.
    #[must_use]
    pub fn fits(&self, config: &PcConfig) -> bool {
        Pc::new(config).load(&self.board).is_ok()
    }
}

/// The whole machine as plain data. Copies share what is big.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) core: Arc<CoreState>,
    pub(super) pages: Pages,
    /// What the guest has written to its disks, by their numbers.
    pub(super) disks: Vec<Pages>,
    /// Only of use in the process that made them; without them the machine must be at a digest, which drops them.
    pub(super) translations: Option<Arc<Translations>>,
}

impl Snapshot {
    /// Of a machine that comes to a digest, which drops what its CPU remembers of the page tables. `core` fits the machine.
    #[must_use]
    pub fn at_digest(core: CoreState, pages: Pages, disks: Vec<Pages>) -> Self {
        Self { core: Arc::new(core), pages, disks, translations: None }
    }

    /// Everything but RAM.
    #[must_use]
    pub fn core(&self) -> &CoreState {
        &self.core
    }

    /// RAM.
    #[must_use]
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// What the guest has written to its disks, by their numbers.
    #[must_use]
    pub fn disks(&self) -> &[Pages] {
        &self.disks
    }

    /// Bytes of host memory that it takes and `beside` does not already take.
    #[must_use]
    pub fn weight(&self, beside: Option<&Snapshot>) -> usize {
        let translations = self.translations.as_ref().map_or(0, |t| t.weight());
        let disk = |(n, disk): (usize, &Pages)| disk.weight(beside.and_then(|other| other.disks.get(n)));
        let disks: usize = self.disks.iter().enumerate().map(disk).sum();
        size_of::<CoreState>() + translations + self.pages.weight(beside.map(|other| &other.pages)) + disks
    }
}

impl PcMachine {
    /// The machine's state; takes the time of what was written since the last save or restore.
    pub(super) fn take_snapshot(&mut self) -> Snapshot {
        let core = CoreState {
            cpu: self.accel.save(),
            board: self.board.save(),
            clock: self.clock,
            nmi: self.nmi,
            ended: self.ended,
            output_digest: self.output_digest,
        };
        Snapshot {
            core: Arc::new(core),
            pages: self.memory.save(&mut *self.accel),
            disks: self.disks.save(),
            translations: Some(Arc::new(self.accel.translations())),
        }
    }

    /// Everything but RAM and disks becomes as `core` says; what the CPU remembers of the page tables is forgotten. Nothing
    /// happens if it is of another machine.
    pub(super) fn become_core(&mut self, core: &CoreState) -> Result<(), ()> {
        self.board.load(&core.board).map_err(|_| ())?;
        self.clock.restore(core.clock);
        (self.nmi, self.ended, self.output_digest) = (core.nmi, core.ended, core.output_digest);
        // What this forgets is restored after it.
        self.follow_chipset();
        self.accel.load(&core.cpu);
        Ok(())
    }

    /// Puts the machine into a saved state; takes the time of what differs.
    pub(super) fn return_to(&mut self, state: &Snapshot) {
        self.memory.restore(&mut *self.accel, &state.pages);
        self.disks.restore(&state.disks);
        self.become_core(&state.core).expect("a snapshot of this very board fits it");
        self.outputs.clear();
        if let Some(translations) = &state.translations {
            self.accel.set_translations(translations);
        }
        // Nothing has run here yet.
        self.accel.take_executed();
        self.accel.take_linear_writes();
        self.accel.take_accesses();
    }
}
