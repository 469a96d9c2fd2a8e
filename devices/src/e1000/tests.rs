use super::*;
use crate::dma::tests::{Ram, RamDisks};
use proptest::prelude::*;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const RAM: usize = 1 << 20;
const RX_RING: u32 = 0x1000;
const TX_RING: u32 = 0x2000;

const EECD: u32 = 0x10;
const EERD: u32 = 0x14;
const MDIC: u32 = 0x20;
const ICR: u32 = 0xc0;
const IMS: u32 = 0xd0;
const RCTL: u32 = 0x100;
const TCTL: u32 = 0x400;
const RDBAL: u32 = 0x2800;
const RDLEN: u32 = 0x2808;
const RDH: u32 = 0x2810;
const RDT: u32 = 0x2818;
const TDBAL: u32 = 0x3800;
const TDLEN: u32 = 0x3808;
const TDH: u32 = 0x3810;
const TDT: u32 = 0x3818;

/// A driver's view of the chip.
struct Bench {
    chip: E1000,
    ram: Ram,
    outputs: Vec<Output>,
    now: VirtualTime,
}

impl Bench {
    fn new() -> Self {
        let chip = E1000::new(&NicConfig { nic: 1, mac: MAC, mtu: None });
        Self { chip, ram: Ram(vec![0; RAM]), outputs: Vec::new(), now: VirtualTime::ZERO }
    }

    /// With rings of eight descriptors, receiver and transmitter on.
    fn driven() -> Self {
        let mut bench = Self::new();
        for (register, value) in [(RDBAL, RX_RING), (RDLEN, 128), (TDBAL, TX_RING), (TDLEN, 128)] {
            bench.write(register, value);
        }
        bench.write(RCTL, 1 << 1 | 1 << 15);
        bench.write(TCTL, 1 << 1);
        bench.write(IMS, !0);
        bench
    }

    fn read(&mut self, register: u32) -> u32 {
        self.chip.read(self.now, MEMORY_BAR, register.into(), Width::B4) as u32
    }

    fn write(&mut self, register: u32, value: u32) {
        self.chip.write(self.now, MEMORY_BAR, register.into(), Width::B4, value.into());
    }

    fn serve(&mut self) {
        for _ in 0..1000 {
            let Some(at) = self.chip.service_at() else { return };
            self.now = self.now.max(at);
            let mut disks = RamDisks::default();
            let mut masters = Masters { memory: &mut self.ram, disks: &mut disks };
            self.chip.serve(self.now, &mut masters, &mut self.outputs);
            assert!(self.chip.service_at().is_none_or(|next| next > self.now));
        }
        panic!("the chip never has enough");
    }

