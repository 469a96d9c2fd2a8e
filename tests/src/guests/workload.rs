//! The standard workload of the boot matrix, as a busybox init script that reports in `@name value` lines.

use super::Arch;

/// Prints first, when user space runs.
pub const BOOTED: &str = "@booted";
/// Printed last, before power-off.
pub const DONE: &str = "@done";

/// The script: pure computations (`@sha256`, `@sort`, `@gzip`, `@fork`, `@awk`, `@date`) whose result is the same on every
/// right machine, then the clock (`@clock`, seconds since 1970) and a sleep (`@slept`, whether one second passed), then
/// power-off.
pub const STANDARD: &str = r#"
echo @booted
awk 'BEGIN{x=1;for(i=0;i<4000;i++){x=(x*16807)%2147483647;print x}}' > /tmp/n
dd if=/dev/zero of=/tmp/z bs=64k count=8 2>/dev/null
echo "@sha256 $(cat /tmp/z /tmp/n | sha256sum | cut -c1-64)"
sort -n /tmp/n > /tmp/s
echo "@sort $(md5sum < /tmp/s | cut -c1-32) $(sort -r /tmp/n | md5sum | cut -c1-32)"
gzip -c /tmp/n > /tmp/n.gz
gunzip -c /tmp/n.gz | cmp - /tmp/n && echo "@gzip $(md5sum < /tmp/n.gz | cut -c1-32)"
i=0; while [ $i -lt 60 ]; do /bin/busybox true || echo @fork-failed; i=$((i+1)); done
echo "@fork $i"
echo "@awk $(awk 'BEGIN{
  for(i=1;i<=300;i++){r=i;for(k=0;k<12;k++)r=(r+i/r)/2;s+=r/(i+0.5)}
  e=1;t=1;for(i=1;i<25;i++){t=t*1.5/i;e+=t}
  for(i=0;i<2000;i++)p+=(i%2?-4:4)/(2*i+1)
  printf "%.12f %.12f %.12f %.6e %d", s, e, p, 1/3e300, 2147483648*1.75}')"
echo "@pipe $(seq 1 500 | grep 7 | wc -l) $(seq 1 2000 | tr '0-9' 'a-j' | md5sum | cut -c1-32)"
echo "@date $(date -u -d @1700000000 '+%Y-%m-%d %H:%M:%S %j')"
echo "@clock $(date -u +%s)"
read -r before rest < /proc/uptime
sleep 1
read -r after rest < /proc/uptime
awk -v a="$before" -v b="$after" 'BEGIN{d=b-a;if(d>=0.98&&d<3)print "@slept yes";else print "@slept",a,b}'
echo @done
poweroff -f
"#;

/// The markers of [`STANDARD`] whose values are pure computations, compared with a fixed golden.
pub const PURE: [&str; 7] = ["@sha256", "@sort", "@gzip", "@fork", "@awk", "@pipe", "@date"];

/// Boots, says so and powers off: the shortest Linux guest.
pub const BOOT_ONLY: &str = "echo @booted\npoweroff -f\n";

/// Reads lines from the console and answers each with its checksum, until `quit`: the guest of the interactive tests.
pub const ECHO: &str = "
echo @booted
while read -r line; do
  [ \"$line\" = quit ] && break
  echo \"@line $(echo \"$line\" | md5sum | cut -c1-8) $(cut -d' ' -f1 /proc/uptime)\"
done
echo @done
poweroff -f
";

/// A shell on the console, with `@prompt ` as its prompt: the guest of the tests that go live.
pub const SHELL: &str = "
export PS1='@prompt '
exec setsid sh -c 'exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'
";

/// The script of that name, with the architecture it is built for: `boot-amd64`, `work-i386`, `echo-amd64`, ...
#[must_use]
pub fn by_name(name: &str) -> Option<(&'static str, Arch)> {
    let (script, arch) = name.split_once('-')?;
    let script = match script {
        "boot" => BOOT_ONLY,
        "work" => STANDARD,
        "echo" => ECHO,
        "shell" => SHELL,
        _ => return None,
    };
    [Arch::Amd64, Arch::I386].into_iter().find(|known| known.name() == arch).map(|arch| (script, arch))
}

/// The lines of a console that start with `@`, without line ends: what the guest's script reported.
#[must_use]
pub fn markers(console: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(console);
    text.lines()
        .map(|line| line.trim_end_matches('\r'))
        .filter(|line| line.starts_with('@'))
        .map(str::to_owned)
        .collect()
}

/// The value a console reports under `marker`, if it does.
#[must_use]
pub fn value(console: &[u8], marker: &str) -> Option<String> {
    markers(console).iter().find_map(|line| line.strip_prefix(marker)?.strip_prefix(' ').map(str::to_owned))
}

/// The lines of the [`PURE`] markers, in order, one a line.
#[must_use]
pub fn pure(console: &[u8]) -> String {
    let is_pure = |line: &&String| PURE.contains(&line.split(' ').next().unwrap_or_default());
    markers(console).iter().filter(is_pure).map(|line| format!("{line}\n")).collect()
}
