# From each position of PLAN, so many steps forward and as many back: the same in everything.
for start, count in PLAN:
    seek(start)
    before = state()
    run("stepi %d" % count)
    # An exception or an input's interrupt is a step that completes no instruction.
    reached = position()
    check(start < reached <= start + count, "stepi", count, "from", start, "came to", reached)
    there = state()
    run("reverse-stepi %d" % count)
    check(position() == start, "back from", reached, "came to", position())
    same(before, state(), count, "steps forward and back at", start)
    seek(reached)
    while state() != there and position() == reached:
        run("stepi")
    check(position() == reached, "step by step and in one go to", reached, "the states differ")
