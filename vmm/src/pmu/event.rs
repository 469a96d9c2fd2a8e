//! Which events a CPU can count, and how they are called.

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Retired instructions.
    Instructions,
    /// Retired conditional branches, taken or not. Between two of them the guest may complete any number of instructions, all in
    /// different places unless it loops for ever.
    ConditionalBranches,
}

impl Event {
    /// All of them. Where two are counted equally well the first is worth more: it says more of where the guest is.
    pub const ALL: [Self; 2] = [Self::Instructions, Self::ConditionalBranches];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Instructions => "retired instructions",
            Self::ConditionalBranches => "retired conditional branches",
        }
    }

    /// The event for `PERF_TYPE_RAW` on `cpu` (bits 0–7 event select, 8–15 unit mask); none where it is not known.
    ///
    /// - Instructions: Intel, `INST_RETIRED.ANY_P`, event C0h mask 00h, architectural (SDM volume 3B, chapter "Performance
    ///   Monitoring", pre-defined architectural performance events); AMD, PMCx0C0, Retired Instructions (Processor Programming
    ///   References of families 17h, 19h and 1Ah, "Core Performance Monitor Counters").
    /// - Conditional branches: Intel, `BR_INST_RETIRED.CONDITIONAL`, C4h mask 01h, Nehalem to Comet Lake;
    ///   `BR_INST_RETIRED.COND`, C4h mask 11h, from Ice Lake on (mask 01h there is taken ones only); Atom cores
    ///   `BR_INST_RETIRED.JCC`, C4h mask 7Eh (event lists of Intel's perfmon repository); AMD, PMCx0D1, Retired Conditional Branch
    ///   Instructions (the same references).
    pub fn raw(self, cpu: HostCpu) -> Option<u64> {
        match (self, cpu) {
            (_, HostCpu::Other) => None,
            (Self::Instructions, HostCpu::Intel(_) | HostCpu::AmdZen) => Some(0x00c0),
            (Self::ConditionalBranches, HostCpu::Intel(IntelCore::NehalemToCometLake)) => Some(0x01c4),
            (Self::ConditionalBranches, HostCpu::Intel(IntelCore::IceLakeOn)) => Some(0x11c4),
            (Self::ConditionalBranches, HostCpu::Intel(IntelCore::Atom)) => Some(0x7ec4),
            (Self::ConditionalBranches, HostCpu::Intel(IntelCore::Unknown)) => None,
            (Self::ConditionalBranches, HostCpu::AmdZen) => Some(0x00d1),
        }
    }
}

/// Intel's cores, as far as their events differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntelCore {
    /// Nehalem, Westmere, Sandy and Ivy Bridge, Haswell, Broadwell, Skylake to Comet Lake and their servers.
    NehalemToCometLake,
    /// Ice Lake and later performance cores.
    IceLakeOn,
    /// Silvermont to Tremont.
    Atom,
    /// Any other: only architectural events are known.
    Unknown,
}

/// Whose counters these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostCpu {
    /// Intel, family 6 and later.
    Intel(IntelCore),
    /// AMD from Zen on, and Hygon.
    AmdZen,
    /// Any other.
    Other,
}

impl HostCpu {
    /// From vendor, family and model as `/proc/cpuinfo` has them.
    ///
    /// Models by Intel's SDM volume 4, table 2-1; families by AMD's revision guides.
    pub fn of(vendor: &str, family: u32, model: u32) -> Self {
        match (vendor, family) {
            ("AuthenticAMD", 0x17..) | ("HygonGenuine", 0x18..) => Self::AmdZen,
            ("GenuineIntel", 6) => Self::Intel(intel_core(model)),
            ("GenuineIntel", 7..) => Self::Intel(IntelCore::Unknown),
            _ => Self::Other,
        }
    }

    /// From the text of `/proc/cpuinfo`: its first processor.
    pub fn of_cpuinfo(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find(|line| line.split(':').next().is_some_and(|k| k.trim() == key))?;
            line.split(':').nth(1).map(|value| value.trim().to_owned())
        };
        let number = |key| value(key).and_then(|text| text.parse().ok()).unwrap_or(0);
        Self::of(value("vendor_id").as_deref().unwrap_or(""), number("cpu family"), number("model"))
    }
}

fn intel_core(model: u32) -> IntelCore {
    match model {
        0x1a | 0x1e | 0x1f | 0x2e | 0x25 | 0x2c | 0x2f => IntelCore::NehalemToCometLake,
        0x2a | 0x2d | 0x3a | 0x3e => IntelCore::NehalemToCometLake,
        0x3c | 0x3f | 0x45 | 0x46 | 0x3d | 0x47 | 0x4f | 0x56 => IntelCore::NehalemToCometLake,
        0x4e | 0x5e | 0x55 | 0x8e | 0x9e | 0xa5 | 0xa6 => IntelCore::NehalemToCometLake,
        0x7d | 0x7e | 0x6a | 0x6c | 0x8c | 0x8d | 0xa7 => IntelCore::IceLakeOn,
        0x8f | 0xcf | 0xad | 0xae => IntelCore::IceLakeOn,
        // Hybrid: the performance cores' event; the efficiency cores have a PMU, and a type of event, of their own.
        0x97 | 0x9a | 0xb7 | 0xba | 0xbf | 0xaa | 0xac => IntelCore::IceLakeOn,
        0x37 | 0x4a | 0x4c | 0x4d | 0x5a | 0x5d | 0x5c | 0x5f | 0x7a | 0x86 | 0x96 | 0x9c => IntelCore::Atom,
        _ => IntelCore::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_chosen_by_the_first_processor() {
        let skylake = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: Xeon\n\nprocessor\t: 1\n";
        let cpu = HostCpu::of_cpuinfo(skylake);
        assert_eq!(cpu, HostCpu::Intel(IntelCore::NehalemToCometLake));
        assert_eq!(Event::ConditionalBranches.raw(cpu), Some(0x01c4));
        assert_eq!(Event::Instructions.raw(HostCpu::of("AuthenticAMD", 0x19, 0x11)), Some(0xc0));
        assert_eq!(Event::ConditionalBranches.raw(HostCpu::of("GenuineIntel", 6, 0x6a)), Some(0x11c4));
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        assert_eq!(HostCpu::of_cpuinfo(""), HostCpu::Other);
        assert_eq!(HostCpu::of("AuthenticAMD", 0x10, 2), HostCpu::Other);
        assert_eq!(Event::ConditionalBranches.raw(HostCpu::of("GenuineIntel", 6, 0xff)), None);
    }
}
