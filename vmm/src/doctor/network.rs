//! What a guest's network cards can be connected to.

use super::programs::{Answer, ask};
use super::{Finding, Root, State};
use std::fs::File;

/// `CAP_NET_ADMIN`: `linux/capability.h`.
const CAP_NET_ADMIN: u32 = 12;

pub(super) fn passt(root: &Root) -> Finding {
    let (key, what) = ("passt", "passt");
    let install = "install it (on Debian: apt install passt)";
    let without = "no --net user; --net unix=PATH and tap=NAME do without it";
    let version = match ask("passt", &["--version"]) {
        Answer::Said(version) => version,
        Answer::NotThere => {
            return Finding::missing(key, what, "not installed").follows(without).change(install);
        }
        Answer::Failed(why) => {
            return Finding::missing(key, what, format!("does not run: {why}"))
                .follows(without)
                .change(install);
        }
    };
    let version = version.strip_prefix("passt ").unwrap_or(&version).to_owned();
    // passt sends a guest's echo requests through ping sockets, which only these groups may have (icmp(7)).
    let range = root.text("/proc/sys/net/ipv4/ping_group_range").unwrap_or_default();
    let ends: Vec<u64> = range.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let group = u64::from(rustix::process::getgid().as_raw());
    let pings = matches!(ends[..], [first, last] if (first..=last).contains(&group));
    if pings {
        let found = format!(
            "{version}; this user may ping (ping_group_range {})",
            ends[0].to_string() + "-" + &ends[1].to_string()
        );
        Finding::ok(key, what, found).follows("--net user gives a guest this user's network")
    } else {
        Finding::limited(key, what, format!("{version}; this user may not ping"))
            .follows("--net user works, but the guest's ping gets no answer")
            .change("as root: sysctl net.ipv4.ping_group_range='0 2147483647'")
    }
}

pub(super) fn tap(root: &Root) -> Finding {
    let (key, what) = ("tap", "tap");
    let device = root.path("/dev/net/tun");
    let follows = "no --net tap=NAME; --net user (passt) needs no privileges";
    if !device.exists() {
        return Finding::missing(key, what, "no /dev/net/tun")
            .follows(follows)
            .change("as root: modprobe tun");
    }
    if let Err(error) = File::options().read(true).write(true).open(&device) {
        return Finding::missing(key, what, format!("/dev/net/tun cannot be opened: {error}"))
            .follows(follows)
            .change("as root: chmod 666 /dev/net/tun");
    }
    let makes = root.text("/proc/self/status").is_some_and(|status| has_capability(&status, CAP_NET_ADMIN));
    let state = if makes { State::Ok } else { State::Limited };
    let finding = Finding::new(
        key,
        what,
        state,
        format!("/dev/net/tun, {} CAP_NET_ADMIN", if makes { "with" } else { "without" }),
    );
    if makes {
        finding.follows("--net tap=NAME attaches to the interface NAME, and makes it if there is none")
    } else {
        finding
            .follows("--net tap=NAME attaches to interfaces that were made for this user")
            .change("as root: ip tuntap add mode tap user USER name NAME")
    }
}

/// Whether the text of a `/proc/PID/status` has an effective capability.
fn has_capability(status: &str, number: u32) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    set.is_some_and(|set| set >> number & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::root_with;
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_effective_set() {
        let status = "CapInh:\t0000000000000000\nCapPrm:\tffffffffffffffff\nCapEff:\t0000000000001000\n";
        assert!(has_capability(status, CAP_NET_ADMIN));
        assert!(!has_capability(status, 13) && !has_capability("", 12) && !has_capability("CapEff:\tx", 12));
    }

    #[test]
    fn a_host_without_tap_says_how_to_get_it() {
        let (_directory, root) = root_with(&[]);
        assert_eq!(tap(&root).change.as_deref(), Some("as root: modprobe tun"));
        let (_directory, root) = root_with(&[("/dev/net/tun", "")]);
        assert_eq!(tap(&root).state, State::Limited);
    }
}
