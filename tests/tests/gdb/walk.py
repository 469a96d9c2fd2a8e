# From each position of PLAN, so many steps forward and as many back: the same in everything.
for start, count in PLAN:
    seek(start)
    before = state()
    run("stepi %d" % count)
    check(position() == start + count, "stepi", count, "from", start, "came to", position())
    there = state()
    run("reverse-stepi %d" % count)
    check(position() == start, "back from", start + count, "came to", position())
    same(before, state(), count, "steps forward and back at", start)
    seek(start + count)
    same(there, state(), "step by step and in one go to", start + count)
