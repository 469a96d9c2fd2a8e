//! Cut, flipped and hostile recordings: an error, or a true beginning of the run that says it is one. Never a panic.

#![allow(clippy::unwrap_used, reason = "a failed test is what it should be")]

mod toy;

use std::io::{self, Cursor, Write};

use rrvmm_replay::journal::{CutReason, Entry};
use rrvmm_replay::seam::DigestSchedule;
use rrvmm_replay::timeline::Seek;
use rrvmm_replay::{
    JournalError, JournalReader, JournalWriter, MachineDigest, Position, Recorder, Replayer, Seam, SeamError,
    Stamp, Timeline, VirtualTime,
};
use toy::{KERNEL, Poke, Toy, manifest, numbers, record};

struct Read {
    entries: Vec<Entry>,
    complete: bool,
    kernel: Option<Vec<u8>>,
}

fn read(file: &[u8]) -> Result<Read, JournalError> {
    let mut reader = JournalReader::open(Cursor::new(file))?;
    let complete = reader.summary().is_complete();
    assert_eq!(complete, reader.summary().cut.is_none());
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        entries.push(entry);
    }
    assert_eq!(reader.summary().inputs + reader.summary().digests, entries.len() as u64);
    Ok(Read { entries, complete, kernel: reader.attachment("kernel")? })
}

/// Reads `file`, which is damaged; whatever can be read must be true.
fn read_damaged(file: &[u8], whole: &Read, what: &str) -> Result<Read, JournalError> {
    let found = read(file)?;
    assert_eq!(found.kernel, whole.kernel, "{what}");
    assert_eq!(found.entries[..], whole.entries[..found.entries.len()], "{what}");
    assert_eq!(found.complete, found.entries.len() == whole.entries.len(), "{what}");
    Ok(found)
}

#[test]
fn cut_anywhere() {
    let (file, _) = record(20_000, &numbers(1, 1500));
    let whole = read(&file).unwrap();
    assert!(whole.complete && whole.entries.len() > 300, "{}", whole.entries.len());
    let mut longest = 0;
    for length in (0..file.len()).step_by(11).chain(file.len() - 200..file.len()) {
        match read_damaged(&file[..length], &whole, &format!("cut at {length}")) {
            Ok(found) => longest = longest.max(found.entries.len()),
            Err(JournalError::Empty { .. }) => assert_eq!(longest, 0, "cut at {length}"),
            Err(JournalError::NotARecording) => assert_eq!(length, 0),
            Err(error) => panic!("cut at {length}: {error}"),
        }
    }
    assert_eq!(longest, whole.entries.len());
}

