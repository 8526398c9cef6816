"""Every setting of a run, with its default: the one place where a config key is declared.

`default_config` turns the dataclasses into an `ml_collections` config for the command line, and `resolve`
turns a config back into dataclasses; nothing below the host loop ever sees a config.
"""

import dataclasses
import difflib
import typing
from typing import Any

import ml_collections
from ml_collections import config_dict

from papo_jax.errors import InputError
from papo_jax.methods import presets


@dataclasses.dataclass(frozen=True)
class Model:
    """The policy, and how a problem's text becomes a prompt.

    `path`: tiny, smollm2, a Hugging Face directory, a hub id (owner/name) or a GGUF file; `dtype` of the computation;
    `param_dtype`, what weights are held in (what is trained is always float32); `remat`: none, dots or full, what the
    backward pass computes again. LoRA where `lora_rank` is above 0; `lora_targets`: all, or names joined by "+".
    `chat`: apply the chat template where there is one, after the message `system`, with its `thinking` switch on or off.
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
    """`path`: a data file where the task needs one; the sizes, `difficulty` and `seed` are of generated tasks."""

    name: str = "arithmetic"
    path: str | None = None
    difficulty: int = 3
    train_size: int = 8192
    held_out_size: int = 1024
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Method:
    """A preset's name, and what differs from it; None keeps the preset's value (`methods.presets`)."""

    name: str = "papo"
    lam: float | None = None
    weighting: str | None = None
    signal: str | None = None
    w_min: float | None = None
    w_max: float | None = None
    renormalise: bool | None = None
    phase: str | None = None
    target: float | None = None
    target_start: float | None = None
    target_end: float | None = None
    target_steps: int | None = None
    initial_rollouts: int | None = None
    tau: float | None = None
    kappa: float | None = None
    decay: float | None = None
    fixed: float | None = None
    hysteresis: float | None = None
    dead_band: float | None = None
    clip_low: float | None = None
    clip_high: float | None = None
    kl_coefficient: float | None = None
    overlong: float | None = None


@dataclasses.dataclass(frozen=True)
class Rollout:
    """N `prompts` and G `samples` each a step, `at_once` prompts sampled at a time (None: all of them).

    Limits are in tokens; prompt slots are rounded up to `prompt_multiple`.
    """

    prompts: int = 16
    samples: int = 8
    at_once: int | None = None
    max_new_tokens: int = 24
    max_prompt_tokens: int = 512
    prompt_multiple: int = 64
    temperature: float = 1.0


@dataclasses.dataclass(frozen=True)
class Training:
    """`minibatches` and `epochs` a rollout; `microbatch` in sequences (None: the minibatch); warm-up in updates."""

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
    """On a frozen panel of held-out `problems`, k = `samples` each: before, after, and `every` so many steps (0: never)."""

    every: int = 25
    problems: int = 256
    samples: int = 8
    temperature: float = 1.0


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """Predicted and realised entropy change `every` so many steps (0: never)."""

    every: int = 5


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Parts of the device mesh; see `papo_jax.parallel`."""

    data: int = 1
    fsdp: int = 1
    tensor: int = 1


@dataclasses.dataclass(frozen=True)
class Telemetry:
    """`samples` completions a step go to samples.jsonl; `tensorboard` writes event files too (needs tensorboardX)."""

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
    training: Training = Training()
    checkpoint: Checkpoint = Checkpoint()
    evaluation: Evaluation = Evaluation()
    diagnostics: Diagnostics = Diagnostics()
    mesh: Mesh = Mesh()
    telemetry: Telemetry = Telemetry()

    def method_arguments(self) -> dict[str, Any]:
        """Returns the preset's keyword arguments with this run's own values put in."""
        own = {k: v for k, v in dataclasses.asdict(self.method).items() if k != "name" and v is not None}
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


def default_config() -> ml_collections.ConfigDict:
    """Returns the locked config of the default run; a key that is not in it cannot be set."""
    return _to_config(Settings()).lock()


