//! `--net`, `--virtio` and `--virtio-console`: devices beside disks, and the host's ends of network cards.

use clap::ValueEnum;
use rrvmm::host::{Card, ConsoleSpec, HostError, NetSpec, ParseNetError, random_seed};
use rrvmm_devices::pc::{DeviceConfig, NicConfig, PortConfig, VirtioConfig};
use rrvmm_devices::virtio::input::InputKind;

/// A `--virtio` device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum VirtioArg {
    /// Entropy source; the recording keeps its seed
    Rng,
    /// Keyboard, instead of the board's own once the guest drives it
    Keyboard,
    /// Tablet
    Tablet,
}

/// Which network card the guest finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Model {
    Virtio,
    E1000,
    Ne2000,
}

/// A `--net`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NetArg {
    network: NetSpec,
    model: Model,
}

/// NETWORK[,model=MODEL]; nothing for `none`.
pub(super) fn net(text: &str) -> Result<Option<NetArg>, String> {
    if text == "none" {
        return Ok(None);
    }
    let (network, model) = match text.rsplit_once(",model=") {
        None => (text, Model::Virtio),
        Some((network, "virtio")) => (network, Model::Virtio),
        Some((network, "e1000")) => (network, Model::E1000),
        Some((network, "ne2000")) => (network, Model::Ne2000),
        Some((_, other)) => {
            return Err(format!("{other:?} is no network card; there are virtio, e1000 and ne2000"));
        }
    };
    let network = network.parse().map_err(|error: ParseNetError| error.to_string())?;
    Ok(Some(NetArg { network, model }))
}

/// Network cards, one for each network.
pub(super) fn nics(networks: &[NetArg]) -> Vec<DeviceConfig> {
    // Locally administered addresses, the same for every machine: who connects machines gives each a network of its own.
    let nic = |nic: u8| NicConfig { nic, mac: [0x52, 0x54, 0x00, 0x12, 0x34, 0x56 + nic] };
    let device = |(number, network): (u8, &NetArg)| match network.model {
        Model::Virtio => DeviceConfig::Virtio(VirtioConfig::Net(nic(number))),
        Model::E1000 => DeviceConfig::E1000(nic(number)),
        Model::Ne2000 => DeviceConfig::Ne2000(nic(number)),
    };
    (0..).zip(networks).map(device).collect()
}

/// The host's ends of network cards.
pub(super) fn cards(networks: &[NetArg]) -> Result<Vec<Card>, HostError> {
    (0..).zip(networks).map(|(number, arg)| Card::open(number, &arg.network)).collect()
}

/// Devices on the PCI bus: the console, and those of `--virtio` in their order.
pub(super) fn devices(args: &[VirtioArg], consoles: &[ConsoleSpec]) -> anyhow::Result<Vec<DeviceConfig>> {
    let mut devices = plain(args)?;
    if !consoles.is_empty() {
        let port = |number: u8| PortConfig { number, name: format!("console{number}"), console: true };
        devices.insert(0, VirtioConfig::Console((0..consoles.len() as u8).map(port).collect()));
    }
    Ok(devices.into_iter().map(DeviceConfig::Virtio).collect())
}

/// Devices with their registers in memory.
pub(super) fn in_memory(args: &[VirtioArg]) -> anyhow::Result<Vec<DeviceConfig>> {
    Ok(plain(args)?.into_iter().map(DeviceConfig::VirtioMmio).collect())
}

fn plain(args: &[VirtioArg]) -> anyhow::Result<Vec<VirtioConfig>> {
    let device = |arg: &VirtioArg| {
        Ok(match arg {
            VirtioArg::Rng => VirtioConfig::Rng { seed: random_seed()? },
            VirtioArg::Keyboard => VirtioConfig::Input(InputKind::Keyboard),
            VirtioArg::Tablet => VirtioConfig::Input(InputKind::Tablet),
        })
    };
    args.iter().map(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_understood() {
        assert_eq!(net("none").unwrap(), None);
        let user = net("user").unwrap().unwrap();
        assert_eq!((user.network, user.model), (NetSpec::User, Model::Virtio));
        let unix = net("unix=/a,b,model=e1000").unwrap().unwrap();
        assert_eq!((unix.network, unix.model), (NetSpec::Unix("/a,b".into()), Model::E1000));
        for bad in ["", "users", "user,model=rtl8139", "tap="] {
            assert!(net(bad).is_err(), "{bad}");
        }
    }
}
