"""Files of a training run, opened: its lock, its evaluations and its checkpoints."""

import contextlib
import pathlib
import warnings
from typing import IO, NamedTuple

import jax

from papo_jax.config.default_settings import Settings
from papo_jax.evaluation.evaluation_file import EvaluationFile
from papo_jax.evaluation.schema import Evaluation
from papo_jax.training import run_directory
from papo_jax.training.checkpoints import save_restore
from papo_jax.training.checkpoints.checkpoint_record import CheckpointRecord
from papo_jax.training.file_extents import describe_losses
from papo_jax.training.learner_parts import LearnerParts

BYTES_PER_PARAMETER = 12  # of a checkpoint: itself and Adam's two moments, in float32


class RunFiles(NamedTuple):
    """Open files of a work directory.

    Attributes:
      lock: the open file that keeps other processes out.
      evaluations: the evaluations on file; None where the run is not evaluated.
      checkpoints: the folder of checkpoints.
    """

    lock: IO[str]
    evaluations: EvaluationFile | None
    checkpoints: save_restore.Checkpoints


def open_run_files(
    settings: Settings,
    workdir: pathlib.Path,
    parts: LearnerParts,
    *,
    evaluation: Evaluation,
    fingerprints: dict[str, str],
    stack: contextlib.ExitStack,
) -> RunFiles:
    """Checks that the disk has room, locks the work directory and opens its files."""
    parameters = sum(leaf.size for leaf in jax.tree.leaves(parts.trained))
    run_directory.check_space(
        workdir,
        parameters * BYTES_PER_PARAMETER,
        checkpoints=settings.checkpoint.keep + 2,  # the best, and the one that is being written
    )
    lock = stack.enter_context(run_directory.lock_directory(workdir))
    evaluations = None
    if settings.evaluation.every:
        evaluations = EvaluationFile(workdir / "evaluation.json", evaluation)
    checkpoints = save_restore.Checkpoints(
        workdir / "checkpoints", keep=settings.checkpoint.keep, origin=fingerprints
    )
    return RunFiles(lock=lock, evaluations=evaluations, checkpoints=checkpoints)


def warn_of_losses(
    workdir: pathlib.Path, step: int, record: CheckpointRecord, files: RunFiles
) -> None:
    """Says what is missing in the run's files of the steps before a restored checkpoint."""
    for loss in describe_losses(
        workdir,
        step=step,
        files=record.files,
        evaluated=record.evaluated if files.evaluations else (),
        on_file=[entry.step for entry in files.evaluations.entries] if files.evaluations else (),
    ):
        warnings.warn(f"--workdir {workdir}: {loss}", stacklevel=2)
