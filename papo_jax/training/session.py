"""A run made ready: everything is loaded and checked here, before anything is compiled or written."""

import contextlib
import dataclasses
import pathlib
from typing import IO, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from papo_jax import evaluation, grading, models, parallel, settings as settings_module, tasks
from papo_jax.errors import InputError
from papo_jax.models.transformer import LOGICAL_AXES
from papo_jax.rollout import prompts as prompting
from papo_jax.rollout.generate import Completions, Prompts
from papo_jax.settings import Settings
from papo_jax.tasks.problem import Problem
from papo_jax.tasks.task import Task
from papo_jax.telemetry import provenance
from papo_jax.training import checkpoint, programs, state, workdir as workdirs

CHECKPOINT_BYTES = 12  # a parameter, and Adam's two moments, in float32


@dataclasses.dataclass(frozen=True)
class Session:
    """What the loop works with; nothing in here changes during a run but the files.

    Attributes:
      settings: of the run.
      workdir: of the run.
      policy: the base policy's graph and tokenizer; its parameters went into `initial`, so that they are not
        held twice.
      reference: the base policy's parameters where the method has a KL term, else None.
      task: its problems and grader.
      panel: the frozen held-out problems.
      longest_prompt: of all problems, tokens.
      mesh: the device mesh.
      programs: jitted.
      checkpoints: open.
      initial: the state to start from: fresh, or the newest checkpoint.
      lock: the open file that keeps other processes out of the work directory.
    """

    settings: Settings
    workdir: pathlib.Path
    policy: models.Policy
    reference: models.Params | None
    task: Task
    panel: list[Problem]
    longest_prompt: int
    mesh: Mesh
    programs: programs.Programs
    checkpoints: checkpoint.Checkpoints
    initial: state.TrainState
    lock: IO[str]

    def close(self) -> None:
        """Lets go of the work directory."""
        self.checkpoints.close()
        self.lock.close()

    def prompts(self, problems: list[Problem]) -> Prompts:
        """Encodes and pads problems, [N, P] with P one of a few lengths."""
        encoded = prompting.encode(self.policy.tokenizer, problems)
        multiple = self.settings.rollout.prompt_multiple
        width = prompting.slots(encoded, multiple=multiple, longest=self.longest_prompt)
        return prompting.pad(encoded, problems, width)

    def texts(self, completions: Completions) -> list[str]:
        """Decodes completions without their stop tokens."""
        tokens, mask = np.asarray(completions.tokens), np.asarray(completions.mask)
        ids = [[t for t in row[kept].tolist() if t not in self.policy.stop_tokens] for row, kept in zip(tokens, mask, strict=True)]
        return self.policy.tokenizer.batch_decode(ids)


def prepare(settings: Settings, workdir: pathlib.Path) -> Session:
    """Loads and checks everything that a run needs, and restores its newest checkpoint.

    Args:
      settings: checked already (`papo_jax.checks`).
      workdir: of the run; belongs to no other config.

    Returns:
      The `Session`.

    Raises:
      InputError: if anything is missing, wrong or does not fit; no file of a run has been written then.
    """
    config = settings_module.to_dict(settings)
    workdirs.check_owner(workdir, config)
    mesh = parallel.make_mesh(settings.mesh.data, settings.mesh.fsdp, settings.mesh.tensor)
    task = _task(settings)
    panel = _panel(task, settings.evaluation.problems)
    policy = models.load(settings.model.path, dtype=settings.model.dtype, mesh=mesh, remat=settings.model.remat)
    longest = _longest_prompt(settings, policy, [*task.train, *panel])
    size = sum(leaf.size for leaf in jax.tree.leaves(policy.params)) * CHECKPOINT_BYTES
    workdirs.check_space(workdir, size, checkpoints=settings.checkpoint.keep + 2)
    made = _provenance(settings, task, panel, policy, mesh)
    workdirs.check_fingerprints(workdir, made)
    optimiser = _optimiser(settings)
    shapes = jax.eval_shape(lambda params: state.init(params, optimiser, settings.seed), policy.params)
    shardings = parallel.param_shardings(mesh, shapes, LOGICAL_AXES)
    built = programs.build(policy, mesh, optimiser, shapes, settings)
    with contextlib.ExitStack() as held:  # let go of again if anything fails
        lock = held.enter_context(workdirs.hold(workdir))
        checkpoints = checkpoint.Checkpoints(workdir / "checkpoints", keep=settings.checkpoint.keep)
        held.callback(checkpoints.close)
        initial = checkpoints.restore(checkpoint.abstract(shapes, shardings))
        workdirs.claim(workdir, config, made, step=0 if initial is None else int(initial.step))
        held.pop_all()
    reference = policy.params if settings.method_arguments()["kl_coefficient"] else None
    if initial is None:
        # The update donates the state, so a reference must not share its arrays.
        params = jax.tree.map(jnp.copy, policy.params) if reference else policy.params
        # Under jit every output has a buffer of its own, which donation asks for, on its own devices from the start.
        initial = jax.jit(lambda p: state.init(p, optimiser, settings.seed), out_shardings=shardings)(params)
    policy = dataclasses.replace(policy, params={})
    return Session(settings, workdir, policy, reference, task, panel, longest, mesh, built, checkpoints, initial, lock)


def _task(settings: Settings) -> Task:
    options = dataclasses.asdict(settings.task)
    task = tasks.load(options.pop("name"), **options)
    grading.self_test(task.grader, [*task.train, *task.held_out])
    if settings.rollout.prompts > len(task.train):
        raise InputError(f"rollout.prompts = {settings.rollout.prompts} is more than the {len(task.train)} problems of {task.name}")
    return task


def _panel(task: Task, problems: int) -> list[Problem]:
    if problems > len(task.held_out):
        raise InputError(f"evaluation.problems = {problems} is more than the {len(task.held_out)} held-out problems of {task.name}")
    return list(task.held_out[:problems])


def _longest_prompt(settings: Settings, policy: models.Policy, problems: list[Problem]) -> int:
    encoded = prompting.encode(policy.tokenizer, problems)
    room = policy.config.max_positions - settings.rollout.max_new_tokens
    return prompting.longest(encoded, problems, limit=settings.rollout.max_prompt_tokens, room=room)


def _optimiser(settings: Settings):
    names = ("learning_rate", "warmup_steps", "weight_decay", "gradient_clip", "b1", "b2", "epsilon")
    return state.make_optimiser(**{name: getattr(settings.training, name) for name in names})


def _provenance(settings: Settings, task: Task, panel: list[Problem], policy: models.Policy, mesh: Mesh) -> dict[str, Any]:
    return provenance.describe(
        settings=settings_module.to_dict(settings),
        task=task,
        panel=evaluation.panel_fingerprint(panel),
        params=policy.params,
        mesh=mesh,
    )
