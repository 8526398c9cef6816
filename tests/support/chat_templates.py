"""Chat templates in the shapes of public model families, and what they make of a question."""

from typing import NamedTuple


class Family(NamedTuple):
    """A chat template, its special tokens and what it does.

    Attributes:
      template: its text.
      bos, eos: of the tokenizer; eos is that of the base model.
      tokens: added to the vocabulary, among them those of the template.
      prompt: of the question "2+2=", without a system message.
      end: the token behind an assistant's turn; None where there is none.
    """

    template: str
    bos: str | None
    eos: str
    tokens: tuple[str, ...]
    prompt: str
    end: str | None


def _chatml(header: str = "") -> str:
    return (
        header + "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content']"
        " + '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )


_CHATML_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_ASKED = "<|im_start|>user\n2+2=<|im_end|>\n<|im_start|>assistant\n"
_THINKING = (
    "{%- for m in messages %}{%- if m.role == 'assistant' and loop.last %}"
    "{{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' + m.content + '<|im_end|>\\n' }}"
    "{%- else %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
)
_DATED = (
    "{{- bos_token }}{%- if not date_string is defined %}"
    '{%- set date_string = strftime_now("%d %b %Y") %}{%- endif %}'
    "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content']|trim %}"
    "{%- set messages = messages[1:] %}{%- else %}{%- set system = '' %}{%- endif %}"
    '{{- "<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: " + date_string + "\\n\\n" }}'
    "{{- system + '<|eot_id|>' }}{%- for m in messages %}"
    "{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim"
    " + '<|eot_id|>' }}{%- endfor %}{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)
_GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\\n' + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
_PHI = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)
# The system message stands before the last question, and nowhere once that is answered.
_MISTRAL = (
    "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}"
    "{%- set loop_messages = messages[1:] %}{%- else %}{%- set loop_messages = messages %}"
    "{%- endif %}{{- bos_token }}{%- for m in loop_messages %}{%- if m['role'] == 'user' %}"
    "{%- if loop.last and system_message is defined %}"
    "{{- '[INST] ' + system_message + '\\n\\n' + m['content'] + '[/INST]' }}{%- else %}"
    "{{- '[INST] ' + m['content'] + '[/INST]' }}{%- endif %}{%- else %}"
    "{{- ' ' + m['content']|trim + eos_token }}{%- endif %}{%- endfor %}"
)
# A turn ends where the next one begins.
_GLM = (
    "[gMASK]<sop>{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_REASONER = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}"
    "{% elif m.role == 'system' %}{{ m.content }}{% else %}"
    "{{ '<｜Assistant｜>' + m.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}"
)
_DIALOGUE = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
_INSTRUCTION = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content + '\\n\\n' }}{% else %}"
    "{{ '### Instruction:\\n' + m.content + '\\n\\n### Response:\\n' }}{% endif %}{% endfor %}"
)

FAMILIES = {
    # The tokenizer's end of sequence is the base model's, the template's turns end otherwise.
    "chatml": Family(_chatml(), None, "<|endoftext|>", _CHATML_TOKENS, _ASKED, "<|im_end|>"),
    "thinking": Family(_THINKING, None, "<|endoftext|>", _CHATML_TOKENS, _ASKED, "<|im_end|>"),
    "dated": Family(
        _DATED,
        "<|begin_of_text|>",
        "<|end_of_text|>",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n"
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n2+2=<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|eot_id|>",
    ),
    "gemma": Family(
        _GEMMA,
        "<bos>",
        "<eos>",
        ("<start_of_turn>", "<end_of_turn>"),
        "<bos><start_of_turn>user\n2+2=<end_of_turn>\n<start_of_turn>model\n",
        "<end_of_turn>",
    ),
    "phi": Family(
        _PHI,
        "<s>",
        "<|endoftext|>",
        ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        "<|user|>\n2+2=<|end|>\n<|assistant|>\n",
        "<|end|>",
    ),
    "mistral": Family(
        _MISTRAL, "<s>", "</s>", ("[INST]", "[/INST]"), "<s>[INST] 2+2=[/INST]", "</s>"
    ),
    "glm": Family(
        _GLM,
        None,
        "<|endoftext|>",
        ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|system|>"),
        "[gMASK]<sop><|user|>\n2+2=<|assistant|>",
        "<|user|>",
    ),
    "reasoner": Family(
        _REASONER,
        "<｜begin▁of▁sentence｜>",
        "<eos>",
        ("<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
        "<｜begin▁of▁sentence｜><｜User｜>2+2=<｜Assistant｜><think>\n",
        "<｜end▁of▁sentence｜>",
    ),
    # Prompts end in an end of sequence here, and answers follow it.
    "dialogue": Family(_DIALOGUE, None, "<|endoftext|>", (), "2+2=<|endoftext|>", "<|endoftext|>"),
    "instruction": Family(
        _INSTRUCTION,
        None,
        "</s>",
        ("\n\n",),  # white space is no end of a turn
        "### Instruction:\n2+2=\n\n### Response:\n",
        None,
    ),
}


def equip_tokenizer(tokenizer, family: Family):
    """Gives a tokenizer the template and the tokens of a family; returns it."""
    named = [token for token in (family.bos, family.eos) if token]
    tokenizer.add_tokens([*named, *family.tokens], special_tokens=True)
    tokenizer.bos_token, tokenizer.eos_token = family.bos, family.eos
    tokenizer.chat_template = family.template
    return tokenizer
