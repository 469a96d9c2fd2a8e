//! Disk blocks in a recording: found again in any order, no event of the run, and there up to wherever the file is cut.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use rrvmm_replay::journal::{self, BLOCK_SIZE, Blob, Block, BlockRun, Contents};
use rrvmm_replay::seam::{DigestSchedule, FirstReads};
use rrvmm_replay::{
    Digest, Due, EndReason, JournalError, JournalReader, JournalWriter, MachineDigest, Manifest, Position,
    Recorder, Replayer, Seam, Stamp, VirtualTime,
};
use std::io::Cursor;
use std::sync::{Arc, Mutex};

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Tick;

impl rrvmm_replay::Input for Tick {
    const SOURCES: &'static [&'static str] = &["tick"];

    fn source(&self) -> &'static str {
        "tick"
    }
}

fn at(count: u64) -> Stamp {
    Stamp::new(Position::from_count(count), VirtualTime::from_ns(count))
}

#[derive(Clone, Default)]
struct Reads(Arc<Mutex<Vec<(u32, BlockRun)>>>);

impl Reads {
    fn add(&self, disk: u32, first: u64, contents: Contents) {
        self.0.lock().unwrap().push((disk, BlockRun { first, contents }));
    }
}

impl FirstReads for Reads {
    fn is_much(&self) -> bool {
        false
    }

    /// One after the other, now and when it is written.
    fn drain(
        &mut self,
        each: &mut dyn FnMut(journal::Reads) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        self.0.lock().unwrap().drain(..).enumerate().try_for_each(|(n, (disk, run))| {
            each(match n % 2 {
                0 => journal::Reads::Run(disk, run),
                _ => {
                    journal::Reads::Later { runs: 1, bytes: 0, fetch: Box::new(move |each| each(disk, &run)) }
                }
            })
        })
    }
}

/// Bytes that do not compress, different for each block.
fn block(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..BLOCK_SIZE).map(|_| next()).collect()
}

/// A recording in which before input `n` the blocks `2 n` and `2 n + 1` of disk 0 were read.
fn record(inputs: u64) -> Vec<u8> {
    let journal = JournalWriter::create::<Tick>(Vec::new(), Manifest::default(), &[]).unwrap();
    let mut seam: Recorder<Tick, _> = Recorder::new(journal, DigestSchedule::NEVER);
    let reads = Reads::default();
    seam.embed(Box::new(reads.clone()));
    for n in 0..inputs {
        reads.add(0, 2 * n, Contents::Bytes(Blob([block(2 * n), block(2 * n + 1)].concat())));
        seam.admit(Tick, at(n * 10)).unwrap();
    }
    reads.add(3, 1 << 40, Contents::Zeros(1 << 20));
    reads.add(3, 7, Contents::Hashes(vec![Digest::of(b"a"), Digest::of(b"b")]));
    reads.add(3, 9, Contents::Unreadable(1));
    seam.end(at(inputs * 10), EndReason::Quit, &MachineDigest::default()).unwrap();
    seam.finish().unwrap()
}

#[test]
fn blocks_are_found_in_any_order() {
    let journal = JournalReader::open(Cursor::new(record(60))).unwrap();
    let mut blocks = journal.blocks();
    for n in (0..120).rev().chain([5, 100, 6]) {
        let expected: Box<[u8; BLOCK_SIZE]> = block(n).try_into().unwrap();
        assert_eq!(blocks.get(0, n).unwrap(), Block::Bytes(&expected), "block {n}");
    }
    assert_eq!(blocks.get(0, 120).unwrap(), Block::Missing);
    assert_eq!(blocks.get(1, 0).unwrap(), Block::Missing);
    assert_eq!(blocks.get(3, (1 << 40) + 5).unwrap(), Block::Zeros);
    assert_eq!(blocks.get(3, 8).unwrap(), Block::Hash(Digest::of(b"b")));
    assert_eq!(blocks.get(3, 9).unwrap(), Block::Unreadable);
    assert_eq!(blocks.get(3, 10).unwrap(), Block::Missing);
    let totals = journal.block_totals(3);
    assert_eq!((totals.zeros, totals.hashed, totals.unreadable, totals.embedded), (1 << 20, 2, 1, 0));
    assert_eq!(journal.block_totals(0).embedded, 120);
    let mut seen = 0;
    blocks
        .each(|_, run| {
            seen += run.blocks();
            Ok::<_, JournalError>(())
        })
        .unwrap();
    assert_eq!(seen, 120 + (1 << 20) + 3);
}

#[test]
fn they_are_no_events() {
    let mut journal = JournalReader::open(Cursor::new(record(3))).unwrap();
    assert_eq!(journal.summary().inputs, 3);
    assert_eq!(journal.sources().collect::<Vec<_>>(), ["tick"]);
    let mut stamps = Vec::new();
    while let Some(entry) = journal.next_entry().unwrap() {
        stamps.push(entry.stamp);
    }
    assert_eq!(stamps, [at(0), at(10), at(20), at(30)]);
    let mut replay: Replayer<Tick, _> = Replayer::new(journal).unwrap();
    for n in 0..3 {
        assert!(matches!(replay.due(at(n * 10)), Ok(Due::Input(_))), "{n}");
    }
    assert!(matches!(replay.due(at(30)), Ok(Due::End(EndReason::Quit))));
}

#[test]
fn a_cut_recording_has_the_blocks_of_its_events() {
    let whole = record(60);
    let last = JournalReader::open(Cursor::new(whole.clone())).unwrap().summary().last;
    let mut seen = 0;
    for cut in (2000..whole.len()).step_by(9973) {
        let Ok(journal) = JournalReader::open(Cursor::new(whole[..cut].to_vec())) else { continue };
        assert!(journal.summary().last <= last);
        seen = seen.max(journal.summary().inputs);
        let mut blocks = journal.blocks();
        for n in 0..2 * journal.summary().inputs {
            assert!(matches!(blocks.get(0, n), Ok(Block::Bytes(_))), "block {n}, cut at byte {cut}");
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn a_damaged_message_cuts_the_recording() {
    let journal = JournalWriter::create::<Tick>(Vec::new(), Manifest::default(), &[]).unwrap();
    let mut seam: Recorder<Tick, _> = Recorder::new(journal, DigestSchedule::NEVER);
    let reads = Reads::default();
    seam.embed(Box::new(reads.clone()));
    seam.admit(Tick, at(5)).unwrap();
    seam.flush(at(6)).unwrap();
    reads.add(0, u64::MAX, Contents::Zeros(9));
    seam.admit(Tick, at(7)).unwrap();
    let journal = JournalReader::open(Cursor::new(seam.finish().unwrap())).unwrap();
    assert_eq!(journal.summary().last, at(5));
    assert!(journal.summary().cut.is_some());
}
