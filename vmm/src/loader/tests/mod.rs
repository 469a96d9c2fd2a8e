//! Every kind of image loaded whole, and damaged in every way that random damage finds.

mod images;

use super::*;
use crate::memory::PAGE_SIZE;
use images::{BzImage, elf, multiboot_by_addresses, multiboot_elf, pvh_elf};
use proptest::prelude::*;
use rrvmm_devices::pc::DisplayConfig;
use vm_memory::{Bytes, GuestAddress};

const MIB: u64 = 1 << 20;

fn kernel(bytes: Vec<u8>) -> BootSource {
    BootSource { kernel: Some(bytes), cmdline: "console=ttyS0".into(), ..BootSource::default() }
}

/// A Linux kernel with this command line.
pub(super) fn bzimage_with(cmdline: &str) -> BootSource {
    BootSource { cmdline: cmdline.to_owned(), ..kernel(BzImage::default().build()) }
}

fn board(memory: &GuestMemory, source: &BootSource) -> PcConfig {
    let mode = video_mode(source).unwrap();
    let display = DisplayConfig { mode, ..DisplayConfig::pci() };
    PcConfig { display, ..PcConfig::new(memory.ram_size(), source.bios.is_some()) }
}

fn try_load(source: &BootSource) -> Result<(GuestMemory, EntryState), LoadError> {
    let memory = GuestMemory::new(64 * MIB).unwrap();
    load(&memory, source, &board(&memory, source)).map(|state| (memory, state))
}

fn get<const N: usize>(memory: &GuestMemory, address: u64) -> [u8; N] {
    let mut bytes = [0; N];
    memory.mmap().read_slice(&mut bytes, GuestAddress(address)).unwrap();
    bytes
}

fn get_u32(memory: &GuestMemory, address: u64) -> u32 {
    u32::from_le_bytes(get(memory, address))
}

fn get_text(memory: &GuestMemory, address: u64) -> String {
    let bytes: [u8; 64] = get(memory, address);
    String::from_utf8(bytes.into_iter().take_while(|b| *b != 0).collect()).unwrap()
}

#[test]
fn a_64_bit_bzimage_is_entered_in_long_mode() {
    let image = BzImage { init_size: 0x30_0000, ..BzImage::default() };
    let source = BootSource { initrd: Some(vec![0x5A; 5000]), ..kernel(image.build()) };
    let (memory, state) = try_load(&source).unwrap();
    assert_eq!((state.mode, state.rip), (EntryMode::Long64, 0x100_0200));
    assert_eq!(get(&memory, 0x100_0000), [0xC5; 64]);

    let page = state.rsi;
    assert_eq!(get(&memory, page + 0x202), *b"HdrS");
    assert_eq!(get(&memory, page + 0x210), [0xFF]);
    assert_eq!(get_u32(&memory, page + 0x70), 0xE_0000);
    assert_eq!(get_text(&memory, get_u32(&memory, page + 0x228).into()), "console=ttyS0");
    let (initrd, size) = (get_u32(&memory, page + 0x218), get_u32(&memory, page + 0x21C));
    assert_eq!((u64::from(initrd), size), (64 * MIB - 0x2000, 5000));
    assert_eq!(get(&memory, u64::from(initrd) + 4999), [0x5A, 0]);

    let rows = u64::from(get::<1>(&memory, page + 0x1E8)[0]);
    let last = page + 0x2D0 + 20 * (rows - 1);
    assert_eq!([0, 8, 16].map(|at| get_u32(&memory, last + at)), [0x10_0000, (63 * MIB) as u32, 1]);
}

#[test]
fn the_screen_s_mode_is_in_the_zero_page() {
    let (memory, state) = try_load(&bzimage_with("vga=0x317")).unwrap();
    assert_eq!(get(&memory, state.rsi + 0x1fa), [0x17, 3]);
    assert_eq!(get(&memory, state.rsi + 0x0f), [0x23]);
    assert_eq!(get(&memory, state.rsi + 0x12), [0, 4, 0, 3, 16, 0, 0, 0, 0, 0xfd, 0, 1, 0, 0]);
    assert_eq!(get(&memory, state.rsi + 0x24), [0, 8, 5, 11, 6, 5, 5, 0]);
    let (memory, state) = try_load(&bzimage_with("quiet")).unwrap();
    assert_eq!(get(&memory, state.rsi + 0x0f), [1, 16, 0, 0, 0]);
}

