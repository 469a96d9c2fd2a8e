//! Which instructions there are to choose from.

use crate::kind::Kind;
use iced_x86::{Code, EncodingKind, Instruction, Mnemonic as M, OpCodeOperandKind as K};
use rrvmm_tests::run::Luck;

/// Encodings by how often programs have them.
pub struct Codes {
    hot: Vec<Code>,
    compare: Vec<Code>,
    string: Vec<Code>,
    any: Vec<Code>,
    vector: Vec<Code>,
    x87: Vec<Code>,
    rest: Vec<Code>,
    jcc: Vec<Code>,
}

/// What compilers emit, and what else takes care of flags or parts of registers.
const HOT: &[M] = &[
    M::Mov,
    M::Mov,
    M::Mov,
    M::Add,
    M::Sub,
    M::Adc,
    M::Sbb,
    M::Cmp,
    M::Test,
    M::And,
    M::Or,
    M::Xor,
    M::Lea,
    M::Lea,
    M::Inc,
    M::Dec,
    M::Neg,
    M::Not,
    M::Shl,
    M::Shr,
    M::Sar,
    M::Rol,
    M::Ror,
    M::Rcl,
    M::Rcr,
    M::Shld,
    M::Shrd,
    M::Movzx,
    M::Movsx,
    M::Movsxd,
    M::Imul,
    M::Mul,
    M::Xchg,
    M::Xadd,
    M::Cmpxchg,
    M::Bt,
    M::Bts,
    M::Btr,
    M::Btc,
    M::Bsf,
    M::Bsr,
    M::Popcnt,
    M::Bswap,
    M::Cdq,
    M::Cqo,
    M::Cwde,
    M::Cbw,
    M::Cwd,
    M::Cdqe,
    M::Push,
    M::Pop,
    M::Lahf,
    M::Sahf,
    M::Pushf,
    M::Cmc,
    M::Stc,
    M::Clc,
    M::Div,
];

impl Codes {
    /// The encodings for programs of `kind`.
    pub fn new(kind: Kind) -> Self {
        let bits = kind.bits();
        let all: Vec<Code> = Code::values().filter(|&c| exists(c, bits)).collect();
        let branches = |c: Code| {
            let k = c.op_code().op_kind(0);
            let own = match bits {
                16 => matches!(k, K::br16_1 | K::br16_2),
                32 => matches!(k, K::br32_1 | K::br32_4),
                _ => matches!(k, K::br64_1 | K::br64_4),
            };
            own && (c.is_jcc_short() || c.is_jcc_near())
        };
        let flow = |c: Code| {
            let k = c.op_code();
            (0..k.op_count()).any(|n| {
                matches!(
                    k.op_kind(n),
                    K::br16_1
                        | K::br16_2
                        | K::br32_1
                        | K::br32_4
                        | K::br64_1
                        | K::br64_4
                        | K::farbr2_2
                        | K::farbr4_2
                )
            })
        };
        let with = |mnemonics: &[M]| -> Vec<Code> {
            // By mnemonic first, so that MOV with its many encodings does not crowd the others out.
            mnemonics
                .iter()
                .flat_map(|&m| {
                    let codes: Vec<Code> =
                        all.iter().copied().filter(|c| mnemonic(*c, m) && !special(*c)).collect();
                    let times = 12 / codes.len().max(1) + 1;
                    codes.iter().copied().cycle().take(codes.len() * times).collect::<Vec<_>>()
                })
                .collect()
        };
        let mut hot = with(HOT);
        hot.extend(
            all.iter().filter(|c| matches!(name(**c), n if n.starts_with("Set") || n.starts_with("Cmov"))),
        );
        let (mut any, mut vector, mut x87, mut rest, mut string) = (vec![], vec![], vec![], vec![], vec![]);
        for &code in all.iter().filter(|c| !flow(**c)) {
            let info = code.op_code();
            let kinds = || (0..info.op_count()).map(|n| info.op_kind(n));
            if kinds().any(|k| matches!(k, K::seg_rSI | K::es_rDI)) {
                string.push(code);
            } else if kinds().any(|k| {
                matches!(k, K::xmm_reg | K::xmm_or_mem | K::xmm_rm | K::mm_reg | K::mm_or_mem | K::mm_rm)
            }) {
                vector.push(code);
            } else if name(code).starts_with('F') {
                x87.push(code);
            } else if special(code) {
                rest.push(code);
            } else {
                any.push(code);
            }
        }
        let jcc = all.iter().copied().filter(|&c| branches(c)).collect();
        let compare = with(&[M::Cmp, M::Test, M::Bt, M::Dec, M::And]);
        Self { hot, compare, string, any, vector, x87, rest, jcc }
    }

