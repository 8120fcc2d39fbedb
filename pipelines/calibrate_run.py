"""One run of calibrate: outcomes, judgements, the next manifest, the report, in that order."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from live.calibrating import Judgement, judged
from live.rolled_back import FITTED_UNTIL
from market.source import is_simulated
from pipelines import calibrate_records as records_of
from pipelines import records
from pipelines.calibrate_display import show
from pipelines.calibrate_outcomes import Outcomes, find_outcomes, live_models
from pipelines.calibrate_page import write_page
from pipelines.calibrate_settings import CalibrateSettings
from pipelines.command import ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED
from pipelines.run_digest import DIGEST_CHARS, RUNS, digest, without_places
from pipelines.run_folder import held
from pipelines.tracked import tracked
from pipelines.writable import writable_folder
from selection import to_json_safe
from selection.amended import amend
from selection.atomic import write_json_atomically
from selection.deployed_files import DeploymentError
from selection.live_calibration import LIVE_CALIBRATION
from selection.promotion import Swapped
from tracking.records import RunStart

CALIBRATIONS = RUNS / "calibrations"
DOCUMENT, REPORT = "calibrate.json", "report.html"
# What decides where results are put, and who may replace the manifest, but not what is judged.
_PLACES = ("format", "public_key")

_log = logging.getLogger(__name__)


class CalibrateRun:
    """Everything between a checked configuration and the exit code."""

    def __init__(self, settings: CalibrateSettings, conf: Mapping[str, Any]) -> None:
        self.settings, self.conf = settings, conf
        self.started = datetime.now(UTC)
        self.simulated = is_simulated(settings.source)
        self.deployed = live_models(settings)
        kept = {key: one for key, one in without_places(conf).items() if key not in _PLACES}
        self.conf_digest = digest([self.deployed.sha256, kept])
        self.outcomes = Outcomes()

    def run(self) -> int:
        """Run it all; return the exit code."""
        writable_folder("output_dir", self.settings.output_dir or CALIBRATIONS)
        self.outcomes = found = find_outcomes(self.settings, self.deployed)
        for warning in found.warnings:
            _log.warning("%s", warning)
        for line in found.failed.values():
            _log.error("%s", line)
        if found.failed and not found.resolved:
            return NOTHING_TRAINED
        with held(self.folder), tracked(self.settings.tracker, self._start()) as end:
            told = self._told(self._judged())
            end |= records_of.ended(told, self._written(told))
        show(told)
        if told.refused is not None:
            return NOTHING_TRAINED
        return SOME_FAILED if found.failed else ALL_TRAINED

    @property
    def folder(self) -> Path:
        """Where the files go."""
        name = digest([self.conf_digest, self.outcomes.digests])[:DIGEST_CHARS]
        return self.settings.output_dir or CALIBRATIONS / name

    def _judged(self) -> list[Judgement]:
        found = self.outcomes
        alpha = self.settings.alpha
        return judged(found.resolved, found.live, alpha=alpha, rolled_back=found.rolled_back)

    def _told(self, judgements: Sequence[Judgement]) -> records_of.Told:
        swapped, refused = None, None
        if self.settings.publish and any(one.adopted for one in judgements):
            try:
                swapped = self._published(judgements)
            except (DeploymentError, TimeoutError) as error:
                refused = str(error)
        return records_of.Told(
            settings=self.settings,
            started=self.started,
            simulated=self.simulated,
            folder=self.folder,
            conf_digest=self.conf_digest,
            manifest_sha256=self.deployed.sha256,
            outcomes=self.outcomes,
            judgements=tuple(judgements),
            published_sha256=None if swapped is None else swapped.sha256,
            refused=refused,
        )

    def _published(self, judgements: Sequence[Judgement]) -> Swapped:
        """Put what is adopted into the next manifest."""
        changed: dict[str, Mapping[str, Any]] = {}
        for one in judgements:
            if one.adopted is None:
                continue
            for symbol in one.symbols:
                entry = dict(self.deployed.selection(symbol))
                entry.pop(LIVE_CALIBRATION, None)
                calibration = records_of.entry(one)
                changed[symbol] = entry | (
                    {} if calibration is None else {LIVE_CALIBRATION: to_json_safe(calibration)}
                )
        return amend(
            self.settings.manifest,
            changed,
            action="calibrate",
            reason=records_of.reason(judgements),
            expected_sha256=self.deployed.sha256,
            now_utc=datetime.now(UTC),
            key=self.settings.key,
            provenance={
                "conf_digest": self.conf_digest,
                FITTED_UNTIL: {
                    symbol: one.fitted_until
                    for one in judgements
                    for symbol in one.symbols
                    if one.adopted is not None
                },
            },
        )

    def _written(self, told: records_of.Told) -> list[Path]:
        """Write all files; return them."""
        page, document = self.folder / REPORT, self.folder / DOCUMENT
        write_page(page, told)
        write_json_atomically(document, records_of.document(told))
        return [page, document]

    def _start(self) -> RunStart:
        name = records_of.run_name(self.settings.name, self.started, None, simulated=self.simulated)
        return records.run_start(name, self.conf, simulated=self.simulated, execution=uuid4().hex)
