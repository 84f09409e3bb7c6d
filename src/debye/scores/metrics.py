"""Agreement of two arrays of numbers: the measures of one set of items.

NaN policy, the same for every function here: a pair of which either number is not finite is left out;
with fewer than ``minimum`` pairs left, or where a measure is undefined (correlation with a constant),
the result is NaN. Callers count NaNs; nothing is replaced by zero.
"""

from __future__ import annotations

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

CONSTANT = 1e-6
"""An array whose values differ by less than this share of the largest magnitude counts as constant.

float32 keeps seven digits, so what a model gives for one constant may differ in the last ones."""


def finite_pairs(
    predicted: ArrayLike, true: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Keep the pairs of which both numbers are finite, in double precision.

    Example:
        >>> finite_pairs([1, np.nan, 3], [4, 5, np.nan])
        (array([1.]), array([4.]))
    """
    first = np.asarray(predicted, np.float64).ravel()
    second = np.asarray(true, np.float64).ravel()
    if first.shape != second.shape:
        raise ValueError(f"{first.size} predicted but {second.size} true values: give pairs")
    keep = np.isfinite(first) & np.isfinite(second)
    return first[keep], second[keep]


def is_constant(values: NDArray[np.float64]) -> bool:
    """Return whether an array is constant up to rounding (an empty one has none)."""
    if not values.size:
        return True
    return bool(np.ptp(values) <= CONSTANT * np.abs(values).max())


def pearson(predicted: ArrayLike, true: ArrayLike, minimum: int = 3) -> float:
    """Pearson correlation; NaN for a constant input or fewer than ``minimum`` pairs.

    Example:
        >>> round(pearson([1, 2, 3, 4], [10, 30, 20, 40]), 3)
        0.8
        >>> pearson([1, 1, 1], [1, 2, 3])
        nan
    """
    first, second = finite_pairs(predicted, true)
    if first.size < minimum or is_constant(first) or is_constant(second):
        return np.nan
    first = first - first.mean()
    second = second - second.mean()
    # Normalize before multiplying: the product of two tiny variances would underflow.
    first /= np.linalg.norm(first)
    second /= np.linalg.norm(second)
    return float(np.clip(first @ second, -1.0, 1.0))


def spearman(predicted: ArrayLike, true: ArrayLike, minimum: int = 3) -> float:
    """Spearman rank correlation, ties averaged; NaN as for :func:`pearson`.

    Example:
        >>> spearman([1, 2, 3, 4], [1, 8, 27, 64])
        1.0
    """
    first, second = finite_pairs(predicted, true)
    if first.size < minimum or is_constant(first) or is_constant(second):
        return np.nan
    return pearson(scipy.stats.rankdata(first), scipy.stats.rankdata(second), minimum)


def mae(predicted: ArrayLike, true: ArrayLike, minimum: int = 1) -> float:
    """Mean absolute error, in the unit of the inputs.

    Example:
        >>> mae([1, 2, np.nan], [2, 4, 6])
        1.5
    """
    first, second = finite_pairs(predicted, true)
    return float(np.abs(first - second).mean()) if first.size >= max(minimum, 1) else np.nan


def mape(
    predicted: ArrayLike, true: ArrayLike, minimum: int = 1, *, floor: float | None = 1.0
) -> float:
    """Mean absolute error relative to the true value, %.

    Args:
        floor: Smallest true value that counts, so that nothing is divided by almost zero; None: NaN.

    Example:
        >>> mape([5, 9, 3], [10, 10, 0.5])
        30.0
    """
    first, second = finite_pairs(predicted, true)
    keep = above_floor(second, floor)
    if keep.sum() < max(minimum, 1):
        return np.nan
    return float(100 * np.abs(first[keep] / second[keep] - 1).mean())


def above_floor(true: NDArray[np.float64], floor: float | None) -> NDArray[np.bool_]:
    """Return which values percentage errors cover: those of at least the floor, none without a floor."""
    return np.zeros(true.shape, bool) if floor is None else true >= floor


def rrse(predicted: ArrayLike, true: ArrayLike, minimum: int = 2) -> float:
    """Root relative squared error: RMSE over that of predicting the mean of these very values.

    1 is what the mean itself reaches, 0 is perfect.

    Example:
        >>> rrse([2, 2, 2], [1, 2, 3])
        1.0
    """
    first, second = finite_pairs(predicted, true)
    if first.size < minimum or is_constant(second):
        return np.nan
    error = np.square(first - second).mean()
    return float(np.sqrt(error / second.var()))


def z_scores(values: ArrayLike) -> NDArray[np.float64]:
    """Subtract the mean and divide by the standard deviation; all NaN for a constant array.

    Example:
        >>> z_scores([1, 3, np.nan]).tolist()
        [-1.0, 1.0, nan]
    """
    numbers = np.asarray(values, np.float64)
    finite = numbers[np.isfinite(numbers)]
    if is_constant(finite):
        return np.full(numbers.shape, np.nan)
    return (numbers - finite.mean()) / finite.std()
