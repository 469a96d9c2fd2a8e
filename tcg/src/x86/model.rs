//! Which CPU the guest sees. The names are fixed: what one of them means never changes.

use serde::{Deserialize, Serialize};

/// A CPU model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    /// `rrvmm-x86-v1`: everything the translator has.
    #[default]
    V1,
    /// `rrvmm-x86-kvm-v1`: what a host's CPU can run user code of, so that nobody can tell which of both ran it. Beside the
    /// first model it announces neither TSC (with deadline timer, adjustment and frequency) nor XSAVE, and its x87 keeps no
    /// pointers to the last instruction.
    KvmV1,
}

impl Model {
    /// All of them.
    pub const ALL: [Model; 2] = [Model::V1, Model::KvmV1];

    /// Its name in manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Model::V1 => "rrvmm-x86-v1",
            Model::KvmV1 => "rrvmm-x86-kvm-v1",
        }
    }

    /// Whether its x87 keeps address and opcode of the last instruction. Hosts differ in that.
    #[must_use]
    pub const fn has_x87_pointers(self) -> bool {
        matches!(self, Model::V1)
    }

    /// Whether it has XSAVE, and CR4.OSXSAVE with it.
    #[must_use]
    pub const fn has_xsave(self) -> bool {
        matches!(self, Model::V1)
    }

    /// The model of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Model> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }
}
