"""One run of drift: every symbol looked at, the report written, alerts sent, in that order."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from live.alerts import Alert
from live.drift_report import FILE, DriftReport, SymbolDrift, utc, write_drift
from live.drift_words import failed, symbol_drift, without_model
from live.symbol_drift import look
from market.bars import Bars, DataError
from market.source import is_simulated
from pipelines import drift_records as records_of
from pipelines import records
from pipelines.command import ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED
from pipelines.console import console
from pipelines.drift_beside import check_writable, still_said, write_beside
from pipelines.drift_display import show, show_beside
from pipelines.drift_page import write_page
from pipelines.drift_settings import DriftSettings
from pipelines.live_inputs import bars_of, check_known, check_same_market, market_of, opened
from pipelines.run_digest import DIGEST_CHARS, RUNS, digest, without_places
from pipelines.run_folder import held
from pipelines.tracked import tracked
from pipelines.writable import writable_folder
from selection.deployed_files import DeploymentError
from tracking.records import RunStart

LOOKS = RUNS / "drift"
REPORT = "report.html"
# What decides where results are put and who hears of them, but not what they are.
_PLACES = ("alerts", "beside", "format", "public_key")


class DriftRun:
    """Everything between a checked configuration and the exit code."""

    def __init__(self, settings: DriftSettings, conf: Mapping[str, Any]) -> None:
        self.settings = settings
        # Where alerts go is a secret, and nothing that a result hangs on.
        self.conf = {key: one for key, one in conf.items() if key != "alerts"}
        self.started = datetime.now(UTC)
        self.simulated = is_simulated(settings.source)
        self.deployed = opened("manifest", settings.manifest, settings.public_key)
        check_same_market(self.deployed, settings.source, seed=settings.seed)
        check_known(settings.symbols, self.deployed)
        self.before = still_said(settings.manifest, self.deployed)
        kept = {key: one for key, one in without_places(conf).items() if key not in _PLACES}
        self.conf_digest = digest([self.deployed.sha256, kept])
        self.found = records_of.Found()

    def run(self) -> int:
        """Run it all; return the exit code."""
        settings = self.settings
        writable_folder("output_dir", settings.output_dir or LOOKS)
        if settings.beside:
            check_writable(settings.manifest)
        for symbol in dict.fromkeys(settings.symbols or self.deployed.manifest["selections"]):
            self._look_at(symbol)
        with held(self.folder), tracked(settings.tracker, self._start()) as end:
            told = self._told()
            end |= records_of.ended(told, self._written(told))
        self._alert(told)
        show(console(), told)
        if settings.beside:
            merged = write_beside(settings.manifest, self.deployed, told.report)
            show_beside(console(), told, merged, len(self.deployed.manifest["selections"]))
        n_failed = sum(one.status == "failed" for one in told.report.symbols.values())
        if not n_failed:
            return ALL_TRAINED
        return SOME_FAILED if self.found.looked else NOTHING_TRAINED

    @property
    def folder(self) -> Path:
        """Where the files go."""
        name = digest([self.conf_digest, self.found.digests])[:DIGEST_CHARS]
        return self.settings.output_dir or LOOKS / name

    def _look_at(self, symbol: str) -> None:
        """Look at one symbol; one that cannot be looked at is named and passed over."""
        selection, found = self.deployed.selection(symbol), self.found
        if selection["selected_model"] is None:
            found.symbols[symbol] = without_model(str(selection["reason"]))
            return
        try:
            looked = look(self.deployed, symbol, self._bars(symbol), self.settings.limits)
        except (DataError, DeploymentError) as error:
            found.symbols[symbol] = self._of_market(symbol, failed(str(error)))
            return
        found.looked[symbol] = looked
        drift = symbol_drift(looked, self.settings.limits)
        found.symbols[symbol] = self._of_market(symbol, drift)

    def _of_market(self, symbol: str, one: SymbolDrift) -> SymbolDrift:
        """Return what was found of a symbol with the market that its bars are of."""
        market = market_of(self.settings.source, symbol, self.settings.seed)
        return one.model_copy(update={"market": market})

    def _bars(self, symbol: str) -> Bars:
        settings, found = self.settings, self.found
        bars, found.digests[symbol], odd = bars_of(
            settings.source, symbol, settings.seed, until=settings.until
        )
        if odd:
            found.warnings.append(f"{symbol}: {odd}")
        return bars

    def _told(self) -> records_of.Told:
        report = DriftReport(
            timestamp=self.started,
            manifest_sha256=self.deployed.sha256,
            symbols=self.found.symbols,
        )
        return records_of.Told(
            settings=self.settings,
            started=self.started,
            simulated=self.simulated,
            folder=self.folder,
            conf_digest=self.conf_digest,
            report=report,
            found=self.found,
            known=self._known(),
        )

    def _known(self) -> frozenset[str]:
        """Return the symbols that the report beside the manifest names already, for this alarm."""
        return frozenset(
            symbol
            for symbol, now in self.found.symbols.items()
            if now.tripped_at is not None
            and symbol in self.before
            and now.tripped_at == self.before[symbol].tripped_at
        )

    def _written(self, told: records_of.Told) -> list[Path]:
        """Write the files of the run's folder; return them."""
        page, document = self.folder / REPORT, self.folder / FILE
        write_page(page, told)
        write_drift(document, told.report)
        return [page, document]

    def _alert(self, told: records_of.Told) -> None:
        """Tell of every symbol that tripped, unless an earlier look has told of it."""
        alerts = self.settings.alerts
        try:
            for symbol in told.report.tripped:
                one = told.report.symbols[symbol]
                if symbol in told.known or one.tripped_at is None:
                    continue
                facts: dict[str, str | float | int] = {
                    "signals": one.n_events,
                    "alarm": utc(one.tripped_at),
                }
                alerts.send(
                    Alert("drift", f"{symbol} has drifted: {one.reasons[0]}", symbol, facts)
                )
        finally:
            alerts.close()

    def _start(self) -> RunStart:
        name = records_of.run_name(self.settings.name, self.started, None, simulated=self.simulated)
        return records.run_start(name, self.conf, simulated=self.simulated, execution=uuid4().hex)
