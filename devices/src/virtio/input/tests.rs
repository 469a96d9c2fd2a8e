use super::*;
use crate::bus::Width;
use crate::pci::PciFunction as _;
use crate::virtio::Kind;
use crate::virtio::tests::Bench;

fn bench(kind: InputKind) -> Bench {
    let mut bench = Bench::driven(Kind::Input(InputDevice::new(kind)), 0);
    for head in 0..8 {
        bench.offer(0, head, &[], &[(0x1_0000 + u64::from(head) * 8, 8)]);
    }
    bench.ring(0);
    bench
}

fn happen(bench: &mut Bench, input: &Input) -> bool {
    let now = bench.now;
    let taken = bench.device.receive(now, input);
    bench.serve();
    taken
}

fn events(bench: &mut Bench) -> Vec<(u16, u16, u32)> {
    let used = bench.used(0);
    used.into_iter()
        .map(|(head, len)| {
            assert_eq!(len, 8);
            let bytes = bench.get(0x1_0000 + u64::from(head) * 8, 8);
            let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
            (u16_at(0), u16_at(2), u32::from(u16_at(4)) | u32::from(u16_at(6)) << 16)
        })
        .collect()
}

#[test]
fn keys_go_down_repeat_and_come_up() {
    let mut bench = bench(InputKind::Keyboard);
    for down in [true, true, false] {
        assert!(happen(&mut bench, &Input::Key { key: Key::A, down }));
    }
    let all = events(&mut bench);
    assert_eq!(all, [(1, 30, 1), (0, 0, 0), (1, 30, 2), (0, 0, 0), (1, 30, 0), (0, 0, 0)]);
    assert_eq!(bench.interrupted(), 1);
}

#[test]
fn without_a_driver_keys_are_for_somebody_else() {
    let mut bench = Bench::found(Kind::Input(InputDevice::new(InputKind::Keyboard)));
    assert!(!happen(&mut bench, &Input::Key { key: Key::A, down: true }));
}

#[test]
fn a_tablet_says_where_it_is() {
    let mut bench = bench(InputKind::Tablet);
    assert!(happen(&mut bench, &Input::Pointer(Pointer::Place { x: 100, y: 0xffff })));
    assert!(happen(&mut bench, &Input::Pointer(Pointer::Wheel { notches: -1 })));
    assert!(!happen(&mut bench, &Input::Pointer(Pointer::Move { dx: 1, dy: 1 })));
    let all = events(&mut bench);
    assert_eq!(all, [(3, 0, 100), (3, 1, 0x7fff), (0, 0, 0), (2, 8, 0xffff_ffff), (0, 0, 0)]);
}

#[test]
fn the_configuration_answers_what_is_selected() {
    let mut bench = bench(InputKind::Tablet);
    let mut ask = |select: u64, subselect: u64| {
        bench.write(0x2000, Width::B1, select);
        bench.write(0x2001, Width::B1, subselect);
        let len = bench.config(2, Width::B1);
        (0..len).map(|n| bench.config(8 + n, Width::B1) as u8).collect::<Vec<_>>()
    };
    assert_eq!(ask(1, 0), b"rrvmm tablet");
    assert_eq!(ask(0x11, 3), [3]);
    assert_eq!(ask(0x11, 1)[0x110 / 8], 7);
    assert_eq!(ask(0x12, 1)[4..8], [0xff, 0x7f, 0, 0]);
    assert!(ask(0x12, 2).is_empty());
    assert!(ask(0x11, 0x11).is_empty());
}
