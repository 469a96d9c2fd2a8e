//! `--net`, `--virtio` and `--virtio-console`: devices beside disks, and the host's ends of network cards.

use clap::ValueEnum;
use rrvmm::host::{Card, ConsoleSpec, HostError, NetSpec, ParseNetError, random_seed};
use rrvmm_devices::pc::{DeviceConfig, NicConfig, PortConfig, VirtioConfig};
use rrvmm_devices::virtio::input::InputKind;
use std::str::FromStr;

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
    /// What a virtio card says of its network.
    mtu: Option<u16>,
}

/// NETWORK[,model=MODEL][,mtu=BYTES]; nothing for `none`.
pub(super) fn net(text: &str) -> Result<Option<NetArg>, String> {
    if text == "none" {
        return Ok(None);
    }
    let (mut network, mut model, mut mtu) = (text, Model::Virtio, None);
    while let Some((before, option)) = network.rsplit_once(',') {
        match option.split_once('=') {
            Some(("model", name)) => model = name.parse()?,
            Some(("mtu", bytes)) => mtu = Some(parse_mtu(bytes)?),
            // A comma in a path.
            None | Some(_) => break,
        }
        network = before;
    }
    let network: NetSpec = network.parse().map_err(|error: ParseNetError| error.to_string())?;
    if model == Model::Virtio {
        mtu = mtu.or(network.mtu());
    } else if mtu.is_some() {
        return Err("only virtio cards tell the guest an MTU; set it in the guest".to_owned());
    }
    Ok(Some(NetArg { network, model, mtu }))
}

impl FromStr for Model {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "virtio" => Ok(Self::Virtio),
            "e1000" => Ok(Self::E1000),
            "ne2000" => Ok(Self::Ne2000),
            _ => Err(format!("{name:?} is no network card; there are virtio, e1000 and ne2000")),
        }
    }
}

/// As virtio allows (5.1.4.1).
fn parse_mtu(bytes: &str) -> Result<u16, String> {
    let mtu = bytes.parse().ok().filter(|mtu| *mtu >= 68);
    mtu.ok_or_else(|| format!("{bytes:?} is no MTU; write a number of bytes from 68 to 65535"))
}

/// Network cards, one for each network.
pub(super) fn nics(networks: &[NetArg]) -> Vec<DeviceConfig> {
    // Locally administered addresses, the same for every machine: who connects machines gives each a network of its own.
    let nic = |nic: u8, mtu| NicConfig { nic, mac: [0x52, 0x54, 0x00, 0x12, 0x34, 0x56 + nic], mtu };
    let device = |(number, arg): (u8, &NetArg)| {
        let nic = nic(number, arg.mtu);
        match arg.model {
            Model::Virtio => DeviceConfig::Virtio(VirtioConfig::Net(nic)),
            Model::E1000 => DeviceConfig::E1000(nic),
            Model::Ne2000 => DeviceConfig::Ne2000(nic),
        }
    };
    (0..).zip(networks).map(device).collect()
}

/// The host's ends of network cards.
pub(super) fn cards(networks: &[NetArg]) -> Result<Vec<Card>, HostError> {
    (0..).zip(networks).map(|(number, arg)| Card::open(number, &arg.network, arg.mtu)).collect()
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
        assert_eq!((user.network, user.model, user.mtu), (NetSpec::User, Model::Virtio, Some(65520)));
        let unix = net("unix=/a,b,model=e1000").unwrap().unwrap();
        assert_eq!((unix.network, unix.model, unix.mtu), (NetSpec::Unix("/a,b".into()), Model::E1000, None));
        let tap = net("tap=a,mtu=9000,model=virtio").unwrap().unwrap();
        assert_eq!(
            (tap.network, tap.model, tap.mtu),
            (NetSpec::Tap("a".to_owned()), Model::Virtio, Some(9000))
        );
        for bad in [
            "",
            "users",
            "user,model=rtl8139",
            "tap=",
            "user,mtu=67",
            "user,mtu=65536",
            "user,model=e1000,mtu=1500",
        ] {
            assert!(net(bad).is_err(), "{bad}");
        }
    }
}
