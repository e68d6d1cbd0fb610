"""Makes the streams as the processes do, but with three copies; one that a process made first gets the others."""

import asyncio
import os
from dataclasses import replace

import nats
from nats.js.errors import BadRequestError

from chassis.bus import EVENTS, TICKS

COPIES = 3
WAIT_SECONDS = 120


async def main() -> None:
    """Wait for the servers, then make or change each stream."""
    async with asyncio.timeout(WAIT_SECONDS):
        client = await nats.connect(os.environ["NATS_URL"], max_reconnect_attempts=-1)
        stream_manager = client.jetstream(timeout=10)
        for stream in (EVENTS, TICKS):
            wanted = replace(stream, num_replicas=COPIES)
            try:
                made = await stream_manager.add_stream(wanted)
            except BadRequestError:
                made = await stream_manager.update_stream(wanted)
            print(made.config.name, made.config.num_replicas)
        await client.close()


asyncio.run(main())
