//! The x87's transcendental instructions against results computed with 600-bit arithmetic, on any host: correctly rounded.

use rrvmm_tcg::softfloat::F80;
use rrvmm_tcg::x86::x87::{X87, X87Op};

fn real(text: &str) -> F80 {
    let (se, sig) = text.split_once(':').expect("a hexadecimal real");
    F80 {
        sig: u64::from_str_radix(sig, 16).expect("a hexadecimal real"),
        se: u16::from_str_radix(se, 16).expect("a hexadecimal real"),
    }
}

#[test]
fn transcendentals_are_correctly_rounded() {
    let cases =
        include_str!("../golden/x87_transcendental.txt").lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for case in cases {
        let [name, st1, st0, _, expected] = case.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{case}")
        };
        let (op, result) = match name {
            "FSIN" => (X87Op::Fsin, 0),
            "FCOS" => (X87Op::Fcos, 0),
            "FPTAN" => (X87Op::Fptan, 1),
            "FPATAN" => (X87Op::Fpatan, 0),
            "F2XM1" => (X87Op::F2xm1, 0),
            "FYL2X" => (X87Op::Fyl2x, 0),
            "FYL2XP1" => (X87Op::Fyl2xp1, 0),
            _ => panic!("{case}"),
        };
        let mut x87 = X87::reset();
        x87.init();
        x87.set(1, real(st1));
        x87.set(0, real(st0));
        x87.run(op, 0);
        assert_eq!(x87.get(result), real(expected), "{case}");
        count += 1;
    }
    assert_eq!(count, 7 * 16);
}
