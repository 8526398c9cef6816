"""Validates settings before compilation, and lists the sizes that follow from them."""

from typing import Any

from papo_jax.config.default_settings import STATISTICS, Evaluation, Settings
from papo_jax.config.local_paths import check_local
from papo_jax.errors import InputError
from papo_jax.methods import advantages, phase, reweighting, signals
from papo_jax.methods.hyperparameters import unbind_function
from papo_jax.methods.method import Method
from papo_jax.models.lora import parse_lora_targets
from papo_jax.models.model_config import LoraConfig


def check_settings(settings: Settings) -> None:
    """Raises `InputError` with one line for the first thing that cannot be."""
    check_local("model.path", settings.model.path)
    check_local("task.path", settings.task.path)
    check_local("evaluation.path", settings.evaluation.path)
    _check_model(settings)
    _check_evaluation(settings.evaluation)
    _check_ranges(settings)
    _check_sizes(settings)
    _check_batch(settings)
    _check_method(settings.method)


def derived_sizes(settings: Settings) -> list[tuple[str, str]]:
    """Returns the sizes that follow from the config, as (what, how much)."""
    rollout, training, mesh = settings.rollout, settings.training, settings.mesh
    updates = training.minibatches * training.epochs
    return [
        (
            "sequences a rollout",
            f"{settings.sequences} = {rollout.prompts} prompts x {rollout.samples} samples",
        ),
        ("sampled at once", f"{settings.sequences // settings.rollout_parts} sequences"),
        (
            "updates a rollout",
            f"{updates} = {training.minibatches} minibatches x {training.epochs} epochs",
        ),
        (
            "sequences an update",
            f"{settings.minibatch} in {settings.minibatch // settings.microbatch} micro-batches"
            f" of {settings.microbatch}",
        ),
        ("tokens a rollout, at most", f"{settings.sequences * rollout.max_new_tokens:,}"),
        ("updates in all", f"{training.steps * updates:,} in {training.steps} steps"),
        ("mesh", f"data {mesh.data} x fsdp {mesh.fsdp} x tensor {mesh.tensor}"),
        (
            "evaluation set",
            f"{settings.evaluation.problems} problems x {settings.evaluation.samples} samples",
        ),
    ]


def _check_model(settings: Settings) -> None:
    model = settings.model
    if model.lora_rank < 0 or not model.lora_alpha > 0:
        raise InputError(
            f"model.lora_rank is {model.lora_rank} and model.lora_alpha {model.lora_alpha}; the"
            " rank must be at least 0"
            " (0: no adapters) and alpha above 0"
        )
    if model.lora_rank:
        LoraConfig(model.lora_rank, model.lora_alpha, parse_lora_targets(model.lora_targets))
    elif model.param_dtype != "float32":
        raise InputError(
            f"model.param_dtype = {model.param_dtype!r} would round away what training changes;"
            " leave it at float32,"
            " or train adapters with model.lora_rank"
        )


def _check_evaluation(evaluation: Evaluation) -> None:
    for name in ("path", "grader", "template"):
        if evaluation.task is None and getattr(evaluation, name) is not None:
            raise InputError(
                f"evaluation.{name} is set and evaluation.task is not; name the task of the"
                f" panel, or set task.{name}"
            )


_INT32 = 2**31  # what counts tokens, steps and problems is an int32
_MOST_UPDATES = 65_536  # of a rollout, all planned before the first
_MOST = {
    "seed": _INT32,
    "training.steps": _INT32,
    "training.warmup_steps": _INT32,
    "training.max_skipped": _INT32,
    "checkpoint.every": _INT32,
    "checkpoint.keep": _INT32,
    "evaluation.every": _INT32,
    "diagnostics.every": _INT32,
    "telemetry.samples": _INT32,
    "rollout.max_prompt_tokens": _INT32,
    "rollout.prompt_multiple": _INT32,
    "mesh.data": _INT32,
    "mesh.fsdp": _INT32,
    "mesh.tensor": _INT32,
    "model.lora_rank": 65_536,
    "task.train_size": 10_000_001,  # problems are generated one by one
    "task.held_out_size": 10_000_001,
    "grading.workers": 4_097,
    "grading.memory": _INT32,  # MiB
    "grading.deadline": 1e6,  # seconds
    "grading.batch_deadline": 1e6,
}


