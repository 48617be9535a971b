"""Choice of ensemble members: greedy selection on the predictions of the folds (Caruana et al. 2004)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

# With a few hundred failures, smaller differences in average precision are noise, and every member of an ensemble adds
# to the time of each prediction.
NOISE = 0.005
# After a resumed search, the folds of each of these are fitted again.
_POOL = 8


def choose_members(
    scores: Callable[[Sequence[int]], Sequence[float]],
    ranked: Sequence[int],
    *,
    max_members: int = 4,
    margin: float = NOISE,
) -> list[int]:
    """Return the ensemble members: the best trial alone, or more if the folds show that their mean is better.

    Greedy: of the eight best trials, the one that helps most is added while the mean score of the folds grows by more
    than ``margin``.

    Parameters
    ----------
    scores : callable
        Takes members and returns the score of their mean prediction on each fold; higher is better.
    ranked : sequence of int
        Trials, best first, at least one.
    max_members : int
        Maximum number of members.
    margin : float
        Minimum gain of the mean score by each member.

    Returns
    -------
    list of int
        In the order of their choice, each once; of equal trials the one that ranks higher.
    """
    members = list(ranked[:1])
    if len(ranked) == 1 or max_members == 1:
        return members
    best = fmean(scores(members))
    while len(members) < max_members:
        joint = {trial: fmean(scores([*members, trial])) for trial in ranked[:_POOL] if trial not in members}
        # max returns the first of equal ones.
        added = max(joint, key=joint.__getitem__, default=None)
        if added is None or joint[added] - best <= margin:
            break
        members, best = [*members, added], joint[added]
    return members
