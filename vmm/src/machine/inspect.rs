//! The machine as the divergence finder looks at it.

use super::{PcMachine, digest::of_memory};
use crate::diverge::Inspect;
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use rrvmm_replay::MachineDigest;
use rrvmm_tcg::x86::translate::linear_pc_of;

/// Longest x86 instruction.
const MAX_INSN: u64 = 15;
const GPRS: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];
const SEGS: [&str; 6] = ["es", "cs", "ss", "ds", "fs", "gs"];

impl Inspect for PcMachine {
    fn fingerprint(&self) -> MachineDigest {
        let (cpu, devices) = self.encode().unwrap_or_default();
        MachineDigest { cpu, devices, memory: of_memory(&*self.accel), outputs: self.output_digest.get() }
    }

    fn instruction(&self) -> String {
        let state = self.cpu();
        let linear = linear_pc_of(&state.system, state.rip);
        let bytes: Vec<u8> = (0..MAX_INSN).map_while(|n| self.accel.peek(linear.wrapping_add(n))).collect();
        let bits = state.system.code_bits();
        let insn = Decoder::with_ip(bits, &bytes, state.rip, DecoderOptions::NONE).decode();
        let mut text = String::new();
        if insn.is_invalid() {
            text.push_str(if bytes.is_empty() { "(not mapped)" } else { "(no instruction)" });
        } else {
            IntelFormatter::new().format(&insn, &mut text);
        }
        let code: Vec<String> = bytes.iter().take(insn.len().max(1)).map(|b| format!("{b:02x}")).collect();
        let selector = state.system.segs[rrvmm_tcg::x86::state::seg::CS].selector;
        format!("{selector:04x}:{:x}: {text}  [{}]", state.rip, code.join(" "))
    }

    fn registers(&self) -> Vec<(String, String)> {
        let s = self.cpu();
        let sys = &s.system;
        let mut out = Vec::with_capacity(80);
        let mut add = |name: &str, value: u64| out.push((name.to_owned(), format!("{value:016x}")));
        add("rip", s.rip);
        add("rflags", s.rflags);
        for (name, value) in GPRS.iter().zip(s.regs) {
            add(name, value);
        }
        for (name, segment) in
            SEGS.iter().chain(&["ldtr", "tr"]).zip(sys.segs.iter().chain([&sys.ldtr, &sys.tr]))
        {
            add(name, segment.selector.into());
            add(&format!("{name}.base"), segment.base);
            add(&format!("{name}.limit"), segment.limit.into());
            add(&format!("{name}.attr"), segment.attr.into());
        }
        for (name, value) in [
            ("gdtr", sys.gdtr.base),
            ("idtr", sys.idtr.base),
            ("cr0", sys.cr0),
            ("cr2", sys.cr2),
            ("cr3", sys.cr3),
            ("cr4", sys.cr4),
            ("efer", sys.efer),
            ("xcr0", sys.xcr0),
            ("dr6", sys.dr6),
            ("dr7", sys.dr7),
            ("mxcsr", s.mxcsr.into()),
        ] {
            add(name, value);
        }
        for (n, value) in s.xmm.iter().enumerate() {
            out.push((format!("xmm{n}"), format!("{value:032x}")));
        }
        for (name, text) in [
            ("x87", format!("{:x?}", s.x87)),
            ("msrs", format!("{:x?}", sys.msrs)),
            ("shadow", format!("{:?}", sys.shadow)),
            ("halted", sys.halted.to_string()),
            ("nmi blocked", sys.nmi_blocked.to_string()),
            ("nmi pending", self.nmi.to_string()),
            ("clock", format!("{:?}", self.clock)),
        ] {
            out.push((name.to_owned(), text));
        }
        out
    }

    fn pages(&self) -> usize {
        self.accel.pages()
    }

    fn page(&self, page: usize) -> (u64, &[u8; 4096]) {
        (self.accel.page_address(page), self.accel.page(page))
    }
}
