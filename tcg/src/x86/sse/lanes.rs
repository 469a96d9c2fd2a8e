//! A register's value seen as lanes, lane 0 lowest.

use std::array;

macro_rules! lanes {
    ($( $lane:ty, $count:literal, $split:ident, $join:ident; )*) => { $(
        pub(super) fn $split(value: u128) -> [$lane; $count] {
            const SIZE: usize = size_of::<$lane>();
            let bytes = value.to_le_bytes();
            array::from_fn(|lane| <$lane>::from_le_bytes(array::from_fn(|byte| bytes[lane * SIZE + byte])))
        }

        pub(super) fn $join(lanes: [$lane; $count]) -> u128 {
            const SIZE: usize = size_of::<$lane>();
            let mut bytes = [0; 16];
            for (place, lane) in bytes.chunks_exact_mut(SIZE).zip(lanes) {
                place.copy_from_slice(&lane.to_le_bytes());
            }
            u128::from_le_bytes(bytes)
        }
    )* };
}

lanes! {
    u16, 8,  u16x8, from_u16x8;
    i16, 8,  i16x8, from_i16x8;
    u32, 4,  u32x4, from_u32x4;
    i32, 4,  i32x4, from_i32x4;
    u64, 2,  u64x2, from_u64x2;
    i64, 2,  i64x2, from_i64x2;
}

/// Lane by lane, `$map` of two registers and `$map1` of one.
macro_rules! maps {
    ($( $lane:ty, $split:ident, $join:ident, $map:ident $(, $map1:ident)?; )*) => { $(
        pub(super) fn $map(a: u128, b: u128, f: impl Fn($lane, $lane) -> $lane) -> u128 {
            let (a, b) = ($split(a), $split(b));
            $join(array::from_fn(|lane| f(a[lane], b[lane])))
        }
        $( pub(super) fn $map1(a: u128, f: impl Fn($lane) -> $lane) -> u128 {
            $join($split(a).map(f))
        } )?
    )* };
}

maps! {
    u16, u16x8, from_u16x8, map_u16, map1_u16;
    i16, i16x8, from_i16x8, map_i16, map1_i16;
    u32, u32x4, from_u32x4, map_u32, map1_u32;
    i32, i32x4, from_i32x4, map_i32, map1_i32;
    u64, u64x2, from_u64x2, map_u64, map1_u64;
    i64, i64x2, from_i64x2, map_i64, map1_i64;
}

pub(super) fn u8x16(value: u128) -> [u8; 16] {
    value.to_le_bytes()
}

pub(super) fn from_u8x16(lanes: [u8; 16]) -> u128 {
    u128::from_le_bytes(lanes)
}

pub(super) fn i8x16(value: u128) -> [i8; 16] {
    u8x16(value).map(|byte| byte as i8)
}

pub(super) fn from_i8x16(lanes: [i8; 16]) -> u128 {
    from_u8x16(lanes.map(|byte| byte as u8))
}

/// The loop of [`map_u8`]. It stays a function of its own over memory: inlined, LLVM splits the registers into 16 scalars
/// and no longer finds the vector operation (three times slower, measured).
#[inline(never)]
fn apply(a: &mut [u8; 16], b: &[u8; 16], f: impl Fn(u8, u8) -> u8) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = f(*a, *b);
    }
}

pub(super) fn map_u8(a: u128, b: u128, f: impl Fn(u8, u8) -> u8) -> u128 {
    let mut lanes = u8x16(a);
    apply(&mut lanes, &u8x16(b), f);
    from_u8x16(lanes)
}

pub(super) fn map_i8(a: u128, b: u128, f: impl Fn(i8, i8) -> i8) -> u128 {
    map_u8(a, b, |a, b| f(a as i8, b as i8) as u8)
}

pub(super) fn map1_i8(a: u128, f: impl Fn(i8) -> i8) -> u128 {
    map_i8(a, 0, |a, _| f(a))
}

/// `byte` in every byte.
pub(super) const fn splat(byte: u8) -> u128 {
    u128::from_le_bytes([byte; 16])
}

/// Bits 63:0.
pub(super) fn low(value: u128) -> u128 {
    value & u128::from(u64::MAX)
}

/// Bits 127:64, moved down.
pub(super) fn high(value: u128) -> u128 {
    value >> 64
}

/// `low` in bits 63:0 and the low half of `high` in bits 127:64.
pub(super) fn halves(low_half: u128, high_half: u128) -> u128 {
    low(low_half) | high_half << 64
}
