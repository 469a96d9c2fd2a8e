//! The interpreter as a back end for x86: the one place that instantiates its functions for this CPU.

use crate::{
    Bus,
    block::{Backend, Block, Exit},
    interp::{Code, Interp},
    x86::Cpu,
};

impl Backend<Cpu> for Interp {
    type Code = Code<Cpu>;

    fn compile(&mut self, block: Block<Cpu>) -> Code<Cpu> {
        Code::compile(&block)
    }

    fn run_whole(&self, code: &Code<Cpu>, guest: &mut Cpu, bus: &mut dyn Bus) -> Exit {
        code.run_whole(guest, bus)
    }

    fn run(&self, code: &Code<Cpu>, from: usize, to: usize, guest: &mut Cpu, bus: &mut dyn Bus) -> Exit {
        code.run(from, to, guest, bus)
    }

    fn bounds<'a>(&self, code: &'a Code<Cpu>) -> &'a [u32] {
        code.bounds()
    }
}