#[test]
fn the_identity_map_covers_four_gib() {
    let (memory, state) = try_load(&kernel(BzImage::default().build())).unwrap();
    for address in [0u64, 0x123_4567, 0xFEE0_0000, 0xFFFF_FFFF] {
        let mut table = state.cr3;
        for shift in [39, 30] {
            let entry = u64::from_le_bytes(get(&memory, table + (address >> shift & 0x1FF) * 8));
            assert_eq!(entry & 0xFFF, 3);
            table = entry & !0xFFF;
        }
        let entry = u64::from_le_bytes(get(&memory, table + (address >> 21 & 0x1FF) * 8));
        assert_eq!(entry, address & !0x1F_FFFF | 0x83);
    }
    let code = u64::from_le_bytes(get(&memory, state.gdt.base + u64::from(state.code.selector)));
    assert_eq!(code, state.code.descriptor());
    assert_eq!(state.gdt.limit, 0x1F);
}

#[test]
fn a_32_bit_bzimage_is_entered_in_protected_mode() {
    let image = BzImage { xloadflags: 0, pref_address: 0, ..BzImage::default() };
    let (memory, state) = try_load(&kernel(image.build())).unwrap();
    assert_eq!((state.mode, state.rip, state.cr3), (EntryMode::Protected32, 0x10_0000, 0));
    assert_eq!(get_u32(&memory, state.rsi + 0x214), 0x10_0000);
    assert_eq!(state.code.access, 0xC09B);
}

#[test]
fn bytes_behind_the_stated_header_are_not_read() {
    // Protocol 2.10, whose header ends at 0x264: what lies behind is code.
    let mut image = BzImage { version: 0x20A, ..BzImage::default() }.build();
    image[0x201] = 0x62;
    image[0x264..0x290].fill(0xCC);
    let (memory, state) = try_load(&kernel(image)).unwrap();
    assert_eq!(get(&memory, state.rsi + 0x264), [0; 8]);
    assert_eq!(get_u32(&memory, state.rsi + 0x70), 0, "no ACPI field before 2.14");
}

#[test]
fn a_pvh_kernel_finds_its_start_info() {
    let source = BootSource {
        initrd: Some(vec![1; 10]),
        modules: vec![Module { bytes: vec![2; 20], cmdline: "second".into() }],
        ..kernel(pvh_elf(0x20_0040))
    };
    let (memory, state) = try_load(&source).unwrap();
    assert_eq!((state.mode, state.rip), (EntryMode::Protected32, 0x20_0040));
    assert_eq!(get_u32(&memory, state.rbx), 0x336E_C578);
    assert_eq!(get_u32(&memory, state.rbx + 12), 2);
    let list = u64::from(get_u32(&memory, state.rbx + 16));
    assert_eq!(get(&memory, get_u32(&memory, list).into()), [1; 10]);
    assert_eq!(get_text(&memory, get_u32(&memory, list + 32 + 16).into()), "second");
    assert_eq!(get_text(&memory, get_u32(&memory, state.rbx + 24).into()), "console=ttyS0");
    assert_eq!(get_u32(&memory, state.rbx + 32), 0xE_0000);
    let task = state.task.expect("the protocol wants a task register");
    assert_eq!(u64::from_le_bytes(get(&memory, state.gdt.base + 0x20)), task.descriptor());
}

#[test]
fn multiboot_elf_and_addresses_load_alike() {
    for (image, first) in [(multiboot_elf(), [0x90; 4]), (multiboot_by_addresses(), [0x90; 4])] {
        let modules = vec![
            Module { bytes: vec![3; 0x1001], cmdline: "one two".into() },
            Module { bytes: Vec::new(), cmdline: String::new() },
        ];
        let (memory, state) = try_load(&BootSource { modules, ..kernel(image) }).unwrap();
        assert_eq!((state.rip, state.rax), (0x10_0020, 0x2BAD_B002));
        assert_eq!(get(&memory, 0x10_0020), first);
        let info = state.rbx;
        assert_eq!(get_u32(&memory, info), 0x24D);
        assert_eq!(get_u32(&memory, info + 4), 639);
        assert_eq!(get_u32(&memory, info + 8), 63 * 1024);
        assert_eq!(get_text(&memory, get_u32(&memory, info + 16).into()), "console=ttyS0");
        assert_eq!(get_u32(&memory, info + 20), 2);
        let list = u64::from(get_u32(&memory, info + 24));
        let (start, end) = (get_u32(&memory, list), get_u32(&memory, list + 4));
        assert_eq!((start % PAGE_SIZE as u32, end - start), (0, 0x1001));
        assert_eq!(get_text(&memory, get_u32(&memory, list + 8).into()), "one two");
        let map = u64::from(get_u32(&memory, info + 48));
        assert_eq!((get_u32(&memory, map), get_u32(&memory, map + 20)), (20, 1));
    }
}

#[test]
fn firmware_starts_at_the_reset_vector_and_leaves_ram_alone() {
    let source = BootSource { bios: Some(vec![0x11; 128 << 10]), ..BootSource::default() };
    let (memory, state) = try_load(&source).unwrap();
    assert_eq!(state, EntryState::reset());
    assert_eq!(firmware_window(128 << 10), 0xFFFE_0000..0x1_0000_0000);
    assert_eq!(state.code.base + state.rip, 0xFFFF_FFF0);
    for address in [0x400, FIRMWARE_SHADOW.start] {
        assert_eq!(get(&memory, address), [0; 16], "firmware makes its own tables");
    }
}

