//! How far a long replay has come: a bar on a terminal, now and then a line elsewhere.

use super::output::grouped;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rrvmm::host::Stopwatch;
use rrvmm::tell;
use rrvmm_replay::Position;
use std::io::IsTerminal;
use std::time::Duration;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    total: u64,
    unit: &'static str,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Stopwatch },
    Nothing,
}

impl Progress {
    /// Progress towards `total`; shown only if `wanted`, that is if the guest's console does not use the terminal.
    pub(super) fn towards(total: Position, wanted: bool) -> Self {
        Self::through(total.count(), "instructions", wanted)
    }

    /// Progress through `total` pieces of what `unit` says.
    pub(super) fn through(total: u64, unit: &'static str, wanted: bool) -> Self {
        let shown = if !wanted {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = "{bar:40} {percent}% of {human_len} {msg}, {human_pos} so far, {per_sec}, {eta} left";
            bar.set_message(unit);
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            Shown::Bar(bar)
        } else {
            Shown::Lines { last: Stopwatch::start() }
        };
        Self { total, unit, shown }
    }

    /// The replay has come to `position`.
    pub(super) fn at(&mut self, position: Position) {
        self.reach(position.count());
    }

    /// So many pieces are done.
    pub(super) fn reach(&mut self, done: u64) {
        match &mut self.shown {
            Shown::Bar(bar) => bar.set_position(done),
            Shown::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Stopwatch::start();
                tell!("rrvmm: {} of {} {}", grouped(done), grouped(self.total), self.unit);
            }
            Shown::Lines { .. } | Shown::Nothing => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(self) {
        if let Shown::Bar(bar) = self.shown {
            bar.finish_and_clear();
        }
    }
}
