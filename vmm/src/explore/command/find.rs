//! Searches of the run, for people.

use std::fmt::Write;

use rrvmm_replay::Position;
use rrvmm_tcg::stops::{Access, Space};

use super::{Answer, Explorer, chain, parse_position, parse_range};
use crate::explore::Occurrence;

/// Most hits that are listed at once.
const MOST_HITS: usize = 1000;

impl Explorer {
    pub(super) fn tell_first_read(&mut self, space: Space, range: &str) -> Result<Answer, String> {
        let (addr, len) = parse_range(range)?;
        let returned = self.place().diverged_at.is_some();
        let read = self.first_read(space, addr, len).map_err(|error| chain(&error))?;
        let text = match read {
            Some(Occurrence { at, instruction, device: None, .. }) => {
                format!("position {at}\n{instruction}\n")
            }
            Some(Occurrence { at, instruction, device: Some(device), .. }) => {
                format!("position {at}\n{device} reads after\n{instruction}\n")
            }
            None => "nothing reads there after this position\n".to_owned(),
        };
        Ok(Answer { moved: returned, ..Answer::said(text) })
    }

    pub(super) fn list_hits(&mut self, words: &[&str]) -> Result<Answer, String> {
        let mut place = None;
        let (mut from, mut to) = (Position::START, Position::from_count(u64::MAX));
        let (mut space, mut watch) = (Space::Linear, None);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a position"));
            match *word {
                "--from" => from = parse_position(value()?)?,
                "--to" => to = parse_position(value()?)?,
                "--watch" => watch = watch.or(Some(Access::Write)),
                "--access" => watch = Some(Access::Any),
                "--physical" => space = Space::Physical,
                range if place.is_none() && !range.starts_with('-') => place = Some(parse_range(range)?),
                _ => return Err(format!("{word:?} is not --watch, --access, --physical, --from or --to")),
            }
        }
        let (addr, len) =
            place.ok_or("write: hits ADDR[:LEN] [--watch|--access] [--physical] [--from P] [--to P]")?;
        if space == Space::Physical && watch.is_none() {
            return Err(
                "instructions have virtual addresses; --physical is for --watch and --access".to_owned()
            );
        }
        let returned = self.place().diverged_at.is_some();
        let hits = self.hits(from..=to, (space, addr, len), watch, MOST_HITS);
        let Some(hits) = hits.map_err(|error| chain(&error))? else { return Err("interrupted".to_owned()) };
        let mut text = String::new();
        for hit in &hits {
            let _ = writeln!(text, "{hit}");
        }
        if hits.len() == MOST_HITS {
            text.push_str("there may be more; --from the last position goes on\n");
        }
        Ok(Answer { moved: returned, ..Answer::said(text) })
    }
}
