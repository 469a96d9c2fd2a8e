# Wherever the machine stops going forward, it stops going back, in reverse order. PLAN: positions to begin at; MOST: hits.
def stops(command, most):
    """Positions and states at which the machine stops again and again, until the recording ends."""
    found = []
    while len(found) < most:
        if go(command) != "hit":
            return found, True
        found.append((position(), run("info registers")))
    return found, False


def compare(start, what, behind):
    seek(start)
    forward, ended = stops("continue", MOST)
    # Going back from a breakpoint passes it; going back from behind an access comes to before it.
    if not ended and not behind and forward:
        forward.pop()
    back, _ = stops("reverse-continue", len(forward))
    wanted = [at - behind for at, _ in reversed(forward)]
    check([at for at, _ in back] == wanted, what, "from", start, "back:", [at for at, _ in back], "wanted:", wanted)
    if not behind:
        check(back == list(reversed(forward)), what, "from", start, ": other registers on the way back")
    run("delete")
    return len(forward)


counts = []
for start in PLAN:
    seek(start)
    address = pc()
    stack = int(gdb.parse_and_eval("(unsigned long) $sp"))
    run("break *0x%x" % address)
    counts.append(compare(start, "breakpoint", 0))
    run("hbreak *0x%x" % address)
    counts.append(compare(start, "hardware breakpoint", 0))
    for watch in WATCHES:
        run("%s *(unsigned int *) 0x%x" % (watch, stack))
        counts.append(compare(start, watch, 1))
print("hits:", counts)
