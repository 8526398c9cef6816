"""transformers' `generate`, and statistics and an update in plain PyTorch.

What a careful user writes by hand: log-probability, entropy and polarity from the logits of the
answers, a clipped surrogate, AdamW; statistics eight rows at a time, the update on all rows.
"""

from collections.abc import Callable
from importlib import metadata

import torch
import transformers

from benchmarks.work import Work


def versions() -> str:
    """Names what is measured."""
    return f"torch {metadata.version('torch')}, transformers {metadata.version('transformers')}"


def make_phases(work: Work) -> dict[str, Callable[[], None]]:
    """Makes the phases of an iteration, each a function that returns when it is done."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = transformers.Qwen2ForCausalLM(_make_config(work))
    optimizer = torch.optim.AdamW(model.parameters(), lr=work.learning_rate, weight_decay=0.1)
    prompts = torch.randint(work.vocabulary, (work.prompts, work.prompt_tokens))
    rewards = (torch.arange(work.sequences) % 2).float().reshape(work.prompts, work.samples)
    centered = rewards - rewards.mean(dim=1, keepdim=True)
    advantages = (centered / (rewards.std(dim=1, keepdim=True) + 1e-6)).reshape(-1, 1)
    held = {}  # what one phase leaves for the next

    def sample():
        model.eval()
        held["rows"] = model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=True,
            temperature=work.temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=work.new_tokens,
            num_return_sequences=work.samples,
            pad_token_id=0,
        )

    def score():
        with torch.no_grad():
            parts = [_token_stats(model, rows, work)[0] for rows in held["rows"].split(8)]
            held["old"] = torch.cat(parts)

    def learn():
        model.train()
        logprob, entropy, polarity = _token_stats(model, held["rows"], work)
        ratio = (logprob - held["old"]).exp()
        surrogate = torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.28) * advantages)
        loss = -surrogate.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        held["metrics"] = [float(entropy.mean()), float((advantages * polarity).mean())]

    return {"rollout": sample, "statistics": score, "update": learn}


def _token_stats(model, rows: torch.Tensor, work: Work) -> tuple[torch.Tensor, ...]:
    """Returns log-probability, entropy and unit polarity of every answer's tokens, [B, T]."""
    logits = model(rows, logits_to_keep=work.new_tokens + 1).logits[:, :-1]
    logprobs = torch.log_softmax(logits.float() / work.temperature, dim=-1)
    tokens = rows[:, -work.new_tokens :, None]
    logprob = logprobs.gather(-1, tokens)[..., 0]
    with torch.no_grad():  # a row at a time, whose arrays stay in the processor's cache
        pairs = zip(logprobs, tokens, strict=True)
        entropy, polarity = map(torch.stack, zip(*(_signals(*pair) for pair in pairs), strict=True))
    return logprob, entropy, polarity


def _signals(logprobs: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns entropy and unit polarity of one answer, [T, V] and [T, 1] -> [T]."""
    probabilities = logprobs.exp()
    entropy = -torch.linalg.vecdot(probabilities, logprobs)
    pull = probabilities * (entropy[:, None] + logprobs)
    polarity = torch.linalg.vecdot(probabilities, pull) - pull.gather(-1, tokens)[:, 0]
    return entropy, polarity


def _make_config(work: Work) -> transformers.Qwen2Config:
    return transformers.Qwen2Config(
        vocab_size=work.vocabulary,
        hidden_size=work.width,
        num_hidden_layers=work.layers,
        num_attention_heads=work.heads,
        num_key_value_heads=work.kv_heads,
        intermediate_size=work.mlp_width,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
