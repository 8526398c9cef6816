"""The training loop on the host: it owns time and files; jitted programs own the numbers."""

import contextlib
import pathlib

from papo_jax.commands.interruption import Interruption
from papo_jax.config.checks import check_settings, derived_sizes
from papo_jax.config.default_settings import Settings
from papo_jax.errors import TrainingStopped
from papo_jax.json_files import finite_number, whole_number
from papo_jax.learner.state import TrainState
from papo_jax.telemetry import progress, tensorboard_events
from papo_jax.telemetry.runfiles import read_rows
from papo_jax.telemetry.step_writer import StepWriter
from papo_jax.training.error_share import ErrorShareWatch
from papo_jax.training.run_identity import name_stop_tokens
from papo_jax.training.state_saving import save_if_due
from papo_jax.training.step import train_step
from papo_jax.training.training_run import TrainingRun, prepare_run


def train_policy(settings: Settings, workdir: pathlib.Path) -> None:
    """Trains, or resumes, and writes the report.

    Args:
      settings: the run's.
      workdir: where its files go; a run that is there already is resumed.

    Raises:
      InputError: if the config or the input is wrong; nothing is written then.
      TrainingStopped: if training cannot continue.
    """
    check_settings(settings)
    if settings.telemetry.tensorboard:
        tensorboard_events.check_installed()
    with contextlib.closing(prepare_run(settings, workdir)) as run:
        _train_with_progress(run)
        from papo_jax.report import report_page  # imported here, since matplotlib takes a second

        print(f"report: {report_page.write_report(workdir)}")
    _check_updates_made(workdir, steps=settings.training.steps)


def _train_with_progress(run: TrainingRun) -> None:
    """Runs the steps under a progress bar, until they are done or a signal asks for a stop."""
    settings, state = run.settings, run.initial
    with progress.Progress(
        settings.training.steps, int(state.step), enabled=settings.telemetry.progress
    ) as bar:
        bar.print_line(
            progress.format_table("derived sizes", [*derived_sizes(settings), *describe_data(run)])
        )
        with Interruption() as interruption:
            state = _run_steps(run, state, bar, interruption)
        if interruption.requested:
            bar.print_line(
                f"stopped by a signal after step {int(state.step)}; the same command resumes"
                " from here"
            )


def describe_data(run: TrainingRun) -> list[tuple[str, str]]:
    """Describes the loaded problems, as (label, value) for a table."""
    problems = run.problems
    unique_notes = dict.fromkeys([*problems.train.notes, *problems.evaluated.notes])
    notes = [("note", note) for note in unique_notes]
    checked = [("graders checked", line) for line in problems.checked]
    stops = ("stop tokens", ", ".join(name_stop_tokens(run.policy)))
    return [("longest prompt", f"{run.longest_prompt} tokens"), stops, *checked, *notes]


def _run_steps(
    run: TrainingRun, state: TrainState, bar: progress.Progress, interruption: Interruption
) -> TrainState:
    """Trains until the last step or an interruption, and returns the state then.

    A turn of the loop begins between two steps: it saves the step that was just made, evaluates,
    and makes the next one. So the last step is saved and evaluated too, a resumed run evaluates
    before it trains, and both ways out are in one place.
    """
    settings, total = run.settings, run.settings.training.steps
    if run.evaluations:
        run.evaluations.keep_until(int(state.step))
    rewards = _read_rewards(run.workdir / "metrics.jsonl")
    error_watch = ErrorShareWatch(settings.grading.max_errors)
    trained = False  # true once this process has made a step
    with StepWriter(
        run.workdir, step=int(state.step), events=settings.telemetry.tensorboard
    ) as writer:
        while True:
            step = int(state.step)
            if trained:
                save_if_due(run, state, rewards, stopping=interruption.requested)
            if interruption.requested:
                return state
            evaluate_if_due(run, state, bar)
            if interruption.requested:
                continue  # asked during the evaluation: go back and save this step first
            if step >= total:
                return state

            bar.show_status("training" if trained else "compiling")
            state, record = train_step(run, state, step)
            writer.write_step(*record)
            _check_skipped_updates(run, state, step)
            warning = error_watch.check_step(step, record.row["grader/error"], record.failures)
            if warning:
                bar.print_line(warning)
            rewards[step] = record.row["reward/mean"]
            trained = True
            bar.count_step(record.row)


def _read_rewards(path: pathlib.Path) -> dict[int, float]:
    """Reads step -> mean reward: a resumed run finds the same checkpoint best as without a stop."""
    found = (
        (whole_number(row.get("step")), finite_number(row.get("reward/mean")))
        for row in read_rows(path)
    )
    return {step: reward for step, reward in found if step is not None and reward is not None}


def _check_skipped_updates(run: TrainingRun, state: TrainState, step: int) -> None:
    """Raises `TrainingStopped` after `training.max_skipped` updates in a row were not finite."""
    bound = run.settings.training.max_skipped
    if int(state.skipped) >= bound:
        raise TrainingStopped(
            f"step {step}: {bound} updates in a row were not finite; their batches are in"
            f" {run.workdir / 'skipped'}, the last checkpoint is untouched"
        )


def _check_updates_made(workdir: pathlib.Path, *, steps: int) -> None:
    """Raises `TrainingStopped` if all steps are over and not one of them changed the policy."""
    rows = read_rows(workdir / "metrics.jsonl")
    is_over = bool(rows) and rows[-1]["step"] + 1 >= steps
    if is_over and not any(row.get("update/made", 1) for row in rows):
        skipped = sum(row.get("update/skipped") or 0 for row in rows)
        cause = (
            f"{skipped:g} were not finite; their batches are in {workdir / 'skipped'}"
            if skipped
            else "no answer took part in the loss (rollout/kept), so every group was all right or"
            " all wrong, or every answer was cut off"
        )
        raise TrainingStopped(f"not one update was made in {len(rows)} steps: {cause}")


def evaluate_if_due(run: TrainingRun, state: TrainState, bar: progress.Progress) -> None:
    """Evaluates at the start, every `evaluation.every` steps and at the end, each step once."""
    every, step = run.settings.evaluation.every, int(state.step)
    if (
        run.evaluations is None
        or (step % every and step != run.settings.training.steps)
        or run.evaluations.has_step(step)
    ):
        return
    bar.show_status("evaluating")
    entry, rows = run.evaluator(state.params, step=step)
    run.evaluations.add_entry(entry, rows)
    bar.print_line(f"evaluation set after {step} steps: {entry.format_headline()}")
