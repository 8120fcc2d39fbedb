"""The codes of exit rules, stops and partials, and what they are called in records."""

TAKE_PROFIT, STOP_LOSS, TRAILING_STOP, TIME_LIMIT, PARTIAL_EXIT = range(5)
BREAKEVEN, PROFIT_DRAWDOWN, ADVERSE_MOMENTUM, MAX_HOLD, OTHER = range(5, 10)

# The codes of the exit reasons, as experiences encode them.
EXIT_REASONS = (
    "take_profit",
    "stop_loss",
    "trailing_stop",
    "time_limit",
    "partial_exit",
    "breakeven",
    "profit_drawdown",
    "adverse_momentum",
    "max_hold",
    "other",
)

# Kinds of stop.
INITIAL, TIGHTENED, AT_BREAKEVEN, TRAILING = range(4)
STOP_KINDS = ("initial", "tightened", "breakeven", "trailing")
STOP_REASONS = (STOP_LOSS, STOP_LOSS, BREAKEVEN, TRAILING_STOP)

# Which candidate moved a stop; 0 is the step to breakeven.
STOP_RULES = (
    "breakeven",
    "trailing",
    "profit_lock",
    "time_decay",
    "creeping",
    "sideways",
    "account",
    "spike",
)

# Exit rules at the close in the order in which they are asked; the code of a rule is its place.
EXIT_RULES: tuple[tuple[str, int], ...] = (
    ("none", OTHER),
    ("initial_stop", STOP_LOSS),
    ("model_exit", OTHER),
    ("daily_loss", OTHER),
    ("loss_emergency", OTHER),
    ("loss_streak", OTHER),
    ("account_drawdown", OTHER),
    ("session_close", TIME_LIMIT),
    ("friday_close", TIME_LIMIT),
    ("low_volume", OTHER),
    ("ml_override", OTHER),
    ("signal_reversal", OTHER),
    ("regime_change", OTHER),
    ("volatility_spike", OTHER),
    ("volatility_rise", OTHER),
    ("immediate_adverse", ADVERSE_MOMENTUM),
    ("adverse_bar", ADVERSE_MOMENTUM),
    ("adverse_run", ADVERSE_MOMENTUM),
    ("range_expansion", ADVERSE_MOMENTUM),
    ("loss_acceleration", ADVERSE_MOMENTUM),
    ("losing_bars", ADVERSE_MOMENTUM),
    ("max_loss", STOP_LOSS),
    ("underwater_total", TIME_LIMIT),
    ("underwater_run", TIME_LIMIT),
    ("failed_breakout", OTHER),
    ("runner_drawdown", PROFIT_DRAWDOWN),
    ("profit_drawdown", PROFIT_DRAWDOWN),
    ("peak_drawdown", PROFIT_DRAWDOWN),
    ("volume_exhaustion", OTHER),
    ("sideways_loss", OTHER),
    ("sideways_timeout", TIME_LIMIT),
    ("dead_trade", TIME_LIMIT),
    ("no_profit", TIME_LIMIT),
    ("time_stop", TIME_LIMIT),
    ("max_duration", TIME_LIMIT),
    ("max_hold", MAX_HOLD),
    ("evaluator_close", OTHER),
    ("barrier_time", TIME_LIMIT),
)
(
    NONE,
    INITIAL_STOP,
    MODEL_EXIT,
    DAILY_LOSS,
    LOSS_EMERGENCY,
    LOSS_STREAK,
    ACCOUNT_DRAWDOWN,
    SESSION_CLOSE,
    FRIDAY_CLOSE,
    LOW_VOLUME,
    ML_OVERRIDE,
    SIGNAL_REVERSAL,
    REGIME_CHANGE,
    VOLATILITY_SPIKE,
    VOLATILITY_RISE,
    IMMEDIATE_ADVERSE,
    ADVERSE_BAR,
    ADVERSE_RUN,
    RANGE_EXPANSION,
    LOSS_ACCELERATION,
    LOSING_BARS,
    MAX_LOSS,
    UNDERWATER_TOTAL,
    UNDERWATER_RUN,
    FAILED_BREAKOUT,
    RUNNER_DRAWDOWN,
    PROFIT_DRAWDOWN_RULE,
    PEAK_DRAWDOWN,
    VOLUME_EXHAUSTION,
    SIDEWAYS_LOSS,
    SIDEWAYS_TIMEOUT,
    DEAD_TRADE,
    NO_PROFIT,
    TIME_STOP,
    MAX_DURATION,
    MAX_HOLD_RULE,
    EVALUATOR_CLOSE,
    BARRIER_TIME,
) = range(len(EXIT_RULES))

# What closes a position inside a bar or at an open, after the rules of the close.
AT_STOP = len(EXIT_RULES)  # + kind of stop
AT_TARGET = AT_STOP + len(STOP_KINDS)
AT_PARTIAL = AT_TARGET + 1  # + number of the partial from 0; 3 is the evaluator's
AT_BARRIER = AT_PARTIAL + 4
CLOSINGS: tuple[tuple[str, int], ...] = (
    *EXIT_RULES,
    *((f"stop_{kind}", reason) for kind, reason in zip(STOP_KINDS, STOP_REASONS, strict=True)),
    ("final_target", TAKE_PROFIT),
    ("partial_1", PARTIAL_EXIT),
    ("partial_2", PARTIAL_EXIT),
    ("partial_3", PARTIAL_EXIT),
    ("evaluator", PARTIAL_EXIT),
    ("barrier_target", TAKE_PROFIT),
)

# Why an entry that was asked for is dropped, in the order in which it is asked.
SKIPS = ("none", "sideways", "losing_streak", "daily_loss", "session_close", "open_risk")
(
    TAKEN,
    SKIP_SIDEWAYS,
    SKIP_LOSING_STREAK,
    SKIP_DAILY_LOSS,
    SKIP_SESSION_CLOSE,
    SKIP_OPEN_RISK,
) = range(len(SKIPS))
