//! docs/recording-format.md says what the code does.

use rrvmm_replay::journal::{self, AttachmentInfo, Blob, Contents};
use rrvmm_replay::{Digest, EndReason, Manifest, Part};

const PAGE: &str = include_str!("../../docs/recording-format.md");

fn documented(what: &str) {
    assert!(PAGE.contains(&format!("`{what}`")), "docs/recording-format.md does not mention `{what}`");
}

#[test]
fn the_page_names_the_version() {
    assert!(PAGE.contains(&format!("Format version {}.", journal::FORMAT_VERSION)));
}

#[test]
fn the_page_names_channels_keys_and_parts() {
    for name in [
        journal::PROFILE,
        journal::METADATA_NAME,
        journal::METADATA_VERSION,
        journal::METADATA_MANIFEST,
        journal::MESSAGE_ENCODING,
        journal::CHANNEL_MANIFEST,
        journal::CHANNEL_DIGEST,
        journal::CHANNEL_END,
        "disk0",
    ] {
        documented(name);
    }
    assert_eq!(journal::CHANNEL_DISK, "disk");
    for part in Part::ALL {
        documented(&part.to_string());
    }
}

#[test]
fn the_page_names_every_field_of_the_manifest() {
    let attachment = AttachmentInfo { name: "kernel".into(), length: 0, digest: Digest::default() };
    let manifest = Manifest { attachments: vec![attachment.clone()], ..Manifest::default() };
    for value in [serde_json::to_value(manifest).unwrap(), serde_json::to_value(attachment).unwrap()] {
        for field in value.as_object().unwrap().keys() {
            documented(field);
        }
    }
}

#[test]
fn the_page_lists_the_ends_in_their_order() {
    let all = [
        EndReason::PowerOff,
        EndReason::Reset,
        EndReason::TripleFault,
        EndReason::DebugExit { status: 1 },
        EndReason::HaltedForever,
        EndReason::Quit,
        EndReason::Signal,
        EndReason::Timeout,
        EndReason::Until,
        EndReason::EngineFault,
    ];
    let list = &PAGE[PAGE.find("The variants of the end").unwrap()..];
    let mut from = 0;
    for (number, reason) in all.into_iter().enumerate() {
        assert_eq!(usize::from(rrvmm_replay::codec::to_bytes(&reason).unwrap()[0]), number, "{reason:?}");
        let name = match serde_json::to_value(reason).unwrap() {
            serde_json::Value::String(name) => name,
            other => other.as_object().unwrap().keys().next().unwrap().clone(),
        };
        let at = list[from..].find(&format!("`{name}`"));
        from += at.unwrap_or_else(|| panic!("`{name}` is missing or out of order"));
    }
}

#[test]
fn the_page_lists_what_is_known_of_disk_blocks() {
    let list = &PAGE[PAGE.find("### Disks").unwrap()..];
    let all = [
        ("zeros", Contents::Zeros(1)),
        ("bytes", Contents::Bytes(Blob(vec![0; journal::BLOCK_SIZE]))),
        ("hashes", Contents::Hashes(vec![Digest::default()])),
        ("unreadable", Contents::Unreadable(1)),
    ];
    let mut from = 0;
    for (number, (name, contents)) in all.into_iter().enumerate() {
        assert_eq!(usize::from(rrvmm_replay::codec::to_bytes(&contents).unwrap()[0]), number);
        from += list[from..].find(&format!("\n| {name} |")).unwrap_or_else(|| panic!("{name}")) + 1;
    }
    assert!(list.contains(&format!("at most {} blocks", journal::BLOCKS_LIMIT)));
    assert!(
        list.contains(&format!("blocks of {} bytes", journal::BLOCK_SIZE))
            || PAGE.contains("blocks of 4096 bytes")
    );
}

#[test]
fn the_page_gives_the_limits() {
    assert_eq!((journal::CHUNK_SIZE, journal::CHUNK_LIMIT), (64 << 10, 16 << 20));
    assert_eq!((journal::MANIFEST_LIMIT, journal::CHUNK_COUNT_LIMIT), (4 << 20, 4 << 20));
    for limit in ["64 KiB", "16 MiB for a chunk", "4 MiB for the metadata record", "4 Mi chunks"] {
        assert!(PAGE.contains(limit), "{limit}");
    }
}