    pub fn hot(&self, luck: &mut Luck) -> Code {
        luck.of(&self.hot)
    }
    pub fn compare(&self, luck: &mut Luck) -> Code {
        luck.of(&self.compare)
    }
    pub fn string(&self, luck: &mut Luck) -> Code {
        luck.of(&self.string)
    }
    pub fn any(&self, luck: &mut Luck) -> Code {
        luck.of(&self.any)
    }
    pub fn vector(&self, luck: &mut Luck) -> Code {
        luck.of(&self.vector)
    }
    pub fn x87(&self, luck: &mut Luck) -> Code {
        luck.of(&self.x87)
    }
    pub fn rest(&self, luck: &mut Luck) -> Code {
        luck.of(&self.rest)
    }
    pub fn jcc(&self, luck: &mut Luck) -> Code {
        luck.of(&self.jcc)
    }
}

fn name(code: Code) -> String {
    format!("{code:?}")
}

fn mnemonic(code: Code, m: M) -> bool {
    code.mnemonic() == m && code.mnemonic() != M::Pushf
        || m == M::Pushf && matches!(code.mnemonic(), M::Pushf | M::Pushfd | M::Pushfq)
}

fn exists(code: Code, bits: u32) -> bool {
    let info = code.op_code();
    let mode = match bits {
        16 => info.mode16(),
        32 => info.mode32(),
        _ => info.mode64(),
    };
    code.encoding() == EncodingKind::Legacy
        && mode
        && info.is_instruction()
        && !code.cpuid_features().is_empty()
        && modelled(code)
}

/// Whether the model has its feature: others only raise #UD, of which `any` has enough.
fn modelled(code: Code) -> bool {
    use iced_x86::CpuidFeature as F;
    code.cpuid_features().iter().all(|f| {
        matches!(
            f,
            F::INTEL8086
                | F::INTEL8086_ONLY
                | F::INTEL186
                | F::INTEL286
                | F::INTEL386
                | F::INTEL486
                | F::X64
                | F::CMOV
                | F::CMPXCHG16B
                | F::CPUID
                | F::CX8
                | F::FPU
                | F::FPU287
                | F::FPU387
                | F::FXSR
                | F::MMX
                | F::MSR
                | F::MULTIBYTENOP
                | F::PAUSE
                | F::POPCNT
                | F::SSE
                | F::SSE2
                | F::SSE3
                | F::SSSE3
                | F::SSE4_1
                | F::SSE4_2
                | F::TSC
                | F::CLFSH
                | F::SYSCALL
                | F::SEP
                | F::SMAP
        )
    })
}

/// What rarely does anything but fault or stop, or wrecks the machine when it does not.
fn special(code: Code) -> bool {
    let info = code.op_code();
    let mut i = Instruction::default();
    i.set_code(code);
    let odd = (0..info.op_count()).any(|n| {
        matches!(
            info.op_kind(n),
            K::cr_reg | K::dr_reg | K::tr_reg | K::seg_reg | K::es | K::cs | K::ss | K::ds | K::fs | K::gs
        )
    });
    odd || i.is_privileged()
        || !matches!(i.flow_control(), iced_x86::FlowControl::Next)
        || matches!(
            i.mnemonic(),
            M::Lds
                | M::Les
                | M::Lss
                | M::Lfs
                | M::Lgs
                | M::Popa
                | M::Popad
                | M::Popf
                | M::Popfd
                | M::Popfq
                | M::Enter
                | M::Leave
                | M::Hlt
                | M::Sysenter
                | M::Syscall
                | M::Arpl
                | M::Bound
        )
}
