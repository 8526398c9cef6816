"""The tokenizer of a Hugging Face directory, its chat template, and its stop tokens.

Nothing here asks the network: a directory is complete, or it is refused.
"""

import hashlib
import json
import pathlib

from papo_jax.errors import InputError
from papo_jax.json_files import read_object
from papo_jax.models.formats.tokenizer_guard import TokenizerFailure, call_guarded

# Tokens that end a turn or a document in chat models.
_END_TOKENS = (
    *("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|end|>"),
    *("<end_of_turn>", "<|end_of_turn|>", "<|endofturn|>", "<|return|>"),
    *("<｜end▁of▁sentence｜>", "<|END_OF_TURN_TOKEN|>"),
)
_SMALL_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_READING_SECONDS = 120.0  # for any tokenizer; large ones take two


def read_tokenizer(directory: pathlib.Path):
    """Loads the fast tokenizer of a Hugging Face directory, from disk only.

    Args:
      directory: holds tokenizer.json; what else describes the tokenizer (tokenizer_config.json,
        chat_template.jinja, special_tokens_map.json) is read too.

    Returns:
      A `PreTrainedTokenizerFast`.

    Raises:
      InputError: if tokenizer.json is missing, or it or a file beside it is damaged.
    """
    from transformers import PreTrainedTokenizerFast

    file = directory / "tokenizer.json"
    if not file.exists():
        raise InputError(f"{file} does not exist; a policy needs a fast tokenizer")

    def read():
        # Not AutoTokenizer: for some architectures it rebuilds the tokenizer and adds tokens of its
        # own.
        return PreTrainedTokenizerFast.from_pretrained(directory, local_files_only=True)

    try:
        return call_guarded(read, seconds=_READING_SECONDS)
    except TokenizerFailure as failure:
        raise InputError(
            f"{file} or a file beside it is damaged ({failure}); fetch or write it again"
        ) from None


def hash_tokenizer_files(directory: pathlib.Path) -> dict[str, str]:
    """Hashes the files that a tokenizer is made from, as far as they decide on tokens and texts.

    A chat template is left out, since it may be unused; so is the layout of small JSON files.

    Args:
      directory: from which `read_tokenizer` has read one.

    Returns:
      The name of the file -> SHA-256.
    """
    hashes = {}
    for file in sorted(directory.glob("*.json")):
        if file.name in _SMALL_FILES:
            fields = read_object(file, missing=f"{file} is gone")
            fields.pop("chat_template", None)
            content = json.dumps(fields, sort_keys=True).encode()
        elif file.name.startswith("tokenizer."):
            content = file.read_bytes()
        else:
            continue
        hashes[file.name] = hashlib.sha256(content).hexdigest()
    return hashes


def find_chat_template(tokenizer) -> str | None:
    """Returns the chat template of a tokenizer, None if it has none.

    Of several named templates it is the one called "default".

    Args:
      tokenizer: of `transformers`.

    Raises:
      InputError: if there are named templates but no "default" among them, or the template is no
        text.
    """
    found = getattr(tokenizer, "chat_template", None)
    label = label_tokenizer(tokenizer)
    if isinstance(found, dict):
        if "default" not in found:
            raise InputError(
                f"{label}: the chat templates are {', '.join(found)}; call one of them 'default'"
            )
        found = found["default"]
    if not isinstance(found, str | None):
        raise InputError(
            f"{label}: chat_template is {found!r}; it must be a text, or a list of named ones"
        )
    return found or None


def label_tokenizer(tokenizer) -> str:
    """Returns the path that a tokenizer was loaded from, or words for it, for messages."""
    return getattr(tokenizer, "name_or_path", "") or "the model's tokenizer"


def find_stop_tokens(path: pathlib.Path, tokenizer, vocabulary_size: int) -> tuple[int, ...]:
    """Finds the tokens that end a completion.

    Args:
      path: the Hugging Face directory or the GGUF file.
      tokenizer: its tokenizer, whose end of sequence is always among them.
      vocabulary_size: V, the rows of the embedding.

    Returns:
      Their ids, rising; at least one.

    Raises:
      InputError: if generation_config.json is damaged or names no tokens of the model, or if there
        is no such token.
    """
    file = path / "generation_config.json"
    if path.is_dir() and file.exists():
        stops = _read_stop_tokens(file, vocabulary_size)
    else:
        # A chat model ends a turn with one token and a document with another; without a generation
        # config only their names tell.
        added = tokenizer.get_added_vocab()
        stops = {added[name] for name in _END_TOKENS if name in added}
    if tokenizer.eos_token_id is not None:
        stops |= {tokenizer.eos_token_id}
    if not stops:
        raise InputError(f"{path} names no end-of-sequence token; generation could never stop")
    return tuple(sorted(stops))


def _read_stop_tokens(file: pathlib.Path, vocabulary_size: int) -> set[int]:
    """Reads `eos_token_id` of a generation config: nothing, one token or a list of them."""
    fields = read_object(file, missing=f"{file} does not exist")
    named = fields.get("eos_token_id")
    ids = named if isinstance(named, list) else [] if named is None else [named]
    for token in ids:
        if type(token) is not int or not 0 <= token < vocabulary_size:  # `true` is an int too
            raise InputError(
                f"{file}: eos_token_id holds {token!r}; token ids are whole numbers from 0 to"
                f" {vocabulary_size - 1}"
            )
    return set(ids)
