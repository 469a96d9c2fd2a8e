//! Which pages user code has written under KVM, asked no more often than pays.
//!
//! Whoever asks has KVM protect these pages from writes, to learn of the next, and each then costs a fault. A landmark has
//! room for a few. Where there are many more, as in a program that goes all over its memory, the next landmarks look at
//! the same pages again.

use crate::landmark::MOST_WRITTEN;

/// Most landmarks in a row that do without asking.
const LONGEST: u32 = 31;

/// What was written, as far as is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    /// The last answer, or as much of it as a landmark takes.
    pages: Vec<u64>,
    /// Landmarks without asking behind the last one with, and how many of them are left.
    pause: u32,
    left: u32,
}

impl Written {
    /// Pages for a landmark. `ask` tells all that were written since it was last called.
    pub(super) fn take(&mut self, ask: impl FnOnce() -> Vec<u64>) -> Vec<u64> {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            return self.pages.clone();
        }
        let mut pages = ask();
        self.pause = if pages.len() > MOST_WRITTEN { (2 * self.pause + 1).min(LONGEST) } else { 0 };
        self.left = self.pause;
        pages.truncate(MOST_WRITTEN);
        self.pages.clone_from(&pages);
        pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_each_time_while_a_landmark_has_room() {
        let mut written = Written::default();
        for n in 0..50 {
            assert_eq!(written.take(|| vec![n; MOST_WRITTEN]), vec![n; MOST_WRITTEN]);
        }
    }

    #[test]
    fn it_asks_ever_more_seldom_while_there_are_too_many_pages() {
        let (mut written, mut asked) = (Written::default(), Vec::new());
        for n in 0..100_u64 {
            let pages = written.take(|| {
                asked.push(n);
                vec![n; MOST_WRITTEN + 1]
            });
            assert_eq!(pages, vec![asked[asked.len() - 1]; MOST_WRITTEN]);
        }
        assert_eq!(asked, [0, 2, 6, 14, 30, 62, 94]);
    }

    #[test]
    fn it_asks_each_time_again_behind_an_answer_with_few() {
        let mut written = Written::default();
        written.take(|| vec![0; MOST_WRITTEN + 1]);
        assert_eq!(written.take(|| unreachable!()).len(), MOST_WRITTEN);
        for n in 1..5 {
            assert_eq!(written.take(|| vec![n]), [n]);
        }
    }
}
