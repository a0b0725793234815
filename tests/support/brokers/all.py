"""Every broker of the suite, by the name that test ids have."""

from collections.abc import Mapping

from support.brokers.mosquitto import Mosquitto, MosquittoNewer
from support.brokers.nats import Nats
from support.brokers.rabbitmq import RabbitMq, RabbitMqOlder
from support.brokers.rumqttd import Rumqttd
from support.brokers.service import Service

BROKERS: Mapping[str, type[Service]] = {
    "mosquitto": Mosquitto,
    "mosquitto-newer": MosquittoNewer,
    "rabbitmq": RabbitMq,
    "rabbitmq-older": RabbitMqOlder,
    "nats": Nats,
    "rumqttd": Rumqttd,
}
