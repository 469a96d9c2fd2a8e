use rrvmm_devices::PcConfig;
use rrvmm_replay::journal::Attachment;
use rrvmm_replay::{JournalReader, Manifest};
use rrvmm_tcg::x86::Model;
use serde::{Deserialize, Serialize};
use std::io::{Read, Seek};

use super::SessionError;
use crate::accel::CpuChoice;
use crate::disk::DiskInfo;
use crate::loader::{BootSource, Module};
use crate::machine::{BuildError, PcMachine};

/// Name of the board.
const MACHINE: &str = "pc";

/// Everything a machine is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The board.
    pub pc: PcConfig,
    /// What it boots.
    pub source: BootSource,
    /// Its disks, by number.
    pub disks: Vec<DiskInfo>,
    /// The CPU that the guest sees.
    pub cpu: Model,
}

/// The manifest's `config`: what a machine is built from, without the bytes of its files. Fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// The board.
    pub pc: PcConfig,
    /// The kernel's command line.
    #[serde(default)]
    pub cmdline: String,
    /// The modules' command lines, in order.
    #[serde(default)]
    pub modules: Vec<String>,
    /// The disks, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskInfo>,
    /// Where the run went on with inputs of its own, in guest instructions, if its beginning was recorded before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_from: Option<u64>,
}

impl Setup {
    /// Its machine at power-on, without its disks.
    ///
    /// # Errors
    /// It cannot be built here.
    pub fn build(&self, cpu: CpuChoice) -> Result<PcMachine, BuildError> {
        PcMachine::with_cpu(&self.pc, &self.source, cpu)
    }

    /// What a recording says of this machine, run by `engine`.
    ///
    /// # Errors
    /// Never in practice: the configuration is plain data.
    pub fn manifest(&self, engine: &str) -> Result<Manifest, SessionError> {
        let config = MachineConfig {
            pc: self.pc.clone(),
            cmdline: self.source.cmdline.clone(),
            modules: self.source.modules.iter().map(|module| module.cmdline.clone()).collect(),
            disks: self.disks.clone(),
            live_from: None,
        };
        let config =
            serde_json::to_value(config).map_err(|error| SessionError::UnknownMachine(error.to_string()))?;
        Ok(Manifest {
            recorder: env!("CARGO_PKG_VERSION").to_owned(),
            engine: engine.to_owned(),
            cpu_model: self.cpu.name().to_owned(),
            machine: MACHINE.to_owned(),
            config,
            attachments: Vec::new(),
        })
    }

    /// The files that a recording embeds, as names and bytes.
    pub(crate) fn files(&self) -> Vec<(String, &[u8])> {
        let source = &self.source;
        let named = [
            ("kernel", &source.kernel),
            ("initrd", &source.initrd),
            ("firmware", &source.bios),
            ("vgabios", &source.vga_bios),
        ];
        let named = named.into_iter().filter_map(|(name, bytes)| Some((name.to_owned(), bytes.as_deref()?)));
        let modules = source.modules.iter().enumerate();
        named.chain(modules.map(|(index, module)| (module_name(index), &module.bytes[..]))).collect()
    }

    /// What the machine of a recording is built from, files included.
    ///
    /// # Errors
    /// The recording's files are damaged, or its machine is not one that this rrvmm knows.
    pub fn of_recording<R: Read + Seek>(journal: &mut JournalReader<R>) -> Result<Self, SessionError> {
        let manifest = journal.manifest();
        let cpu = Model::named(&manifest.cpu_model).filter(|_| manifest.machine == MACHINE);
        let Some(cpu) = cpu else {
            let what = format!("machine {:?} with CPU model {:?}", manifest.machine, manifest.cpu_model);
            return Err(SessionError::UnknownMachine(what));
        };
        let config: MachineConfig = serde_json::from_value(manifest.config.clone())
            .map_err(|error| SessionError::UnknownMachine(error.to_string()))?;
        let mut modules = Vec::new();
        for (index, cmdline) in config.modules.into_iter().enumerate() {
            let name = module_name(index);
            let bytes = journal.attachment(&name)?;
            let bytes = bytes
                .ok_or_else(|| SessionError::UnknownMachine(format!("{name} is not in the recording")))?;
            modules.push(Module { bytes, cmdline });
        }
        let source = BootSource {
            kernel: journal.attachment("kernel")?,
            initrd: journal.attachment("initrd")?,
            cmdline: config.cmdline,
            bios: journal.attachment("firmware")?,
            vga_bios: journal.attachment("vgabios")?,
            modules,
        };
        Ok(Self { pc: config.pc, source, disks: config.disks, cpu })
    }
}

/// The files as attachments.
pub(super) fn attachments<'a>(files: &'a [(String, &'a [u8])]) -> Vec<Attachment<'a>> {
    files.iter().map(|(name, data)| Attachment { name, data }).collect()
}

fn module_name(index: usize) -> String {
    format!("module{index}")
}