    fn put(&mut self, at: u32, bytes: &[u8]) {
        self.ram.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn get(&self, at: u32, len: usize) -> &[u8] {
        &self.ram.0[at as usize..][..len]
    }

    /// Puts a transmit descriptor into the ring: address, the two double words behind it.
    fn descriptor(&mut self, n: u32, address: u64, low: u32, high: u32) {
        let at = TX_RING + n * 16;
        self.put(at, &address.to_le_bytes());
        self.put(at + 8, &low.to_le_bytes());
        self.put(at + 12, &high.to_le_bytes());
    }

    fn sent(&mut self) -> Vec<Vec<u8>> {
        let frame = |output| match output {
            Output::Frame { nic: 1, bytes } => bytes,
            other => panic!("{other:?}"),
        };
        std::mem::take(&mut self.outputs).into_iter().map(frame).collect()
    }

    fn arrive(&mut self, bytes: &[u8]) {
        let now = self.now;
        assert!(self.chip.receive(now, &Input::Frame { nic: 1, bytes: bytes.to_vec() }));
        self.serve();
    }

    /// Clocks bits out over Microwire, most significant first.
    fn shift_out(&mut self, bits: u32, count: u32) {
        for n in (0..count).rev() {
            let data = bits >> n & 1;
            for clock in [0, 1, 0] {
                self.write(EECD, 1 << 6 | 1 << 1 | data << 2 | clock);
            }
        }
    }

    fn shift_in(&mut self) -> u16 {
        (0..16).fold(0, |word, _| {
            self.write(EECD, 1 << 6 | 1 << 1 | 1);
            let bit = self.read(EECD) >> 3 & 1;
            self.write(EECD, 1 << 6 | 1 << 1);
            word << 1 | bit as u16
        })
    }
}

fn to_me(len: usize) -> Vec<u8> {
    let mut frame = MAC.to_vec();
    frame.extend((0..len - 6).map(|n| n as u8));
    frame
}

#[test]
fn the_eeprom_has_the_address_and_the_right_sum_either_way() {
    let mut bench = Bench::new();
    let mut by_bits = Vec::new();
    for address in 0..64 {
        bench.write(EECD, 1 << 6);
        assert_eq!(bench.read(EECD) & (1 << 7), 1 << 7, "granted");
        bench.shift_out(0b110, 3);
        bench.shift_out(address, 6);
        assert_eq!(bench.read(EECD) >> 3 & 1, 0, "a zero before the word");
        by_bits.push(bench.shift_in());
    }
    let mut by_register = Vec::new();
    for address in 0..64 {
        bench.write(EERD, address << 8 | 1);
        let value = bench.read(EERD);
        assert_eq!(value >> 4 & 1, 1, "done");
        by_register.push((value >> 16) as u16);
    }
    assert_eq!(by_bits, by_register);
    assert_eq!(by_bits[..3], [0x5452, 0x1200, 0x5634]);
    assert_eq!(by_bits.iter().fold(0u16, |sum, word| sum.wrapping_add(*word)), 0xbaba);
}

#[test]
fn the_phy_says_who_it_is_and_that_the_link_is_up() {
    let mut bench = Bench::new();
    let mut ask = |phy: u32, register: u32| {
        bench.write(MDIC, 2 << 26 | phy << 21 | register << 16);
        bench.read(MDIC)
    };
    assert_eq!(ask(1, 2) & 0xffff, 0x0141);
    assert_eq!(ask(1, 3) & 0xfff0, 0x0c20);
    assert_eq!(ask(1, 1) & 0x24, 0x24, "link up, negotiated");
    assert_eq!(ask(2, 2) >> 30 & 1, 1, "nobody there");
}

#[test]
fn a_frame_is_received_with_its_check_sequence() {
    let mut bench = Bench::driven();
    bench.put(RX_RING, &0x1_0000u64.to_le_bytes());
    bench.write(RDT, 4);
    let frame = to_me(100);
    bench.arrive(&frame);
    assert_eq!(bench.get(0x1_0000, 100), frame);
    assert_eq!(bench.get(0x1_0064, 4), crate::ethernet::crc32(&frame).to_le_bytes());
    assert_eq!(bench.get(RX_RING + 8, 8), [104, 0, 0, 0, 7, 0, 0, 0]);
    assert_eq!(bench.read(RDH), 1);
    assert!(bench.chip.interrupt());
    assert_eq!(bench.read(ICR) & 0x80, 0x80);
    assert!(!bench.chip.interrupt());
}

#[test]
fn a_long_frame_takes_several_buffers_and_waits_for_them() {
    let mut bench = Bench::driven();
    for n in 0..3u64 {
        bench.put(RX_RING + n as u32 * 16, &(0x1_0000 + n * 0x1000).to_le_bytes());
    }
    // Buffers of 512 bytes, no check sequence.
    bench.write(RCTL, 1 << 1 | 2 << 16 | 1 << 26);
    bench.write(RDT, 2);
    let frame = to_me(1500);
    bench.arrive(&frame);
    assert_eq!((bench.read(RDH), bench.read(ICR) & 0xc0), (0, 0x40), "two are not enough");
    assert_eq!(bench.chip.backlog(Backlog::Nic(1)), 1500);
    bench.write(RDT, 5);
    bench.serve();
    assert_eq!(bench.read(RDH), 3);
    let got = [bench.get(0x1_0000, 512), bench.get(0x1_1000, 512), bench.get(0x1_2000, 476)].concat();
    assert_eq!(got, frame);
    assert_eq!([0, 1, 2].map(|n| bench.get(RX_RING + n * 16 + 12, 1)[0]), [5, 5, 7]);
}

#[test]
fn filters_let_through_what_they_should() {
    let mut bench = Bench::driven();
    bench.write(RDT, 7);
    let mut head = 0;
    let mut passes = |bench: &mut Bench, to: [u8; 6]| {
        let mut frame = to.to_vec();
        frame.resize(60, 0);
        bench.arrive(&frame);
        let before = std::mem::replace(&mut head, bench.read(RDH));
        head != before
    };
    assert!(passes(&mut bench, MAC));
    assert!(passes(&mut bench, [0xff; 6]));
    assert!(!passes(&mut bench, [0x52, 0x54, 0, 1, 2, 3]));
    assert!(!passes(&mut bench, [1, 0, 0x5e, 0, 0, 1]));
    // Bits 47 to 36 of the address: 0x010.
    bench.write(0x5200, 1 << 16);
    assert!(passes(&mut bench, [1, 0, 0x5e, 0, 0, 1]));
    bench.write(RCTL, 1 << 1 | 1 << 3);
    assert!(passes(&mut bench, [0x52, 0x54, 0, 1, 2, 3]));
    assert!(!passes(&mut bench, [0xff; 6]));
}

#[test]
fn legacy_descriptors_are_gathered_and_reported() {
    let mut bench = Bench::driven();
    bench.put(0x1_0000, &to_me(40));
    bench.put(0x2_0000, b"behind it");
    bench.descriptor(0, 0x1_0000, 40, 0);
    bench.descriptor(1, 0x2_0000, 9 | 0x0900_0000, 0);
    bench.write(TDT, 2);
    bench.serve();
    assert_eq!(bench.sent(), [[&to_me(40)[..], b"behind it"].concat()]);
    assert_eq!((bench.get(TX_RING + 12, 1)[0], bench.get(TX_RING + 28, 1)[0]), (0, 1));
    assert_eq!(bench.read(TDH), 2);
    assert_eq!(bench.read(ICR) & 3, 3);
}

/// The header of a TCP segment over IPv4, without checksums but for the pseudo header's sum.
fn tcp_header(payload: usize) -> Vec<u8> {
    let mut h = vec![0; 54];
    h[..6].copy_from_slice(&MAC);
    h[12..14].copy_from_slice(&[8, 0]);
    h[14] = 0x45;
    h[16..18].copy_from_slice(&(40 + payload as u16).to_be_bytes());
    h[18..20].copy_from_slice(&0xfffeu16.to_be_bytes());
    (h[22], h[23]) = (64, 6);
    h[26..34].copy_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
    h[38..42].copy_from_slice(&0xffff_ff00u32.to_be_bytes());
    (h[46], h[47]) = (0x50, 0x19);
    h
}

/// Both checksums of a frame with that header are right.
fn assert_sums(frame: &[u8]) {
    assert_eq!(checksum::sum(&frame[14..34]), 0xffff);
    let len = (frame.len() - 34) as u16;
    let pseudo = [&frame[26..34], &[0, 6], &len.to_be_bytes()[..], &frame[34..]].concat();
    assert_eq!(checksum::sum(&pseudo), 0xffff);
}

#[test]
fn checksums_are_inserted_where_the_context_says() {
    let mut bench = Bench::driven();
    let mut packet = tcp_header(100);
    let pseudo = checksum::sum(&[&packet[26..34], &[0, 6, 0, 120]].concat());
    packet[50..52].copy_from_slice(&pseudo.to_be_bytes());
    packet.extend((0..100).map(|n| n * 2));
    bench.put(0x1_0000, &packet);
    let ip = 14 | 24 << 8 | 33 << 16;
    let tcp = 34 | 50 << 8;
    bench.descriptor(0, ip | tcp << 32, 0x2300_0000, 0);
    bench.descriptor(1, 0x1_0000, packet.len() as u32 | 0x2910_0000, 0x0300);
    bench.write(TDT, 2);
    bench.serve();
    let sent = bench.sent();
    assert_eq!(sent.len(), 1);
    assert_sums(&sent[0]);
    assert_eq!(sent[0][54..], packet[54..]);
}

#[test]
fn a_packet_is_cut_into_segments() {
    let mut bench = Bench::driven();
    let mut packet = tcp_header(2500);
    let pseudo = checksum::sum(&[&packet[26..34], &[0, 6]].concat());
    packet[50..52].copy_from_slice(&pseudo.to_be_bytes());
    packet.extend((0..2500).map(|n| (n * 7) as u8));
    bench.put(0x1_0000, &packet);
    let ip = 14 | 24 << 8 | 33 << 16;
    let tcp = 34 | 50 << 8;
    bench.descriptor(0, ip | tcp << 32, 2500 | 0x2700_0000, 54 << 8 | 1000 << 16);
    bench.descriptor(1, 0x1_0000, 54 | 0x2410_0000, 0x0300);
    bench.descriptor(2, 0x1_0036, 2500 | 0x2d10_0000, 0x0300);
    bench.write(TDT, 3);
    bench.serve();
    let sent = bench.sent();
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [1054, 1054, 554]);
    for (n, frame) in sent.iter().enumerate() {
        assert_sums(frame);
        assert_eq!(frame[16..18], ((frame.len() - 14) as u16).to_be_bytes());
        assert_eq!(frame[18..20], 0xfffeu16.wrapping_add(n as u16).to_be_bytes());
        assert_eq!(frame[38..42], 0xffff_ff00u32.wrapping_add(1000 * n as u32).to_be_bytes());
        assert_eq!(frame[47], if n == 2 { 0x19 } else { 0x10 });
    }
    let payload: Vec<u8> = sent.iter().flat_map(|frame| frame[54..].to_vec()).collect();
    assert_eq!(payload, packet[54..]);
}

