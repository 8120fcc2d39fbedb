"""Logs the studies of a sweep: a run for each, and beneath it one for each of its trials."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tracking.calls import Trials
from tracking.entities import (
    DESCRIPTION,
    final_metrics,
    ms_since_epoch,
    params_of,
    run_tags,
    study_tags,
    trial_metrics,
    trial_tags,
)
from tracking.found import PARENT, FoundRun, Key, best_of, trials_of
from tracking.records import StudyKey, StudyRecord, TrialRecord
from tracking.session_runs import SessionRuns


@dataclass(slots=True)
class _Study:
    """What this session knows of a study.

    Attributes
    ----------
    run_id
        Its open run, or None.
    logged
        Numbers of the trials that were logged in full.
    cut_off
        Runs of trials that were begun and not logged in full.
    """

    run_id: str | None = None
    logged: set[int] = field(default_factory=set)
    cut_off: dict[int, FoundRun] = field(default_factory=dict)


class StudyRuns:
    """Logs studies and trials once each, whatever of them a store holds already.

    A study's run that was cut off goes on; of one that has ended nothing is changed, and trials
    that come later begin another.

    Parameters
    ----------
    runs
        The session's.
    """

    def __init__(self, runs: SessionRuns) -> None:
        self._runs = runs
        self._studies: dict[Key, _Study] = {}

    def forget(self) -> None:
        """Ask the store anew: nobody knows what it made of the last call."""
        self._studies = {}

    def log_trials(self, call: Trials) -> None:
        """Log those trials that the store has not got."""
        study = self._known(call.key)
        for trial in call.trials:
            if trial.number not in study.logged:
                self._log_trial(call, trial, study)

    def log_study(self, record: StudyRecord, *, doubtful: bool) -> None:
        """Add the last facts to a study's run and end it; take over one that has ended.

        Parameters
        ----------
        doubtful
            Whether a trial may stand there twice.
        """
        study, client = self._known(record.key), self._runs.store.client
        there = self._runs.found.complete(_key(record.key), failed=False)
        if there is not None and study.run_id is None:
            self._runs.adopted(there)
            return
        run_id = self._begun(record.key, study, ms_since_epoch(record.started_utc))
        for path, folder in record.artifacts:
            client.log_artifact(run_id, str(path), folder or None)
        if doubtful:
            self._remove_surplus(run_id)
        ended_ms = ms_since_epoch(record.ended_utc)
        tags = {**record.tags, **study_tags(record.key), DESCRIPTION: record.description}
        metrics = final_metrics(record.metrics, at_ms=ended_ms, model_id=None)
        # Just before the end: parameters that stand there can never be changed.
        client.log_batch(run_id, metrics, params_of(record.params), run_tags(tags))
        self._runs.ended(run_id, "FINISHED", ended_ms=ended_ms)
        study.run_id = None

    def _known(self, key: StudyKey) -> _Study:
        """Return what is known of a study; one that was begun before is asked for its trials."""
        if _key(key) not in self._studies:
            study = self._studies[_key(key)] = _Study()
            for run in self._runs.found.children.get(_key(key), ()):
                for number, runs in trials_of(self._runs.store, run.run_id).items():
                    _note(study, int(number), best_of(runs))
        return self._studies[_key(key)]

    def _begun(self, key: StudyKey, study: _Study, started_ms: int) -> str:
        """Return a study's open run, which may be one that was cut off."""
        if study.run_id is None:
            tags = {**study_tags(key), **self._runs.places(), **self._runs.marks()}
            begun = self._runs.found.cut_off(_key(key))
            if begun is None:
                name = f"{key.symbol} {key.model}"
                study.run_id = self._runs.created(name, tags, started_ms=started_ms)
            else:
                client, study.run_id = self._runs.store.client, begun.run_id
                client.log_batch(begun.run_id, tags=run_tags(tags))
                client.update_run(begun.run_id, "RUNNING")
                self._runs.open[begun.run_id] = None
        return study.run_id

    def _log_trial(self, call: Trials, trial: TrialRecord, study: _Study) -> None:
        """Log one trial in three requests."""
        there, tags = study.cut_off.get(trial.number), trial_tags(call.key, trial)
        tags |= self._runs.session_mark()
        late_tags = []
        if there is None:
            first_ms = min(ms_since_epoch(one.started_utc) for one in call.trials)
            tags[PARENT] = self._begun(call.key, study, first_ms)
            name = f"{call.key.symbol} {call.key.model} trial {trial.number}"
            started_ms = ms_since_epoch(trial.started_utc)
            run_id = self._runs.created(name, tags, started_ms=started_ms)
        else:
            run_id, late_tags = there.run_id, run_tags(tags)
        metrics, params = trial_metrics(trial), params_of(trial.params)
        if metrics or params or late_tags:
            self._runs.store.client.log_batch(run_id, metrics, params, late_tags)
        status = "FAILED" if trial.state == "failed" else "FINISHED"
        self._runs.ended(run_id, status, ended_ms=ms_since_epoch(trial.ended_utc))
        study.logged.add(trial.number)

    def _remove_surplus(self, study_run_id: str) -> None:
        """Delete trials' runs that stand beside another of the same."""
        for runs in trials_of(self._runs.store, study_run_id).values():
            for run in _others(runs):
                self._runs.store.client.delete_run(run.run_id)
                self._runs.open.pop(run.run_id, None)


def _key(key: StudyKey) -> Key:
    return key.symbol, key.model, key.study


def _note(study: _Study, number: int, run: FoundRun) -> None:
    if run.complete:
        study.logged.add(number)
    else:
        study.cut_off[number] = run


def _others(runs: Sequence[FoundRun]) -> list[FoundRun]:
    kept = best_of(runs)
    return [run for run in runs if run.run_id != kept.run_id and not run.complete]