#[test]
fn errors_name_the_thing_and_the_cure() {
    let small = |init_size| BzImage { init_size, ..BzImage::default() }.build();
    let long = "x".repeat(300);
    let cases: Vec<(BootSource, &[&str])> = vec![
        (BootSource::default(), &["--kernel", "--bios"]),
        (BootSource { bios: Some(vec![0; 65536]), ..kernel(vec![]) }, &["exclude"]),
        (BootSource { bios: Some(vec![0; 1000]), ..BootSource::default() }, &["1000 bytes", "--bios"]),
        (
            BootSource { bios: Some(vec![0; 65536]), initrd: Some(vec![1]), ..BootSource::default() },
            &["--initrd"],
        ),
        (kernel(vec![]), &["it is empty"]),
        (kernel(b"\x1F\x8B\x08rest".to_vec()), &["gzip"]),
        (kernel(vec![b'x'; 9000]), &["not a bzImage"]),
        (kernel(BzImage { version: 0x201, ..BzImage::default() }.build()), &["2.01", "2.02"]),
        (kernel(small(0x1000_0000)), &["no RAM", "--memory"]),
        (
            kernel(BzImage { system: 0x1000, cut: 0x20, ..BzImage::default() }.build()),
            &["truncated", "syssize"],
        ),
        (kernel(BzImage { cut: 0x40, ..BzImage::default() }.build()), &["truncated", "setup_sects"]),
        (BootSource { cmdline: long, ..kernel(BzImage::default().build()) }, &["300", "255", "--cmdline"]),
        (BootSource { cmdline: "a\0b".into(), ..kernel(BzImage::default().build()) }, &["NUL"]),
        (BootSource { initrd: Some(vec![]), ..kernel(BzImage::default().build()) }, &["initrd is empty"]),
        (
            BootSource { initrd: Some(vec![0; 60 << 20]), ..kernel(BzImage::default().build()) },
            &["initrd", "--memory"],
        ),
        (
            BootSource { modules: vec![Module::default()], ..kernel(BzImage::default().build()) },
            &["--initrd"],
        ),
        (BootSource { initrd: Some(vec![1]), ..kernel(multiboot_elf()) }, &["--module"]),
        (kernel(elf(&[], 0x20_0000, 3)), &["CONFIG_PVH"]),
        (kernel(elf(&[], 0x20_0000, 183)), &["not for x86"]),
        (kernel(pvh_elf(0x20_0040)[..0x70].to_vec()), &["truncated"]),
    ];
    for (source, words) in cases {
        let message = try_load(&source).map(|_| ()).expect_err("must be refused").to_string();
        for word in words {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
    }
}

/// Debian's own images, where their packages are installed.
#[test]
fn memtest_images_load() {
    for (path, mode) in
        [("/boot/memtest86+x64.bin", EntryMode::Long64), ("/boot/memtest86+ia32.bin", EntryMode::Protected32)]
    {
        match std::fs::read(path) {
            Ok(image) => assert_eq!(try_load(&kernel(image)).unwrap().1.mode, mode, "{path}"),
            Err(error) => eprintln!("SKIPPED {path}: {error} (install Debian's memtest86+)"),
        }
    }
}

fn some_image() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(BzImage::default().build()),
        Just(BzImage { xloadflags: 0, ..BzImage::default() }.build()),
        Just(pvh_elf(0x20_0040)),
        Just(multiboot_elf()),
        Just(multiboot_by_addresses()),
        proptest::collection::vec(any::<u8>(), 0..1024),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_images_never_panic(
        mut image in some_image(),
        cut in any::<proptest::sample::Index>(),
        truncate in prop::bool::weighted(0.2),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 0u8..8), 0..6),
        words in proptest::collection::vec((0usize..0x300, any::<u32>()), 0..3),
        initrd in proptest::option::of(1usize..5000),
    ) {
        for (at, bit) in flips {
            if !image.is_empty() {
                // Most bytes are contents; the headers are where damage tells.
                let at = at.index(image.len().min(0x400));
                image[at] ^= 1 << bit;
            }
        }
        for (at, word) in words {
            if let Some(slot) = image.get_mut(at..at + 4) {
                slot.copy_from_slice(&word.to_le_bytes());
            }
        }
        if truncate {
            image.truncate(cut.index(image.len() + 1));
        }
        let memory = GuestMemory::new(24 << 20).unwrap();
        let source = BootSource { initrd: initrd.map(|size| vec![1; size]), ..kernel(image) };
        if let Err(error) = load(&memory, &source, &board(&memory, &source)) {
            prop_assert!(error.to_string().len() > 10);
        }
    }
}
