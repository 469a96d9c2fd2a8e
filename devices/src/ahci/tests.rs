use super::*;
use crate::ata::Media;
use crate::dma::Memory;
use crate::dma::tests::{Ram, RamDisks};
use proptest::prelude::*;

const SECTORS: u64 = 512;
const LIST: u64 = 0x1000;
const RECEIVED: u64 = 0x2000;
const TABLE: u64 = 0x3000;
const DATA: u64 = 0x1_0000;

struct Bench {
    ahci: Ahci,
    ram: Ram,
    disks: RamDisks,
    now: VirtualTime,
}

impl Bench {
    fn new() -> Self {
        let drive = |disk, media| AtaDrive { disk, media, sectors: SECTORS, serial: true };
        let disk: Vec<u8> = (0..SECTORS * 512).map(|at| (at / 512) as u8).collect();
        let mut bench = Self {
            ahci: Ahci::new(&[drive(0, Media::Disk), drive(1, Media::Disc)]),
            ram: Ram(vec![0; 1 << 18]),
            disks: RamDisks(vec![disk.clone(), disk]),
            now: VirtualTime::ZERO,
        };
        bench.write(4, IE);
        for port in 0..2 {
            bench.write(port_at(port, 0x00), LIST as u32);
            bench.write(port_at(port, 0x08), RECEIVED as u32);
            bench.write(port_at(port, 0x14), u32::MAX);
            bench.write(port_at(port, 0x18), 0x11);
        }
        bench
    }

    fn read(&mut self, offset: u64) -> u32 {
        self.ahci.read(self.now, ABAR, offset, Width::B4) as u32
    }

    fn write(&mut self, offset: u64, value: u32) {
        self.ahci.write(self.now, ABAR, offset, Width::B4, value.into());
    }

    /// Puts a command into `slot`, with two regions of half of `bytes` each.
    fn prepare(&mut self, slot: u64, fis: &[u8], packet: &[u8], bytes: u32) {
        let table = TABLE + slot * 0x200;
        let header: Vec<u8> =
            [5 | 2 << 16, 0, table as u32, 0].into_iter().flat_map(u32::to_le_bytes).collect();
        assert!(self.ram.write(LIST + slot * 32, &header));
        assert!(self.ram.write(table, fis));
        assert!(self.ram.write(table + 0x40, packet));
        let half = bytes / 2;
        let regions = [DATA as u32, 0, 0, half - 1, DATA as u32 + 0x8000, 0, 0, half - 1];
        let regions: Vec<u8> = regions.into_iter().flat_map(u32::to_le_bytes).collect();
        assert!(self.ram.write(table + 0x80, &regions));
    }

    fn settle(&mut self) {
        while let Some(at) = self.ahci.service_at() {
            self.now = at;
            let mut masters = Masters { memory: &mut self.ram, disks: &mut self.disks };
            self.ahci.serve(at, &mut masters, &mut Vec::new());
        }
    }
}

fn port_at(port: u64, register: u64) -> u64 {
    FIRST_PORT + port * PORT_BYTES + register
}

fn command(command: u8, lba: u8, count: u8) -> [u8; 16] {
    [0x27, 0x80, command, 0, lba, 0, 0, 0x40, 0, 0, 0, 0, count, 0, 0, 0]
}

#[test]
fn ports_say_what_is_behind_them() {
    let mut bench = Bench::new();
    assert_eq!([0, 1, 2].map(|n| bench.read(port_at(n, 0x28))), [0x123, 0x123, 0]);
    assert_eq!([0, 1, 2].map(|n| bench.read(port_at(n, 0x24))), [0x101, 0xeb14_0101, u32::MAX]);
    bench.write(port_at(0, 0x2c), 1);
    assert_eq!(bench.read(port_at(0, 0x28)), 0);
    bench.write(port_at(0, 0x2c), 0);
    assert_eq!((bench.read(port_at(0, 0x28)), bench.read(port_at(0, 0x10))), (0x123, 1 << 6 | 1 << 22));
    assert!(bench.ahci.interrupt());
    bench.write(port_at(0, 0x30), u32::MAX);
    bench.write(8, 1);
    assert!(!bench.ahci.interrupt());
}

#[test]
fn commands_move_sectors_and_say_how_many_bytes() {
    let mut bench = Bench::new();
    bench.prepare(3, &command(0x25, 7, 2), &[], 1024);
    bench.write(port_at(0, 0x38), 8);
    assert_eq!(bench.read(port_at(0, 0x38)), 8);
    bench.settle();
    assert!(bench.ahci.interrupt());
    assert_eq!((bench.read(port_at(0, 0x38)), bench.read(port_at(0, 0x10))), (0, 1));
    assert_eq!((bench.ram.0[DATA as usize], bench.ram.0[DATA as usize + 0x8000]), (7, 8));
    assert_eq!(bench.ram.0[(LIST + 3 * 32 + 4) as usize..][..4], 1024u32.to_le_bytes());
    assert_eq!(bench.ram.0[(RECEIVED + 0x40) as usize..][..4], [0x34, 0x40, 0x50, 0]);
    bench.prepare(0, &command(0xec, 0, 0), &[], 512);
    bench.write(port_at(0, 0x38), 1);
    bench.settle();
    assert_eq!(bench.read(port_at(0, 0x10)), 3, "identification comes as PIO does");
    assert_eq!(bench.ram.0[(RECEIVED + 0x20) as usize], 0x5f);
}

