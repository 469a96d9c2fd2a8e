//! KVM.

use super::{Finding, Root};
use crate::accel::Auto;

const NO_KVM: &str = "guests run in the translator alone, which needs no hardware support";

/// Three findings: whether it can be opened, whether it can do what is needed, and what kind it is.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) fn kvm(root: &Root) -> [Finding; 3] {
    let kvm = open(root);
    let capabilities = match &kvm {
        Ok((kvm, _)) => capabilities(|capability| kvm.check_extension_raw(capability.into())),
        Err(_) => unknown("kvm-capabilities", "KVM capabilities"),
    };
    let kind = match &kvm {
        Ok(_) => kind(root),
        Err(_) => unknown("kvm-kind", "kind of KVM"),
    };
    let opened = match kvm {
        Ok((_, finding)) | Err(finding) => finding,
    };
    [opened, capabilities, kind]
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(super) fn kvm(_: &Root) -> [Finding; 3] {
    let missing = Finding::missing("kvm", "KVM", "used on x86-64 Linux hosts only")
        .follows(NO_KVM)
        .change("use an x86-64 Linux host");
    [missing, unknown("kvm-capabilities", "KVM capabilities"), unknown("kvm-kind", "kind of KVM")]
}

/// What `--accel auto` picks here.
pub(super) fn auto() -> Finding {
    let (key, what) = ("accel-auto", "--accel auto");
    match crate::accel::auto() {
        auto @ Auto::Kvm(_) => Finding::ok(key, what, auto.to_string()),
        auto @ (Auto::Dear(_) | Auto::None(_)) => Finding::limited(key, what, auto.to_string())
            .follows("--accel kvm is of use to guests that mostly compute")
            .change("nothing, unless such a guest is to be recorded"),
    }
}