def _check_ranges(settings: Settings) -> None:
    rollout, training, evaluation = settings.rollout, settings.training, settings.evaluation
    at_least = {
        "mesh.data": (settings.mesh.data, 1),
        "mesh.fsdp": (settings.mesh.fsdp, 1),
        "mesh.tensor": (settings.mesh.tensor, 1),
        "rollout.prompts": (rollout.prompts, 1),
        "rollout.samples": (rollout.samples, 2),
        "rollout.max_new_tokens": (rollout.max_new_tokens, 1),
        "rollout.max_prompt_tokens": (rollout.max_prompt_tokens, 1),
        "rollout.prompt_multiple": (rollout.prompt_multiple, 1),
        "training.steps": (training.steps, 1),
        "training.minibatches": (training.minibatches, 1),
        "training.epochs": (training.epochs, 1),
        "training.warmup_steps": (training.warmup_steps, 0),
        "training.max_skipped": (training.max_skipped, 1),
        "checkpoint.every": (settings.checkpoint.every, 1),
        "checkpoint.keep": (settings.checkpoint.keep, 1),
        "evaluation.every": (evaluation.every, 0),
        "evaluation.problems": (evaluation.problems, 1),
        "evaluation.samples": (evaluation.samples, 1),
        "diagnostics.every": (settings.diagnostics.every, 0),
        "seed": (settings.seed, 0),
        "task.seed": (settings.task.seed, 0),
        "telemetry.samples": (settings.telemetry.samples, 0),
        "grading.workers": (settings.grading.workers, 1),
        "grading.memory": (settings.grading.memory, 512),
        "training.learning_rate": (training.learning_rate, 0),
        "training.weight_decay": (training.weight_decay, 0),
        "evaluation.temperature": (evaluation.temperature, 0),
    }
    for name, (value, least) in at_least.items():
        if not least <= value < float("inf"):
            raise InputError(
                f"{name} is {value}; it must be"
                f" {'finite' if value > least else f'at least {least}'}"
            )
    for name, bound in _MOST.items():
        section, _, last = name.rpartition(".")
        value = getattr(getattr(settings, section) if section else settings, last)
        if value >= bound:
            raise InputError(f"{name} is {value}; it must be below {bound:,}")
    above_zero = {
        "rollout.temperature": rollout.temperature,
        "training.gradient_clip": training.gradient_clip,
        "training.epsilon": training.epsilon,
        "grading.deadline": settings.grading.deadline,
        "grading.batch_deadline": settings.grading.batch_deadline,
    }
    for name, value in above_zero.items():
        if not 0 < value < float("inf"):
            raise InputError(f"{name} is {value}; it must be above 0 and finite")
    if rollout.statistics not in STATISTICS:
        raise InputError(
            f"rollout.statistics {rollout.statistics!r} is none of {', '.join(STATISTICS)}"
        )
    if not 0 <= settings.grading.max_errors <= 1:
        raise InputError(
            f"grading.max_errors is {settings.grading.max_errors}; it is a share, from 0 to 1"
        )
    for name, value in (("training.b1", training.b1), ("training.b2", training.b2)):
        if not 0 <= value < 1:
            raise InputError(f"{name} is {value}; it must be in [0, 1)")


def _check_sizes(settings: Settings) -> None:
    """Raises for sizes that no memory holds, which follow from several settings together."""
    rollout, evaluation, training = settings.rollout, settings.evaluation, settings.training
    updates = training.minibatches * training.epochs
    if updates > _MOST_UPDATES:
        raise InputError(
            f"training.minibatches x training.epochs = {updates} updates a rollout are more than"
            f" {_MOST_UPDATES:,}"
        )
    evaluated = evaluation.problems * evaluation.samples
    for what, sequences in (("a rollout", settings.sequences), ("an evaluation", evaluated)):
        if sequences * rollout.max_new_tokens >= _INT32:
            raise InputError(
                f"{sequences} answers x rollout.max_new_tokens = {rollout.max_new_tokens} are too"
                f" many tokens {what}: they must be below {_INT32:,}"
            )


