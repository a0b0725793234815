"""The expressions that both dashboards and several panels share.

Every service of a store shows the figures of the store: they are taken as max or min over the services of one store, and only then
summed over stores. Numbers that should not move with the zoom look at fixed windows; lines use ``$__rate_interval``.
"""

from dataclasses import dataclass
from typing import Self

from fmq_monitoring.panels import Json, Scope, variable
from fmq_monitoring.parameters import Parameters, quoted, seconds

LEFT = 'outcome!~"retry|deferred"'
"""The outcomes after which a message no longer waits: done, skipped, expired and dead."""
_FAILED = 'outcome=~"retry|deferred|dead"'
LINE = "$__rate_interval"
FIXED = "5m"
_GROWTH = "10m"


@dataclass(frozen=True, kw_only=True)
class Queries:
    """Expressions by the labels that tell stores and installations apart.

    ``{}`` and ``{Q}`` in them are filled in by the scope of their dashboard.
    """

    store: str
    installation: str
    jobs: str
    age: float
    depth: int

    @classmethod
    def of(cls, parameters: Parameters) -> Self:
        return cls(
            store=", ".join(parameters.store_labels),
            installation=", ".join(parameters.installation_labels),
            jobs=quoted(parameters.jobs)[1:-1],
            age=float(seconds(parameters.thresholds.age)),
            depth=parameters.thresholds.depth,
        )

    @property
    def queue(self) -> str:
        """The labels of a queue."""
        return f"{self.installation}, queue"

    @property
    def service(self) -> str:
        """The labels of a process."""
        return f"{self.installation}, job, instance"

    def legend(self, labels: str) -> str:
        """A legend of these labels, which are separated by commas."""
        return " ".join(f"{{{{{label}}}}}" for label in labels.split(", "))

    def messages(self, state: str) -> str:
        """Messages in a state, by queue."""
        return f'sum by ({self.queue}) (max by ({self.store}, queue) (fmq_messages{{Q,state="{state}"}}))'

    @property
    def due_age(self) -> str:
        """Seconds since the oldest message of a queue became due, by queue; nothing if none is due."""
        return f"clamp_min(max by ({self.queue}) (time() - fmq_oldest_due_timestamp_seconds{{Q}}), 0)"

    def stored(self, window: str) -> str:
        return f"sum by ({self.queue}) (rate(fmq_stored_total{{Q}}[{window}]))"

    def left(self, window: str, outcome: str = LEFT) -> str:
        """Messages per second that no longer wait, by queue."""
        return f"sum by ({self.queue}) (rate(fmq_processed_total{{Q,{outcome}}}[{window}]))"

    def failing(self, window: str, by: str = "") -> str:
        """Failed attempts of all attempts; 0 while there are none."""
        failed = f"sum{by} (rate(fmq_processed_total{{Q,{_FAILED}}}[{window}]))"
        return f"{failed} / (sum{by} (rate(fmq_processed_total{{Q}}[{window}])) > 0) or {failed}"

    @property
    def growth(self) -> str:
        """Messages per second by which all backlogs grow, from their depths: no processor has to run for it."""
        depth = f'deriv(fmq_messages{{Q,state=~"pending|claimed"}}[{_GROWTH}])'
        return f"sum(max by ({self.store}, queue, state) ({depth}))"

    def top(self, expression: str, labels: str) -> str:
        """The series that were highest at any time of what is shown: as many as the variable ``top`` says.

        The choice is made once for the whole range, so no series appears and vanishes on the way.
        """
        return (
            f"({expression}) and on ({labels}) topk($top, max_over_time(({expression})[$__range:$__interval] @ end()))"
        )

    @staticmethod
    def quantiles(metric: str, more: str = "{}") -> dict[str, str]:
        return {
            name: f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{more}[{LINE}])))"
            for name, q in (("half", 0.5), ("95 %", 0.95), ("99 %", 0.99))
        }

    @staticmethod
    def per_minute(metric: str, by: str = "", more: str = "{}") -> str:
        """Events per minute: the same height at every zoom."""
        return f"60 * sum{by} (rate({metric}{more}[{LINE}]))"

    def _services(self) -> list[str]:
        """The labels of the variables, each once."""
        return [*dict.fromkeys([*self.installation.split(", "), "job", "instance"])]

    def scope(self, queues: str) -> Scope:
        """The matchers of the variables. ``queues`` is that of the queue."""
        labels = self._services()
        return Scope(services=", ".join(f'{label}=~"${label}"' for label in labels), queues=queues)

    def variables(self) -> list[Json]:
        """The choices of installations, jobs and instances. Labels that targets do not have match All."""
        made: list[Json] = []
        chosen = ""
        for label in self._services():
            asked = f"fmq_build_info{{{chosen}}}" if chosen else "fmq_build_info"
            optional = label not in ("job", "instance")
            made.append(
                variable(
                    label, label.capitalize(), f"label_values({asked}, {label})", all_value=".*" if optional else ".+"
                )
            )
            chosen += f'{", " if chosen else ""}{label}=~"${label}"'
        return made
