# Steps by lines and functions, in both directions, over tests/payloads/debug/calls.s with its lines.
def line():
    return gdb.selected_frame().find_sal().line


def text():
    """The source of the line that comes next, without its comment."""
    return SOURCE[line() - 1].split("#")[0].strip()


def function():
    return gdb.selected_frame().name()


def until(command, name):
    """Repeats a command to the function `name`; the lines on the way."""
    lines = []
    for _ in range(60):
        go(command)
        lines.append((function(), text()))
        if function() == name:
            return lines
    raise AssertionError("%s does not come to %s: %s" % (command, name, lines))


seek(0)
run("break sum")
check(go("continue") == "hit" and function() == "sum", function())
run("delete")

# Line by line into the functions that are called, and the same way back.
forward = [(position(), function(), text())]
for _ in range(14):
    go("step")
    forward.append((position(), function(), text()))
check([name for _, name, _ in forward].count("square") > 2 and forward[-1][1] in ("sum", "twice"), forward)
back = [forward[-1]]
for _ in range(14):
    go("reverse-step")
    back.append((position(), function(), text()))
check(back == list(reversed(forward)), "reverse-step:", back, "step:", forward)

# Over the calls, and back over them.
forward = [(position(), text())]
while text() != "pop %ebp":
    go("next")
    check(function() == "sum", "next left sum for", function())
    forward.append((position(), text()))
back = [forward[-1]]
while len(back) < len(forward):
    go("reverse-next")
    check(function() == "sum", "reverse-next left sum for", function())
    back.append((position(), text()))
check(back == list(reversed(forward)), "reverse-next:", back, "next:", forward)

# Out of a function, at either end.
run("break *twice+3")
go("continue")
run("delete")
check(function() == "twice", function())
here = position()
go("reverse-finish")
check(function() == "sum" and text() == "call twice", "reverse-finish came to", function(), text())
check(position() < here, position())
call = position()
go("stepi")
check(function() == "twice" and position() == call + 1, function())
run("stepi 2")
go("finish")
check(function() == "sum" and text() == "add %eax, total", "finish came to", function(), text())
go("reverse-next")
check(position() == call, "reverse-next from behind the call came to", position(), "not", call)

# From a function's first instruction there is no frame yet to find the call by.
go("stepi")
go("reverse-stepi")
check(position() == call, position())

# Read and write watchpoints: the accesses that the source has, in both directions.
def accesses(watch, expression):
    seek(0)
    run("%s %s" % (watch, expression))
    forward = []
    while go("continue") == "hit":
        forward.append(position())
    back = []
    while go("reverse-continue") == "hit":
        check(text() in ("mov reads, %ecx", "add %ecx, total", "add %eax, total", "SHOW total, total"), text())
        back.append(position())
    run("delete")
    check(back == [at - 1 for at in reversed(forward)], watch, expression, forward, back)
    return len(forward)


# gdb passes a store by `watch` that changes nothing; every one here does.
counts = [(watch, accesses(watch, "*(int *) &total")) for watch in ("watch", "rwatch", "awatch")]
check(counts == [("watch", 10), ("rwatch", 11), ("awatch", 11)], counts)
counts = [(watch, accesses(watch, "*(int *) &reads")) for watch in ("rwatch", "awatch")]
check(counts == [("rwatch", 5), ("awatch", 5)], counts)
run("watch *(int *) &reads")
seek(0)
check(go("continue") == "end" and position() == end(), "a store to what is only read")
run("delete")

# An instruction that faults: its step ends before the first instruction of the handler, where nothing has run yet.
seek(0)
run("break faulting")
check(go("continue") == "hit", last_stop)
run("delete")
here, faulting = position(), pc()
before = state()
go("stepi")
check(position() == here and pc() != faulting, position(), hex(pc()))
check(function() == "stubs" and "push   $" in run("x/i $pc"), function(), run("x/i $pc"))
there = state()
go("stepi")
check(position() == here + 1, position())
go("reverse-stepi")
same(there, state(), "back to the handler")
go("reverse-stepi")
check(position() == here and pc() == faulting, hex(pc()))
same(before, state(), "back to what faults")
go("stepi")
same(there, state(), "to the handler again")
run("break faulting")
check(go("reverse-continue") == "hit" and pc() == faulting and position() == here, hex(pc()), position())
same(before, state(), "back to what faults, by a breakpoint")
run("delete")

# A diversion may change more than general registers.
seek(1000)
before = state()
run("set $cr3 = 0x5000")
run("set $cr0 = $cr0 | 8")
check(int(gdb.parse_and_eval("$cr3")) == 0x5000 and "TS" in run("info registers cr0"), run("info registers cr0"))
run("stepi")
run("reverse-stepi")
same(before, state(), "back from other control registers")
