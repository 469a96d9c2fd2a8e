//! A whole Debian from a disk: systemd, a login, a compiler, 50 MB through passt, shutdown, recorded; and replayed when the image
//! is gone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod capture;
mod host;
mod interrupts;
mod system;

use system::{Boot, Variant, works_and_replays};

/// The one of every CI run.
#[test]
fn a_debian_with_virtio_works_and_replays() {
    works_and_replays(&Variant { disk: "virtio", card: "virtio", boot: Boot::Kernel, commit: false });
}

#[test]
#[ignore = "a minute; part of the matrix in docs/testing.md"]
fn a_debian_with_ide_and_e1000_works_and_replays() {
    works_and_replays(&Variant { disk: "ide", card: "e1000", boot: Boot::Kernel, commit: true });
}

#[test]
#[ignore = "a minute; part of the matrix in docs/testing.md"]
fn a_debian_with_ahci_and_e1000_works_and_replays() {
    works_and_replays(&Variant { disk: "ahci", card: "e1000", boot: Boot::Kernel, commit: false });
}

#[test]
#[ignore = "some minutes; part of the matrix in docs/testing.md"]
fn a_debian_booted_by_grub_from_ide_works_and_replays() {
    booted_by_grub("ide", "e1000");
}

#[test]
#[ignore = "some minutes; part of the matrix in docs/testing.md"]
fn a_debian_booted_by_grub_from_ahci_works_and_replays() {
    booted_by_grub("ahci", "e1000");
}

#[test]
#[ignore = "some minutes; part of the matrix in docs/testing.md"]
fn a_debian_booted_by_grub_from_virtio_works_and_replays() {
    booted_by_grub("virtio", "virtio");
}

fn booted_by_grub(disk: &'static str, card: &'static str) {
    works_and_replays(&Variant { disk, card, boot: Boot::Firmware, commit: false });
}
