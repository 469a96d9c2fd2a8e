//! Instructions on the unit's own state, and the SSE part of the FXSAVE and XSAVE images.

use super::{InvalidMxcsr, Mxcsr, Op, rows};

rows! {
    Ldmxcsr_m32 M4 => Op::LoadMxcsr;
    Stmxcsr_m32 M4 => Op::StoreMxcsr;
    Emms NONE => Op::Emms;
}

/// MXCSR_MASK that FXSAVE and XSAVE store: every defined bit, DAZ included, can be set.
pub const MXCSR_MASK: u32 = 0xFFFF;
/// Size in bytes of the legacy region that FXSAVE and XSAVE write.
pub const LEGACY_REGION: usize = 512;
const MXCSR_AT: usize = 24;
const XMM_AT: usize = 160;

/// Writes MXCSR and MXCSR_MASK into a legacy region (SDM volume 1, table 10-2).
pub fn save_mxcsr(image: &mut [u8; LEGACY_REGION], mxcsr: Mxcsr) {
    image[MXCSR_AT..][..4].copy_from_slice(&mxcsr.bits().to_le_bytes());
    image[MXCSR_AT + 4..][..4].copy_from_slice(&MXCSR_MASK.to_le_bytes());
}

/// Reads MXCSR from a legacy region.
///
/// # Errors
/// [`InvalidMxcsr`] if reserved bits are set: raise #GP(0) and load nothing.
pub fn load_mxcsr(image: &[u8; LEGACY_REGION]) -> Result<Mxcsr, InvalidMxcsr> {
    let at = &image[MXCSR_AT..][..4];
    Mxcsr::new(u32::from_le_bytes([at[0], at[1], at[2], at[3]]))
}

/// Writes XMM registers from XMM0 on into a legacy region: 8 outside 64-bit mode, 16 in it.
pub fn save_xmm(image: &mut [u8; LEGACY_REGION], xmm: &[u128]) {
    for (place, value) in image[XMM_AT..].chunks_exact_mut(16).zip(&xmm[..xmm.len().min(16)]) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}

/// Reads XMM registers from XMM0 on from a legacy region.
pub fn load_xmm(image: &[u8; LEGACY_REGION], xmm: &mut [u128]) {
    let count = xmm.len().min(16);
    for (place, value) in image[XMM_AT..].as_chunks().0.iter().zip(&mut xmm[..count]) {
        *value = u128::from_le_bytes(*place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_keeps_registers_and_rejects_reserved_bits() {
        let mut image = [0xEE; LEGACY_REGION];
        let xmm: [u128; 16] = std::array::from_fn(|n| u128::MAX / 7 * n as u128);
        save_mxcsr(&mut image, Mxcsr::new(0x1FA5).unwrap());
        save_xmm(&mut image, &xmm);
        assert_eq!(&image[24..32], &[0xA5, 0x1F, 0, 0, 0xFF, 0xFF, 0, 0]);
        assert!(image[32..160].iter().chain(&image[416..]).all(|&byte| byte == 0xEE));

        let mut loaded = [0; 16];
        load_xmm(&image, &mut loaded);
        assert_eq!(loaded, xmm);
        assert_eq!(load_mxcsr(&image).unwrap().bits(), 0x1FA5);
        image[26] = 1;
        assert_eq!(load_mxcsr(&image), Err(InvalidMxcsr(0x1_1FA5)));

        let mut short = [0; LEGACY_REGION];
        save_xmm(&mut short, &xmm[..8]);
        assert!(short[XMM_AT + 8 * 16..].iter().all(|&byte| byte == 0), "XMM8 and above stay as they were");
    }
}
