"""Where a request goes: what is the same in every request to a URL is made once."""

import base64
from dataclasses import dataclass

from yarl import URL


@dataclass(frozen=True, slots=True)
class Address:
    """A URL of a server. ``shown`` is its scheme, host and port, the part that may be shown.

    ``server`` and ``port`` are where to connect. ``target`` and ``host`` are as HTTP/1.1 has them in a request.
    ``authorization`` is the header for the user of the URL, if it has one.
    """

    url: URL
    shown: str
    server: str
    port: int
    target: str
    host: str
    authorization: str | None

    @classmethod
    def of(cls, url: URL) -> "Address":
        """Raises ValueError if it is not the URL of a server."""
        authorization = None
        if url.user is not None or url.password is not None:
            user = f"{url.user or ''}:{url.password or ''}"
            authorization = f"Basic {base64.b64encode(user.encode('latin-1')).decode()}"
        shown, server, port, host = str(url.origin()), url.raw_host, url.port, url.host_port_subcomponent
        if not server or not port or not host:
            raise ValueError("it has no host")
        return cls(url, shown, server, port, url.raw_path_qs, host, authorization)

    def head(self, method: str, headers: dict[str, str], length: int) -> bytes:
        """The head of a request with a body of ``length`` bytes. Headers of the caller replace those that are made here."""
        every = {"host": self.host, "accept": "*/*", **headers}
        if self.authorization is not None:
            every["authorization"] = self.authorization
        lines = "\r\n".join([f"{name}: {value}" for name, value in every.items()])
        if lines.count("\n") != len(every) - 1:
            raise ValueError("a header has a line break")
        return f"{method} {self.target} HTTP/1.1\r\n{lines}\r\ncontent-length: {length}\r\n\r\n".encode("latin-1")
