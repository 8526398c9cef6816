"""A run made ready: everything is loaded and checked here, before anything is compiled or written."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import IO, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from papo_jax import evaluation, grading, models, parallel, settings as settings_module, tasks
from papo_jax.errors import InputError
from papo_jax.models import lora
from papo_jax.models.architecture import Lora
from papo_jax.models.layers import LOGICAL_AXES
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
      reference: the trained parameters as they were in the base policy where the method has a KL term, else None.
      task: its problems and grader.
      panel: the frozen held-out problems.
      train_prompts, panel_prompts: the problems' prompts, encoded once and for all.
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
    train_prompts: prompting.Store
    panel_prompts: prompting.Store
    mesh: Mesh
    programs: programs.Programs
    checkpoints: checkpoint.Checkpoints
    initial: state.TrainState
    lock: IO[str]

    def close(self) -> None:
        """Lets go of the work directory."""
        self.checkpoints.close()
        self.lock.close()

    @property
    def longest_prompt(self) -> int:
        """Of all problems, tokens."""
        return max(self.train_prompts.longest, self.panel_prompts.longest)

    def prompts(self, store: prompting.Store, identifiers: Sequence[int]) -> Prompts:
        """Pads the prompts of some problems, [N, P] with P one of a few lengths."""
        return store.take(identifiers, multiple=self.settings.rollout.prompt_multiple, longest=self.longest_prompt)

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
    policy = _load(settings, mesh)
    encoded = [_encoded(settings, policy, problems) for problems in (task.train, panel)]
    made = _provenance(settings, task, panel, policy, mesh)
    workdirs.check_fingerprints(workdir, made)
    policy = _with_adapters(settings, policy, mesh)
    trained, frozen = lora.split(policy.params, policy.config.lora)
    size = sum(leaf.size for leaf in jax.tree.leaves(trained)) * CHECKPOINT_BYTES
    workdirs.check_space(workdir, size, checkpoints=settings.checkpoint.keep + 2)
    optimiser = _optimiser(settings)
    shapes = jax.eval_shape(lambda params: state.init(params, optimiser, settings.seed), trained)
    shardings = parallel.param_shardings(mesh, shapes, LOGICAL_AXES)
    built = programs.build(policy, frozen, mesh, optimiser, shapes, settings)
    with contextlib.ExitStack() as held:  # let go of again if anything fails
        lock = held.enter_context(workdirs.hold(workdir))
        checkpoints = checkpoint.Checkpoints(workdir / "checkpoints", keep=settings.checkpoint.keep)
        held.callback(checkpoints.close)
        initial = checkpoints.restore(checkpoint.abstract(shapes, shardings))
        workdirs.claim(workdir, config, made, step=0 if initial is None else int(initial.step))
        held.pop_all()
    # Under LoRA these are the adapters alone, as they begin: the frozen weights serve the policy and its reference.
    reference = trained if settings.method_arguments()["kl_coefficient"] else None
    if initial is None:
        # The update donates the state, so a reference must not share its arrays.
        params = jax.tree.map(jnp.copy, trained) if reference else trained
        # Under jit every output has a buffer of its own, which donation asks for, on its own devices from the start.
        initial = jax.jit(lambda p: state.init(p, optimiser, settings.seed), out_shardings=shardings)(params)
    policy = dataclasses.replace(policy, params={})
    return Session(settings, workdir, policy, reference, task, panel, *encoded, mesh, built, checkpoints, initial, lock)


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


def _encoded(settings: Settings, policy: models.Policy, problems: Sequence[Problem]) -> prompting.Store:
    chat = prompting.Chat(settings.model.chat, settings.model.system, settings.model.thinking)
    store = prompting.Store.of(policy.tokenizer, problems, chat)
    room = policy.config.max_positions - settings.rollout.max_new_tokens
    store.check(limit=settings.rollout.max_prompt_tokens, room=room)
    return store


def _load(settings: Settings, mesh: Mesh) -> models.Policy:
    model = settings.model
    return models.load(model.path, dtype=model.dtype, param_dtype=model.param_dtype, mesh=mesh, remat=model.remat)


def _with_adapters(settings: Settings, policy: models.Policy, mesh: Mesh) -> models.Policy:
    model = settings.model
    if not model.lora_rank:
        return policy
    base = jax.random.key_data(jax.random.key(settings.seed))
    key = state.stream_key(base, 0, state.Stream.ADAPTERS)
    return lora.attach(policy, Lora(model.lora_rank, model.lora_alpha, lora.targets_of(model.lora_targets)), key, mesh=mesh)


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
