//! FNSTENV, FNSAVE, FLDENV, FRSTOR with 16-bit operands, FXSAVE, FXRSTOR and the MMX view of the registers against the host.
#![cfg(target_arch = "x86_64")]

use std::arch::asm;

use rrvmm_tcg::softfloat::F80;
use rrvmm_tcg::x86::x87::{EnvLayout, IMAGE_MAX, X87};

const WIDE: EnvLayout = EnvLayout { wide: true, real: false };
const NARROW: EnvLayout = EnvLayout { wide: false, real: false };

fn states() -> impl Iterator<Item = X87> {
    let mut seed = 7u64;
    let mut next = move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^ z >> 27
    };
    (0..10_000).map(move |_| {
        // Reserved control word bits and the summary as they read back; nothing pending.
        let cw = next() as u16 & 0x1f3f | 0x40;
        let sw = next() as u16 & 0x7f7f & !(!cw & 0x3f);
        let mut x87 = X87 { cw, sw, tag: next() as u8, ..X87::reset() };
        for st in &mut x87.st {
            let exp = [next(), 0, 0x7fff, 0x3fff][next() as usize & 3];
            let sig = [next(), 0, 1 << 63, 3 << 62][next() as usize & 3];
            *st = F80 { sig, se: exp as u16 & 0x7fff | (next() as u16 & 0x8000) };
        }
        x87
    })
}

/// A buffer every image fits in, aligned for FXSAVE.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
struct Area([u8; 512]);

/// Runs assembly with `rdi` and `rsi` pointing to two areas; it must leave the x87 unit initialised.
macro_rules! native {
    ($code:literal, $first:expr, $second:expr) => {{
        let (first, second): (&mut Area, &mut Area) = ($first, $second);
        // SAFETY: touches the two areas, x87 and MMX registers and `rax` only.
        unsafe {
            asm!($code, in("rdi") first.0.as_mut_ptr(), in("rsi") second.0.as_mut_ptr(), out("rax") _,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _);
        }
    }};
}

fn area(bytes: &[u8]) -> Area {
    let mut area = Area([0; 512]);
    area.0[..bytes.len()].copy_from_slice(bytes);
    area
}

fn image(area: &Area) -> [u8; IMAGE_MAX] {
    area.0[..IMAGE_MAX].try_into().expect("sized")
}

#[test]
fn narrow_images_equal_the_hosts() {
    for x87 in states() {
        let mut host = area(&x87.state_image(WIDE));
        let mut saved = Area([0; 512]);
        native!("frstor [rdi]\n .byte 0x66\n fnsave [rsi]\n fninit", &mut host, &mut saved);
        assert_eq!(saved.0[..94], x87.state_image(NARROW)[..94], "{x87:?}");

        let mut back = Area([0; 512]);
        native!(".byte 0x66\n frstor [rdi]\n fnsave [rsi]", &mut saved, &mut back);
        let mut ours = X87::reset();
        ours.restore(&image(&saved), NARROW);
        assert_eq!(back.0[..108], ours.state_image(WIDE), "{x87:?}");
    }
}

#[test]
fn pointers_survive_a_save_and_a_restore_as_on_the_host() {
    for (n, mut x87) in states().enumerate() {
        x87.fip = 0x1234_5678 + n as u64;
        x87.fdp = 0x8765_4321 - n as u64;
        (x87.fcs, x87.fds, x87.fop) = (0x33, 0x2b, n as u16 & 0x7ff);
        let mut host = area(&x87.state_image(WIDE));
        let mut saved = Area([0; 512]);
        // When the host's kernel switches tasks between the two, AMD's FXRSTOR and XRSTOR lose the pointers while no
        // exception is pending (AMD64 APM volume 5, FXRSTOR): they come back as zeros then, and it is tried again.
        for _ in 0..100 {
            native!("frstor [rdi]\n fnsave [rsi]", &mut host, &mut saved);
            if saved.0[12..26] != [0; 14] {
                break;
            }
        }
        assert_eq!(saved.0[..108], x87.state_image(WIDE), "{x87:?}");
    }
}

#[test]
fn fxsave_equals_the_hosts() {
    for x87 in states() {
        let mut host = area(&x87.state_image(WIDE));
        let mut saved = Area([0; 512]);
        native!("frstor [rdi]\n fxsave64 [rsi]\n fninit", &mut host, &mut saved);
        let mut ours = x87.fxsave(true);
        ours[24..32].copy_from_slice(&saved.0[24..32]);
        // Pointers: a processor may leave them out while no exception is pending.
        ours[6..24].copy_from_slice(&saved.0[6..24]);
        assert_eq!(saved.0[..160], ours, "{x87:?}");

        let mut back = Area([0; 512]);
        native!("fxrstor64 [rdi]\n fnsave [rsi]", &mut saved, &mut back);
        let mut ours = X87::reset();
        ours.fxrstor(&saved.0[..160].try_into().unwrap(), true);
        let mut ours = ours.state_image(WIDE);
        ours[12..28].copy_from_slice(&back.0[12..28]);
        assert_eq!(back.0[..108], ours, "{x87:?}");
    }
}

#[test]
fn mmx_registers_are_the_significands() {
    for mut x87 in states() {
        let mut host = area(&x87.state_image(WIDE));
        let mut saved = Area([0; 512]);
        native!("frstor [rdi]\n movq mm3, mm5\n fnsave [rsi]", &mut host, &mut saved);
        x87.enter_mmx();
        x87.set_mmx(3, x87.mmx(5));
        let mut ours = x87.state_image(WIDE);
        ours[12..28].copy_from_slice(&saved.0[12..28]);
        assert_eq!(saved.0[..108], ours, "{x87:?}");

        native!("frstor [rdi]\n emms\n fnsave [rsi]", &mut host, &mut saved);
        let mut x87 = X87::reset();
        x87.restore(&image(&host), WIDE);
        x87.emms();
        let mut ours = x87.state_image(WIDE);
        ours[12..28].copy_from_slice(&saved.0[12..28]);
        assert_eq!(saved.0[..108], ours, "{x87:?}");
    }
}