#[test]
fn queued_commands_end_by_tag() {
    let mut bench = Bench::new();
    let queued = |tag: u8, lba: u8| {
        let mut fis = command(0x60, lba, tag << 3);
        fis[3] = 2;
        fis
    };
    bench.prepare(1, &queued(1, 20), &[], 1024);
    bench.prepare(4, &queued(4, 30), &[], 1024);
    bench.write(port_at(0, 0x34), 0x12);
    bench.write(port_at(0, 0x38), 0x12);
    bench.settle();
    assert_eq!([0x34, 0x38, 0x10].map(|at| bench.read(port_at(0, at))), [0, 0, 8]);
    assert_eq!(bench.ram.0[DATA as usize], 30);
    // One beyond the end fails, says which it was, and stops the list.
    let mut fis = queued(2, 255);
    (fis[5], fis[3]) = (1, 9);
    bench.prepare(2, &fis, &[], 1024);
    bench.write(port_at(0, 0x34), 4);
    bench.write(port_at(0, 0x38), 4);
    bench.settle();
    assert_eq!(bench.read(port_at(0, 0x34)), 4);
    assert_ne!(bench.read(port_at(0, 0x10)) & 1 << 30, 0);
    bench.write(port_at(0, 0x18), 0x10);
    bench.write(port_at(0, 0x18), 0x11);
    bench.prepare(0, &command(0x2f, 0x10, 1), &[], 512);
    bench.write(port_at(0, 0x38), 1);
    bench.settle();
    assert_eq!(bench.ram.0[DATA as usize..][..4], [2, 0, 0x51, 0x10]);
}

#[test]
fn packets_are_found_behind_the_command() {
    let mut bench = Bench::new();
    bench.prepare(0, &command(0xa0, 0, 0), &[0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0, 0, 0], 4096);
    bench.write(port_at(1, 0x38), 1);
    bench.settle();
    assert_eq!(bench.ram.0[DATA as usize..][..2048], bench.disks.0[1][5 * 2048..6 * 2048]);
    bench.prepare(0, &command(0xa0, 0, 0), &[0x28, 0, 0, 0, 9, 5, 0, 0, 2, 0, 0, 0], 4096);
    bench.write(port_at(1, 0x38), 1);
    bench.settle();
    assert_eq!(bench.read(port_at(1, 0x20)) & 0xff01, 0x5001);
}

#[derive(Clone, Debug)]
enum Access {
    Read(u64, Width),
    Write(u64, Width, u64),
    Issue(u64, u32),
    Time(u64),
}

fn access() -> impl Strategy<Value = Access> {
    let width = || prop::sample::select(vec![Width::B1, Width::B2, Width::B4, Width::B8]);
    let value = || prop_oneof![any::<u64>(), 0u64..0x4_0000, Just(0x11), Just(1)];
    prop_oneof![
        2 => (0u64..0x400, width()).prop_map(|(at, width)| Access::Read(at, width)),
        4 => (0u64..0x100, width(), value()).prop_map(|(at, width, value)| Access::Write(4 * at, width, value)),
        6 => (0u64..3, any::<u32>()).prop_map(|(port, slots)| Access::Issue(port, slots)),
        4 => (0u64..50_000).prop_map(Access::Time),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the guest does: no panic, nothing outside memory and disks, and no work that is due for ever.
    #[test]
    fn any_accesses_leave_it_sane(
        accesses in prop::collection::vec(access(), 1..60),
        commands in prop::collection::vec((prop::sample::select(vec![0x60u8, 0x61, 0x25, 0x35, 0xec, 0xa0, 0xa1, 0x2f, 0xc4, 0xef, 0]), any::<[u8; 16]>(), any::<u32>()), 32),
    ) {
        let mut bench = Bench::new();
        for (slot, (code, bytes, size)) in commands.into_iter().enumerate() {
            let mut fis = bytes;
            fis[..3].copy_from_slice(&[0x27, bytes[1] | 0x80, code]);
            (fis[5], fis[6], fis[8], fis[9], fis[10], fis[13]) = (0, 0, 0, 0, 0, 0);
            bench.prepare(slot as u64, &fis, &bytes[..12], size | 2);
        }
        for access in accesses {
            match access {
                Access::Read(offset, width) => drop(bench.ahci.read(bench.now, ABAR, offset, width)),
                Access::Write(offset, width, value) => bench.ahci.write(bench.now, ABAR, offset, width, value),
                Access::Issue(port, slots) => bench.write(port_at(port, 0x38), slots),
                Access::Time(ns) => {
                    let end = bench.now.after(ns);
                    while let Some(at) = bench.ahci.service_at().filter(|at| *at <= end) {
                        bench.now = at;
                        let mut masters = Masters { memory: &mut bench.ram, disks: &mut bench.disks };
                        bench.ahci.serve(at, &mut masters, &mut Vec::new());
                        prop_assert!(bench.ahci.service_at().is_none_or(|next| next > at));
                    }
                    bench.now = end;
                }
            }
        }
        bench.settle();
    }
}
