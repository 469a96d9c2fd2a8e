//! A sound recording of a run that never was: one input is not what the guest got.

use crate::damage::Whole;
use crate::tiny::{finish, on, program, text};
use rrvmm_devices::Input;
use rrvmm_replay::codec;
use rrvmm_replay::journal::{Attachment, Body};
use rrvmm_replay::{JournalReader, JournalWriter};
use std::fs;
use std::io::Cursor;
use tempfile::tempdir;

/// Exit status of a replay that is not the recorded run.
const DIVERGED: i32 = 112;

/// The recording with another letter typed in its second half, and where.
fn retyped(bytes: &[u8]) -> (Vec<u8>, u64) {
    let mut reader = JournalReader::open(Cursor::new(bytes)).unwrap();
    let manifest = reader.manifest().clone();
    let files: Vec<(String, Vec<u8>)> = manifest
        .attachments
        .iter()
        .map(|file| (file.name.clone(), reader.attachment(&file.name).unwrap().unwrap()))
        .collect();
    let attachments: Vec<Attachment<'_>> =
        files.iter().map(|(name, data)| Attachment { name, data }).collect();
    let mut writer = JournalWriter::create::<Input>(Vec::new(), manifest, &attachments).unwrap();
    let half = reader.summary().last.position.count() / 2;
    let mut changed = None;
    while let Some(entry) = reader.next_entry().unwrap() {
        match entry.body {
            Body::Input { payload, .. } => {
                let mut input: Input = codec::from_bytes(&payload).unwrap();
                if let Input::Serial { bytes, .. } = &mut input
                    && entry.stamp.position.count() > half
                    && changed.is_none()
                {
                    bytes[0] ^= 1;
                    changed = Some(entry.stamp.position.count());
                }
                writer.input(entry.stamp, &input).unwrap();
            }
            Body::Landmark(place) => writer.landmark(entry.stamp, &place).unwrap(),
            Body::State(_) => panic!("the translator keeps no states"),
            Body::Digest(digest) => writer.digest(entry.stamp, &digest).unwrap(),
            Body::End { reason, digest } => writer.end(entry.stamp, reason, &digest).unwrap(),
        }
    }
    (writer.finish().unwrap(), changed.unwrap())
}

/// The first number behind `text`.
fn number_after(said: &str, text: &str) -> u64 {
    let rest = said.split(text).nth(1).unwrap_or_else(|| panic!("no {text:?} in {said}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn a_run_that_never_was_is_found_out_and_the_stretch_is_named() {
    let directory = tempdir().unwrap();
    let whole = Whole::record(directory.path());
    let in_parts = || {
        let mut command = program(["verify", "--jobs", "2"]);
        command.arg(&whole.path);
        finish(command)
    };
    // The first one leaves the checkpoints for those that follow.
    let first = in_parts().exited(0).unwrap();
    assert!(first.errors().contains("verified in one piece"), "{}", first.errors());
    let second = in_parts().exited(0).unwrap();
    assert!(second.errors().is_empty() && second.stdout == first.stdout, "{}", second.describe());

    let (bytes, changed) = retyped(&whole.bytes);
    fs::write(&whole.path, bytes).unwrap();
    let alone = on("verify", &whole.path).exited(DIVERGED).unwrap();
    assert!(
        alone.errors().contains(text(&whole.path)) || alone.errors().contains("position"),
        "{}",
        alone.errors()
    );
    let parts = in_parts().exited(DIVERGED).unwrap();
    let said = parts.errors();
    let from = number_after(&said, "not as recorded between position ");
    let to = number_after(&said, &format!("between position {from} and "));
    assert!(from <= changed && changed < to && to < whole.instructions + 1, "{changed}: {said}");
    assert!(said.contains("both engines do the same there"), "{said}");
}
