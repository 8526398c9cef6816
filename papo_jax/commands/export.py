"""`--mode=export`: a run's newest checkpoint becomes a Hugging Face directory."""

import dataclasses
import pathlib

import jax

from papo_jax import mesh_rules, models
from papo_jax.config.default_settings import Model
from papo_jax.errors import InputError
from papo_jax.json_files import read_object
from papo_jax.models import lora
from papo_jax.models.model_config import LoraConfig
from papo_jax.telemetry import provenance
from papo_jax.training import run_directory, run_identity
from papo_jax.training.checkpoints import checkpoint_candidates


def export_checkpoint(
    workdir: pathlib.Path, output: pathlib.Path | None, *, dtype: str | None
) -> None:
    """Writes the newest checkpoint of a run, its adapters merged, and says where.

    Args:
      workdir: of the run, which may still be going on; its own config.json says what the model is.
      output: where to; None for export/step_N in the work directory. Must not hold files.
      dtype: of the written weights; None for what each tensor had in the base model's files.

    Raises:
      InputError: if there is no checkpoint, the base model is not what it was, or `output` holds
        files already.
    """
    mesh_rules.refuse_several_processes()
    model = _read_model_section(workdir)
    steps = checkpoint_candidates.list_newest_first(workdir / "checkpoints")
    if not steps:
        raise _no_checkpoint(workdir)
    # Whether it may be written is asked before anything is read, if all is well with the newest.
    _check_output(output or _default_output(workdir, steps[0]))
    step, policy = _read_policy(workdir, model, steps)
    output = output or _default_output(workdir, step)
    _check_output(output)
    # It is written with the decoder's config and the tokenizer that are there now.
    now = run_identity.describe_policy(policy)
    run_identity.check_identity(workdir, now, sections=tuple(now))
    models.export(policy, output, dtype=dtype)
    size = sum(file.stat().st_size for file in output.glob("*.safetensors"))
    print(f"step {step} exported to {output}: {size / 1e6:,.0f} MB of weights")


def _default_output(workdir: pathlib.Path, step: int) -> pathlib.Path:
    return workdir / "export" / f"step_{step}"


def _check_output(output: pathlib.Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} is there already; remove it or choose another --output")


def _no_checkpoint(workdir: pathlib.Path) -> InputError:
    return InputError(f"--workdir {workdir} has no checkpoint yet; there is nothing to export")


def _read_policy(
    workdir: pathlib.Path, model: Model, steps: list[int]
) -> tuple[int, models.Policy]:
    """Reads the policy of the first whole checkpoint, its adapters beside the base weights."""
    if not model.lora_rank:
        policy = models.describe(model.path)
        step, params = _read_params(workdir, steps, policy.params)
        return step, dataclasses.replace(policy, params=params)
    base = models.load(model.path, param_dtype=model.param_dtype)
    fingerprint = provenance.fingerprint_params(base.params)
    _check_base(workdir, fingerprint)
    adapters = LoraConfig(
        model.lora_rank, model.lora_alpha, lora.parse_lora_targets(model.lora_targets)
    )
    policy = lora.attach_adapters(
        base, adapters, jax.random.key(0)
    )  # for the shapes; the draw is replaced
    drawn, frozen = lora.split_params(policy.params, adapters)
    step, trained = _read_params(workdir, steps, drawn, origin={"model": fingerprint})
    return step, dataclasses.replace(policy, params=lora.join_params(trained, frozen))


def _read_params(
    workdir: pathlib.Path,
    steps: list[int],
    example: models.Params,
    origin: dict[str, str] | None = None,
) -> tuple[int, models.Params]:
    found = checkpoint_candidates.read_params(
        workdir / "checkpoints", steps, example, origin=origin
    )
    if found is None:
        raise _no_checkpoint(workdir)
    return found


def _read_model_section(workdir: pathlib.Path) -> Model:
    """The section `model` of the run's own config."""
    config = run_directory.read_config(workdir)
    try:
        return Model(**config["model"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{workdir / 'config.json'} is not of this version: {error}; export with the version"
            " that trained"
        ) from None


def _check_base(workdir: pathlib.Path, fingerprint: str) -> None:
    """Adapters mean nothing beside other weights than those they were trained with."""
    path = workdir / "provenance.json"
    recorded = read_object(
        path, missing=f"{path} does not exist; it says which base the adapters belong to"
    )
    model = recorded.get("model")
    if not isinstance(model, dict) or model.get("fingerprint") != fingerprint:
        raise InputError(
            f"the weights of model.path are not those that {workdir} was trained with; put them"
            " back"
        )
