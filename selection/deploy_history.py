"""What was live when and why, in a file that only ever grows.

Two lines are written for every change of the live manifest: what is about to happen, then, once it
has, that it has. A writer may be killed anywhere between: what the last line announces has happened
if and only if the manifest of that digest is live, and the next writer says which before it
announces anything itself. A manifest that is live and that nobody announced, as one copied by hand
or made by an earlier version, is written down as found.

The file is JSON Lines. Lines that cannot be read are passed over and counted: nobody's mishap with
an editor may keep a manifest from being replaced.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from selection.json_lines import append_line, whole_lines

Action = Literal["train", "promote", "rollback", "calibrate", "retrain", "found"]
Outcome = Literal["live", "not live", "unknown", "planned"]
ACTIONS: tuple[Action, ...] = get_args(Action)
OUTCOMES: tuple[Outcome, ...] = ("live", "not live", "unknown")
_CUT_SHORT = b" <- cut short by a crash, nothing happened"
_PLANNED: Outcome = "planned"
# A reader without a lock looks again if a writer has been at work meanwhile.
_MOST_LOOKS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One change of the live manifest, or one that was announced and never happened.

    Attributes
    ----------
    time_utc : datetime
        When it was announced; for one that was found, when it was.
    action : str
        ``train``, ``promote``, ``rollback``; ``calibrate`` or ``retrain`` where the entries of some
        symbols were replaced; or ``found``: it was live and nobody had said so.
    manifest_sha256 : str
        Of the manifest that took the place.
    replaced_sha256 : str or None
        Of the one that was live before; None for the first.
    reason : str
    run_id : str or None
        Of the training run that made it live, or whose models it holds.
    source : str or None
        Where a promoted manifest came from.
    outcome : str
        ``live``: it took place. ``not live``: its writer ended before. ``unknown``: so it did, and
        a manifest has been put in place by other means since.
    """

    time_utc: datetime
    action: Action
    manifest_sha256: str
    replaced_sha256: str | None
    reason: str
    run_id: str | None = None
    source: str | None = None
    outcome: Outcome = "live"


@dataclass(frozen=True, slots=True)
class DeployHistory:
    """All that is known of a manifest's predecessors.

    Attributes
    ----------
    deployments : list of Deployment
        In the order in which they happened.
    live_sha256 : str or None
        Of the manifest that is live; None where there is none.
    n_unreadable : int
        Lines of the file that tell nothing.
    """

    deployments: list[Deployment]
    live_sha256: str | None
    n_unreadable: int

    def before(self, sha256: str) -> str | None:
        """Return what was live before a manifest first took its place; None if nobody knows.

        Going back does not count: who goes back twice arrives one further back, and not where
        he began.
        """
        for one in reversed(self.deployments):
            went_back = one.action == "rollback"
            if one.manifest_sha256 == sha256 and one.outcome == "live" and not went_back:
                return one.replaced_sha256
        return None


def history_path(manifest: Path) -> Path:
    """Return the file that holds a manifest's history, beside it."""
    return manifest.with_name(f"{manifest.stem}.history.jsonl")


def read_history(manifest: Path) -> DeployHistory:
    """Return what was live when and why; needs no lock and writes nothing.

    Raises
    ------
    OSError
        If there is a file and it cannot be read.
    """
    for _ in range(_MOST_LOOKS):
        live, content = live_sha256(manifest), _content(history_path(manifest))
        if live == live_sha256(manifest) and content == _content(history_path(manifest)):
            break
    planned, n_unreadable = _deployments(content)
    missing = _settled(planned, live, datetime.now(UTC))
    if planned and planned[-1].outcome == _PLANNED:
        planned[-1] = replace(planned[-1], outcome=_outcome(planned[-1], live))
    return DeployHistory([*planned, *missing], live, n_unreadable)


