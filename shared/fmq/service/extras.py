"""Optional packages."""

from importlib.metadata import PackageNotFoundError, version

_OTEL = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")


def only_if_installed(tracing: str) -> str:
    """Returns ``tracing``. Raises ValueError, with the command to run, if it needs a package that is not installed."""
    if tracing == "otel" and (missing := [name for name in _OTEL if not _is_installed(name)]):
        raise ValueError(f"{', '.join(missing)} is not installed; install it with: pip install 'fmq-core[otel]'")
    return tracing


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
