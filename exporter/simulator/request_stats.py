"""Request statistics of a simulated workload for any window, from the rates of its story."""

from __future__ import annotations

import math

from exporter.simulator.request import Json, SimulatedRequest, stamp
from exporter.simulator.world import Actor, Moment


def last_response_time(actor: Actor, moment: Moment, now: float) -> str | None:
    """Timestamp of the last response; None if there was none."""
    if actor.requests_until(now) <= 0:
        return None
    return stamp(now - now % 5 if moment.step.serves else actor.since(moment, lambda there: there.step.serves))


def list_stats(actor: Actor, now: float, last: str | None) -> Json:
    """The `requestStats` of an item of the workload list: the last seven days, with error rates in percent."""
    week = [window_counts(actor, now - (day + 1) * 86400, now - day * 86400) for day in range(7)]
    total = sum(day["totalRequests"] for day in week)
    errors = sum(day["serverErrors"] for day in week)
    return {
        "totalRequests": total,
        "errorRate": round(100 * errors / total, 2) if total else 0.0,
        "errorRates": [round(100 * day["serverErrors"] / max(1, day["totalRequests"])) for day in week],
        "requestRates": [day["totalRequests"] for day in week],
        "responseTime": int(actor.story.latency) if total else 0,
        "concurrentRequests": int(actor.story.concurrency) if actor.moment(now).step.serves else 0,
        "lastRequestAt": last,
    }


def window_counts(actor: Actor, start: float, end: float, reset: float = -math.inf) -> Json:
    """Counts of a window. The counts of adjacent windows add up. Requests before `reset` are not counted."""
    start, end = max(start, reset), max(end, reset)
    before, after = actor.requests_until(start), actor.requests_until(end)
    story = actor.story

    def of(share: float) -> int:
        return math.floor(share * after) - math.floor(share * before)

    return {
        "totalRequests": after - before,
        "serverErrors": actor.server_errors_until(end) - actor.server_errors_until(start),
        "userErrors": of(story.client_errors),
        "slowRequests": of(story.slow),
    }


def window_metrics(request: SimulatedRequest, actor: Actor, start: float, end: float) -> Json:
    """The `metrics` of the stats route."""
    counts, story = window_counts(actor, start, end, actor.reset(actor.moment(request.now))), actor.story
    total = counts["totalRequests"]
    quantile = float(request.query.get("responseTimeQuantile", ["0.5"])[-1])
    minutes = max((end - start) / 60, 1 / 60)

    def rate(part: int) -> float:
        return round(part / total, 4) if total else 0.0

    return counts | {
        "requestsPerMinute": round(total / minutes),
        "concurrentRequests": int(story.concurrency) if total else 0,
        "responseTime": int(story.latency * (0.6 + 0.8 * quantile + 3 * quantile**8)) if total else 0,
        "serverErrorRate": rate(counts["serverErrors"]),
        "userErrorRate": rate(counts["userErrors"]),
        "totalErrorRate": rate(counts["serverErrors"] + counts["userErrors"]),
    }
