"""Replay: signals and bars in, trades out.

docs/replay_rules.md says what happens at a bar.
"""

from collections.abc import Callable, Sequence
from typing import Final

from backtest.costs import Account, Costs, ExitSettings
from backtest.markets import Market
from backtest.replayed import Replayed
from backtest.replaying import Replaying
from exits.evaluator import ExitEvaluator
from exits.policy import ExitPolicy

OnProgress = Callable[[int, int], None]

_STEPS_PER_REPORT: Final = 50_000


def replay(
    markets: Sequence[Market],
    policy: ExitPolicy,
    *,
    exits: ExitSettings,
    costs: Costs,
    account: Account,
    evaluator: ExitEvaluator | None = None,
    on_progress: OnProgress | None = None,
) -> Replayed:
    """Trade the signals of several symbols on one account.

    Nothing looks ahead: bars cut off at the end change no trade that was closed before.

    Parameters
    ----------
    markets : sequence of Market
        In the order in which symbols go within a step.
    policy : ExitPolicy
        Decides the exit parameters, at entries and where they are due again.
    exits, costs, account
        Settings.
    evaluator : ExitEvaluator or None
        Asked at every close of an open position that no rule has ended.
    on_progress : callable or None
        Called with steps done and steps in all, now and then.

    Raises
    ------
    ValueError
        If a symbol is given twice, or a policy's answer is not finite.
    """
    replaying = Replaying(
        markets, policy, exits=exits, costs=costs, account=account, evaluator=evaluator
    )
    n_steps = replaying.n_steps
    until = n_steps if on_progress is None else 0
    while replaying.step < n_steps:
        until = min(n_steps, until + _STEPS_PER_REPORT)
        replaying.go_to(until)
        if on_progress is not None:
            on_progress(until, n_steps)
    return replaying.replayed()
