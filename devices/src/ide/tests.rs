use super::*;
use crate::ata::Media;
use crate::dma::tests::{Ram, RamDisks};
use crate::dma::{Disks, Memory};
use proptest::prelude::*;

const SECTORS: u64 = 512;

fn drives() -> Drives {
    let drive = |disk, media| Some(AtaDrive { disk, media, sectors: SECTORS, serial: false });
    [drive(0, Media::Disk), None, drive(1, Media::Disc), None]
}

/// A controller, memory and disks whose bytes are the number of their sector.
struct Bench {
    ide: PiixIde,
    ram: Ram,
    disks: RamDisks,
    now: VirtualTime,
}

impl Bench {
    fn new() -> Self {
        let disk: Vec<u8> = (0..SECTORS * 512).map(|at| (at / 512) as u8).collect();
        let mut ide = PiixIde::new(&drives());
        ide.config.place_bar(BUS_MASTER_BAR, 0xc000);
        Self {
            ide,
            ram: Ram(vec![0; 1 << 20]),
            disks: RamDisks(vec![disk.clone(), disk]),
            now: VirtualTime::ZERO,
        }
    }

    fn out(&mut self, port: u16, value: u8) {
        assert!(self.ide.write_port(self.now, port, Width::B1, value.into()));
    }

    fn inb(&mut self, port: u16) -> u8 {
        self.ide.read_port(self.now, port, Width::B1).unwrap() as u8
    }

    fn master(&mut self, offset: u64, width: Width, value: u64) {
        self.ide.write(self.now, BUS_MASTER_BAR, offset, width, value);
    }

    /// Lets everything happen that is going on.
    fn settle(&mut self) {
        while let Some(at) = self.ide.service_at() {
            assert!(at > self.now);
            self.now = at;
            let mut masters = Masters { memory: &mut self.ram, disks: &mut self.disks };
            self.ide.serve(at, &mut masters, &mut Vec::new());
        }
    }

    fn command(&mut self, base: u16, lba: u32, count: u8, command: u8) {
        self.out(base + 2, count);
        for n in 0..3 {
            self.out(base + 3 + n, (lba >> (8 * n)) as u8);
        }
        self.out(base + 6, 0xe0 | (lba >> 24) as u8);
        self.out(base + 7, command);
    }

    fn read_words(&mut self, base: u16, words: usize) -> Vec<u8> {
        let mut word = |_| self.ide.read_port(self.now, base, Width::B2).unwrap() as u16;
        (0..words).flat_map(|n| word(n).to_le_bytes()).collect()
    }
}

#[test]
fn sectors_are_read_and_written_through_the_data_register() {
    let mut bench = Bench::new();
    bench.command(0x1f0, 7, 2, 0x20);
    assert_eq!(bench.inb(0x3f6), 0x80);
    for sector in [7, 8] {
        bench.settle();
        assert!(bench.ide.irq(0));
        assert_eq!(bench.inb(0x1f7), 0x58);
        assert!(!bench.ide.irq(0), "reading the status takes the interrupt back");
        assert_eq!(bench.read_words(0x1f0, 256), [sector; 512]);
    }
    assert_eq!(bench.inb(0x1f7), 0x50);
    bench.command(0x1f0, 100, 1, 0x30);
    assert_eq!(bench.inb(0x3f6), 0x58);
    for _ in 0..128 {
        assert!(bench.ide.write_port(bench.now, 0x1f0, Width::B4, 0x0403_0201));
    }
    bench.settle();
    assert_eq!(bench.inb(0x1f7), 0x50);
    assert_eq!(bench.disks.0[0][51200..51206], [1, 2, 3, 4, 1, 2]);
}

#[test]
fn sectors_are_moved_by_dma() {
    let mut bench = Bench::new();
    // Two regions of 1024 and 512 bytes.
    let table: Vec<u8> =
        [0x4000u32, 1024, 0x9000, 512 | 1 << 31].into_iter().flat_map(u32::to_le_bytes).collect();
    assert!(bench.ram.write(0x1000, &table));
    bench.master(4, Width::B4, 0x1000);
    bench.master(0, Width::B1, 8);
    bench.command(0x1f0, 9, 3, 0xc8);
    assert_eq!(bench.ide.service_at(), None, "nothing before the start");
    bench.master(0, Width::B1, 9);
    assert_eq!(bench.ide.read(bench.now, 4, 2, Width::B1) & 7, 1);
    bench.settle();
    assert_eq!(bench.ide.read(bench.now, 4, 2, Width::B1) & 7, 4);
    assert_eq!(
        (bench.ram.0[0x4000], bench.ram.0[0x4200], bench.ram.0[0x9000], bench.ram.0[0x9200]),
        (9, 10, 11, 0)
    );
    assert_eq!(bench.inb(0x1f7), 0x50);
    bench.master(2, Width::B1, 4);
    bench.master(0, Width::B1, 1);
    bench.command(0x1f0, 50, 3, 0xca);
    bench.settle();
    let mut sector = [0; 512];
    bench.disks.read(0, 52 * 512, &mut sector).unwrap();
    assert_eq!(sector, [11; 512]);
}

