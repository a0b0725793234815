"""rumqttd, from PyPI's iotcore. Each version of MQTT has a port of its own."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support.broker import free_port
from support.brokers.pages import block, filled
from support.brokers.service import Missing, Service, listens

_PROGRAM = Path(sys.executable).with_name("iotcore")


class Rumqttd(Service):
    title = "rumqttd"
    page = "rumqttd.md"
    schemes = ("mqtt", "ws")
    secure_schemes = ("mqtts",)

    @classmethod
    def version(cls) -> str:
        if not _PROGRAM.exists():
            raise Missing("iotcore is missing in .venv")
        told = subprocess.run([_PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
        return f"(iotcore {told.split()[-1]})"

    def configure(self) -> None:
        self._older = free_port()
        text = block(self.page, "rumqttd.toml")
        replaced: dict[str, object] = {}
        if self.certificates is not None:
            text = text.split("[v5.1]")[0] + block(self.page, "rumqttd-tls.toml")
            replaced = {"/etc/rumqttd/tls/": f"{self.certificates.ca.parent}/", "8884": self._older}
        else:
            replaced = {"1884": self._older}
        (self.folder / "rumqttd.toml").write_text(filled(text, {**replaced, **self.usual()}), encoding="utf-8")

    def url(self, scheme: str = "mqtt", version: str = "5") -> str:
        if scheme in {"mqtt", "mqtts"} and version == "3.1.1":
            return f"{scheme}://127.0.0.1:{self._older}"
        return super().url(scheme, version)

    def ready(self) -> bool:
        """Both versions have a port, and each is opened by a thread of its own."""
        return super().ready() and listens(self._older)

    def command(self) -> Sequence[str]:
        return [str(_PROGRAM), "--config", str(self.folder / "rumqttd.toml"), "--log-level", "WARNING"]
