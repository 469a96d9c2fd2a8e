/// Where a timeline keeps checkpoints, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Bytes that all checkpoints may take together, as [`Steppable::weight`](super::Steppable::weight) counts them. The
    /// first one stays even so.
    pub budget: usize,
    /// Distance of checkpoints on a long way, in instructions: what a seek to anywhere costs at most, budget permitting.
    pub stride: u64,
    /// The same on the way of [`run`](super::Timeline::run), whose end is not known before: what the first step back costs.
    pub trail: u64,
    /// Distances before a position where somebody stops, in instructions, ascending: they make steps back from there cheap.
    pub near: Vec<u64>,
    /// Instructions of a way that a checkpoint from the [`Shelf`](super::Shelf) must save to be worth its loading.
    pub worth_loading: u64,
}

/// A checkpoint between neighbours that are nearer to each other than this part of the distance from the present is one
/// too many.
const DENSITY: u64 = 8;

impl Policy {
    /// No checkpoints but those asked for with [`checkpoint`](super::Timeline::checkpoint).
    #[must_use]
    pub fn by_hand() -> Self {
        Self {
            budget: usize::MAX,
            stride: u64::MAX,
            trail: u64::MAX,
            near: Vec::new(),
            worth_loading: 1 << 26,
        }
    }

    /// How far apart a checkpoint's neighbours may be, at `distance` from the present, for it to be needless.
    pub(super) fn needless_gap(&self, distance: u64) -> u64 {
        let nearest = self.near.first().copied().unwrap_or(0);
        (distance / DENSITY).max(nearest).min(self.stride)
    }

    /// Whether it lays checkpoints by itself.
    pub(super) fn is_automatic(&self) -> bool {
        self.stride != u64::MAX || self.trail != u64::MAX || !self.near.is_empty()
    }
}

impl Default for Policy {
    /// For a machine that runs some hundred million instructions a second and saves pages written since its last save.
    fn default() -> Self {
        Self {
            budget: 1 << 30,
            stride: 1 << 24,
            trail: 1 << 22,
            near: vec![1 << 12, 1 << 15, 1 << 18, 1 << 21, 1 << 24],
            worth_loading: 1 << 26,
        }
    }
}
