"""RabbitMQ with its MQTT plugin, in a Debian of its own, run by chroot: 4.0 in Debian 13, 3.10 in Debian 12.

Each has an epmd of its own on a port of its own, so that any number run at once and none meets one of this machine's.
"""

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

from support.broker import free_port
from support.brokers.pages import block, filled
from support.brokers.service import BUILD, Missing, Service

_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_STARTED = "Server startup complete"
_AS_RABBITMQ = "--userspec=rabbitmq:rabbitmq"


def _hashed(password: str) -> str:
    """As RabbitMQ keeps it (rabbit_password_hashing_sha256): base64 of a salt of 4 bytes and the digest of both."""
    salt = b"salt"
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


class RabbitMq(Service):
    title = "RabbitMQ"
    page = "rabbitmq.md"
    schemes = ("mqtt", "ws")
    secure_schemes = ("mqtts", "wss")
    ws_path = "/ws"
    limited_user: ClassVar[tuple[str, str]] = ("limited", "limited")
    root: ClassVar[Path] = BUILD / "trixie"
    configuration: ClassVar[str] = "rabbitmq.conf"

    def __init__(self, folder: Path, *, secure: bool = False) -> None:
        self._inside = Path("/var/lib/fmq-tests") / uuid4().hex
        self._outside = self.root / self._inside.relative_to("/")
        self._epmd_port, self._node_port = free_port(), free_port()
        self._starts = 0
        self._epmd: subprocess.Popen[bytes] | None = None
        super().__init__(folder, secure=secure)

    @classmethod
    def version(cls) -> str:
        found = sorted((cls.root / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))
        if not found or not (cls.root / ".complete").exists():
            raise Missing(f"RabbitMQ is missing in {cls.root}")
        return found[-1].name.rpartition("-")[2]

    def configure(self) -> None:
        self._outside.mkdir(parents=True)
        text = block(self.page, self.configuration)
        tls = ""
        if self.certificates is not None:
            shutil.copytree(self.certificates.ca.parent, self._outside / "tls")
            text = "\n".join(line for line in text.splitlines() if "1883" not in line and "8080" not in line) + "\n"
            tls = block(self.page, "rabbitmq-tls.conf").replace("/etc/rabbitmq/tls/", f"{self._inside}/tls/")
        text = filled(text + tls, self.usual())
        self._write("rabbitmq.conf", f"{text}load_definitions = {self._inside}/definitions.json\n")
        self._write("definitions.json", json.dumps(self._definitions()))
        self._write("enabled_plugins", block(self.page, "enabled_plugins"))
        self._chroot("chown", "-R", "rabbitmq:rabbitmq", str(self._inside))

    def _definitions(self) -> dict[str, object]:
        """Two users: what the page's settings name, and one who may read neither secret/# nor $SYS/#."""
        name, password = self.settings["FMQ_BROKER_USERNAME"], self.settings["FMQ_BROKER_PASSWORD"]
        users = [(name, password, "administrator"), (*self.limited_user, "")]
        everything = {"vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
        return {
            "users": [
                {
                    "name": user,
                    "password_hash": _hashed(word),
                    "tags": tags,
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                }
                for user, word, tags in users
            ],
            "vhosts": [{"name": "/"}],
            "permissions": [{"user": user, **everything} for user, _, _ in users],
            "topic_permissions": [
                {"user": "limited", "vhost": "/", "exchange": "amq.topic", "write": ".*", "read": r"^(?!secret|\$SYS)"}
            ],
        }

    def _write(self, name: str, text: str) -> None:
        (self._outside / name).write_text(text, encoding="utf-8")

    def _environ(self) -> list[str]:
        inside = self._inside
        return [
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            f"HOME={inside}",
            f"RABBITMQ_NODENAME=fmq{self._node_port}@localhost",
            f"RABBITMQ_DIST_PORT={self._node_port}",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS=127.0.0.1",
            f"ERL_EPMD_PORT={self._epmd_port}",
            f"RABBITMQ_CONFIG_FILE={inside}/rabbitmq.conf",
            f"RABBITMQ_ENABLED_PLUGINS_FILE={inside}/enabled_plugins",
            f"RABBITMQ_MNESIA_BASE={inside}/db",
            f"RABBITMQ_LOG_BASE={inside}/log",
            "RABBITMQ_LOGS=-",
        ]

    def _chroot(self, *words: str) -> None:
        subprocess.run(["chroot", self.root, *words], check=True, capture_output=True)

    def command(self) -> Sequence[str]:
        # RabbitMQ reads /proc; the mount is in a namespace of its own, and gone with the process.
        mounted = 'mount --bind /proc "$0/proc" && exec chroot "$@"'
        return ["unshare", "--mount", "sh", "-c", mounted, str(self.root), *self._words(_SERVER)]

    def _words(self, *words: str) -> list[str]:
        return [_AS_RABBITMQ, str(self.root), "env", "-i", *self._environ(), *words]

    def start(self) -> "RabbitMq":
        if self._epmd is None:
            words = self._words("epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port))
            self._epmd = subprocess.Popen(["chroot", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self._starts += 1
        return super().start()

    def ready(self) -> bool:
        return self.log.count(_STARTED) >= self._starts and super().ready()

    def close(self) -> None:
        super().close()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None
        shutil.rmtree(self._outside, ignore_errors=True)


class RabbitMqOlder(RabbitMq):
    root = BUILD / "bookworm"
    configuration = "rabbitmq-3.10.conf"
