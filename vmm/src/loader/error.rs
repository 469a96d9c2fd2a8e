//! Why a boot source cannot be started: which file or option, and what to do.

use std::borrow::Cow;

/// Why a boot source cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Neither kernel nor firmware.
    #[error("nothing to boot: give a kernel with --kernel or a firmware image with --bios")]
    Nothing,
    /// Both kernel and firmware.
    #[error("--kernel and --bios exclude each other: a kernel is started directly, without firmware")]
    BiosAndKernel,
    /// An option that only makes sense with a kernel.
    #[error("{0} needs --kernel: a firmware image started with --bios has no use for it")]
    NotWithBios(&'static str),
    /// A firmware image of impossible size.
    #[error(
        "a firmware image of {0} bytes cannot be mapped: --bios takes a raw image of 64 KiB to 16 MiB, a multiple of 4 KiB \
         (for example /usr/share/seabios/bios-256k.bin)"
    )]
    FirmwareSize(usize),
    /// A mode of the screen that there is not.
    #[error(
        "there is no mode of the screen for vga={0} on the command line; there are for example vga=0x314 (800 by 600 pixels of 16 \
         bits), vga=0x317 (1024 by 768 of 16), vga=0x344 (1024 by 768 of 32), and vga=normal for text"
    )]
    VideoMode(String),
    /// Not a format that can be started.
    #[error(
        "the kernel is not a bzImage, Multiboot or PVH ELF image: {0}; --kernel takes for example the /boot/vmlinuz-* of a distribution"
    )]
    NotAKernel(&'static str),
    /// The file ends too early.
    #[error(
        "the kernel is truncated: {what} needs {needed} bytes but the file has {have}; fetch or build it again"
    )]
    Truncated {
        /// The part that is cut off.
        what: &'static str,
        /// Length of file the part needs.
        needed: u64,
        /// Length of the file.
        have: u64,
    },
    /// The file contradicts itself.
    #[error("the kernel is damaged: {0}; fetch or build it again")]
    Damaged(Cow<'static, str>),
    /// A boot protocol that is too old.
    #[error(
        "the kernel speaks Linux boot protocol {}.{:02}, at least 2.02 with a bzImage (loaded high) is needed; use a kernel from 2.4 on",
        .0 >> 8, .0 & 0xFF
    )]
    ProtocolTooOld(u16),
    /// An ELF file without an entry point for us.
    #[error(
        "the ELF file has neither a PVH note nor a Multiboot header; build Linux with CONFIG_PVH=y or give its bzImage"
    )]
    NoEntry,
    /// An ELF file for another CPU.
    #[error("the ELF file is not for x86 (e_machine {0}); give a kernel built for i386 or x86-64")]
    WrongMachine(u16),
    /// Multiboot features that must not be ignored.
    #[error(
        "the Multiboot kernel demands features that are not there (header flags {0:#x}); only bits 0 to 2 and 16 are known"
    )]
    MultibootFlags(u32),
    /// An initrd for something that takes modules.
    #[error("a Multiboot kernel takes no initrd; give the file with --module instead of --initrd")]
    InitrdForMultiboot,
    /// Modules for a kernel that takes none.
    #[error("a bzImage takes no modules; give one archive with --initrd instead of --module")]
    ModulesForBzImage,
    /// An initrd of no bytes.
    #[error("the initrd is empty; give a file with contents or leave --initrd out")]
    EmptyInitrd,
    /// A command line that would end early.
    #[error("a command line contains a NUL character, where the guest would stop reading; take it out")]
    NulInCmdline,
    /// A command line the kernel would cut off.
    #[error("the command line has {have} bytes but this kernel takes {limit}; shorten --cmdline")]
    CmdlineTooLong {
        /// Bytes given.
        have: usize,
        /// Bytes the kernel takes.
        limit: usize,
    },
    /// No room for a part.
    #[error(
        "{what} ({size} bytes) does not fit into the guest's memory: no room between {start:#x} and {end:#x}; give more with --memory"
    )]
    NoRoom {
        /// The part.
        what: Cow<'static, str>,
        /// Its size.
        size: u64,
        /// Lowest address it may have.
        start: u64,
        /// End of the addresses it may have.
        end: u64,
    },
    /// A part with a fixed address where there is no RAM.
    #[error(
        "{what} occupies {start:#x} to {end:#x}, where the guest has no RAM ({} MiB of it); give more with --memory, or the image is damaged",
        .ram >> 20
    )]
    NotRam {
        /// The part.
        what: Cow<'static, str>,
        /// First address.
        start: u64,
        /// Address after the last.
        end: u64,
        /// Bytes of RAM.
        ram: u64,
    },
    /// Two parts on one spot.
    #[error(
        "{what} ({start:#x} to {end:#x}) would overwrite {other}; the image is damaged or wants a place it cannot have"
    )]
    Overlap {
        /// The later part.
        what: Cow<'static, str>,
        /// The part already there.
        other: Cow<'static, str>,
        /// First address of the later part.
        start: u64,
        /// Address after its last.
        end: u64,
    },
    /// Guest memory did not take the bytes.
    #[error("guest memory cannot be written")]
    Write(#[source] vm_memory::GuestMemoryError),
}

/// What a file that is no kernel looks like, for the message.
pub(super) fn describe(bytes: &[u8]) -> &'static str {
    const SIGNS: &[(usize, &[u8], &str)] = &[
        (0, b"\x1F\x8B", "it is gzip-compressed (unpack it first, or is it the initrd?)"),
        (0, b"\xFD7zXZ", "it is xz-compressed (unpack it first, or is it the initrd?)"),
        (0, b"\x28\xB5\x2F\xFD", "it is zstd-compressed (unpack it first, or is it the initrd?)"),
        (0, b"070701", "it is a cpio archive (is it the initrd?)"),
        (56, b"ARM\x64", "it is an arm64 kernel"),
        (0, b"QFI\xFB", "it is a qcow2 disk image"),
        (0, b"\x89MCAP", "it is a recording (use rrvmm replay)"),
        (0, b"!<arch>", "it is an archive or a Debian package (unpack it first)"),
        (0, b"#!", "it is a script"),
        (0, b"MZ", "it is an EFI or DOS program without a Linux setup header"),
    ];
    if bytes.is_empty() {
        return "it is empty";
    }
    SIGNS
        .iter()
        .find(|(offset, sign, _)| bytes.get(*offset..).is_some_and(|rest| rest.starts_with(sign)))
        .map_or("its contents are unknown", |(_, _, what)| what)
}