fn unknown(key: &'static str, what: &'static str) -> Finding {
    Finding::missing(key, what, "not known: KVM cannot be opened").follows(NO_KVM).change("see KVM")
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use x86::{capabilities, kind, open};

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod x86 {
    use super::{Finding, NO_KVM, Root};
    use crate::accel::KVM_NEEDED;
    use kvm_bindings::*;
    use kvm_ioctls::Kvm;

    /// `KVM_GET_API_VERSION` of every Linux since 2.6.22 (`Documentation/virt/kvm/api.rst`, 4.1).
    const API_VERSION: i32 = 12;

    /// What is of use.
    const USEFUL: [(u32, &str); 5] = [
        (KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT"),
        (KVM_CAP_SET_GUEST_DEBUG, "SET_GUEST_DEBUG"),
        (KVM_CAP_X86_USER_SPACE_MSR, "X86_USER_SPACE_MSR"),
        (KVM_CAP_X86_MSR_FILTER, "X86_MSR_FILTER"),
        (KVM_CAP_SYNC_REGS, "SYNC_REGS"),
    ];

    /// KVM and what to say of it, or only that.
    pub(in super::super) fn open(root: &Root) -> Result<(Kvm, Finding), Finding> {
        let missing = |found: String| Finding::missing("kvm", "KVM", found).follows(NO_KVM);
        if !root.exists("/dev/kvm") {
            let module = match root.text("/proc/cpuinfo").unwrap_or_default() {
                text if text.split_whitespace().any(|flag| flag == "vmx") => "as root: modprobe kvm_intel",
                text if text.split_whitespace().any(|flag| flag == "svm") => "as root: modprobe kvm_amd",
                _ => {
                    "switch on virtualization in the firmware, or nested virtualization if this is a virtual machine"
                }
            };
            return Err(missing("no /dev/kvm".to_owned()).change(module));
        }
        let kvm = Kvm::new().map_err(|error| match error.errno() {
            libc::EACCES | libc::EPERM => missing("this user may not open /dev/kvm".to_owned())
                .change("as root: usermod -aG kvm USER, then log in again"),
            _ => missing(format!("/dev/kvm cannot be opened: {error}"))
                .change("see the kernel's messages: dmesg"),
        })?;
        let version = kvm.get_api_version();
        if version != API_VERSION {
            return Err(
                missing(format!("API version {version}, not {API_VERSION}")).change("use a newer kernel")
            );
        }
        // Opening the device says nothing of the hardware.
        if let Err(error) = kvm.create_vm() {
            return Err(missing(format!("no machine can be made: {error}"))
                .change("see the kernel's messages: dmesg"));
        }
        let finding = Finding::ok("kvm", "KVM", format!("/dev/kvm, API version {version}, makes machines"))
            .follows(
                "what --accel kvm needs: a guest's user code on the host's CPU, its kernel in the translator",
            );
        Ok((kvm, finding))
    }

    /// Whether `check`, which asks for a capability by its number, has what is needed.
    pub(in super::super) fn capabilities(check: impl Fn(u32) -> i32) -> Finding {
        let (key, what) = ("kvm-capabilities", "KVM capabilities");
        let without = |all: &[(u32, &'static str)]| {
            let names = all.iter().filter(|(number, _)| check(*number) <= 0).map(|(_, name)| *name);
            names.collect::<Vec<_>>().join(", ")
        };
        let (needed, useful) = (without(&KVM_NEEDED), without(&USEFUL));
        match (needed.is_empty(), useful.is_empty()) {
            (false, _) => Finding::missing(key, what, format!("without {needed}"))
                .follows(NO_KVM)
                .change("use a newer kernel"),
            (true, false) => Finding::limited(key, what, format!("all that are needed; without {useful}"))
                .follows("enough for --accel kvm"),
            (true, true) => Finding::ok(key, what, "all that are needed, and those of use")
                .follows("enough for --accel kvm"),
        }
    }

    /// By the modules that are loaded.
    pub(in super::super) fn kind(root: &Root) -> Finding {
        let (key, what) = ("kvm-kind", "kind of KVM");
        if root.exists("/sys/module/kvm_pvm") {
            let follows = "shadow page tables and no hardware virtualization: user code runs at full speed, changes of page tables are \
                           slow, the guest's kernel would be emulated; debug exceptions of user code go to the guest";
            return Finding::limited(key, what, "looks like PVM (module kvm_pvm)")
                .follows(follows)
                .change("use a host with VT-x or AMD-V, or nested virtualization");
        }
        let untried = "not tried yet: rrvmm has been run under PVM only";
        match ["kvm_intel", "kvm_amd"].into_iter().find(|name| root.exists(&format!("/sys/module/{name}"))) {
            Some(name) => {
                Finding::ok(key, what, format!("hardware virtualization (module {name})")).follows(untried)
            }
            None => Finding::limited(key, what, "no module that is known").follows(untried),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::doctor::State;
        use crate::doctor::tests::root_with;

        #[test]
        fn missing_capabilities_are_named() {
            assert_eq!(capabilities(|_| 1).state, State::Ok);
            let limited = capabilities(|number| i32::from(number != KVM_CAP_SYNC_REGS));
            assert_eq!((limited.state, limited.found.contains("SYNC_REGS")), (State::Limited, true));
            let missing = capabilities(|number| i32::from(number != KVM_CAP_XSAVE));
            assert_eq!((missing.state, missing.found.as_str()), (State::Missing, "without XSAVE"));
        }

        #[test]
        fn a_host_without_kvm_says_which_module() {
            let (_directory, root) = root_with(&[("/proc/cpuinfo", "flags\t\t: fpu svm\n")]);
            let finding = open(&root).unwrap_err();
            assert_eq!(finding.change.as_deref(), Some("as root: modprobe kvm_amd"));
        }

        #[test]
        fn pvm_is_told_by_its_module() {
            let (_directory, root) =
                root_with(&[("/sys/module/kvm_pvm/x", ""), ("/sys/module/kvm_amd/x", "")]);
            assert!(kind(&root).found.contains("PVM"));
            let (_directory, root) = root_with(&[("/sys/module/kvm_intel/x", "")]);
            assert!(kind(&root).found.contains("kvm_intel"));
        }
    }
}
