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
    total: Position,
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
        let shown = if !wanted {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(total.count()), ProgressDrawTarget::stderr());
            let style =
                "{bar:40} {percent}% of {human_len} instructions, {human_pos} so far, {per_sec}, {eta} left";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            Shown::Bar(bar)
        } else {
            Shown::Lines { last: Stopwatch::start() }
        };
        Self { total, shown }
    }

    /// The replay has come to `position`.
    pub(super) fn at(&mut self, position: Position) {
        match &mut self.shown {
            Shown::Bar(bar) => bar.set_position(position.count()),
            Shown::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Stopwatch::start();
                let (done, total) = (grouped(position.count()), grouped(self.total.count()));
                tell!("rrvmm: {done} of {total} instructions");
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
