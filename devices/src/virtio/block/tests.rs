use super::*;
use crate::bus::Width;
use crate::virtio::Kind;
use crate::virtio::tests::Bench;

const SECTORS: usize = 100;

fn bench(read_only: bool) -> Bench {
    let config = DiskConfig { disk: 1, bytes: (SECTORS * 512) as u64, read_only, serial: "a-serial".into() };
    let mut bench = Bench::driven(Kind::Block(Block::new(&config)), 0);
    let disk = (0..SECTORS * 512).map(|n| (n / 512) as u8 ^ n as u8).collect();
    bench.disks.0 = vec![Vec::new(), disk];
    bench
}

/// Does a request and gives its status and what was used.
fn request(bench: &mut Bench, kind: u32, sector: u64, out: &[(u64, u32)], r#in: &[(u64, u32)]) -> (u8, u32) {
    let mut header = kind.to_le_bytes().to_vec();
    header.extend([0; 4]);
    header.extend(sector.to_le_bytes());
    bench.put(0x1_0000, &header);
    bench.put(0x1_0020, &[0xee]);
    let readable = [&[(0x1_0000, 16)], out].concat();
    let writable = [r#in, &[(0x1_0020, 1)]].concat();
    bench.offer(0, 3, &readable, &writable);
    bench.ring(0);
    assert_eq!(bench.used(0), [], "a request takes its time");
    bench.settle();
    let used = bench.used(0);
    assert_eq!(used.len(), 1);
    assert_eq!(used[0].0, 3);
    assert_eq!(bench.interrupted(), 1);
    (bench.get(0x1_0020, 1)[0], used[0].1)
}

#[test]
fn sectors_are_read_into_scattered_memory() {
    let mut bench = bench(false);
    assert_eq!(request(&mut bench, 0, 5, &[], &[(0x2_0000, 100), (0x3_0001, 924)]), (0, 1025));
    let disk = bench.disks.0[1][5 * 512..7 * 512].to_vec();
    assert_eq!([bench.get(0x2_0000, 100), bench.get(0x3_0001, 924)].concat(), disk);
}

#[test]
fn sectors_are_written() {
    let mut bench = bench(false);
    bench.put(0x2_0000, &[0x55; 512]);
    assert_eq!(request(&mut bench, 1, 99, &[(0x2_0000, 512)], &[]), (0, 1));
    assert_eq!(bench.disks.0[1][99 * 512..], [0x55; 512]);
    assert_eq!(request(&mut bench, 4, 0, &[], &[]), (0, 1));
}

#[test]
fn what_is_not_on_the_disk_is_an_error_of_the_request() {
    let mut bench = bench(false);
    let before = bench.disks.clone();
    assert_eq!(request(&mut bench, 0, 99, &[], &[(0x2_0000, 1024)]), (1, 1));
    assert_eq!(request(&mut bench, 0, u64::MAX, &[], &[(0x2_0000, 512)]), (1, 1));
    assert_eq!(request(&mut bench, 1, 3, &[(0x2_0000, 511)], &[]), (1, 1));
    assert_eq!(request(&mut bench, 77, 0, &[], &[]), (2, 1));
    assert_eq!(bench.disks, before);
}

#[test]
fn a_read_only_disk_is_not_written() {
    let mut bench = bench(true);
    assert_eq!(bench.offered() & (1 << 5 | 1 << 14), 1 << 5);
    let before = bench.disks.clone();
    assert_eq!(request(&mut bench, 1, 3, &[(0x2_0000, 512)], &[]), (1, 1));
    assert_eq!(request(&mut bench, 13, 0, &[(0x2_0000, 16)], &[]), (1, 1));
    assert_eq!(bench.disks, before);
}

#[test]
fn zeroes_serial_number_and_configuration() {
    let mut bench = bench(false);
    bench.put(0x2_0000, &[2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(request(&mut bench, 13, 0, &[(0x2_0000, 16)], &[]), (0, 1));
    assert_eq!(bench.disks.0[1][2 * 512..5 * 512], [0; 3 * 512]);
    assert_ne!(bench.disks.0[1][5 * 512..6 * 512], [0; 512]);
    bench.put(0x2_000c, &[2]);
    assert_eq!(request(&mut bench, 13, 0, &[(0x2_0000, 16)], &[]), (2, 1));
    assert_eq!(request(&mut bench, 8, 0, &[], &[(0x3_0000, 20)]), (0, 21));
    assert_eq!(bench.get(0x3_0000, 9), b"a-serial\0");
    assert_eq!(bench.config(0, Width::B8), SECTORS as u64);
    assert_eq!(bench.config(12, Width::B4), 254);
}

#[test]
fn requests_finish_in_order_and_later_the_more_they_move() {
    let mut bench = bench(false);
    bench.put(0x1_0000, &[0; 16]);
    bench.offer(0, 0, &[(0x1_0000, 16)], &[(0x2_0000, 512), (0x1_0020, 1)]);
    bench.offer(0, 4, &[(0x1_0000, 16)], &[(0x3_0000, 0x4000), (0x1_0021, 1)]);
    bench.ring(0);
    let start = bench.now;
    let first = bench.device.transport().service_at().unwrap();
    assert_eq!(first, start.after(LATENCY + 529 / 2));
    bench.now = first;
    bench.serve();
    assert_eq!(bench.used(0), [(0, 513)]);
    assert_eq!(bench.device.transport().service_at(), Some(first.after((0x4000 + 17) / 2)));
    bench.settle();
    assert_eq!(bench.used(0), [(4, 0x4001)]);
}

#[test]
fn no_room_for_a_status_breaks_the_queue() {
    let mut bench = bench(false);
    bench.offer(0, 0, &[(0x1_0000, 16)], &[]);
    bench.ring(0);
    bench.settle();
    assert_eq!(bench.status(), 0x4f);
    assert_eq!(bench.interrupted(), 2);
    assert_eq!(bench.device.transport().broken(), Some("a request is too short for its kind"));
}