#[test]
fn what_is_not_there_is_an_error() {
    let mut bench = Bench::new();
    bench.command(0x1f0, SECTORS as u32 - 1, 2, 0x20);
    assert_eq!((bench.inb(0x1f7), bench.inb(0x1f1)), (0x51, 0x10));
    bench.command(0x1f0, 0, 1, 0xff);
    assert_eq!((bench.inb(0x1f7), bench.inb(0x1f1)), (0x51, 0x04));
    // A table beyond memory.
    bench.master(4, Width::B4, 0xf000_0000);
    bench.master(0, Width::B1, 9);
    bench.command(0x1f0, 0, 1, 0xc8);
    bench.settle();
    assert_eq!(bench.ide.read(bench.now, 4, 2, Width::B1) & 7, 6);
    assert_eq!(bench.inb(0x1f7) & 1, 1);
}

#[test]
fn a_slave_that_is_not_there_and_a_disc_drive_are_told_apart() {
    let mut bench = Bench::new();
    bench.out(0x1f6, 0xb0);
    bench.out(0x1f2, 0x55);
    assert_eq!((bench.inb(0x1f2), bench.inb(0x1f7)), (0, 0));
    bench.out(0x376, 4);
    bench.out(0x376, 0);
    assert_eq!([2, 3, 4, 5].map(|n| bench.inb(0x170 + n)), [1, 1, 0x14, 0xeb]);
    bench.out(0x177, 0xec);
    assert_eq!((bench.inb(0x177), bench.inb(0x171)), (0x51, 4));
}

#[test]
fn a_disc_is_read_in_pieces_of_the_hosts_size() {
    let mut bench = Bench::new();
    bench.out(0x176, 0xa0);
    bench.out(0x174, 0x00);
    bench.out(0x175, 0x10);
    bench.out(0x177, 0xa0);
    assert_eq!((bench.inb(0x376), bench.inb(0x172)), (0x58, 1));
    for word in [0x0028u32, 0, 0x0a00, 0, 3, 0] {
        assert!(bench.ide.write_port(bench.now, 0x170, Width::B2, word));
    }
    let mut seen = Vec::new();
    loop {
        bench.settle();
        assert!(bench.ide.irq(1));
        if bench.inb(0x177) & 8 == 0 {
            break;
        }
        assert_eq!(bench.inb(0x172), 2);
        let bytes = usize::from(u16::from_le_bytes([bench.inb(0x174), bench.inb(0x175)]));
        assert!(bytes <= 0x1000, "{bytes}");
        seen.extend(bench.read_words(0x170, bytes / 2));
    }
    assert_eq!(bench.inb(0x172), 3);
    assert_eq!(seen, bench.disks.0[1][10 * 2048..13 * 2048]);
}

#[derive(Clone, Debug)]
enum Access {
    In(u16, Width),
    Out(u16, Width, u32),
    Master(u64, Width, u64),
    Time(u64),
}

fn access() -> impl Strategy<Value = Access> {
    let port = || prop_oneof![4 => 0x1f0u16..0x1f8, 4 => 0x170u16..0x178, 1 => Just(0x3f6), 1 => Just(0x376)];
    let width = || prop::sample::select(vec![Width::B1, Width::B2, Width::B4]);
    let commands = vec![
        0x20, 0x24, 0x30, 0x34, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0x25, 0x35, 0xec, 0xa1, 0xa0, 0xef, 0x08, 0x90,
        0xe7,
    ];
    prop_oneof![
        3 => (port(), width()).prop_map(|(port, width)| Access::In(port, width)),
        6 => (port(), width(), any::<u32>()).prop_map(|(port, width, value)| Access::Out(port, width, value)),
        4 => (prop::sample::select(vec![0x1f7, 0x177]), prop::sample::select(commands)).prop_map(|(port, value)| Access::Out(port, Width::B1, value)),
        3 => (0u64..16, width(), prop_oneof![any::<u64>(), Just(1), Just(9), 0u64..0x2_0000]).prop_map(|(at, width, value)| Access::Master(at, width, value)),
        4 => (0u64..100_000).prop_map(Access::Time),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the guest does: no panic, nothing outside memory and disks, and no work that is due for ever.
    #[test]
    fn any_accesses_leave_it_sane(accesses in prop::collection::vec(access(), 1..120), table in prop::collection::vec(any::<u32>(), 64)) {
        let mut bench = Bench::new();
        let words: Vec<u8> = table.iter().flat_map(|word| (word & 0x800f_ffff).to_le_bytes()).collect();
        assert!(bench.ram.write(0, &words));
        for access in accesses {
            match access {
                Access::In(port, width) => drop(bench.ide.read_port(bench.now, port, width)),
                Access::Out(port, width, value) => drop(bench.ide.write_port(bench.now, port, width, value)),
                Access::Master(offset, width, value) => bench.master(offset, width, value),
                Access::Time(ns) => {
                    let end = bench.now.after(ns);
                    while let Some(at) = bench.ide.service_at().filter(|at| *at <= end) {
                        prop_assert!(at >= bench.now);
                        bench.now = at;
                        let mut masters = Masters { memory: &mut bench.ram, disks: &mut bench.disks };
                        bench.ide.serve(at, &mut masters, &mut Vec::new());
                        prop_assert!(bench.ide.service_at().is_none_or(|next| next > at));
                    }
                    bench.now = end;
                }
            }
        }
        bench.settle();
    }
}
