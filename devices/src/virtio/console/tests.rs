use super::*;
use crate::pci::PciFunction as _;
use crate::virtio::Kind;
use crate::virtio::tests::Bench;

fn bench(features: u64) -> Bench {
    let port = |number, name: &str, console| PortConfig { number, name: name.to_owned(), console };
    let ports = [port(5, "com", true), port(6, "org.x", false)];
    Bench::driven(Kind::Console(Console::new(&ports)), features)
}

fn tell(bench: &mut Bench, id: u32, event: u16, value: u16) {
    let mut message = id.to_le_bytes().to_vec();
    message.extend(event.to_le_bytes());
    message.extend(value.to_le_bytes());
    bench.put(0x1_0000, &message);
    bench.offer(3, 0, &[(0x1_0000, 8)], &[]);
    bench.ring(3);
    assert_eq!(bench.used(3), [(0, 0)]);
}

/// The messages in the buffers given back: id, event, value, and the rest.
fn heard(bench: &mut Bench) -> Vec<(u32, u16, u16, Vec<u8>)> {
    let used = bench.used(2);
    used.into_iter()
        .map(|(head, len)| {
            let bytes = bench.get(0x2_0000 + u64::from(head) * 64, len as usize);
            let [a, b, c, d, e, f, g, h, more @ ..] = bytes else { panic!("{bytes:?}") };
            let number = |a: &u8, b: &u8| u16::from_le_bytes([*a, *b]);
            (u32::from_le_bytes([*a, *b, *c, *d]), number(e, f), number(g, h), more.to_vec())
        })
        .collect()
}

#[test]
fn ports_are_announced_named_and_opened() {
    let mut bench = bench(1 << F_MULTIPORT);
    for head in 0..8 {
        bench.offer(2, head, &[], &[(0x2_0000 + u64::from(head) * 64, 64)]);
    }
    bench.ring(2);
    tell(&mut bench, 0, event::DEVICE_READY, 1);
    assert_eq!(heard(&mut bench), [(0, 1, 1, vec![]), (1, 1, 1, vec![])]);
    tell(&mut bench, 0, event::PORT_READY, 1);
    assert_eq!(heard(&mut bench), [(0, 4, 1, vec![]), (0, 7, 1, b"com".to_vec()), (0, 6, 1, vec![])]);
    tell(&mut bench, 1, event::PORT_READY, 1);
    assert_eq!(heard(&mut bench), [(1, 7, 1, b"org.x".to_vec()), (1, 6, 1, vec![])]);
    tell(&mut bench, 2, event::PORT_READY, 1);
    assert_eq!(heard(&mut bench), []);
}

#[test]
fn bytes_go_both_ways_by_the_port_s_own_queues() {
    let mut bench = bench(1 << F_MULTIPORT);
    bench.put(0x1_0000, b"out");
    bench.offer(5, 2, &[(0x1_0000, 3)], &[]);
    bench.ring(5);
    assert_eq!(bench.outputs, [Output::Console { port: 6, bytes: b"out".to_vec() }]);
    let now = bench.now;
    assert!(bench.device.receive(now, &Input::Console { port: 6, bytes: b"hello".to_vec() }));
    assert!(!bench.device.receive(now, &Input::Console { port: 7, bytes: b"hello".to_vec() }));
    bench.serve();
    bench.offer(4, 0, &[], &[(0x1_0000, 3)]);
    bench.offer(4, 1, &[], &[(0x1_0003, 3)]);
    bench.ring(4);
    assert_eq!(bench.used(4), [(0, 3), (1, 2)]);
    assert_eq!(bench.get(0x1_0000, 5), b"hello");
}

#[test]
fn without_more_ports_the_first_one_works() {
    let mut bench = bench(0);
    bench.put(0x1_0000, b"x");
    bench.offer(1, 0, &[(0x1_0000, 1)], &[]);
    bench.ring(1);
    assert_eq!(bench.outputs, [Output::Console { port: 5, bytes: b"x".to_vec() }]);
}
