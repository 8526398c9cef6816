"""Mixtures: the parts of a name such as "gsm8k*3+math+arithmetic", and splits joined from parts.

>>> [(part.name, part.weight) for part in parse_mixture("gsm8k*3+arithmetic", None)]
[('gsm8k', 3.0), ('arithmetic', 1.0)]
"""

import bisect
import difflib
import itertools
import math
import operator
import os
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, overload

from papo_jax.errors import InputError
from papo_jax.tasks.problem import Problem


class PartRequest(NamedTuple):
    """A part as the user asks for it: its task's name, its weight, and its path if it has files."""

    name: str
    weight: float
    path: str | None


def parse_mixture(name: str, path: str | None, readers: Collection[str] = ()) -> list[PartRequest]:
    """Parses the name of a task or of a mixture.

    Args:
      name: task names joined by "+", each perhaps followed by "*" and a weight.
      path: of a single part its path; else one entry a part, separated by `os.pathsep` and empty
        for parts that read no file, or the one path of the one part that reads files.
      readers: the tasks that read files.

    Returns:
      The parts, in order.

    Raises:
      InputError: if a weight is no positive number, a part comes twice, or the paths do not fit the
        parts.
    """
    pieces = [piece.partition("*") for piece in name.split("+")]
    names = [piece[0].strip() for piece in pieces]
    weights = [_parse_weight(part, text) if star else 1.0 for part, star, text in pieces]
    repeated = next((part for n, part in enumerate(names) if part in names[:n]), None)
    if repeated is not None:
        raise InputError(
            f"task {name!r} names the part {repeated!r} twice; "
            "give it one weight, or put its files into one"
        )
    paths = _assign_paths(names, path, readers)
    return [PartRequest(*fields) for fields in zip(names, weights, paths, strict=True)]


def _parse_weight(part: str, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise InputError(
            f"the weight of the part {part!r} should be a positive number, not {text!r}"
        )
    return weight


def _assign_paths(
    names: Sequence[str], path: str | None, readers: Collection[str]
) -> list[str | None]:
    """Returns a path, or None, for each part."""
    if len(names) == 1 or not path:
        return [path or None] * len(names)
    entries = path.split(os.pathsep)
    if len(entries) == len(names):
        return [entry or None for entry in entries]
    reads_files = [name in readers for name in names]
    if sum(reads_files) == 1:
        return [path if reads else None for reads in reads_files]
    raise InputError(
        f"task.path has {len(entries)} entries for the {len(names)} parts {', '.join(names)}; "
        f"give one a part, separated by {os.pathsep!r} and empty for a part that reads no file"
    )


def find_nearest_name(name: str, names: Collection[str]) -> str:
    """Returns the name that is spelled most like this one."""
    return difflib.get_close_matches(name, names, n=1, cutoff=0)[0]


class JoinedSplit(Sequence[Problem]):
    """One split of several parts, read as it is used; `joined[i].identifier == i`.

    >>> joined = JoinedSplit([[Problem(0, "a", "1")], [], [Problem(0, "b", "2")]])
    >>> len(joined), joined[1]
    (2, Problem(identifier=1, prompt='b', answer='2', grader='integer', source=''))
    """

    def __init__(self, splits: Sequence[Sequence[Problem]]):
        self._splits = splits
        self._starts = [0, *itertools.accumulate(map(len, splits))]

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, index: int) -> Problem: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Problem, ...]: ...

    def __getitem__(self, index: int | slice) -> Problem | tuple[Problem, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        index = range(len(self))[operator.index(index)]
        part = bisect.bisect_right(self._starts, index) - 1
        return self._splits[part][index - self._starts[part]]._replace(identifier=index)

    def __iter__(self) -> Iterator[Problem]:
        for identifier, problem in enumerate(itertools.chain.from_iterable(self._splits)):
            yield problem._replace(identifier=identifier)
