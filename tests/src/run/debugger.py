# What the scripts that tests run in gdb share.
import gdb
import re


def run(command):
    """Does a command of gdb's and gives what it prints."""
    return gdb.execute(command, to_string=True)


def monitor(command):
    return run("monitor " + command)


# The last stop that gdb heard of.
last_stop = []
gdb.events.stop.connect(lambda event: last_stop.append(event))


def go(command):
    """Moves the machine and says why it stopped: "hit", the name of a signal, or "end" of a step or of history."""
    del last_stop[:]
    run(command)
    event = last_stop[-1] if last_stop else None
    # At the ends of history gdb repeats what it passed last.
    if isinstance(event, gdb.BreakpointEvent) and 0 < position() < end():
        return "hit"
    return event.stop_signal if isinstance(event, gdb.SignalEvent) else "end"


def seek(position):
    """Goes to a position; gdb then looks at the machine anew."""
    text = monitor("seek %s" % position)
    run("maintenance flush register-cache")
    run("maintenance flush dcache")
    return text


def position():
    return int(re.match(r"position (\d+)", monitor("where")).group(1))


def end():
    return int(re.match(r"position \d+ of (\d+)", monitor("where")).group(1))


def pc():
    return int(gdb.parse_and_eval("(unsigned long long) $pc"))


def state():
    """Everything: registers as gdb sees them and as the machine has them, and the digest of the whole machine."""
    return run("info all-registers") + monitor("registers") + monitor("digest")


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(part) for part in what))


def same(one, other, *what):
    if one != other:
        lines = [(a, b) for a, b in zip(one.splitlines(), other.splitlines()) if a != b]
        raise AssertionError("%s: %s" % (" ".join(map(str, what)), lines[:12]))


run("set pagination off")
run("set confirm off")
