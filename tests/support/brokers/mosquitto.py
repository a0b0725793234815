"""Mosquitto: Debian 12's own 2.0.11, which queues more than its window, and 2.0.21 of the backports."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from support import broker
from support.brokers.pages import block, filled
from support.brokers.service import BUILD, Missing, Service
from support.wait import wait_for

_ACCESS = """\
topic readwrite #
topic read $SYS/#
user limited
topic readwrite #
topic deny secret/#
"""


class Mosquitto(Service):
    title = "Mosquitto"
    page = "mosquitto.md"
    program: ClassVar[str] = broker.MOSQUITTO
    limited_user = ("limited", "limited")

    @classmethod
    def version(cls) -> str:
        if not Path(cls.program).exists():
            raise Missing(f"{cls.program} is missing")
        return broker.version(cls.program)

    @property
    def _state(self) -> Path:
        return self.folder / "state"

    def configure(self) -> None:
        self._state.mkdir(exist_ok=True)
        text = block(self.page, "mosquitto.conf")
        folders: dict[str, object] = {"/var/lib/mosquitto/": f"{self._state}/"}
        if self.certificates is not None:
            text = text.split("listener 1883")[0] + block(self.page, "mosquitto-tls.conf")
            folders["/etc/mosquitto/tls/"] = f"{self.certificates.ca.parent}/"
        if "ws" in self.offered:
            text += block(self.page, "mosquitto-ws.conf")
        lines = [filled(text, {**self.usual(), **folders}), f"log_dest file {self.folder}/mosquitto.log"]
        if os.geteuid() == 0:
            lines.append("user root")
        access = self.folder / "access"
        access.write_text(_ACCESS, encoding="utf-8")
        access.chmod(0o600)
        lines.append(f"acl_file {access}")
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def set_per_listener(self) -> None:
        """Have ``per_listener_settings true`` from the next start, and the same rights as before."""
        file = self.folder / "mosquitto.conf"
        lines = file.read_text(encoding="utf-8").splitlines()
        again = [f"{line}\nallow_anonymous true" if line.startswith("listener ") else line for line in lines]
        file.write_text("\n".join(["per_listener_settings true", *again]) + "\n", encoding="utf-8")

    def command(self) -> Sequence[str]:
        return [self.program, "-c", str(self.folder / "mosquitto.conf")]

    def await_saved(self) -> None:
        """Two saves later, what was acknowledged before the first began is in the file."""
        file = self._state / "mosquitto.db"
        for _ in range(2):
            before = file.stat().st_mtime_ns if file.exists() else 0
            self._stir()
            wait_for(lambda before=before: file.exists() and file.stat().st_mtime_ns > before, what="a save")  # type: ignore[misc]

    def _stir(self) -> None:
        """Change something: Mosquitto saves only then."""
        with self.plain("3.1.1") as client:
            client.publish([("stir/x", b"")], retain=True)


class MosquittoNewer(Mosquitto):
    program = str(BUILD / "mosquitto" / "mosquitto")
    schemes = ("mqtt", "ws")
