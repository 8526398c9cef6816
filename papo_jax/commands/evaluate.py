"""`--mode=evaluate`: evaluates a run's last and best checkpoint, or a base policy."""

import contextlib
import pathlib
from typing import Any

from papo_jax import mesh_rules
from papo_jax.config import config_dict
from papo_jax.config.checks import check_settings
from papo_jax.config.command_line import Command
from papo_jax.config.default_settings import Settings, flatten_dotted, to_dict
from papo_jax.errors import InputError
from papo_jax.evaluation.evaluation_file import EvaluationFile
from papo_jax.telemetry import progress
from papo_jax.training import programs, resume_checks, run_directory, run_identity
from papo_jax.training.checkpoints import checkpoint_candidates
from papo_jax.training.learner_parts import attach_adapters, load_policy, make_scorer
from papo_jax.training.problems import run_problems
from papo_jax.training.training_run import describe_origin, make_evaluator, open_pool

# What an evaluation may have otherwise than the run that it looks at: how the policy is asked, not
# which policy it is.
EVALUATION_OVERRIDE_KEYS = (
    "evaluation.",
    "grading.",
    "mesh.",
    "seed",
    "task.path",
    "rollout.max_new_tokens",
    "rollout.max_prompt_tokens",
    "rollout.prompt_multiple",
    "rollout.prompts",
    "rollout.samples",
    "rollout.at_once",
)


def evaluate_policies(command: Command) -> None:
    """Evaluates, writes evaluation.json and the raw verdicts, and says what came out.

    Args:
      command: its work directory holds a run, whose own config counts but for what the command
        names; or it holds none, and the base policy of the command's config is evaluated.

    Raises:
      InputError: if the config or the input is wrong; no file of a run has been written then.
      TrainingStopped: if no answer could be judged.
    """
    workdir, output = command.workdir, _output_path(command)
    resume_checks.check_is_directory(workdir)
    resume_checks.check_checkpoints(workdir)
    base = not run_directory.holds_run(workdir)
    settings = config_dict.resolve_settings(command.config) if base else _settings_of_run(command)
    check_settings(settings)
    mesh = mesh_rules.make_mesh(settings.mesh.data, settings.mesh.fsdp, settings.mesh.tensor)
    asked = run_problems.load_problems(settings, trained=False, base=base)
    with contextlib.ExitStack() as held:
        pool = held.enter_context(open_pool(settings))
        asked = run_problems.check_graders(asked, pool, trained=False)
        policy = load_policy(settings, mesh)
        began = run_identity.read_beginning(workdir)
        store = run_problems.encode_prompts(settings, policy, asked.eval_set, moment=began)
        made = describe_origin(settings, asked, policy, began=began, stores={}, mesh=mesh)
        # Of other problems, if the command says so.
        run_identity.check_identity(workdir, made, sections=run_identity.SECTIONS[1:])
        policy = attach_adapters(settings, policy, mesh)
        trained, scorer = make_scorer(settings, policy, mesh)
        program = programs.build_eval_sampler(policy, scorer, trained, settings)
        evaluator = make_evaluator(
            settings, policy, asked, store=store, program=program, pool=pool, mesh=mesh
        )
        # Otherwise a run that is training, or begins, would write the same files.
        if base or command.output is None:
            held.callback(run_directory.lock_directory(workdir).close)
            if base and run_directory.holds_run(workdir):
                raise InputError(
                    f"a run has begun in --workdir {workdir} meanwhile; evaluate it with the"
                    " same command"
                )
        evaluations = EvaluationFile(output, evaluator.describe_evaluation(asked.evaluated.name))
        if base:
            run_directory.write_description(workdir, to_dict(settings), made)
        for step, params in _read_policies(workdir, trained, made["model"]):
            if not evaluations.has_step(step):
                evaluations.add_entry(*evaluator(params, step=step))
        _print_entries(evaluations)


def _settings_of_run(command: Command) -> Settings:
    """The run's own settings, with what the command line names put in."""
    path = command.workdir / "config.json"
    if not path.exists():
        raise InputError(
            f"--workdir {command.workdir} has a run's files and no config.json; put it back"
        )
    config = config_dict.from_dict(run_directory.read_config(command.workdir), path)
    own, named = (
        flatten_dotted(to_dict(config_dict.resolve_settings(either)))
        for either in (config, command.config)
    )
    for key in command.named:
        if not key.startswith(EVALUATION_OVERRIDE_KEYS) and (
            not key or named.get(key) != own.get(key)
        ):
            flag = f"--config.{key}" if key else "--config"
            raise InputError(
                f"--mode=evaluate takes the config of the run in --workdir; leave {flag} out, or"
                " evaluate in another --workdir"
            )
    values = {key: named.get(key) for key in command.named}
    config_dict.set_keys(config, {key: value for key, value in values.items() if value is not None})
    return config_dict.resolve_settings(config)


def _output_path(command: Command) -> pathlib.Path:
    output = command.output or command.workdir / "evaluation.json"
    if output.suffix != ".json" or output.is_dir() or not output.parent.is_dir() and command.output:
        raise InputError(f"--output {output} must name a .json file in a directory that is there")
    return output


def _read_policies(workdir: pathlib.Path, base, model: dict[str, Any]):
    """Yields (step, trained parameters) of last and best checkpoint; without any, the base."""
    place, yielded = workdir / "checkpoints", set()
    newest = checkpoint_candidates.list_newest_first(place)
    if not newest:
        yield 0, base
    for candidates in (newest, [*checkpoint_candidates.list_best_first(place), *newest]):
        if yielded.isdisjoint(candidates[:1]):
            found = checkpoint_candidates.read_params(
                place, candidates, base, origin={"model": model["fingerprint"]}
            )
            if found and found[0] not in yielded:
                yielded.add(found[0])
                yield found


def _print_entries(evaluations: EvaluationFile) -> None:
    rows = [(f"step {entry.step}", entry.format_headline()) for entry in evaluations.entries]
    print(progress.format_table(f"{evaluations.path}", rows))
