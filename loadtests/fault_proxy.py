"""TCP proxy between a gateway and its S3 server or a worker, with a fault.

slow, refuse and reset apply to every third connection. slow: delays responses by 0.25 s. refuse: closes the connection
before the first byte. reset: closes it in the middle of the response.

slow bucket: delays requests for the bucket ``slow`` by 8 s. away: refuses connections for 0.5 s of every 2 s.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import suppress
from itertools import count

_PAUSE_S = 0.25
_SLOW_BUCKET_S = 8
_CONNECTIONS = count(1)


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server_port: int, fault: str) -> None:
    """Relay one connection."""
    faulty = next(_CONNECTIONS) % 3 == 0
    if faulty and fault == "refuse":
        writer.transport.abort()
        return
    server_reader, server_writer = await asyncio.open_connection("127.0.0.1", server_port)

    async def forward(source: asyncio.StreamReader, sink: asyncio.StreamWriter, from_server: bool) -> None:
        with suppress(ConnectionError):
            while piece := await source.read(2**16):
                if from_server and faulty and fault == "slow":
                    await asyncio.sleep(_PAUSE_S)
                if fault == "slow bucket" and b" /slow/" in piece.split(b"\r\n", 1)[0]:
                    await asyncio.sleep(_SLOW_BUCKET_S)
                if from_server and faulty and fault == "reset":
                    sink.write(piece[: len(piece) // 2])
                    await sink.drain()
                    sink.transport.abort()
                    break
                sink.write(piece)
                await sink.drain()
        sink.close()

    await asyncio.gather(
        forward(reader, server_writer, from_server=False), forward(server_reader, writer, from_server=True)
    )


async def serve(port: int, server_port: int, fault: str) -> None:
    """Relay connections until the process ends."""
    listener = await asyncio.start_server(lambda r, w: relay(r, w, server_port, fault), "127.0.0.1", port)
    while fault == "away":
        await asyncio.sleep(1.5)
        listener.close()
        await asyncio.sleep(0.5)
        listener = await asyncio.start_server(lambda r, w: relay(r, w, server_port, fault), "127.0.0.1", port)
    async with listener:
        await listener.serve_forever()


def main() -> None:
    """Relay connections between two loopback ports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("server", type=int, help="port of the server")
    parser.add_argument("fault", choices=["slow", "refuse", "reset", "slow bucket", "away"])
    args = parser.parse_args()
    asyncio.run(serve(args.port, args.server, args.fault))


if __name__ == "__main__":
    main()
