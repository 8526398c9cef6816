"""Every setting of a run, with its default: the one place where a config key is declared.

`papo_jax.config.config_dict` turns them into an `ml_collections` config for the command line, and back.
"""

import dataclasses
from typing import Any

from papo_jax.methods import presets


@dataclasses.dataclass(frozen=True)
class Model:
    """The policy, and how a problem's text becomes a prompt.

    `path`: tiny, smollm2, a Hugging Face directory, a hub id (owner/name) or a GGUF file; `dtype`
    of the computation; `param_dtype`, what weights are held in (what is trained is always float32);
    `remat`: none, dots or full, what the backward pass computes again. LoRA where `lora_rank` is
      above 0; `lora_targets`: all, or names joined by "+".
    `chat`: apply the chat template where there is one, after the message `system`, with its
      `thinking` switch on or off.
    """

    path: str = "tiny"
    dtype: str = "float32"
    param_dtype: str = "float32"
    remat: str = "none"
    lora_rank: int = 0
    lora_alpha: float = 32.0
    lora_targets: str = "all"
    chat: bool = True
    system: str | None = None
    thinking: bool | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """What is trained on (docs/tasks.md): a task, or a mixture "gsm8k*3+math".

    `path`: its files, of a mixture one for each part, joined by ":". `grader` and `template` (which
    holds "{question}") replace the task's own. The sizes, `difficulty` and `seed` are of generated
    tasks.
    """

    name: str = "arithmetic"
    path: str | None = None
    difficulty: int = 3
    train_size: int = 8192
    held_out_size: int = 1024
    grader: str | None = None
    template: str | None = None
    seed: int = 0


def _method_section() -> type:
    """A class with `name` and a field for every number that some preset has: the presets are where
    these are declared."""
    kinds = {"target": float}  # None in every preset, so its value does not tell
    for name in presets.PRESETS:
        for key, value in presets.numbers(name).items():
            if value is not None and kinds.setdefault(key, type(value)) is not type(value):
                raise TypeError(
                    f"{key} of the method {name!r} is {value!r}; another method's is {kinds[key].__name__}"
                )
    fields = [(key, kind | None, None) for key, kind in kinds.items()]
    text = "A preset's name, and what differs from it; None keeps the preset's value (`methods.presets`)."
    # Its home, for pickle; Python 3.12 has an argument for it.
    names = {"__doc__": text, "__module__": __name__}
    return dataclasses.make_dataclass(
        "Method", [("name", str, "papo"), *fields], frozen=True, namespace=names
    )


Method = _method_section()


@dataclasses.dataclass(frozen=True)
class Rollout:
    """N `prompts` and G `samples` each a step, `at_once` prompts sampled at a time (None: all of
    them).

    Limits are in tokens; prompt slots are rounded up to `prompt_multiple`.
    """

    prompts: int = 16
    samples: int = 8
    at_once: int | None = None
    max_new_tokens: int = 24
    max_prompt_tokens: int = 1536
    prompt_multiple: int = 64
    temperature: float = 1.0


@dataclasses.dataclass(frozen=True)
class Grading:
    """Answers are judged in `workers` processes of at most `memory` MiB each, an answer in at most
    `deadline` seconds, a rollout in at most `batch_deadline`; what is not judged by then is an
    error.
    """

    workers: int = 2
    deadline: float = 5.0
    batch_deadline: float = 60.0
    memory: int = 2048


@dataclasses.dataclass(frozen=True)
class Training:
    """`minibatches` and `epochs` a rollout; `microbatch` in sequences (None: the minibatch);
    warm-up in updates."""

    steps: int = 100
    minibatches: int = 4
    epochs: int = 1
    microbatch: int | None = None
    learning_rate: float = 3e-5
    warmup_steps: int = 10
    weight_decay: float = 0.1
    gradient_clip: float = 1.0
    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-8
    max_skipped: int = 3


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Save `every` so many steps (and at the end); `keep` the newest so many, and the best."""

    every: int = 20
    keep: int = 2


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """On a frozen panel of `problems`, k = `samples` each: before, after, and `every` so many steps
    (0: never).

    They are those that the task holds out, or those of another `task` with its own `path`, `grader`
    and `template`.
    """

    every: int = 25
    problems: int = 256
    samples: int = 8
    temperature: float = 1.0
    task: str | None = None
    path: str | None = None
    grader: str | None = None
    template: str | None = None


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """Predicted and realized entropy change `every` so many steps (0: never)."""

    every: int = 5


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Parts of the device mesh; see `papo_jax.parallel`."""

    data: int = 1
    fsdp: int = 1
    tensor: int = 1


@dataclasses.dataclass(frozen=True)
class Telemetry:
    """`samples` completions a step go to samples.jsonl; `tensorboard` writes event files too (needs
    tensorboardX)."""

    samples: int = 8
    progress: bool = True
    tensorboard: bool = False


@dataclasses.dataclass(frozen=True)
class Settings:
    """A run. `seed` decides the order of problems and every draw."""

    seed: int = 0
    model: Model = Model()
    task: Task = Task()
    method: Method = Method()
    rollout: Rollout = Rollout()
    grading: Grading = Grading()
    training: Training = Training()
    checkpoint: Checkpoint = Checkpoint()
    evaluation: Evaluation = Evaluation()
    diagnostics: Diagnostics = Diagnostics()
    mesh: Mesh = Mesh()
    telemetry: Telemetry = Telemetry()

    def method_arguments(self) -> dict[str, Any]:
        """Returns the preset's keyword arguments with this run's own values put in."""
        own = {
            k: v
            for k, v in dataclasses.asdict(self.method).items()
            if k != "name" and v is not None
        }
        return {**presets.get(self.method.name), **own}

    @property
    def sequences(self) -> int:
        """B, sequences a rollout."""
        return self.rollout.prompts * self.rollout.samples

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
    """Returns what `config.json` holds: every setting, the method's as the preset and the run
    decided them."""
    arguments = {key: _plain(value) for key, value in settings.method_arguments().items()}
    return {**dataclasses.asdict(settings), "method": {"name": settings.method.name, **arguments}}


def _plain(value: Any) -> Any:
    """A function by its name, an objective's rule by that of its loss, anything else as it is."""
    value = getattr(value, "loss", value)
    return f"{value.__module__}.{value.__qualname__}" if callable(value) else value


def dotted_values(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested dictionaries.

    >>> dotted_values({"seed": 0, "task": {"name": "gsm8k"}})
    {'seed': 0, 'task.name': 'gsm8k'}
    """
    flat = {}
    for name, value in values.items():
        flat |= (
            dotted_values(value, f"{prefix}{name}.")
            if isinstance(value, dict)
            else {prefix + name: value}
        )
    return flat
