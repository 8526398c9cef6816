"""Every setting of a run, with its default: the one place where a config key is declared.

`papo_jax.config.config_dict` turns them into an `ml_collections` config for the command line, and
back. The hyperparameters of a method are declared in its rules (`papo_jax.methods.method`).
"""

import dataclasses
from typing import Any

from papo_jax.methods import presets
from papo_jax.methods.method import Method

STATISTICS = ("auto", "sampler", "trainer")  # of `Rollout.statistics`


@dataclasses.dataclass(frozen=True)
class Model:
    """The policy, and how a problem's text becomes a prompt."""

    # tiny, smollm2, a Hugging Face directory, a hub id (owner/name) or a GGUF file.
    path: str = "tiny"
    # Of the computation.
    dtype: str = "float32"
    # What weights are held in; what is trained is always float32.
    param_dtype: str = "float32"
    # What the backward pass computes again: none, dots (all but attention and products with
    # weights, which takes half the memory of none and no more time) or full.
    remat: str = "dots"
    # LoRA where the rank is above 0.
    lora_rank: int = 0
    lora_alpha: float = 32.0
    # all, or names joined by "+", for example q_proj+v_proj.
    lora_targets: str = "all"
    # Apply the chat template, where there is one.
    chat: bool = True
    # A system message before the question.
    system: str | None = None
    # The template's thinking switch.
    thinking: bool | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """The task that is trained on (docs/tasks.md)."""

    # A task, or a mixture "gsm8k*3+math".
    name: str = "arithmetic"
    # Its files; of a mixture one for each part, joined by ":".
    path: str | None = None
    # Of generated tasks.
    difficulty: int = 3
    train_size: int = 8192
    held_out_size: int = 1024
    # Instead of the task's own.
    grader: str | None = None
    # Instead of the task's own; it holds "{question}".
    template: str | None = None
    # Of generated tasks.
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Sampling of completions in training."""

    # N, prompts a step.
    prompts: int = 16
    # G, samples a prompt.
    samples: int = 8
    # Prompts that are sampled at a time, which bounds the cache; None for all of them.
    at_once: int | None = None
    # The longest completion, tokens.
    max_new_tokens: int = 24
    # The longest prompt, tokens.
    max_prompt_tokens: int = 1536
    # Prompt slots are rounded up to a multiple of this, tokens.
    prompt_multiple: int = 64
    # tau of the sampling distribution, which is the one that is trained.
    temperature: float = 1.0
    # Where a token's log-probability, entropy and polarity under the policy that drew it come from:
    # sampler (the logits that it was drawn from), trainer (a pass of the learner's own over the
    # rollout), or auto: the sampler in float32, the trainer in any other dtype, in which the two
    # differ by more than a ratio should.
    statistics: str = "auto"


@dataclasses.dataclass(frozen=True)
class Grading:
    """Grading processes; what is not judged by its deadline is an error."""

    # Processes.
    workers: int = 2
    # Of an answer, seconds.
    deadline: float = 5.0
    # Of a rollout, seconds.
    batch_deadline: float = 60.0
    # Of a process, MiB.
    memory: int = 2048
    # Of a step's answers that could not be judged, the share above which a run stops: with more
    # than half of them without a verdict, rewards say more about the graders than the policy.
    max_errors: float = 0.5


@dataclasses.dataclass(frozen=True)
class Training:
    """Updates, and the optimizer that makes them."""

    # Rollouts with their updates.
    steps: int = 100
    # Minibatches an epoch, and epochs a rollout.
    minibatches: int = 4
    epochs: int = 1
    # The most sequences that a forward and backward pass holds at once; None for the minibatch.
    microbatch: int | None = None
    # The most tokens that the passes of an update hold at once; None for a 32nd of the minibatch,
    # but 1,536 to 8,192.
    microbatch_tokens: int | None = None
    learning_rate: float = 3e-5
    # Updates of linear warm-up.
    warmup_steps: int = 10
    weight_decay: float = 0.1
    # Bound on the gradient's global norm.
    gradient_clip: float = 1.0
    # Adam's.
    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-8
    # Updates in a row that may not be finite.
    max_skipped: int = 3


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Checkpoints."""

    # Save every so many steps, and at the end.
    every: int = 20
    # Keep the newest so many, and the best.
    keep: int = 2


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Evaluation on a fixed set of problems: those that the task holds out, or those of `task`."""

    # Evaluate before, after, and every so many steps; 0 for never.
    every: int = 25
    # Problems of the evaluation set.
    problems: int = 256
    # k, samples a problem.
    samples: int = 8
    temperature: float = 1.0
    # Another task, with its own path, grader and template.
    task: str | None = None
    path: str | None = None
    grader: str | None = None
    template: str | None = None


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """Predicted and realized entropy change."""

    # Every so many steps; 0 for never.
    every: int = 5


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Parts of the device mesh; see `papo_jax.mesh_rules`."""

    data: int = 1
    fsdp: int = 1
    tensor: int = 1


@dataclasses.dataclass(frozen=True)
class Telemetry:
    """Samples, progress and event files of a run."""

    # Completions a step that go to samples.jsonl.
    samples: int = 8
    # Show a progress bar.
    progress: bool = True
    # Write event files too (needs tensorboardX).
    tensorboard: bool = False


@dataclasses.dataclass(frozen=True)
class Settings:
    """A run."""

    # Decides the order of problems and every draw.
    seed: int = 0
    model: Model = Model()
    task: Task = Task()
    method: Method = dataclasses.field(default_factory=lambda: presets.get("papo"))
    rollout: Rollout = Rollout()
    grading: Grading = Grading()
    training: Training = Training()
    checkpoint: Checkpoint = Checkpoint()
    evaluation: Evaluation = Evaluation()
    diagnostics: Diagnostics = Diagnostics()
    mesh: Mesh = Mesh()
    telemetry: Telemetry = Telemetry()

    @property
    def sequences(self) -> int:
        """B, sequences a rollout."""
        return self.rollout.prompts * self.rollout.samples

    @property
    def samplers_statistics(self) -> bool:
        """True if a rollout's statistics are the sampler's, false if they are the trainer's."""
        if self.rollout.statistics == "auto":
            return self.model.dtype == "float32"
        return self.rollout.statistics == "sampler"

    def diagnoses(self, step: int) -> bool:
        """Tells whether a step measures what costs a pass of its own."""
        return self.diagnostics.every > 0 and step % self.diagnostics.every == 0

    @property
    def rollout_parts(self) -> int:
        """Parts that the prompts of a rollout are sampled in."""
        return self.rollout.prompts // (self.rollout.at_once or self.rollout.prompts)

    @property
    def minibatch(self) -> int:
        """Sequences an update."""
        return self.sequences // self.training.minibatches

    @property
    def microbatch(self) -> int:
        """Sequences that a forward and backward pass holds at once."""
        return self.training.microbatch or self.minibatch


def to_dict(settings: Settings) -> dict[str, Any]:
    """Returns what `config.json` holds: every setting, a method by its name and hyperparameters."""
    method = {"name": settings.method.name, **settings.method.hyperparameters()}
    sections = {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if field.name != "method"
    }
    plain = {
        name: section if isinstance(section, int) else dataclasses.asdict(section)
        for name, section in sections.items()
    }
    return {**plain, "method": method}


def flatten_dotted(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested dictionaries.

    >>> flatten_dotted({"seed": 0, "task": {"name": "gsm8k"}})
    {'seed': 0, 'task.name': 'gsm8k'}
    """
    flat = {}
    for name, value in values.items():
        nested = isinstance(value, dict)
        flat |= flatten_dotted(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return flat
