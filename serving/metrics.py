"""What `/metrics` says: counters, in the text form of Prometheus."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator

import numpy as np

KEPT = 4096
"""Latest requests that quantiles are of."""


class Metrics:
    """Counts since the start, and quantiles of the latest requests."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.seconds: deque[float] = deque(maxlen=KEPT)
        self.rows: deque[int] = deque(maxlen=KEPT)
        self.sum = 0.0
        self.connections = 0

    def answered(self, protocol: str, seconds: float, rows: int) -> None:
        """A request was answered with actions."""
        self.counts["requests", protocol] += 1
        self.seconds.append(seconds)
        self.rows.append(rows)
        self.sum += seconds

    def refused(self, why: str) -> None:
        """A request got another answer: `bad`, `busy`, `agent` or `access`."""
        self.counts["refused", why] += 1

    def text(self, depth: int) -> str:
        """The page; `depth` requests wait."""
        return "\n".join(self._lines(depth)) + "\n"

    def _lines(self, depth: int) -> Iterator[str]:
        for kind, label in (("requests", "protocol"), ("refused", "why")):
            yield f"# TYPE playloop_{kind}_total counter"
            for (of, name), count in sorted(self.counts.items()):
                if of == kind:
                    yield f'playloop_{kind}_total{{{label}="{name}"}} {count}'
        yield "# TYPE playloop_request_seconds summary"
        for quantile in (0.5, 0.99):
            if self.seconds:
                value = float(np.quantile(self.seconds, quantile))
                yield f'playloop_request_seconds{{quantile="{quantile}"}} {value:.6f}'
        yield f"playloop_request_seconds_sum {self.sum:.6f}"
        total = sum(count for (of, _), count in self.counts.items() if of == "requests")
        yield f"playloop_request_seconds_count {total}"
        yield "# TYPE playloop_batch_rows gauge"
        yield f"playloop_batch_rows {float(np.mean(self.rows)) if self.rows else 0.0:.3f}"
        yield "# TYPE playloop_waiting gauge"
        yield f"playloop_waiting {depth}"
        yield "# TYPE playloop_connections gauge"
        yield f"playloop_connections {self.connections}"
