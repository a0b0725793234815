"""What is not installed with fmq by itself."""

from importlib.metadata import PackageNotFoundError, version

_OTEL = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")


def only_if_installed(tracing: str) -> str:
    """``tracing`` again. Raises ValueError if it asks for what is not installed, and says how to get it."""
    if tracing == "otel" and (missing := [name for name in _OTEL if not _is_installed(name)]):
        raise ValueError(f"{', '.join(missing)} not installed; pip install 'fmq-core[otel]' does that")
    return tracing


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