def _check_batch(settings: Settings) -> None:
    prompts, sequences = settings.rollout.prompts, settings.sequences
    minibatches, microbatch = settings.training.minibatches, settings.training.microbatch
    parts = settings.mesh.data * settings.mesh.fsdp
    at_once = settings.rollout.at_once
    if at_once is not None and (at_once < 1 or prompts % at_once or at_once % parts):
        raise InputError(
            f"rollout.at_once = {at_once} must divide rollout.prompts = {prompts} and be a"
            " multiple of"
            f" mesh.data x mesh.fsdp = {parts}"
        )
    if sequences % minibatches:
        raise InputError(
            f"rollout.prompts x rollout.samples = {sequences} sequences cannot be cut into"
            f" training.minibatches = {minibatches}"
        )
    if microbatch is not None and (microbatch < 1 or settings.minibatch % microbatch):
        raise InputError(
            f"training.microbatch = {microbatch} does not divide a minibatch of"
            f" {settings.minibatch} sequences"
            f" ({sequences} / training.minibatches = {minibatches})"
        )
    if prompts % parts or settings.microbatch % parts:
        raise InputError(
            f"rollout.prompts = {prompts} and micro-batches of {settings.microbatch} sequences"
            " must both be multiples of"
            f" mesh.data x mesh.fsdp = {parts}"
        )


def _check_method(method: Method) -> None:
    values: dict[str, Any] = method.hyperparameters()
    for key, choices in (
        ("weighting", reweighting.WEIGHTINGS),
        ("phase", phase.PHASES),
        ("signal", tuple(signals.SIGNALS)),
    ):
        if values[key] not in choices:
            raise InputError(f"method.{key} {values[key]!r} is none of {', '.join(choices)}")
    _check_weights(lam=values["lam"], w_min=values["w_min"], w_max=values["w_max"])
    for key in ("fixed", "direction"):
        if not -1 <= values[key] <= 1:
            raise InputError(f"method.{key} is {values[key]}; the phase signal is in [-1, 1]")
    for key, value in values.items():
        if type(value) in (int, float) and key not in _CHECKED_ABOVE:
            _check_number(key, value)
    if unbind_function(method.advantage_rule) is advantages.signed and method.overlong > 0:
        raise InputError(
            f"method.overlong = {method.overlong} lowers rewards, and {method.name!r} takes rewards"
            " of 0 and 1; leave it out"
        )
    _check_pairs(values)


def _check_weights(*, lam: float, w_min: float, w_max: float) -> None:
    if not (0 < w_min <= 1 <= w_max):
        raise InputError(
            f"method.w_min = {w_min} and method.w_max = {w_max} must enclose 1, and w_min must be"
            " above 0"
        )
    strongest = min(1 - w_min, w_max - 1)
    if not (0 <= lam < 1) or lam > strongest + 1e-9:
        raise InputError(
            f"method.lam is {lam}; it must be in [0, 1) and at most"
            f" min(1 - w_min, w_max - 1) = {strongest:g}"
        )


_CHECKED_ABOVE = ("lam", "w_min", "w_max", "fixed", "direction")
_ABOVE_ZERO = (
    "tau",
    "kappa",
    "initial_rollouts",
    "target_steps",
    "target",
    "hard_below",
    "bound_step",
    "quantile",
    "damping_min",
    "omega_floor",
)
_FROM_ONE = ("dual_clip",)
_ABOVE_ONE = ("entropy_kappa",)  # at 1 a token's advantage may become 0
_SHARES = ("decay", "overlong", "quantile", "damping_min")


def _check_number(key: str, value: float) -> None:
    """Shares are in [0, 1], everything else is at least 0 and, but for upper bounds, finite.

    What is divided by, or a clip's range, is above 0.
    """
    share = key in _SHARES or key.endswith("_share")
    if not 0 <= value <= (1 if share else float("inf")):
        raise InputError(
            f"method.{key} is {value}; it must be {'in [0, 1]' if share else 'at least 0'}"
        )
    if value == float("inf") and key != "dual_clip" and not key.endswith("_high"):
        raise InputError(f"method.{key} is {value}; it must be finite")
    above_zero = key in _ABOVE_ZERO or key.startswith("clip_") or key.endswith("_temperature")
    if above_zero and value == 0:
        raise InputError(f"method.{key} is 0; it must be above 0")
    if key in _FROM_ONE and value < 1:
        raise InputError(f"method.{key} is {value}; it must be at least 1")
    if key in _ABOVE_ONE and value <= 1:
        raise InputError(f"method.{key} is {value}; it must be above 1")


def _check_pairs(values: dict[str, Any]) -> None:
    """Raises for a lower bound above its upper one.

    clip_low and clip_high are widths to both sides of 1, and no such pair.
    """
    for low, high in (("_low", "_high"), ("_min", "_max")):
        for key in (key for key in values if key.endswith(low) and not key.startswith("clip_")):
            other = key.removesuffix(low) + high
            if other in values and values[key] > values[other]:
                raise InputError(
                    f"method.{key} = {values[key]} is above method.{other} = {values[other]}"
                )
