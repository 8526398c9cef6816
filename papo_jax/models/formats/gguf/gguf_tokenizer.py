"""The byte-level BPE tokenizer inside a GGUF file, as a fast tokenizer of `transformers`.

`transformers` has a converter of its own, but it runs only where PyTorch is installed, and it
splits numbers of SmolLM2 into words where the model was trained on single digits.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from papo_jax.errors import InputError
from papo_jax.json_files import whole_number

# Types of token that are matched whole, before the text is split into words.
_CONTROL, _USER_DEFINED = 3, 4

# The pattern of words of Qwen 2 and Llama 3, which differ in how many digits make one.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_ROLES = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
_ROLE = "tokenizer.ggml.{}_token_id"
_SPLITS = ("gpt-2", "smollm", "qwen2", "llama-bpe")


def build_tokenizer(fields: Mapping[str, Any], *, label: str):
    """Builds the tokenizer from the metadata of a GGUF file.

    Args:
      fields: the metadata.
      label: the file, for messages.

    Returns:
      A `PreTrainedTokenizerFast` that pads on the left and knows the chat template.

    Raises:
      InputError: if it is no byte-level BPE, splits text in an unknown way, or is incomplete.
    """
    from transformers import PreTrainedTokenizerFast

    _refuse_unsupported(fields, label)
    if damage := _find_damage(fields):
        raise InputError(f"{label}: the tokenizer is damaged ({damage}); fetch the file again")
    tokens, split = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.pre"]
    ids = {role: fields.get(_ROLE.format(name)) for role, name in _ROLES.items()}
    special = {role: tokens[index] for role, index in ids.items() if index is not None}
    return PreTrainedTokenizerFast(
        tokenizer_object=_build_backend(fields, tokens, split),
        chat_template=fields.get("tokenizer.chat_template"),
        padding_side="left",
        clean_up_tokenization_spaces=False,
        add_bos_token=fields.get("tokenizer.ggml.add_bos_token", split == "llama-bpe"),
        **special,
    )


def hash_fields(fields: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of the fields that a tokenizer is built from, without the template."""
    used = {name: fields[name] for name in sorted(fields) if name.startswith("tokenizer.ggml.")}
    return hashlib.sha256(json.dumps(used, default=str).encode()).hexdigest()


def _refuse_unsupported(fields: Mapping[str, Any], label: str) -> None:
    """Raises for a tokenizer that would be built wrong."""
    instead = "use the model's Hugging Face directory"
    for name, supported in (("tokenizer.ggml.model", ("gpt2",)), ("tokenizer.ggml.pre", _SPLITS)):
        if fields.get(name) not in supported:
            allowed = ", ".join(supported)
            raise InputError(
                f"{label}: {name} is {fields.get(name)!r}, supported are {allowed}; {instead}"
            )
    for name in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.token_type"):
        if name not in fields:
            raise InputError(f"{label}: the field {name} is missing; {instead}")


def _find_damage(fields: Mapping[str, Any]) -> str | None:
    """Says what is wrong with the lists and numbers that make up the tokenizer, if anything is."""
    tokens, merges, kinds = (
        fields[f"tokenizer.ggml.{name}"] for name in ("tokens", "merges", "token_type")
    )
    for name, values, kind in (
        ("tokens", tokens, str),
        ("merges", merges, str),
        ("types", kinds, int),
    ):
        if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
            return f"its {name} are no list of {'texts' if kind is str else 'whole numbers'}"
    if len(kinds) != len(tokens):
        return f"{len(tokens)} tokens and {len(kinds)} types of them"
    known = set(tokens)
    for merge in merges:
        parts = merge.split(" ")
        if len(parts) != 2 or not {*parts, "".join(parts)} <= known:
            return f"the merge {merge!r:.80} joins no two tokens into a third"
    for name in _ROLES.values():
        index = fields.get(_ROLE.format(name))
        if index is not None and whole_number(index, most=len(tokens) - 1) is None:
            return f"{name}_token_id {index!r:.80} is none of {len(tokens)} tokens"
    for name, kind in (("tokenizer.chat_template", str), ("tokenizer.ggml.add_bos_token", bool)):
        if not isinstance(fields.get(name, kind()), kind):
            return f"{name} is {fields[name]!r:.80}"
    return None


def _build_backend(fields: Mapping[str, Any], tokens: list[str], split: str):
    """Builds the `tokenizers.Tokenizer`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    # Llama 3 takes a word that is a token as it is, even where no merges lead to it.
    model = models.BPE(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=[tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]],
        ignore_merges=split == "llama-bpe",
    )
    backend = Tokenizer(model)
    if split == "qwen2":
        backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = _build_pre_tokenizer(split)
    backend.decoder = decoders.ByteLevel()

    # Tokens that are matched whole.
    kinds = fields["tokenizer.ggml.token_type"]
    backend.add_tokens(
        [
            AddedToken(token, normalized=False, special=kind == _CONTROL)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind in (_CONTROL, _USER_DEFINED)
        ]
    )
    return backend


def _build_pre_tokenizer(split: str):
    """Builds the splitter of text into words, spelled in the 256 characters of bytes."""
    from tokenizers import Regex, pre_tokenizers

    if split in ("gpt-2", "smollm"):
        words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        digits = pre_tokenizers.Digits(individual_digits=True)
        return words if split == "gpt-2" else pre_tokenizers.Sequence([digits, words])
    pattern = _WORDS.replace("DIGITS", "" if split == "qwen2" else "{1,3}")
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
