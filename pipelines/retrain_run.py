"""One run of retrain: who is called, trained, judged and adopted, in that order."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from filelock import FileLock, Timeout

from pipelines.alerts import alerts
from pipelines.command import ConfigError
from pipelines.console import console
from pipelines.live_inputs import market_of
from pipelines.retrain_adopting import Winner, adopt, moved_aliases, place_files, was_taken_back
from pipelines.retrain_calls import Call, calls, goes_on, learns_until, why_not
from pipelines.retrain_display import show
from pipelines.retrain_judging import (
    Later,
    all_bars,
    judged,
    later_events,
    opened_challenger,
)
from pipelines.retrain_outcomes import Outcomes
from pipelines.retrain_settings import RetrainSettings, check_same_question, live_models
from pipelines.retrain_training import Wanted, check_tuned, trained_challenger
from selection import DeployedModels
from selection.challenger_state import CHALLENGERS, ChallengerState, files_digest, read_state
from selection.challenges import Challenges, Judged
from selection.live_manifest import sha256_of

_log = logging.getLogger(__name__)


class RetrainRun:
    """Everything between a checked configuration and the exit code."""

    def __init__(self, settings: RetrainSettings, conf: Mapping[str, Any]) -> None:
        self.settings, self.conf = settings, conf
        self.alerts = alerts(conf)
        self.ledger = Challenges(settings.manifest)
        self.outcomes = Outcomes(settings.manifest, self.alerts)

    def run(self) -> int:
        """Run it all; return the exit code."""
        try:
            # What cannot be meant is refused before a folder is made.
            live_models(self.settings)
            check_tuned(self.settings, self.conf)
            with self._alone():
                self._train_and_judge()
        finally:
            self.alerts.close()
        live, outcomes = self.settings.manifest, self.outcomes
        show(console(), outcomes.rows.values(), outcomes.notes, live, sha256_of(live.read_bytes()))
        return outcomes.exit_code

    def _train_and_judge(self) -> None:
        deployed = live_models(self.settings)
        waiting = self._waiting(deployed)
        wanted = self._wanted(deployed, someone_waits=bool(waiting))
        for one in wanted:
            waiting.pop(one.symbol, None)
            if (state := self._trained(one, deployed)) is not None:
                waiting[one.symbol] = state
        if wanted:
            # That may have taken hours: what is live now is what a challenger is to replace.
            deployed = live_models(self.settings)
        self._judge(deployed, waiting)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other retrainings of the same manifest out."""
        folder = self.settings.manifest.parent / CHALLENGERS
        folder.mkdir(parents=True, exist_ok=True)
        # Held by the system for this process alone: it ends with it, however that ends.
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ConfigError(
                f"manifest.path: another retraining is at work beside {self.settings.manifest}; "
                "wait for it to end"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _waiting(self, deployed: DeployedModels) -> dict[str, ChallengerState]:
        """Return the challengers that wait to be judged."""
        found = {}
        among = self.settings.by_hand or self.settings.train.symbols
        for symbol in deployed.manifest["selections"]:
            if symbol not in among:
                continue
            try:
                state = read_state(self.settings.manifest, symbol)
            except ValueError as error:
                self.outcomes.failed(symbol, error)
                continue
            if state is not None and state.status == "waiting":
                found[symbol] = state
        return found

    def _wanted(self, deployed: DeployedModels, *, someone_waits: bool) -> list[Wanted]:
        """Return what is to be trained now; note why the others are not."""
        found, passed_over = calls(self.settings, deployed, someone_waits=someone_waits)
        for symbol, why in passed_over.items():
            self.outcomes.not_trained(symbol, _model(deployed, symbol), why)
        wanted = []
        for call in found:
            if call.symbol in self.outcomes.rows:
                continue
            try:
                one = self._of_call(call, deployed)
            except ConfigError as error:
                # Who names symbols is there to set it right.
                if call.by_hand:
                    raise
                self.outcomes.failed(call.symbol, error)
            except (ValueError, OSError) as error:
                self.outcomes.failed(call.symbol, error)
            else:
                wanted += [] if one is None else [one]
        return wanted

    def _of_call(self, call: Call, deployed: DeployedModels) -> Wanted | None:
        """Return what a call asks for; None, and a note, where it is answered already."""
        champion, renew = deployed.selection(call.symbol), self.settings.renew
        bars = all_bars(self.settings, call.symbol)
        before = read_state(self.settings.manifest, call.symbol)
        until = learns_until(call, before, bars, renew=renew)
        if why := why_not(call, before, until, files_digest(champion), renew=renew):
            self.outcomes.not_trained(call.symbol, champion["selected_model"], why)
            return None
        check_same_question(call.symbol, champion, self.conf)
        return Wanted(call, before, until, goes_on(call, before, renew=renew))

    def _trained(self, wanted: Wanted, deployed: DeployedModels) -> ChallengerState | None:
        """Train a challenger; return it where it waits for its judgement."""
        symbol, until = wanted.symbol, f"{wanted.until:%Y-%m-%d %H:%M} UTC"
        _log.info("%s: trained on bars up to %s", symbol, until)
        champion = deployed.selection(symbol)
        try:
            state = trained_challenger(self.settings, self.conf, wanted, champion)
        except (ValueError, OSError) as error:
            self.outcomes.failed(symbol, error)
            return None
        if state.status == "waiting":
            return state
        self.outcomes.ended(state, "dismissed", state.reason)
        return None

    def _judge(self, deployed: DeployedModels, waiting: Mapping[str, ChallengerState]) -> None:
        """Judge all that have enough later events, together; let winners take the place."""
        ready: dict[str, tuple[ChallengerState, Later]] = {}
        known: dict[str, Judged] = {}
        models: dict[str, DeployedModels] = {}
        for symbol, state in waiting.items():
            try:
                models[symbol] = opened_challenger(self.settings, state)
                if self._is_settled(state, deployed, models[symbol]):
                    continue
                verdict = self.ledger.of(symbol, str(state.manifest_sha256))
                if verdict is not None:
                    known[symbol] = verdict
                elif (later := self._later(deployed, models[symbol], state)) is not None:
                    ready[symbol] = state, later
            except (ValueError, OSError) as error:
                self.outcomes.failed(symbol, error)
        try:
            known |= judged(self.settings, ready, self.ledger)
        except (ValueError, OSError) as error:
            for symbol in ready:
                self.outcomes.failed(symbol, error)
        winners = []
        for symbol, verdict in known.items():
            if verdict.adopted:
                winners.append(Winner(waiting[symbol], models[symbol], verdict))
            else:
                self.outcomes.end(waiting[symbol], "dismissed", verdict.reason, verdict)
        self._adopt(deployed, winners)

    def _later(
        self, deployed: DeployedModels, challenger: DeployedModels, state: ChallengerState
    ) -> Later | None:
        """Return the later events where there are enough; else note how many are missing."""
        market = market_of(self.settings.source, state.symbol, self.settings.train.seed)
        used_until = self.ledger.used_until(state.symbol, market)
        later = later_events(self.settings, deployed, challenger, state, used_until)
        known, enough = later.challenge.effective_rows, self.settings.rule.min_events
        if known >= enough:
            return later
        self.outcomes.waits(
            state,
            f"Waits for later events: {known:.0f} of {enough} are known (counted without overlap), "
            f"{later.n_open} more are open",
        )
        return None

    def _is_settled(
        self, state: ChallengerState, deployed: DeployedModels, challenger: DeployedModels
    ) -> bool:
        """End a challenge whose champion has left or is back, or whose winner is live already."""
        there = files_digest(deployed.selection(state.symbol))
        its = files_digest(challenger.selection(state.symbol))
        if there == state.champion:
            if there == its or not was_taken_back(self.settings, state, its):
                return False
            why = "It was adopted, and was rolled back; renew=true trains another"
            self.outcomes.end(state, "dismissed", why)
        elif there == its:
            # It was cut off before that was written down, and maybe before the registry was told.
            verdict = self.ledger.of(state.symbol, str(state.manifest_sha256))
            self.outcomes.notes += moved_aliases(
                self.settings, self.conf, {state.symbol: challenger}
            )
            self.outcomes.end(state, "adopted", verdict.reason if verdict else "Is live", verdict)
        else:
            why = "The champion that it was to replace is not live any more"
            self.outcomes.end(state, "dismissed", why)
        return True

    def _adopt(self, deployed: DeployedModels, winners: list[Winner]) -> None:
        """Let all winners take the place whose files are what was trained."""
        placed = []
        for one in winners:
            try:
                place_files(self.settings, one)
                placed.append(one)
            except (ValueError, OSError) as error:
                self.outcomes.failed(one.state.symbol, error)
        if not placed:
            return
        try:
            adopt(self.settings, deployed, placed)
        except (ValueError, OSError) as error:
            for one in placed:
                self.outcomes.failed(one.state.symbol, error)
            return
        # The registry first: who is cut off in between does both again.
        adopted = {one.state.symbol: one.models for one in placed}
        self.outcomes.notes += moved_aliases(self.settings, self.conf, adopted)
        for one in placed:
            self.outcomes.end(one.state, "adopted", one.judged.reason, one.judged)


def _model(deployed: DeployedModels, symbol: str) -> str | None:
    model: str | None = deployed.manifest["selections"].get(symbol, {}).get("selected_model")
    return model
