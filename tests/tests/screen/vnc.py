"""Types and points at a guest: PORT PASSWORD."""

import asyncio
import sys

import asyncvnc


async def main(port, password):
    try:
        async with asyncvnc.connect("127.0.0.1", port, password="wrong"):
            raise AssertionError("a wrong password was taken")
    except (PermissionError, ValueError, EOFError, asyncio.IncompleteReadError):
        pass
    async with asyncvnc.connect("127.0.0.1", port, password=password) as client:
        picture = await client.screenshot()
        assert picture.shape[:2] == (400, 720), picture.shape
        assert picture[:, :, :3].any(), "nothing is shown"
        client.keyboard.write("Hi")
        client.mouse.move(100, 100)
        client.mouse.move(140, 120)
        client.mouse.click()
        client.mouse.scroll_down()
        client.keyboard.press("Esc")
        await client.drain()
        await asyncio.sleep(0.5)
    print("SCRIPT ENDS")


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
