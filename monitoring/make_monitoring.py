# ruff: noqa: INP001 - a script
"""Makes alert rules, dashboards and Grafana's alerts: `python monitoring/make_monitoring.py` (with `--help`: what it takes)."""

import argparse
import sys
from pathlib import Path

from fmq_monitoring import one_queue, overview, rules
from fmq_monitoring.panels import text
from fmq_monitoring.parameters import Parameters, WrongParametersError, read

_FOLDER = Path(__file__).parent
_KUBERNETES = Path("k8s/components/monitoring/rules.yaml")


def files(parameters: Parameters) -> dict[str, str]:
    """The content of every file by its path, relative to the folder ``monitoring``. Raises WrongParametersError."""
    return {
        "prometheus/rules/fmq.yaml": rules.prometheus(parameters),
        "grafana/dashboards/fmq-overview.json": text(overview.dashboard_of(parameters)),
        "grafana/dashboards/fmq-queue.json": text(one_queue.dashboard_of(parameters)),
        "grafana/provisioning/alerting/rules.yaml": rules.grafana(parameters),
        f"../{_KUBERNETES}": rules.kubernetes(parameters),
    }


def main() -> int:
    """Write the files, or with ``--check`` print which differ."""
    parser = argparse.ArgumentParser(description="Make alert rules and dashboards from parameters.")
    parser.add_argument("--parameters", type=Path, default=_FOLDER / "parameters.toml", help="file of parameters")
    parser.add_argument("--into", type=Path, help="write to this folder (default: this repository)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file would change")
    options = parser.parse_args()
    try:
        made = files(read(options.parameters))
    except OSError as error:
        sys.stderr.write(f"{options.parameters}: {error.strerror}\n")
        return 2
    except WrongParametersError as error:
        for line in str(error).split("\n"):
            sys.stderr.write(f"{options.parameters}: {line}\n")
        return 2
    changed = []
    try:
        for name, content in made.items():
            path = _FOLDER / name if options.into is None else options.into / name.removeprefix("../")
            if not path.exists() or path.read_text("utf-8") != content:
                changed.append(path)
                if not options.check:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(content, encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 2
    for path in changed if options.check else ():
        sys.stderr.write(f"{path} differs from what make_monitoring.py makes\n")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