#[test]
fn a_cut_recording_replays_up_to_the_cut() {
    let (file, _) = record(20_000, &numbers(1, 1500));
    for length in (4000..file.len() - 4000).step_by(1999) {
        let Ok(reader) = JournalReader::open(Cursor::new(&file[..length])) else { continue };
        if reader.summary().is_complete() {
            continue; // only the container's index is cut
        }
        let last = reader.summary().last;
        let seam: Replayer<Poke, _> = Replayer::new(reader).unwrap();
        match Timeline::new(Toy::new(20_000), seam).seek(Position::from_count(u64::MAX)).unwrap() {
            Seek::Cut(at, cut) => assert_eq!((at, cut.reason), (last, CutReason::Torn)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn flip_any_bit() {
    let (file, _) = record(5000, &numbers(2, 400));
    let whole = read(&file).unwrap();
    let (mut refused, mut cut) = (0, 0);
    let everywhere = numbers(3, 2500).into_iter().map(|number| number as usize % (file.len() * 8));
    let beginning = 0..400 * 8;
    for bit in everywhere.chain(beginning) {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match read_damaged(&damaged, &whole, &format!("bit {} of byte {}", bit % 8, bit / 8)) {
            Ok(found) if found.complete => {}
            Ok(_) => cut += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 100 && cut > 100, "{refused} refused, {cut} cut");
}

#[test]
fn a_lost_chunk_is_noticed() {
    let (file, _) = record(20_000, &numbers(4, 1500));
    let whole = read(&file).unwrap();
    let chunks = chunks(&file);
    assert!(chunks.len() > 5);
    for (start, end) in &chunks[1..chunks.len() - 1] {
        let damaged = [&file[..*start], &file[*end..]].concat();
        assert!(!read_damaged(&damaged, &whole, "lost chunk").unwrap().complete);
    }
    let mut swapped = file[..chunks[2].0].to_vec();
    for (start, end) in [chunks[3], chunks[2]] {
        swapped.extend(&file[start..end]);
    }
    swapped.extend(&file[chunks[3].1..]);
    assert!(!read_damaged(&swapped, &whole, "swapped chunks").unwrap().complete);
}

/// Where the chunk records are.
fn chunks(file: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = mcap::MAGIC.len();
    while file[at] != 0x0f {
        let length = u64::from_le_bytes(file[at + 1..at + 9].try_into().unwrap()) as usize;
        if file[at] == 0x06 {
            found.push((at, at + 9 + length));
        }
        at += 9 + length;
    }
    found
}

#[test]
fn hostile_lengths_are_refused() {
    let (file, _) = record(2000, &numbers(5, 100));
    let whole = read(&file).unwrap();
    let (chunk, end) = chunks(&file)[1];
    // The chunk's own length, its content's length before and after compression (MCAP specification, "Chunk").
    for offset in [chunk + 1, chunk + 9 + 16, end - 8, chunk + 9 + 28, chunk + 9 + 36] {
        for value in [u64::MAX, u64::MAX / 2, 1 << 40, 1 << 31, (16 << 20) - 1, 0] {
            let mut damaged = file.clone();
            damaged[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
            if let Ok(found) = read_damaged(&damaged, &whole, &format!("{value:#x} at {offset}")) {
                assert!(!found.complete);
            }
        }
    }
}

#[test]
fn bytes_of_all_kinds_are_not_a_recording() {
    assert!(matches!(read(b""), Err(JournalError::NotARecording)));
    assert!(matches!(read(b"\x7fELF..."), Err(JournalError::NotARecording)));
    for seed in 0..200 {
        let noise: Vec<u8> = numbers(seed, 500).into_iter().flat_map(u32::to_le_bytes).collect();
        assert!(read(&noise).is_err());
        assert!(read(&[mcap::MAGIC, &noise].concat()).is_err());
    }
    let mut other = mcap::Writer::new(Cursor::new(Vec::new())).unwrap();
    other.finish().unwrap();
    let other = other.into_inner().into_inner();
    assert!(matches!(read(&other), Err(JournalError::OtherProfile { profile }) if profile.is_empty()));
}

#[test]
fn a_future_version_is_named() {
    let (mut file, _) = record(100, &[]);
    let key = b"version\x01\0\0\0";
    let at = file.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    file[at] = b'7';
    let Err(error) = read(&file) else { panic!("read") };
    assert_eq!(
        error.to_string(),
        "the recording has format version 7; this rrvmm reads versions up to 1; use a newer one"
    );
}

#[test]
fn a_changed_manifest_or_attachment_is_noticed() {
    let (file, _) = record(100, &[]);
    let change = |from: &[u8], to: &[u8]| {
        let mut file = file.clone();
        let at = file.windows(from.len()).position(|window| window == from).unwrap();
        file[at..at + to.len()].copy_from_slice(to);
        read(&file).err().unwrap().to_string()
    };
    assert!(change(b"\"cpu_model\":\"none\"", b"\"cpu_model\":\"nona\"").contains("manifest"));
    assert!(change(&[0x5a; 100], b"x").contains("\"kernel\""));
}

/// A disk that is full after some bytes.
struct FullDisk {
    written: std::rc::Rc<std::cell::RefCell<Vec<u8>>>,
    room: usize,
}

impl Write for FullDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.written.borrow_mut();
        let fits = bytes.len().min(self.room - written.len());
        written.extend(&bytes[..fits]);
        if fits == 0 && !bytes.is_empty() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(fits) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn of_journal(error: SeamError) -> JournalError {
    match error {
        SeamError::Journal(error) => error,
        SeamError::Divergence(divergence) => panic!("{divergence}"),
    }
}

/// Records 1000 inputs, a flush after every 10; returns how many were flushed.
fn record_onto(disk: FullDisk) -> (u64, Result<(), JournalError>) {
    let mut flushed = 0;
    let run = || {
        let journal = JournalWriter::create::<Poke>(disk, manifest(), &[KERNEL])?;
        let mut seam = Recorder::new(journal, DigestSchedule::NEVER);
        for number in 1..=1000 {
            let at = Stamp::new(Position::from_count(number), VirtualTime::from_ns(number));
            seam.admit(Poke::Left(number as u32), at).map_err(of_journal)?;
            if number.is_multiple_of(10) {
                seam.flush(at).map_err(of_journal)?;
                flushed = number;
            }
        }
        let at = Stamp::new(Position::from_count(1000), VirtualTime::from_ns(1000));
        seam.end(at, rrvmm_replay::EndReason::Quit, &MachineDigest::default()).map_err(of_journal)?;
        seam.finish().map(|_| ())
    };
    let result = run();
    (flushed, result)
}

#[test]
fn a_full_disk_is_an_error_and_keeps_what_was_flushed() {
    for room in (0..80_000).step_by(997) {
        let written = std::rc::Rc::default();
        let (flushed, result) = record_onto(FullDisk { written: std::rc::Rc::clone(&written), room });
        let file = written.borrow();
        if file.len() < room {
            result.unwrap();
            assert!(read(&file).unwrap().complete);
            return;
        }
        assert!(matches!(result, Err(JournalError::Write(_))), "room {room}: {result:?}");
        match read(&file) {
            Ok(found) => assert!(found.entries.len() as u64 >= flushed, "room {room}"),
            Err(error) => assert!(
                matches!(error, JournalError::Empty { .. } | JournalError::NotARecording) && flushed == 0
            ),
        }
    }
    panic!("never enough room");
}

#[test]
fn a_quiet_second_costs_little() {
    let journal = JournalWriter::create::<Poke>(Vec::new(), manifest(), &[]).unwrap();
    let mut seam: Recorder<Poke, _> = Recorder::new(journal, DigestSchedule::default());
    let digests = numbers(8, 8 * 64);
    for (second, parts) in digests.chunks(8).enumerate() {
        let part = |index: usize| rrvmm_replay::Digest::of(&parts[index].to_le_bytes());
        let digest = MachineDigest { cpu: part(0), devices: part(1), memory: part(2), outputs: part(3) };
        let at = (second as u64 + 1) << 26;
        let at = Stamp::new(Position::from_count(at), VirtualTime::from_ns(at));
        seam.digest(at, &digest).unwrap();
        seam.flush(at).unwrap();
        seam.flush(at).unwrap();
    }
    let file = seam.finish().unwrap();
    assert!(file.len() < 64 * 300 + 2000, "{} bytes for 64 digests in 64 chunks", file.len());
}
