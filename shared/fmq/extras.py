"""The optional parts of fmq, and what installs each of them."""

from importlib.util import find_spec

_EXTRA_OF = {
    "httptools": "webhook",
    "yarl": "webhook",
    "sqlalchemy": "sql",
    "psycopg": "postgres",
    "opentelemetry.sdk": "otel",
    "opentelemetry.exporter.otlp.proto.http": "otel",
    "fmq_web": "web",
    "fmq_demo": "demo",
    "fmq_listener": "",
    "fmq_processor": "",
}
"""The extra of fmq-mqtt that brings a module; empty: fmq-mqtt itself brings it."""
_MODULE_OF = {
    "listen": "fmq_listener",
    "process": "fmq_processor",
    "try": "fmq_processor",
    "web": "fmq_web",
    "demo": "fmq_demo",
}
"""The modules of the commands that not every installation has."""


def missing_part(error: ImportError) -> str | None:
    """What to say of a failed import: what is missing, and the command that installs it. None if no part of fmq brings it."""
    name = error.name or ""
    module = next((known for known in _EXTRA_OF if f"{name}.".startswith(f"{known}.")), None)
    return None if module is None else _missing(module)


def missing_command(name: str) -> str | None:
    """The same for a command of fmq that is not installed. None if fmq has no such command."""
    module = _MODULE_OF.get(name)
    return None if module is None else _missing(module)


def only_if_installed(tracing: str) -> str:
    """Returns ``tracing``. Raises ValueError, with the command to run, if it needs a package that is not installed."""
    if tracing == "otel":
        for module in (module for module, extra in _EXTRA_OF.items() if extra == "otel"):
            if not _is_installed(module):
                raise ValueError(_missing(module))
    return tracing


def _missing(module: str) -> str:
    extra = _EXTRA_OF[module]
    what = f"'fmq-mqtt[{extra}]'" if extra else "fmq-mqtt"
    return f"the Python package {module} is not installed. Install it with: pip install {what}"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it
        return False
