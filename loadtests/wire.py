"""A relay between a gateway and its S3 server, on which every third connection goes wrong from the start.

slow: answers wait a quarter of a second. refuse: it is closed before a byte. reset: it breaks amid the answer.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import suppress
from itertools import count

_PAUSE_S = 0.25
_CONNECTIONS = count(1)


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: int, fault: str) -> None:
    """Pass one connection on."""
    wrong = next(_CONNECTIONS) % 3 == 0
    if wrong and fault == "refuse":
        writer.transport.abort()
        return
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server)

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool) -> None:
        with suppress(ConnectionError):
            while piece := await source.read(2**16):
                if answers and wrong and fault == "slow":
                    await asyncio.sleep(_PAUSE_S)
                if answers and wrong and fault == "reset":
                    sink.write(piece[: len(piece) // 2])
                    await sink.drain()
                    sink.transport.abort()
                    break
                sink.write(piece)
                await sink.drain()
        sink.close()

    await asyncio.gather(pass_on(reader, far_writer, answers=False), pass_on(far_reader, writer, answers=True))


async def serve(port: int, server: int, fault: str) -> None:
    """Relay until ended."""
    listening = await asyncio.start_server(lambda r, w: relay(r, w, server, fault), "127.0.0.1", port)
    async with listening:
        await listening.serve_forever()


def main() -> None:
    """Relay between two ports of the loopback address."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("server", type=int, help="port of the S3 server")
    parser.add_argument("fault", choices=["slow", "refuse", "reset"])
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.server, given.fault))


if __name__ == "__main__":
    main()
