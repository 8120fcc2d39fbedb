"""Time shift: windows moved by a few steps along time."""

from typing import ClassVar

import numpy as np

from augmentation.technique import FloatArray, IntArray, LabelArray


class TimeShift:
    """Move a window along its time axis, all features together.

    Each window moves by 1 to ``max_shift_steps`` steps, later or earlier with equal chance. The
    step at the edge is held, never wrapped round: a wrapped window would put its oldest step after
    its newest. Features never change places.

    Parameters
    ----------
    max_shift_steps : int
        Longest move, in steps; windows too short for it move by at most their length less one.

    Raises
    ------
    ValueError
        If ``max_shift_steps`` is below 1.
    """

    needs_steps: ClassVar[bool] = True

    def __init__(self, *, max_shift_steps: int) -> None:
        if max_shift_steps < 1:
            raise ValueError(f"max_shift_steps must be at least 1, was {max_shift_steps}")
        self.max_shift_steps = max_shift_steps

    def apply(
        self,
        x_NxF: FloatArray,
        y_N: LabelArray,
        source_S: IntArray,
        rng: np.random.Generator,
    ) -> tuple[FloatArray, LabelArray]:
        """Return the source windows moved in time, and the source windows' labels.

        Raises
        ------
        ValueError
            If the rows are not windows of at least two steps.
        """
        if x_NxF.ndim != 3 or x_NxF.shape[1] < 2:
            raise ValueError(
                f"time shift needs windows (rows, steps, features) of 2 steps or more, "
                f"the shape is {x_NxF.shape}"
            )
        last_step = x_NxF.shape[1] - 1
        longest = min(self.max_shift_steps, last_step)
        shift_S = rng.integers(1, longest + 1, len(source_S))
        shift_S *= rng.choice([-1, 1], len(source_S))
        step_SL = np.clip(np.arange(last_step + 1) - shift_S[:, np.newaxis], 0, last_step)
        x_SLF = np.take_along_axis(x_NxF[source_S], step_SL[:, :, np.newaxis], axis=1)
        return x_SLF, y_N[source_S]