def recorded_swap(manifest: Path, planned: Deployment, swap: Callable[[], None]) -> None:
    """Replace the live manifest and write it down; to be called under the manifest's lock.

    Parameters
    ----------
    manifest : Path
    planned : Deployment
        What ``swap`` will do.
    swap : callable
        Puts the manifest of that digest in place, on the disk when it returns.

    Raises
    ------
    OSError
        If a file cannot be written; the announcement stays where ``swap`` raised. Once the manifest
        is in place nothing is raised: where no line can be added any more, `settle` adds it later.
    """
    path = history_path(manifest)
    settle(manifest)
    announced = {**asdict(planned), "outcome": _PLANNED}
    append_line(path, announced, cut_short=_CUT_SHORT)
    swap()
    with suppress(OSError):
        append_line(path, {"outcome": "live", "time_utc": datetime.now(UTC)}, cut_short=_CUT_SHORT)


def settle(manifest: Path) -> None:
    """Write down what came of the last announcement, and what is live without one.

    To be called under the manifest's lock.
    """
    path, live, now_utc = history_path(manifest), live_sha256(manifest), datetime.now(UTC)
    planned, _ = _deployments(_content(path))
    if planned and planned[-1].outcome == _PLANNED:
        outcome = _outcome(planned[-1], live)
        append_line(path, {"outcome": outcome, "time_utc": now_utc}, cut_short=_CUT_SHORT)
    for found in _settled(planned, live, now_utc):
        append_line(path, asdict(found), cut_short=_CUT_SHORT)


def live_sha256(manifest: Path) -> str | None:
    """Return the digest of the manifest that is live, None where there is none."""
    try:
        return hashlib.sha256(manifest.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _settled(planned: list[Deployment], live: str | None, now_utc: datetime) -> list[Deployment]:
    """Return what is live although nobody said so, as a list of one or none."""
    known: str | None = None
    for one in planned:
        if one.outcome == "live" or (one.outcome == _PLANNED and _outcome(one, live) == "live"):
            known = one.manifest_sha256
    if live is None or live == known:
        return []
    return [
        Deployment(
            time_utc=now_utc,
            action="found",
            manifest_sha256=live,
            replaced_sha256=known,
            reason="It was live, and nothing here had put it there",
        )
    ]


def _outcome(planned: Deployment, live: str | None) -> Outcome:
    if live == planned.manifest_sha256:
        return "live"
    return "not live" if live == planned.replaced_sha256 else "unknown"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _deployments(content: bytes) -> tuple[list[Deployment], int]:
    """Return the changes in the order of their lines, and how many lines tell nothing.

    One that is only announced, the last at most, has the outcome ``planned``.
    """
    found: list[Deployment] = []
    n_unreadable = 0
    for _, line in whole_lines(content, cut_short=_CUT_SHORT):
        try:
            document = json.loads(line.decode())
            if "manifest_sha256" in document:
                found.append(_deployment(document))
            elif found and found[-1].outcome == _PLANNED and document["outcome"] in OUTCOMES:
                found[-1] = replace(found[-1], outcome=document["outcome"])
            else:
                n_unreadable += 1
        except (ValueError, LookupError, TypeError, RecursionError):
            n_unreadable += 1
    for n, one in enumerate(found[:-1]):
        # Its outcome stood in a line that cannot be read: whoever came after it tells.
        if one.outcome == _PLANNED:
            came = found[n + 1].replaced_sha256 == one.manifest_sha256
            found[n] = replace(one, outcome="live" if came else "unknown")
    return found, n_unreadable


def _deployment(document: dict[str, Any]) -> Deployment:
    texts = {name: document[name] for name in ("manifest_sha256", "reason")}
    texts |= {name: document.get(name) or "" for name in ("replaced_sha256", "run_id", "source")}
    moment = datetime.fromisoformat(document["time_utc"])
    told = document["action"] in ACTIONS and document["outcome"] in (*OUTCOMES, _PLANNED)
    if (
        not told
        or moment.utcoffset() is None
        or not all(type(one) is str for one in texts.values())
    ):
        raise ValueError("is no change of a manifest")
    return Deployment(
        time_utc=moment.astimezone(UTC),
        action=document["action"],
        manifest_sha256=texts["manifest_sha256"],
        replaced_sha256=texts["replaced_sha256"] or None,
        reason=texts["reason"],
        run_id=texts["run_id"] or None,
        source=texts["source"] or None,
        outcome=document["outcome"],
    )
