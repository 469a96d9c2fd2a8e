//! The guest of `rrvmm demo`, so that it needs no file: source in guest.s, assembled bytes in guest.bin.

use crate::loader::BootSource;
use crate::session::Setup;
use rrvmm_devices::PcConfig;

/// Memory of the demo's machine, in bytes.
const MEMORY: u64 = 16 << 20;

/// A machine that boots the built-in guest. It writes to COM1, takes timer interrupts and switches itself off.
#[must_use]
pub fn setup() -> Setup {
    let source = BootSource { kernel: Some(include_bytes!("guest.bin").to_vec()), ..BootSource::default() };
    Setup { pc: PcConfig::new(MEMORY, false), source, disks: Vec::new(), cpu: rrvmm_tcg::x86::Model::V1 }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// Fails when guest.s was changed without guest.bin.
    #[test]
    fn the_bytes_are_those_of_the_source() {
        let directory = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/guest.s");
        let (object, image) = (directory.path().join("guest.o"), directory.path().join("guest.bin"));
        let assembled = Command::new("as").args(["--32", "-o"]).arg(&object).arg(source).status();
        let Ok(status) = assembled else { return eprintln!("SKIPPED: no assembler (install binutils)") };
        assert!(status.success());
        let options = ["-m", "elf_i386", "-Ttext", "0x100000", "--oformat", "binary", "-o"];
        assert!(Command::new("ld").args(options).arg(&image).arg(&object).status().unwrap().success());
        assert!(
            std::fs::read(image).unwrap() == include_bytes!("guest.bin"),
            "guest.bin is not from guest.s"
        );
    }
}
