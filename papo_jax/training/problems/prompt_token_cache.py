"""Prompts in tokens, kept between runs on the same problems, tokenizer and chat template."""

import hashlib
import importlib.metadata
import io
import json
import pathlib
import zipfile

import numpy as np

from papo_jax.cache_directory import cache_directory
from papo_jax.models import Policy
from papo_jax.rollout.chat import ChatOptions, select_template, writes_date
from papo_jax.rollout.prompts import PromptStore
from papo_jax.telemetry import runfiles

VERSION = 1  # of how prompts are made; a new number leaves the old files alone
_ARRAYS = ("tokens", "offsets", "identifiers")


def make_key(policy: Policy, options: ChatOptions, fingerprint: str) -> str:
    """Returns everything that decides the tokens of some prompts, as JSON.

    Args:
      policy: whose tokenizer encodes them.
      options: of the chat template; its moment counts where the template writes the date.
      fingerprint: of the problems.
    """
    template = select_template(policy.tokenizer, options)
    moment = options.moment if writes_date(template) else None
    libraries = [importlib.metadata.version(name) for name in ("tokenizers", "transformers")]
    return json.dumps(
        [
            *(VERSION, libraries, fingerprint, dict(policy.tokenizer_hashes)),
            *(template, options.system, options.thinking, str(moment)),
        ],
        sort_keys=True,
    )


def read_prompts(key: str) -> PromptStore | None:
    """Returns the prompts that are kept under a key; None where no whole copy of them is."""
    try:
        with np.load(_locate(key), allow_pickle=False) as stored:
            store = PromptStore(**{name: stored[name] for name in _ARRAYS})
            is_whole = stored["key"] == key and stored["fingerprint"] == store.fingerprint
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return store if is_whole else None


def keep_prompts(key: str, store: PromptStore) -> None:
    """Keeps prompts under a key; where nothing can be kept they are made again."""
    content = io.BytesIO()
    arrays = {name: getattr(store, name) for name in _ARRAYS}
    # No array is called allow_pickle, the one keyword of savez that is not an array.
    np.savez(content, key=key, fingerprint=store.fingerprint, **arrays)  # pyright: ignore[reportArgumentType]
    path = _locate(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        runfiles.write_bytes(path, content.getvalue())
    except OSError:
        return


def _locate(key: str) -> pathlib.Path:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return cache_directory() / "prompts" / f"{digest[:20]}.npz"
