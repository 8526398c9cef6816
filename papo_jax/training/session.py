"""A run made ready: everything is loaded and checked here, before anything is compiled or
written."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import IO

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from papo_jax import grading, models, parallel
from papo_jax.config import settings as settings_module
from papo_jax.config.settings import Settings
from papo_jax.evaluation.evaluation_file import EvaluationFile
from papo_jax.evaluation.evaluator import Evaluator
from papo_jax.learner import state
from papo_jax.models import lora
from papo_jax.models.layers import LOGICAL_AXES
from papo_jax.models.model_config import LoraConfig
from papo_jax.rollout.detokenize import detokenize_completions
from papo_jax.rollout.generate import Completions, Prompts
from papo_jax.rollout.prompts import PromptStore
from papo_jax.telemetry import provenance
from papo_jax.training import checkpoint, problems, programs
from papo_jax.training import workdir as workdirs

CHECKPOINT_BYTES = 12  # a parameter, and Adam's two moments, in float32


@dataclasses.dataclass(frozen=True)
class Session:
    """What the loop works with; nothing in here changes during a run but the files.

    Attributes:
      settings: of the run.
      workdir: of the run.
      policy: the base policy's graph and tokenizer; its parameters went into `initial`, so that
        they are not held twice.
      reference: the trained parameters as they were in the base policy where the method has a KL
        term, else None.
      problems: what it trains on and is evaluated on.
      store: the training problems' prompts, encoded once and for all.
      evaluator: samples the panel and has it judged.
      evaluations: what is on record of it; None where the run is not evaluated.
      pool: of grading processes.
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
    problems: problems.Problems
    store: PromptStore
    evaluator: Evaluator
    evaluations: EvaluationFile | None
    pool: grading.Pool
    mesh: Mesh
    programs: programs.Programs
    checkpoints: checkpoint.Checkpoints
    initial: state.TrainState
    lock: IO[str]

    def close(self) -> None:
        """Lets go of the work directory, and of the grading processes."""
        self.pool.close()
        self.checkpoints.close()
        self.lock.close()

    @property
    def longest_prompt(self) -> int:
        """Of all problems, tokens."""
        return max(self.store.max_length, self.evaluator.store.max_length)

    def prompts(self, identifiers: Sequence[int]) -> Prompts:
        """Pads the prompts of some training problems, [N, P] with P one of a few lengths."""
        return self.store.make_batch(
            identifiers,
            multiple=self.settings.rollout.prompt_multiple,
            max_slots=self.store.max_length,
        )

    def texts(self, completions: Completions) -> list[str]:
        """Decodes completions without their stop tokens."""
        return detokenize_completions(self.policy.tokenizer, self.policy.stop_tokens, completions)


def prepare(settings: Settings, workdir: pathlib.Path) -> Session:
    """Loads and checks everything that a run needs, and restores its newest checkpoint.

    Args:
      settings: checked already (`papo_jax.config.checks`).
      workdir: of the run; belongs to no other config.

    Returns:
      The `Session`.

    Raises:
      InputError: if anything is missing, wrong or does not fit; no file of a run has been written
        then.
    """
    config = settings_module.to_dict(settings)
    workdirs.check_owner(workdir, config)
    mesh = parallel.make_mesh(settings.mesh.data, settings.mesh.fsdp, settings.mesh.tensor)
    asked = problems.load(settings)
    with contextlib.ExitStack() as held:  # let go of again if anything fails
        pool = held.enter_context(open_pool(settings))
        asked = problems.check_graders(asked, pool)
        policy = load_policy(settings, mesh)
        store, panel_store = (
            problems.encode(settings, policy, some) for some in (asked.train.train, asked.panel)
        )
        made = provenance.describe_run(
            settings=config, data=asked.describe(), params=policy.params, mesh=mesh
        )
        workdirs.check_fingerprints(workdir, made)
        policy = with_adapters(settings, policy, mesh)
        trained, frozen = lora.split_params(policy.params, policy.config.lora)
        size = sum(leaf.size for leaf in jax.tree.leaves(trained)) * CHECKPOINT_BYTES
        workdirs.check_space(workdir, size, checkpoints=settings.checkpoint.keep + 2)
        optimizer = _optimizer(settings)
        shapes = jax.eval_shape(
            lambda params: state.init(params, optimizer, settings.seed), trained
        )
        shardings = parallel.param_shardings(mesh, shapes, LOGICAL_AXES)
        built = programs.build(policy, frozen, mesh, optimizer, shapes, settings)
        evaluate = programs.evaluation(policy, frozen, mesh, trained, settings)
        evaluator = Evaluator(
            settings,
            asked.panel,
            panel_store,
            policy.tokenizer,
            policy.stop_tokens,
            evaluate,
            pool,
            mesh,
        )
        lock = held.enter_context(workdirs.hold(workdir))
        evaluations = (
            EvaluationFile(
                workdir / "evaluation.json", evaluator.describe_evaluation(asked.evaluated.name)
            )
            if settings.evaluation.every
            else None
        )
        checkpoints = checkpoint.Checkpoints(workdir / "checkpoints", keep=settings.checkpoint.keep)
        held.callback(checkpoints.close)
        initial = checkpoints.restore(checkpoint.abstract(shapes, shardings))
        workdirs.claim(workdir, config, made, step=0 if initial is None else int(initial.step))
        held.pop_all()
    # Under LoRA these are the adapters alone, as they begin: the frozen weights serve the policy
    # and its reference.
    reference = trained if settings.method_arguments().get("kl_coefficient") else None
    if initial is None:
        # The update donates the state, so a reference must not share its arrays.
        params = jax.tree.map(jnp.copy, trained) if reference else trained
        # Under jit every output has a buffer of its own, which donation asks for, on its own
        # devices from the start.
        initial = jax.jit(
            lambda p: state.init(p, optimizer, settings.seed), out_shardings=shardings
        )(params)
    policy = dataclasses.replace(policy, params={})
    return Session(
        settings,
        workdir,
        policy,
        reference,
        asked,
        store,
        evaluator,
        evaluations,
        pool,
        mesh,
        built,
        checkpoints,
        initial,
        lock,
    )


def open_pool(settings: Settings) -> grading.Pool:
    """Starts the grading processes of a run."""
    return grading.Pool(**dataclasses.asdict(settings.grading))


def load_policy(settings: Settings, mesh: Mesh) -> models.Policy:
    """Loads the base policy onto the mesh."""
    model = settings.model
    return models.load(
        model.path, dtype=model.dtype, param_dtype=model.param_dtype, mesh=mesh, remat=model.remat
    )


def with_adapters(settings: Settings, policy: models.Policy, mesh: Mesh) -> models.Policy:
    """Attaches the adapters that the settings ask for, as they begin; returns the policy as it is
    where they ask for none."""
    model = settings.model
    if not model.lora_rank:
        return policy
    base = jax.random.key_data(jax.random.key(settings.seed))
    key = state.stream_key(base, 0, state.Stream.ADAPTERS)
    return lora.attach_adapters(
        policy,
        LoraConfig(model.lora_rank, model.lora_alpha, lora.parse_lora_targets(model.lora_targets)),
        key,
        mesh=mesh,
    )


def _optimizer(settings: Settings):
    names = (
        "learning_rate",
        "warmup_steps",
        "weight_decay",
        "gradient_clip",
        "b1",
        "b2",
        "epsilon",
    )
    return state.make_optimizer(**{name: getattr(settings.training, name) for name in names})
