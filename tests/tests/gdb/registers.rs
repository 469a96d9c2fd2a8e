//! What gdb sees, in every mode, and what happens when it writes.

use super::recordings;
use rrvmm_tests::run::Debugger;

fn python(recording: &str, script: &str) {
    let recording = recordings::payload(recording).unwrap();
    let Some(gdb) = Debugger::over(&recording) else { return };
    gdb.python(script).unwrap();
}

#[test]
fn both_ends_of_history_are_ends() {
    python(
        "bugs/overrun",
        r#"
for command in ["reverse-stepi", "reverse-continue"]:
    check(go(command) == "end" and position() == 0, command, position())
check(go("continue") == "end" and position() == end(), "continue", position())
check(go("stepi") == "end" and position() == end(), "stepi", position())
check(go("reverse-stepi") == "end" and position() == end() - 1, "reverse-stepi", position())
check(go("reverse-continue") == "end" and position() == 0, "reverse-continue", position())
"#,
    );
}

#[test]
fn the_description_follows_the_guest_when_gdb_reads_it_again() {
    python(
        "faults/vectors64",
        r#"
check("eax" in run("info registers"), "32-bit at first")
low, high = 0, end()
while high - low > 1:
    middle = (low + high) // 2
    seek(middle)
    if re.search(r"^efer +0*(\w+)$", monitor("registers"), re.M).group(1).endswith("d01"):
        high = middle
    else:
        low = middle
seek(high + 20000)
check("eax" in run("info registers"), "as it was read")
run("stepi")
run("reverse-stepi")
run("unset tdesc filename")
registers = run("info registers")
check("rax" in registers and "r15" in registers and "fs_base" in registers, registers)
check("LMA" in registers and "PG" in registers, registers)
before = state()
run("stepi 5")
run("reverse-stepi 5")
same(before, state(), "in 64-bit mode")
seek(0)
check("rax" in run("info registers"), "64-bit registers of a guest in 32-bit mode")
run("stepi")
run("monitor architecture i386")
run("unset tdesc filename")
check("eax" in run("info registers"), "as asked for")
run("set architecture i8086")
run("x/3i $pc")
"#,
    );
}

#[test]
fn writing_leads_to_a_diversion_and_back() {
    python(
        "bugs/overrun",
        r#"
seek(5000)
before = state()
run("set $eax = 0x12345678")
check("on a diversion that began at position 5000" in monitor("where"), monitor("where"))
check(int(gdb.parse_and_eval("$eax")) == 0x12345678, "written registers stay")
run("stepi 10")
check(position() == 5010, "on the diversion at", position())
check("back in the recording, at position 5000" in run("reverse-stepi"), "said nothing")
same(before, state(), "back from a changed register")

run("set *(int *) 0x300000 = 0x600d")
check(int(gdb.parse_and_eval("*(int *) 0x300000")) == 0x600d, "written memory stays")
run("continue")
seek(5000)
same(before, state(), "back from changed memory")

run("stepi")
run("reverse-stepi")
same(before, state(), "no trace of it")
run("set $eax = $eax")
check("diversion" not in monitor("where"), "a write of what is there changes nothing")
try:
    run("set $cr0 = 0")
    check(False, "CR0 alone cannot be changed")
except gdb.error:
    pass
same(before, state(), "a refused write changes nothing")
"#,
    );
}

#[test]
fn memory_is_virtual_or_physical() {
    python(
        "paging/two_level",
        r#"
seek(end() // 2)
virtual = monitor("x/4xw 0x100000")
check(virtual == monitor("xp/4xw 0x100000"), virtual)
check(len(virtual.split()) == 5, virtual)
monitor("mode physical")
check(monitor("mode").strip() == "physical", monitor("mode"))
run("x/4xw 0x100000")
monitor("mode virtual")
try:
    run("x/xb 0xf0000000")
    check(False, "read where nothing is")
except gdb.MemoryError:
    pass
check("not RAM" in monitor("xp/2xg 0xf0000000"), "read where nothing is")
"#,
    );
}

#[test]
fn what_does_not_exist_is_said_to_be_so() {
    python(
        "bugs/overrun",
        r#"
check("is no command" in monitor("frobnicate"), "no complaint")
check("is no position" in monitor("seek xyz"), "no complaint")
check("the recording ends here" in monitor("seek 99999999999"), "no complaint")
check(position() == end(), position())
check("is no address" in monitor("last-write foo"), "no complaint")
for command in ["help", "info", "events", "registers", "digest"]:
    check(len(monitor(command)) > 50, command)
check("CPU 0" in run("info threads"), "no threads")
"#,
    );
}

#[test]
fn ctrl_c_stops_a_long_run() {
    let recording = recordings::boot(rrvmm_tests::guests::Kernel::CloudAmd64).unwrap();
    let Some(gdb) = Debugger::over(&recording) else { return };
    gdb.python(
        r#"
import os, signal, threading
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
check(go("continue") == "SIGINT", last_stop)
check(0 < position() < end(), position())
here = position()
run("stepi")
check(position() == here + 1, position())
"#,
    )
    .unwrap();
}
