"""Fills in the templates of rules: marks such as ``@store@`` become labels, thresholds and matchers of queues.

The templates are the rules as people read them, with their comments. A rule with ``@queue@`` in its expression may have other
thresholds for some queues: its expression then is that of all other queues ``or`` that of each of these.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from fmq_monitoring.parameters import SERVICES, Parameters, QueueParameters, WrongParametersError, quoted, seconds

_TEMPLATES = Path(__file__).with_name("templates")
_MARK = re.compile(r"@(\w+)@")
_ALERT = re.compile(r"      - alert: (\w+)\n.*?(?=\n\n|\n\Z)", re.DOTALL)
_EXPRESSION = re.compile(r"        expr: (?:>-\n((?:          .*\n)+)|(.*)\n)")
_SEVERITY = re.compile(r"severity: (\w+)")
_BY_QUEUE = ("FmqMessagesWaitTooLong", "FmqNoProgress")
"""The alerts that have the severity of their queue."""
_KUBERNETES = """\
# The rules of monitoring/prometheus/rules/fmq.yaml, for the Prometheus Operator. Made by monitoring/make_monitoring.py from the
# same template.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: fmq
  namespace: fmq
  labels:
    app.kubernetes.io/name: fmq
    app.kubernetes.io/part-of: fmq
