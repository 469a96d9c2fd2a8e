//! Small images of every kind, built field by field.

/// A bzImage; `cut` bytes are missing at its end.
pub(super) struct BzImage {
    pub version: u16,
    pub xloadflags: u16,
    pub pref_address: u64,
    pub init_size: u32,
    pub system: usize,
    pub cut: usize,
}

impl Default for BzImage {
    fn default() -> Self {
        Self { version: 0x20F, xloadflags: 1, pref_address: 0x100_0000, init_size: 0, system: 64, cut: 0 }
    }
}

impl BzImage {
    pub(super) fn build(&self) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[0x1F1] = 1;
        put(&mut image, 0x1F4, &((self.system as u32) / 16).to_le_bytes());
        put(&mut image, 0x1FE, &[0x55, 0xAA, 0xEB, 0x6A]);
        put(&mut image, 0x202, b"HdrS");
        put(&mut image, 0x206, &self.version.to_le_bytes());
        image[0x211] = 1;
        put(&mut image, 0x214, &0x10_0000u32.to_le_bytes());
        put(&mut image, 0x22C, &0x7FFF_FFFFu32.to_le_bytes());
        put(&mut image, 0x230, &0x20_0000u32.to_le_bytes());
        image[0x234] = 1;
        put(&mut image, 0x236, &self.xloadflags.to_le_bytes());
        put(&mut image, 0x238, &255u32.to_le_bytes());
        put(&mut image, 0x258, &self.pref_address.to_le_bytes());
        put(&mut image, 0x260, &self.init_size.to_le_bytes());
        image.resize(1024 + self.system, 0xC5);
        image.truncate(image.len() - self.cut);
        image
    }
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A 32-bit ELF file with one segment at `address` that holds 0x60 bytes of 0x90 from file offset 0x80, and `note`
/// behind it.
pub(super) fn elf(note: &[u8], address: u32, machine: u16) -> Vec<u8> {
    let mut image = vec![0; 0x80];
    put(&mut image, 0, b"\x7FELF\x01\x01\x01");
    put(&mut image, 16, &2u16.to_le_bytes());
    put(&mut image, 18, &machine.to_le_bytes());
    put(&mut image, 20, &1u32.to_le_bytes());
    put(&mut image, 24, &(address + 0x20).to_le_bytes());
    put(&mut image, 28, &52u32.to_le_bytes());
    for (at, value) in [(40, 52u16), (42, 32), (44, 2)] {
        put(&mut image, at, &value.to_le_bytes());
    }
    let note_size = note.len() as u32;
    let load = [1, 0x80, address, address, 0x60, 0x2000, 7, 0x1000];
    let notes = [4, 0xE0, 0, 0, note_size, note_size, 4, 4];
    for (at, word) in load.into_iter().chain(notes).enumerate() {
        put(&mut image, 52 + at * 4, &u32::to_le_bytes(word));
    }
    image.resize(0xE0, 0x90);
    image.extend_from_slice(note);
    image
}

pub(super) fn pvh_elf(entry: u32) -> Vec<u8> {
    let mut note: Vec<u8> = [4u32, 4, 18].iter().flat_map(|word| word.to_le_bytes()).collect();
    note.extend(b"Xen\0");
    note.extend(entry.to_le_bytes());
    elf(&note, 0x20_0000, 3)
}

fn header(flags: u32) -> Vec<u8> {
    [0x1BAD_B002, flags, 0u32.wrapping_sub(0x1BAD_B002).wrapping_sub(flags)]
        .iter()
        .flat_map(|word: &u32| word.to_le_bytes())
        .collect()
}

pub(super) fn multiboot_elf() -> Vec<u8> {
    let mut image = elf(&[], 0x10_0000, 3);
    put(&mut image, 0x80, &header(3));
    image
}

/// The header is 0x40 bytes into the file, which is loaded to 1 MiB from its start.
pub(super) fn multiboot_by_addresses() -> Vec<u8> {
    let mut image = vec![0x90; 0x100];
    put(&mut image, 0x40, &header(1 << 16));
    for (at, word) in [0x10_0040u32, 0x10_0000, 0, 0x10_1000, 0x10_0020].iter().enumerate() {
        put(&mut image, 0x4C + at * 4, &word.to_le_bytes());
    }
    image
}
