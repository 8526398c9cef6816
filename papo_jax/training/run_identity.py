"""Identity of a run: the problems, weights, decoder, tokenizer and prompts that it began with.

`provenance.json` says what a run began with, and every checkpoint has the fingerprints. A run that
is resumed, evaluated or exported is compared with that; a difference would change its numbers
without a word.
"""

import dataclasses
import datetime
import json
import pathlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from papo_jax.errors import InputError
from papo_jax.json_files import look_up, read_object
from papo_jax.models import Policy
from papo_jax.rollout.chat import ChatOptions, select_template, writes_date
from papo_jax.rollout.prompts import PromptStore
from papo_jax.telemetry.provenance import hash_text
from papo_jax.training.run_directory import holds_run

SECTIONS = ("data", "model", "decoder", "tokenizer", "prompts")  # of `provenance.json`
# Of these the fingerprint alone is compared: what it is of.
_FINGERPRINTED = {"data": "problems of task.name", "model": "weights of model.path"}
# How the decoder is run, which the settings say, and not what it computes.
_RUN_FIELDS = ("dtype", "remat", "lora")


def describe_policy(policy: Policy) -> dict[str, Any]:
    """Describes a base policy's decoder and tokenizer, for `provenance.json`."""
    config = dataclasses.asdict(policy.config)
    decoder = {key: value for key, value in config.items() if key not in _RUN_FIELDS}
    return {
        "decoder": _add_fingerprint(decoder),
        "tokenizer": _add_fingerprint(dict(policy.tokenizer_hashes)),
    }


def describe_prompts(
    policy: Policy, options: ChatOptions, stores: Mapping[str, PromptStore]
) -> dict[str, Any]:
    """Describes how texts become prompts and completions end, for `provenance.json`.

    Args:
      policy: with the stop tokens of the run.
      options: of the chat template.
      stores: the prompts, by what they are for; none in an evaluation, which may be of others.

    Returns:
      A dict of plain values.
    """
    template = select_template(policy.tokenizer, options)
    section = {
        "chat template": template and hash_text(template),
        "template writes the date": writes_date(template),
        "special tokens": {
            role: str(token) for role, token in policy.tokenizer.special_tokens_map.items()
        },
        "stop tokens": name_stop_tokens(policy),
    }
    fingerprints = {f"{name} prompts": store.fingerprint for name, store in stores.items()}
    return _add_fingerprint(section | fingerprints)


def name_stop_tokens(policy: Policy) -> list[str]:
    """Names the tokens that end a completion, ["<eos> (1)", ...]."""
    names = policy.tokenizer.convert_ids_to_tokens(list(policy.stop_tokens))
    return [f"{name} ({token})" for name, token in zip(names, policy.stop_tokens, strict=True)]


def read_beginning(workdir: pathlib.Path) -> datetime.datetime:
    """Returns when a run began, which its chat template may write: now, for a new run."""
    try:
        began = look_up(read_object(workdir / "provenance.json", missing=""), "began")
        return datetime.datetime.fromisoformat(began)
    except (InputError, TypeError, ValueError):
        return datetime.datetime.now().replace(microsecond=0)


def check_identity(
    workdir: pathlib.Path, now: dict[str, Any], *, sections: Sequence[str] = SECTIONS
) -> None:
    """Raises `InputError` if a run would go on with other things than it began with.

    Args:
      workdir: of the run. Where its provenance.json, or a section of it, is missing or damaged
        there is a warning: it is replaced when the run resumes, and its checkpoints have the
        fingerprints too.
      now: what `provenance.json` would say.
      sections: of it that are compared.
    """
    path = workdir / "provenance.json"
    try:
        before = read_object(path, missing=f"{path} is missing")
    except InputError as error:
        if holds_run(workdir):
            warnings.warn(str(error), stacklevel=2)
        return
    now = json.loads(json.dumps(now))  # with lists for tuples, as a file has them
    for section in sections:
        there = look_up(before, section)
        has_fingerprint = isinstance(look_up(before, section, "fingerprint"), str)
        if not isinstance(there, dict) or (section in _FINGERPRINTED and not has_fingerprint):
            warnings.warn(f"{path} does not say what {section} the run began with", stacklevel=2)
            continue
        for what in _list_differences(section, there, now[section]):
            raise InputError(
                f"--workdir {workdir} holds a run that began with {what}; put that back or choose"
                " another --workdir"
            )


def _add_fingerprint(section: dict[str, Any]) -> dict[str, Any]:
    """Adds the fingerprint of a section, which checkpoints keep too."""
    return {"fingerprint": hash_text(json.dumps(section, sort_keys=True)), **section}


def _list_differences(section: str, before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Yields what differs, most telling first; what is not said on both sides is not compared."""
    if section in _FINGERPRINTED:
        if before["fingerprint"] != now["fingerprint"]:
            yield f"other {_FINGERPRINTED[section]}"
        return
    if section == "tokenizer":
        for name in sorted((before.keys() | now.keys()) - {"fingerprint"}):
            if before.get(name) != now.get(name):
                yield f"another {name} in model.path"
        return
    for key in (key for key in before if key in now and before[key] != now[key]):
        if key == "fingerprint":  # of all that is compared here one by one
            continue
        if section == "decoder":
            yield f"{key} = {before[key]!r} in model.path, not {now[key]!r}"
        elif key.endswith(" prompts"):
            yield (
                f"other {key}: their tokens differ, though template, tokenizer and stop tokens are"
                " the same (the versions are in provenance.json)"
            )
        elif key == "chat template":
            yield "another chat template"
        else:
            yield f"{key} {before[key]!r}, not {now[key]!r}"