def apply(config: ml_collections.ConfigDict, variant: str) -> ml_collections.ConfigDict:
    """Applies the string after the colon of --config=FILE:method,key=value,... to a config.

    Args:
      config: changed in place and returned.
      variant: a method's name and any number of key=value; a key is dotted (training.steps) or the last part
        of one where that is not ambiguous (lam).

    Raises:
      InputError: if a key or a value does not fit.
    """
    keys = dotted(config)
    for part in filter(None, variant.split(",")):
        name, separator, text = part.partition("=")
        if not separator:
            name, text = "method.name", name
        matches = [name] if name in keys else [key for key in keys if key.endswith("." + name)]
        if len(matches) != 1:
            raise InputError(unknown_key(name, keys) if not matches else f"config key {name!r} could be {' or '.join(matches)}")
        section, _, last = matches[0].rpartition(".")
        node = config[section] if section else config
        node[last] = _parse(text, node.get_type(last), matches[0])
    return config


def set_keys(config: ml_collections.ConfigDict, values: dict[str, Any]) -> None:
    """Sets dotted keys, {"training.steps": 7, ...}, in place; raises `KeyError` or `TypeError` where one does not fit."""
    for key, value in values.items():
        section, _, last = key.rpartition(".")
        (config[section] if section else config)[last] = value


def unknown_key(name: str, keys: list[str]) -> str:
    """Returns the message for a config key that does not exist, naming the nearest one."""
    near = difflib.get_close_matches(name, keys, n=1, cutoff=0.0)
    last = difflib.get_close_matches(name.split(".")[-1], [key.split(".")[-1] for key in keys], n=1, cutoff=0.7)
    hint = next((key for key in keys if last and key.split(".")[-1] == last[0]), near[0])
    return f"config has no key {name!r}; the nearest one is {hint!r}"


def resolve(config: ml_collections.ConfigDict) -> Settings:
    """Turns a config into settings; `papo_jax.checks` tells whether they fit together.

    Raises:
      InputError: if a value has the wrong type.
    """
    return _from_config(Settings, config, "")


def to_dict(settings: Settings) -> dict[str, Any]:
    """Returns what `config.json` holds: every setting, the method's as the preset and the run decided them."""
    return {**dataclasses.asdict(settings), "method": {"name": settings.method.name, **settings.method_arguments()}}


def _to_config(section: Any) -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            value = _to_config(value)
        elif value is None:
            value = config_dict.placeholder(_type_of(field))
        config[field.name] = value
    return config


def _from_config(cls: type, config: ml_collections.ConfigDict, prefix: str) -> Any:
    values = {}
    for field in dataclasses.fields(cls):
        if field.name not in config:
            raise InputError(f"the config lacks the key {prefix}{field.name}; start from papo_jax.settings.default_config()")
        value = config[field.name]
        if isinstance(value, ml_collections.ConfigDict):
            values[field.name] = _from_config(field.type, value, f"{prefix}{field.name}.")
            continue
        wanted = _type_of(field)
        if wanted is float and type(value) is int:
            value = float(value)
        if value is not None and type(value) is not wanted:
            raise InputError(f"config key {prefix}{field.name} is {value!r}; it must be of type {wanted.__name__}")
        values[field.name] = value
    return cls(**values)


def _type_of(field: dataclasses.Field) -> type:
    """The plain type of a field, `float` for `float | None`."""
    options = [option for option in typing.get_args(field.type) or (field.type,) if option is not type(None)]
    return options[0]


def dotted(config: ml_collections.ConfigDict, prefix: str = "") -> list[str]:
    """Returns every key of a config as it is written on the command line, "training.steps"."""
    keys = []
    for name, value in config.items():
        keys += dotted(value, f"{prefix}{name}.") if isinstance(value, ml_collections.ConfigDict) else [prefix + name]
    return keys


def _parse(text: str, wanted: type, key: str) -> Any:
    try:
        if wanted is bool:
            return {"true": True, "false": False}[text.lower()]
        return wanted(text)
    except (ValueError, KeyError):
        raise InputError(f"config key {key} cannot be {text!r}; it must be of type {wanted.__name__}") from None
