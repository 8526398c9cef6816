"""A run made ready: everything is loaded and checked here, before anything is compiled or written."""

import dataclasses
import pathlib
from typing import Any

import jax
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
      policy: the base policy; its `params` are where training starts and, for a KL term, the reference.
      task: its problems and grader.
      panel: the frozen held-out problems.
      prompt_slots: P.
      mesh: the device mesh.
      programs: jitted.
      checkpoints: open.
      initial: the state to start from: fresh, or the newest checkpoint.
    """

    settings: Settings
    workdir: pathlib.Path
    policy: models.Policy
    task: Task
    panel: list[Problem]
    prompt_slots: int
    mesh: Mesh
    programs: programs.Programs
    checkpoints: checkpoint.Checkpoints
    initial: state.TrainState

    def prompts(self, problems: list[Problem]) -> Prompts:
        """Encodes and pads problems, [N, P]."""
        return prompting.pad(prompting.encode(self.policy.tokenizer, problems), problems, self.prompt_slots)

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
      InputError: if anything is missing, wrong or does not fit; nothing has been written then.
    """
    config = settings_module.to_dict(settings)
    workdirs.check_owner(workdir, config)
    mesh = parallel.make_mesh(settings.mesh.data, settings.mesh.fsdp, settings.mesh.tensor)
    task = _task(settings)
    panel = _panel(task, settings.evaluation.problems)
    policy = models.load(settings.model.path, dtype=settings.model.dtype, mesh=mesh, remat=settings.model.remat)
    slots = _prompt_slots(settings, policy, [*task.train, *panel])
    size = sum(leaf.size for leaf in jax.tree.leaves(policy.params)) * CHECKPOINT_BYTES
    workdirs.check_space(workdir, size * (settings.checkpoint.keep + 2))
    optimiser = _optimiser(settings)
    shapes = jax.eval_shape(lambda params: state.init(params, optimiser, settings.seed), policy.params)
    shardings = parallel.param_shardings(mesh, shapes, LOGICAL_AXES)
    built = programs.build(policy, mesh, optimiser, shapes, settings)
    checkpoints = checkpoint.Checkpoints(workdir / "checkpoints", keep=settings.checkpoint.keep)
    initial = checkpoints.restore(checkpoint.abstract(shapes, shardings))
    if initial is None:
        # Copied, since the update donates the state while the base policy is still needed as the reference.
        fresh = jax.jit(lambda params: state.init(jax.tree.map(lambda p: p + 0, params), optimiser, settings.seed))
        initial = jax.device_put(fresh(policy.params), shardings)
    session = Session(settings, workdir, policy, task, panel, slots, mesh, built, checkpoints, initial)
    workdirs.claim(workdir, config, _provenance(session, config), step=int(initial.step))
    return session


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


def _prompt_slots(settings: Settings, policy: models.Policy, problems: list[Problem]) -> int:
    encoded = prompting.encode(policy.tokenizer, problems)
    longest = policy.config.max_positions - settings.rollout.max_new_tokens
    return prompting.slots(encoded, problems, limit=settings.rollout.max_prompt_tokens, longest=longest)


def _optimiser(settings: Settings):
    names = ("learning_rate", "warmup_steps", "weight_decay", "gradient_clip", "b1", "b2", "epsilon")
    return state.make_optimiser(**{name: getattr(settings.training, name) for name in names})


def _provenance(session: Session, config: dict[str, Any]) -> dict[str, Any]:
    return provenance.describe(
        settings=config,
        task=session.task,
        panel=evaluation.panel_fingerprint(session.panel),
        params=session.policy.params,
        mesh=session.mesh,
    )
