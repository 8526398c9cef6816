"""The TensorFlow Datasets builder of prepared problems, and the splits that read them back.

The problems are stored as array-record files, in the order of their identifiers; TensorFlow itself
is not needed.
"""

import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, overload

import numpy as np
import tensorflow_datasets as tfds

from papo_jax.tasks.problem import Problem

FORMAT = 2  # of the prepared files; a new number leaves the old directories alone
_TEXT_FIELDS = Problem._fields[1:]  # all but the identifier
_AS_JSON = "\0"  # stands before an answer in JSON, such as a list of several
_ROWS_AT_ONCE = 1024  # rows read at once; one by one is five times slower


class RowSource(Protocol):
    """Random access to stored rows, as a data source of TensorFlow Datasets gives it."""

    def __len__(self) -> int: ...

    def __getitems__(self, indices: Sequence[int], /) -> Sequence[Mapping[str, Any]]: ...


class PreparedSplit(Sequence[Problem]):
    """One split, read from disk row by row; `split[i].identifier == i`."""

    def __init__(self, source: RowSource):
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    @overload
    def __getitem__(self, index: int) -> Problem: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Problem, ...]: ...

    def __getitem__(self, index: int | slice) -> Problem | tuple[Problem, ...]:
        if isinstance(index, slice):
            return tuple(self._read_problems(range(*index.indices(len(self)))))
        return next(self._read_problems([range(len(self))[operator.index(index)]]))

    def __iter__(self) -> Iterator[Problem]:
        return self._read_problems(range(len(self)))

    def _read_problems(self, identifiers: Sequence[int]) -> Iterator[Problem]:
        for start in range(0, len(identifiers), _ROWS_AT_ONCE):
            block = list(identifiers[start : start + _ROWS_AT_ONCE])
            for identifier, row in zip(block, self._source.__getitems__(block), strict=True):
                # tensorflow_datasets promises to keep the order of an unshuffled split.
                if row["identifier"] != identifier:
                    raise RuntimeError(
                        f"row {identifier} of the prepared data holds problem {row['identifier']}"
                    )
                prompt, answer, *others = (row[name].decode() for name in _TEXT_FIELDS)
                yield Problem(identifier, prompt, _decode_answer(answer), *others)


class LocalInfo(tfds.core.DatasetInfo):
    """The description of a dataset that is in no bucket of TensorFlow Datasets."""

    def initialize_from_bucket(self) -> None:
        """Looks nothing up: nothing here may touch the network."""


class ProblemsBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes splits of problems in the order of their identifiers."""

    VERSION = tfds.core.Version(f"{FORMAT}.0.0")
    # Else tensorflow_datasets 4.9.10 looks for a list of downloads beside the code, through a
    # package that it does not require.
    code_path = None

    def __init__(self, splits: Mapping[str, Sequence[Problem]], **settings):
        self._splits = splits
        super().__init__(**settings)

    def _info(self) -> tfds.core.DatasetInfo:
        texts = {name: tfds.features.Text() for name in _TEXT_FIELDS}
        features = tfds.features.FeaturesDict({"identifier": np.int64, **texts})
        return LocalInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is ever downloaded
        return {name: self._generate_examples(problems) for name, problems in self._splits.items()}

    def _generate_examples(self, problems):
        for problem in problems:
            row = problem._asdict() | {"answer": _encode_answer(problem.answer)}
            yield problem.identifier, row


def _encode_answer(answer: str | tuple[str, ...]) -> str:
    is_plain = isinstance(answer, str) and not answer.startswith(_AS_JSON)
    return str(answer) if is_plain else _AS_JSON + json.dumps(answer)


def _decode_answer(stored: str) -> str | tuple[str, ...]:
    """Returns the answer, or several, of a stored text."""
    if not stored.startswith(_AS_JSON):
        return stored
    answer = json.loads(stored.removeprefix(_AS_JSON))
    return answer if isinstance(answer, str) else tuple(answer)