spec:
"""


def prometheus(parameters: Parameters) -> str:
    """The rule file of Prometheus. Raises WrongParametersError if the parameters name an unknown alert."""
    text = (_TEMPLATES / "rules.template").read_text("utf-8")
    if unknown := parameters.severity.keys() - {*re.findall(r"- alert: (\w+)", text)}:
        raise WrongParametersError(f"severity: unknown alert {', '.join(sorted(unknown))}")
    common = _marks(parameters)
    text = _ALERT.sub(lambda found: "\n\n".join(_rules(found[1], found[0] + "\n", parameters)), text)
    text = re.sub(r"\n{3,}", "\n\n", text)  # where an alert was removed
    return _tidy(_fill(text, common)).rstrip() + "\n"


def kubernetes(parameters: Parameters) -> str:
    """The same as an object of the Prometheus Operator."""
    groups = prometheus(parameters).split("\ngroups:\n", 1)[1]
    indented = "".join(f"  {line}" if line.strip() else line for line in groups.splitlines(keepends=True))
    return f"{_KUBERNETES}  groups:\n{indented}"


def grafana(parameters: Parameters) -> str:
    """Grafana's own alerts, with the expressions of Prometheus' rules."""
    made = prometheus(parameters)
    text = (_TEMPLATES / "grafana-alerts.template").read_text("utf-8")
    asked: dict[str, list[str]] = {}
    for found in _ALERT.finditer(made):  # a rule for each severity
        asked.setdefault(found[1], []).append(_expression(found[0]))

    def fill(found: re.Match[str]) -> str:
        whole = " or ".join(asked.get(found[1], ["vector(0) > 1"]))
        # `$` is a variable to Grafana, and a text in JSON is one in YAML.
        return json.dumps(whole, ensure_ascii=False).replace("$", "$$")

    return _fill(re.sub(r"@expression (\w+)@", fill, text), _marks(parameters))


def _expression(block: str) -> str:
    found = _found(_EXPRESSION, block)
    return " ".join((found[1] or found[2]).split())


def _found(pattern: re.Pattern[str], block: str) -> re.Match[str]:
    if found := pattern.search(block):
        return found
    raise ValueError(f"a rule of the template has no {pattern.pattern}:\n{block}")


def _marks(parameters: Parameters) -> dict[str, str]:
    """What stands for each mark that is the same in every rule."""
    store = ", ".join(parameters.store_labels)
    return {
        "store": store,
        "instance": f"{store}, job, instance",
        "installation": ", ".join(parameters.installation_labels),
        "jobs": quoted(parameters.jobs)[1:-1],
        "runbooks": parameters.runbooks,
        "absent": "\n          or ".join(_absent(parameters)) or "vector(0) > 1",
        **_thresholds(asdict(parameters.thresholds)),
    }


def _thresholds(values: Mapping[str, str | float | None]) -> dict[str, str]:
    made = {}
    for name, value in values.items():
        if name == "versions_differ":
            made[name] = str(value)
        elif isinstance(value, str):
            made[name] = str(seconds(value))
        elif value is not None:
            made[name] = str(value)
    if (depth := values.get("depth")) is not None:
        made["low_depth"] = str(int(float(depth)) // 10)
    return made


def _absent(parameters: Parameters) -> Iterator[str]:
    """What says which service of which store is missing, a part for each expectation."""
    store = ", ".join(parameters.store_labels)
    for service in SERVICES:
        if not (least := parameters.expected[service]):
            continue
        # One service that is seen is enough to know that there is the store.
        seen = f'count by ({store}) (fmq_build_info{{service="{service}"}}) or 0 * group by ({store}) (fmq_build_info)'
        yield f'label_replace(({seen}) < {least}, "service", "{service}", "", "")'
        yield f'label_replace(0 * absent(fmq_build_info), "service", "{service}", "", "")'
    for one in parameters.stores:
        matchers = ", ".join(f"{label}={quoted(value)}" for label, value in one.labels.items())
        for service, least in (("listener", one.listener), ("processor", one.processor)):
            if least:
                seen = f'count(fmq_build_info{{service="{service}", {matchers}}}) or vector(0)'
                part = f"({seen}) < {least}"
                for label, value in {"service": service, **one.labels}.items():
                    # $ stands for a group there.
                    part = f'label_replace({part}, "{label}", {quoted(value.replace("$", "$$"))}, "", "")'
                yield part


def _rules(name: str, block: str, parameters: Parameters) -> Iterator[str]:
    """A rule as the template has it, or one for each severity that queues have."""
    severity = _found(_SEVERITY, block)
    expression = _found(_EXPRESSION, block)
    usual = parameters.severity.get(name, severity[1])
    template = expression[1] or f"          {expression[2]}\n"
    made = {usual: [template]}
    if "@queue@" in template:
        made = _by_severity(name, template, usual, parameters)
    for own, parts in made.items():
        if own != "none":
            text = expression[0].replace(expression[1] or expression[2], _joined(parts, is_block=bool(expression[1])))
            yield block.replace(expression[0], text).replace(severity[0], f"severity: {own}").rstrip("\n")


def _joined(parts: list[str], *, is_block: bool) -> str:
    """The parts as one expression, each on lines of its own."""
    if len(parts) == 1:
        return parts[0] if is_block else parts[0].strip()
    whole = parts[0] + "".join(f"          or{part[9:]}" for part in parts[1:])
    return whole if is_block else f">-\n{whole.rstrip()}"


def _by_severity(name: str, template: str, usual: str, parameters: Parameters) -> dict[str, list[str]]:
    used = {*_MARK.findall(template)}
    own = {queue: one for queue, one in parameters.queues.items() if _differs(name, one, used)}
    made = {usual: [_fill(template, {"queue": _all_but(list(own))})]}
    for queue, one in own.items():
        severity = one.severity if one.severity and (name in _BY_QUEUE or one.severity == "none") else usual
        marks = _thresholds({label: value for label, value in asdict(one).items() if label != "severity"})
        part = _fill(template, {"queue": f"queue={quoted(queue)}", **marks})
        made.setdefault(severity, []).append(part)
    return made


def _differs(name: str, queue: QueueParameters, used: set[str]) -> bool:
    if queue.severity == "none" or (queue.severity and name in _BY_QUEUE):
        return True
    return any(value is not None and label in used for label, value in asdict(queue).items())


def _all_but(queues: list[str]) -> str:
    """A matcher of every queue but these; empty for every queue."""
    if not queues:
        return ""
    return f"queue!~{quoted('|'.join(map(re.escape, queues)))}"


def _fill(text: str, marks: Mapping[str, str]) -> str:
    return _MARK.sub(lambda found: marks.get(found[1], found[0]), text)


def _tidy(text: str) -> str:
    """Without what an empty matcher left."""
    return text.replace(", }", "}").replace("{}", "")
