"""An MQTT broker in plain Python (amqtt), for machines that have no other: ``python -m fmq_demo.embedded PORT``.

It speaks MQTT 3.1.1, keeps everything in memory, and forgets a message that is not acknowledged within five seconds:
good for a demonstration, not for work. It ends with SIGTERM, having nothing to save.
"""

import asyncio
import logging
import sys

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig


async def serve(port: int) -> None:
    """Serve on the loopback interface until the process ends."""
    config = BrokerConfig.from_dict(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await Broker(config).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    # amqtt logs every packet and, as errors, every client that just goes away.
    logging.basicConfig(level=logging.WARNING, format="[%(asctime)s] %(levelname)s: %(message)s")
    asyncio.run(serve(int(sys.argv[1])))
