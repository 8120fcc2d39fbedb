"""Settings of a replay that cannot be are refused in one line."""

import pytest

from backtest.costs import Account, Costs, ExitSettings


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Costs(spread_atr=-0.1, commission_atr=0, slippage_atr=0), "spread_atr must be at"),
        (lambda: Account(equity=0.0), "equity must be above 0, was 0.0"),
        (lambda: Account(risk_per_trade=2.0), r"risk_per_trade must be in \(0, 1\], was 2.0"),
        (lambda: Account(risk_per_trade=0.06), "risk_per_trade must be at most max_open_risk"),
        (lambda: Account(daily_loss_limit=float("nan")), "daily_loss_limit must be in"),
        (lambda: ExitSettings(tick_atr=0.0), "tick_atr must be above 0"),
        (lambda: ExitSettings(minutes_per_bar=-1.0), "minutes_per_bar must be above 0"),
        (lambda: ExitSettings(min_share=0.6), "min_share must be in"),
        (lambda: ExitSettings(friday_late_hour=25), "friday_late_hour must be from 0 to 24"),
        (lambda: ExitSettings(sessions=("noon",)), 'a session closes at "21:00"'),
    ],
)
def test_a_setting_out_of_range_is_refused(build, said):
    with pytest.raises(ValueError, match=said):
        build()
