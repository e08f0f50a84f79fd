"""What Prometheus is told, in a registry of this server's own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ultraedit.serving.bulletin import News
from ultraedit.serving.service import Service


class Metrics:
    """Counters and gauges; version labels are of live versions only."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self._service = service
        own = self.registry
        self.requests = Counter(
            "ultraedit_http_requests", "Requests by status.", ["status"], registry=own
        )
        self._turns = Counter("ultraedit_turns", "Changes by outcome.", ["outcome"], registry=own)
        self._edits = Counter("ultraedit_edits", "Facts written.", registry=own)
        self._seconds = Histogram(
            "ultraedit_turn_seconds",
            "How long a turn took.",
            buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300),
            registry=own,
        )
        self.first_token = Histogram(
            "ultraedit_ttft_seconds",
            "From a request's arrival to its first token.",
            buckets=(0.03, 0.1, 0.3, 1, 3, 10, 30),
            registry=own,
        )
        self.tokens = Counter("ultraedit_tokens", "Tokens by kind.", ["kind"], registry=own)
        self._queue = Gauge("ultraedit_edit_queue", "Changes that wait.", registry=own)
        self._waiting = Gauge("ultraedit_requests_waiting", "Requests that wait.", registry=own)
        self._running = Gauge(
            "ultraedit_requests_running", "Requests being answered.", ["version"], registry=own
        )
        self._head = Gauge("ultraedit_head_turn", "The turn the model stands at.", registry=own)
        self._health = Gauge("ultraedit_health", "The last reading.", ["probe"], registry=own)
        self._versions = Gauge("ultraedit_live_versions", "Versions in memory.", registry=own)
        service.bulletin.listen(self._hear, None)

    def _hear(self, news: News | None) -> None:
        if news is None:
            return
        if news["type"] in ("committed", "undone", "refused"):
            self._turns.labels(news["type"]).inc()
        if news["type"] == "committed" and news["kind"] == "edit":
            self._edits.inc(news["edits"])
            row = self._service.writer.view.store.journal.turns.get(news["turn"])
            if row is not None:
                self._seconds.observe(row.seconds)
        if news["type"] == "health":
            for probe in ("perplexity_ratio", "shift_ratio", "success", "reservoir"):
                if news.get(probe) is not None:
                    self._health.labels(probe).set(news[probe])

    def text(self) -> bytes:
        """All of it, as it is now."""
        service = self._service
        self._queue.set(service.writer.waiting)
        self._head.set(service.writer.view.head)
        self._versions.set(service.live_versions)
        self._running.clear()
        if service.ready:
            self._waiting.set(service.engine.waiting)
            for version, count in service.engine.running.items():
                self._running.labels(version).set(count)
        return generate_latest(self.registry)
