use super::*;
use crate::bus::Width;
use crate::virtio::Kind;
use crate::virtio::tests::Bench;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

fn bench(features: u64) -> Bench {
    bench_with(None, features)
}

fn bench_with(mtu: Option<u16>, features: u64) -> Bench {
    let config = NicConfig { nic: 2, mac: MAC, mtu };
    Bench::driven(Kind::Net(Net::new(&config)), features)
}

fn arrive(bench: &mut Bench, bytes: &[u8]) {
    use crate::pci::PciFunction as _;
    let frame = |nic| Input::Frame { nic, bytes: bytes.to_vec() };
    let now = bench.now;
    assert!(!bench.device.receive(now, &frame(1)));
    assert!(bench.device.receive(now, &frame(2)));
    bench.serve();
}

#[test]
fn frames_are_sent_without_their_header() {
    let mut bench = bench(0);
    bench.put(0x1_0000, &[0; 12]);
    bench.put(0x1_000c, b"abc");
    bench.put(0x2_0000, b"defg");
    bench.offer(1, 0, &[(0x1_0000, 15), (0x2_0000, 4)], &[]);
    bench.offer(1, 4, &[(0x1_0000, 12)], &[]);
    bench.ring(1);
    assert_eq!(bench.used(1), [(0, 0), (4, 0)]);
    assert_eq!(bench.outputs, [Output::Frame { nic: 2, bytes: b"abcdefg".to_vec() }]);
    assert_eq!(bench.interrupted(), 1);
}

#[test]
fn a_frame_waits_for_a_buffer() {
    let mut bench = bench(0);
    arrive(&mut bench, b"hello");
    assert_eq!((bench.used(0), bench.interrupted()), (Vec::new(), 0));
    bench.offer(0, 7, &[], &[(0x1_0000, 1526)]);
    bench.ring(0);
    assert_eq!(bench.used(0), [(7, 17)]);
    assert_eq!(bench.get(0x1_0000, 17), b"\0\0\0\0\0\0\0\0\0\0\x01\0hello");
    assert_eq!(bench.interrupted(), 1);
}

#[test]
fn a_long_frame_takes_several_buffers_if_that_was_agreed_on() {
    let mut bench = bench(1 << VIRTIO_NET_F_MRG_RXBUF);
    let frame: Vec<u8> = (0..250).collect();
    for n in 0..2 {
        bench.offer(0, n, &[], &[(0x1_0000 + u64::from(n) * 0x1000, 100)]);
    }
    arrive(&mut bench, &frame);
    assert_eq!(bench.used(0), [], "two are not enough");
    bench.offer(0, 2, &[], &[(0x1_2000, 100)]);
    bench.ring(0);
    assert_eq!(bench.used(0), [(0, 100), (1, 100), (2, 62)]);
    assert_eq!(bench.get(0x1_000a, 2), [3, 0]);
    let bytes = [bench.get(0x1_000c, 88), bench.get(0x1_1000, 100), bench.get(0x1_2000, 62)].concat();
    assert_eq!(bytes, frame);
}

#[test]
fn a_frame_that_does_not_fit_is_lost() {
    let mut bench = bench(0);
    bench.offer(0, 0, &[], &[(0x1_0000, 20)]);
    arrive(&mut bench, &[1; 100]);
    assert_eq!(bench.used(0), [(0, 0)]);
    bench.offer(0, 0, &[], &[(0x1_0000, 20)]);
    arrive(&mut bench, &[2; 8]);
    assert_eq!(bench.used(0), [(0, 20)]);
}

#[test]
fn who_was_told_of_an_mtu_gets_no_longer_packets() {
    let mtu = 1 << VIRTIO_NET_F_MTU;
    assert_eq!(Net::new(&NicConfig { nic: 2, mac: MAC, mtu: None }).features() & mtu, 0);
    for (features, lost) in [(mtu, true), (0, false)] {
        let mut bench = bench_with(Some(100), features);
        assert_eq!(bench.config(10, Width::B2), 100);
        bench.offer(0, 3, &[], &[(0x1_0000, 200)]);
        arrive(&mut bench, &[1; 119]);
        assert_eq!(bench.used(0).is_empty(), lost);
        arrive(&mut bench, &[2; 118]);
        assert_eq!(bench.used(0), if lost { vec![(3, 130)] } else { vec![] });
    }
}

#[test]
fn its_address_is_in_the_configuration() {
    let mut bench = bench(0);
    let mac: Vec<u8> = (0..6).map(|n| bench.config(n, Width::B1) as u8).collect();
    assert_eq!(mac, MAC);
    assert_eq!(bench.config(6, Width::B2), 1);
}
