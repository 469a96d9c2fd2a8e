"""Goes to and fro in a recording: SOCKET POSITION."""

import asyncio
import contextlib
import os
import sys
import tempfile

from qemu.qmp import ExecuteError, QMPClient


async def refused(qmp, command, arguments=None):
    try:
        await qmp.execute(command, arguments)
    except ExecuteError as error:
        return error.error_class
    raise AssertionError(f"{command} {arguments} was not refused")


async def position(qmp):
    return (await qmp.execute("query-replay"))["icount"]


async def human(qmp, line):
    return await qmp.execute("human-monitor-command", {"command-line": line})


async def main(path, prompt):
    qmp = QMPClient("rrvmm")
    await qmp.connect(path)
    assert qmp.greeting.QMP.version["package"].startswith("rrvmm")
    commands = {row["name"] for row in await qmp.execute("query-commands")}
    assert {"query-replay", "replay-seek", "replay-break", "stop", "cont", "quit"} <= commands, commands
    status = await qmp.execute("query-status")
    assert (status["status"], status["running"]) == ("paused", False), status
    replay = await qmp.execute("query-replay")
    assert (replay["mode"], replay["icount"]) == ("play", 0), replay

    with qmp.listener("STOP") as stops:
        await qmp.execute("replay-seek", {"icount": prompt})
        await asyncio.wait_for(stops.get(), 60)
    assert await position(qmp) == prompt
    there = await human(qmp, "digest")

    # Back, and forwards to the same place by running into it.
    await qmp.execute("replay-seek", {"icount": prompt - 5_000_000})
    assert await position(qmp) == prompt - 5_000_000
    with qmp.listener("STOP") as stops:
        await qmp.execute("replay-break", {"icount": prompt})
        await qmp.execute("cont")
        await asyncio.wait_for(stops.get(), 60)
    assert await position(qmp) == prompt
    assert await human(qmp, "digest") == there
    assert "first-" in await human(qmp, "replay_events --device serial0")
    assert "cr3" in await human(qmp, "info registers")

    # Running, it answers; stopped, it stands; at the end it waits.
    await qmp.execute("replay-seek", {"icount": 1_000_000})
    await qmp.execute("cont")
    first = await position(qmp)
    await qmp.execute("stop")
    stood = await position(qmp)
    assert first <= stood and await position(qmp) == stood
    with qmp.listener("SHUTDOWN") as ends:
        await qmp.execute("replay-seek", {"icount": prompt})
        await qmp.execute("cont")
        event = await asyncio.wait_for(ends.get(), 120)
    assert event["data"]["guest"], event

    assert await refused(qmp, "replay-seek", {"icount": 2**63}) == "GenericError"
    assert await refused(qmp, "replay-seek", {"icount": -1}) == "GenericError"
    assert await refused(qmp, "replay-seek") == "GenericError"
    assert await refused(qmp, "screendump", {"filename": "/no/such/folder/x"}) == "GenericError"
    assert await refused(qmp, "screendump", {"filename": "x", "format": "gif"}) == "GenericError"
    with tempfile.TemporaryDirectory() as folder:
        picture = os.path.join(folder, "screen")
        await qmp.execute("screendump", {"filename": picture})
        with open(picture, "rb") as file:
            assert file.read().startswith(b"P6\n720 400\n255\n")
        await qmp.execute("screendump", {"filename": picture, "format": "png"})
        with open(picture, "rb") as file:
            assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    assert await refused(qmp, "device_add") == "CommandNotFound"
    await qmp.execute("quit")
    # As with QEMU, who hangs up first is not said.
    with contextlib.suppress(EOFError):
        await qmp.disconnect()
    print("SCRIPT ENDS")


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
