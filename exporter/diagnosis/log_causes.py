"""Likely causes that the end of a workload's log names: a crash, or pods that are not ready, with one dominant sign.

A page is evaluated before its log is read, and `explain` reads it too: both add what the log reports with this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exporter.diagnosis.causes import CAUSES
from exporter.diagnosis.log_signs import OLD, SIGNS, LogSigns
from exporter.diagnosis.phrases import MAX_EVIDENCE_CHARACTERS, cut
from exporter.diagnosis.pod_causes import MORE_MEMORY, Cause

MIXED_LOG = "Its log may also have lines of containers without this problem."


class LogCause(NamedTuple):
    """What a log reports, as a clause after "that", and the next step."""

    clause: str
    next_step: str


LOG_CAUSES: Mapping[str, LogCause] = {
    "GPU out of memory": LogCause(
        "the memory of its GPU is full",
        "Choose a bundle with more GPU memory, or reduce its use: a smaller model, smaller batches."),
    "out of memory": LogCause("it runs out of memory", MORE_MEMORY),
    "no space left on the disk": LogCause(
        "no space is left on a disk",
        "Write less to the disk that its log names, such as caches and downloads, or give it a larger volume."),
    "GPU not usable": LogCause(
        "its GPU cannot be used",
        "Check that its bundle has a GPU and that its driver supports the CUDA version in the image. If the same image "
        "worked before, report the node to the platform administrators."),
    "certificate not accepted": LogCause(
        "a certificate is not accepted",
        "Renew the certificate of the service that its log names, or add the CA that issued it to the image."),
    "host name not found": LogCause(
        "a host name is not found",
        "Correct the host name that its log names in its settings. If it is correct, check the DNS of the cluster."),
    "connection refused": LogCause(
        "a connection is refused",
        "Check that the service that its log names is running, and that the workload uses the right address and port."),
    "time-out": LogCause(
        "a call times out",
        "Check that the service that its log names responds, and that it can be reached from the cluster."),
    "credentials refused (401 or 403)": LogCause(
        "credentials are refused (401 or 403)",
        "Renew the credentials, or correct them in its settings: its log names the service that refuses them."),
    "rate limit or quota reached": LogCause(
        "a rate limit or quota is reached",
        "Raise the limit or quota of the service that its log names, or wait until it is reset."),
    "too many connections": LogCause(
        "there are too many connections",
        "Raise the maximum of the service that its log names, or use smaller connection pools or fewer replicas."),
    "port already in use": LogCause(
        "its port is already in use",
        "Let the artifact start one server per port, and replace it."),
    "permission denied": LogCause(
        "a permission is denied",
        "Grant its user what its log names, such as a file or a port, or correct it in the artifact."),
    "built for another CPU architecture": LogCause(
        "its image is built for another CPU architecture",
        "Build the image for the architecture of the cluster's nodes, and replace the artifact."),
    "module or library missing": LogCause(
        "a module or library is missing",
        "Add the module or library that its log names to the image or its requirements, and replace the artifact."),
    "file or command missing": LogCause(
        "a file or command is missing",
        "Add the file or command that its log names to the image, or correct its path, and replace the artifact."),
    "setting missing or invalid": LogCause(
        "a setting is missing or invalid",
        "Correct the setting that its log names, and replace the artifact."),
    "error in its code": LogCause(
        "its code raises an error",
        "Fix the error that its log names, and replace the artifact."),
    "still loading": LogCause(
        "it is still loading",
        "Wait while its log shows progress. If it shows none, stop it and start it again."),
    "listening for requests": LogCause(
        "it is listening for requests",
        "Compare the probe's port and path with those on which it listens. If they are the same, it responds to the "
        "probe with an error, or too late."),
}  # fmt: skip
"""What a sign shows -> how it continues a likely cause. "exception" names nothing, and "connection lost" may be due to
its callers.
"""
_ERRORS = frozenset(sign.shows for sign in SIGNS if sign.error)
_BY_TEXTS = {
    (cut(cause.text, MAX_EVIDENCE_CHARACTERS), cut(cause.next_step, MAX_EVIDENCE_CHARACTERS)): cause
    for cause in CAUSES
    if cause.observed
}
"""The causes that a log may explain, by their texts in a page."""


def cause_with_log(cause: Cause, signs: LogSigns, now: float) -> Cause:
    """The cause with what its log reports, if one sign dominates the end of the log, and that is not old."""
    named = LOG_CAUSES.get(signs.dominant)
    current = signs.newest is not None and now - signs.newest <= OLD
    if not cause.observed or named is None or not current or not (cause.starting or signs.dominant in _ERRORS):
        return cause
    return cause._replace(
        text=f"{cause.observed}; its log reports that {named.clause}.",
        next_step=" ".join(filter(None, [cause.first, named.next_step])),
        observed="",
    )


def evidence_with_log(
    evidence: tuple[tuple[str, str], ...], signs: LogSigns, now: float
) -> tuple[tuple[str, str], ...]:
    """The evidence of a page, with the cause as `cause_with_log` has it."""
    shown = dict(evidence)
    cause = _BY_TEXTS.get((shown.get("Likely cause", ""), shown.get("Next step", "")))
    if cause is None:
        return evidence
    named = cause_with_log(cause, signs, now)
    texts = {"Likely cause": named.text, "Next step": named.next_step}
    return tuple((title, cut(texts.get(title, text), MAX_EVIDENCE_CHARACTERS)) for title, text in evidence)


def of_mixed_log(cause: Cause) -> Cause:
    """A cause of which a log explains nothing, because it also has lines of containers without the problem."""
    return cause._replace(next_step=f"{cause.next_step} {MIXED_LOG}", observed="")
