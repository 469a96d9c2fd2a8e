use super::*;
use crate::virtio::Kind;
use crate::virtio::tests::Bench;

fn bytes(seed: u8, lens: &[u32]) -> Vec<u8> {
    let mut bench = Bench::driven(Kind::Rng(Rng::new([seed; 32])), 0);
    let mut all = Vec::new();
    for len in lens {
        bench.offer(0, 0, &[], &[(0x1_0000, *len)]);
        bench.ring(0);
        assert_eq!(bench.used(0), [(0, *len)]);
        all.extend(bench.get(0x1_0000, *len as usize));
    }
    all
}

#[test]
fn the_seed_decides_all_bytes() {
    let first = bytes(1, &[64, 10, 200]);
    assert_eq!(first, bytes(1, &[64, 10, 200]));
    assert_ne!(first, bytes(2, &[64, 10, 200]));
    let ones: u32 = first.iter().map(|byte| byte.count_ones()).sum();
    assert!((900..1300).contains(&ones), "{ones} of {} bits", first.len() * 8);
}

#[test]
fn a_new_driver_gets_new_bytes() {
    let mut rng = Rng::new([9; 32]);
    let first = rng.next();
    rng.reset();
    assert_ne!(first, rng.next());
}