#[test]
fn the_port_window_leads_to_the_registers() {
    let mut bench = Bench::new();
    let now = bench.now;
    bench.chip.write(now, PORT_BAR, 0, Width::B4, u64::from(IMS));
    bench.chip.write(now, PORT_BAR, 4, Width::B4, 0x84);
    assert_eq!(bench.chip.read(now, PORT_BAR, 4, Width::B4), 0x84);
    assert_eq!(bench.read(IMS), 0x84);
}

/// One thing that a guest or the network does.
#[derive(Clone, Debug)]
enum Event {
    Read(u32),
    Write(u32, u32),
    Memory(u32, Vec<u8>),
    Frame(usize),
    Serve,
}

fn event() -> impl Strategy<Value = Event> {
    let often = prop::sample::select(vec![
        RCTL, TCTL, RDBAL, RDLEN, RDH, RDT, TDBAL, TDLEN, TDH, TDT, EECD, EERD, MDIC, ICR, IMS, 0, 0x2804,
        0x3804, 0x5400, 0x5404,
    ]);
    let register = prop_oneof![4 => often, 1 => (0u32..0x8000).prop_map(|n| n * 4)];
    let value = prop_oneof![any::<u32>(), 0u32..0x4000, Just(2), Just(0x0400_801a), Just(128), Just(!0)];
    let ring = prop_oneof![RX_RING..RX_RING + 256, TX_RING..TX_RING + 256];
    prop_oneof![
        2 => register.clone().prop_map(Event::Read),
        6 => (register, value).prop_map(|(r, v)| Event::Write(r, v)),
        4 => (ring, prop::collection::vec(any::<u8>(), 16)).prop_map(|(at, bytes)| Event::Memory(at & !15, bytes)),
        1 => (0usize..2000).prop_map(Event::Frame),
        2 => Just(Event::Serve),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// No panic, no hang, and a saved chip is the chip.
    #[test]
    fn any_guest_leaves_it_sane(events in prop::collection::vec(event(), 1..200)) {
        let mut bench = Bench::driven();
        bench.write(RDT, 7);
        for event in events {
            match event {
                Event::Read(register) => { bench.read(register); }
                Event::Write(register, value) => bench.write(register, value),
                Event::Memory(at, bytes) => bench.put(at, &bytes),
                Event::Frame(len) => {
                    let now = bench.now;
                    let mut bytes = vec![0xff; len];
                    bytes.truncate(len);
                    bench.chip.receive(now, &Input::Frame { nic: 1, bytes });
                }
                Event::Serve => bench.serve(),
            }
        }
        let saved = rrvmm_replay::codec::to_bytes(&bench.chip).unwrap();
        let loaded: E1000 = rrvmm_replay::codec::from_bytes(&saved).unwrap();
        prop_assert_eq!(loaded, bench.chip);
    }
}
