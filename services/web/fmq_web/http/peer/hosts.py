"""Which Host headers are answered. A page of a stranger, whose name he lets point to this machine, must not read this one."""

from ipaddress import ip_address

from fmq_web.settings import is_loopback


class Hosts:
    """Loopback's names, the address of FMQ_WEB_HOST (or the one that the connection came to) and FMQ_WEB_HOSTS."""

    def __init__(self, web_host: str, names: tuple[str, ...]) -> None:
        self._names = {_bare(name) for name in (*names, web_host)} - {"0.0.0.0", "::"}  # noqa: S104 - not a name

    def allows(self, host: str, own_address: str) -> bool:
        """Whether a request with the header ``Host: host`` is meant for this page. Any port will do."""
        name = _name_of(host)
        return name is not None and (name in self._names or is_loopback(name) or name == _bare(own_address))


def _name_of(host: str) -> str | None:
    """The name or address without its port. None if it is malformed."""
    name, colon, port = host.rpartition(":") if host.rpartition("]")[2].count(":") else (host, "", "")
    if colon and not (port.isascii() and port.isdecimal()):
        return None
    bracketed = name.startswith("[") and name.endswith("]")
    bare = name[1:-1] if bracketed else name
    if not bare or any(one in bare for one in "[]@/") or (":" in bare and not bracketed):
        return None
    return _bare(name)


def _bare(name: str) -> str:
    """One spelling of each name."""
    name = name.strip("[]").lower().removesuffix(".")
    try:
        address = ip_address(name)
    except ValueError:
        return name
    return str(getattr(address, "ipv4_mapped", None) or address)
