"""Makes the streams as the processes do, but with three copies; one that is there gets these and stays as it is."""

import asyncio
import os
from dataclasses import replace

import nats
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import StreamConfig, StreamInfo
from nats.js.errors import BadRequestError

from chassis.bus import EVENTS, TICKS, addresses_in

COPIES = 3
WAIT_SECONDS = 120
RETRY_SECONDS = 1


async def main() -> None:
    """Wait for the servers, then make or change each stream."""
    async with asyncio.timeout(WAIT_SECONDS):
        client = await nats.connect(addresses_in(os.environ["NATS_URL"]), max_reconnect_attempts=-1)
        stream_manager = client.jetstream(timeout=10)
        for stream in (EVENTS, TICKS):
            made = await make(stream_manager, replace(stream, num_replicas=COPIES))
            print(made.config.name, made.config.num_replicas)
        await client.close()


async def make(stream_manager: JetStreamContext, wanted: StreamConfig) -> StreamInfo:
    """Make or change one, as soon as the servers have agreed on who leads them and have room for it."""
    while True:
        try:
            return await make_once(stream_manager, wanted)
        except (Error, TimeoutError) as error:
            print(wanted.name, "not yet:", error)
            await asyncio.sleep(RETRY_SECONDS)


async def make_once(stream_manager: JetStreamContext, wanted: StreamConfig) -> StreamInfo:
    """Make one, or give the one that is there as many copies; what an operator has set of it otherwise is kept."""
    try:
        return await stream_manager.add_stream(wanted)
    except BadRequestError:
        present = await stream_manager.stream_info(str(wanted.name))
    if present.config.num_replicas == wanted.num_replicas:
        return present
    return await stream_manager.update_stream(replace(present.config, num_replicas=wanted.num_replicas))


if __name__ == "__main__":
    asyncio.run(main())
