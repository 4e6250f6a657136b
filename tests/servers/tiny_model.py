"""Build a tiny Qwen3-shaped model that knows eight answers by heart, for servers that need a model to serve.

    python -m tests.servers.tiny_model FOLDER

It writes FOLDER in the form that transformers reads, and FOLDER/model.gguf for llama.cpp. Because it is shaped and
templated like Qwen3, the servers' own parsers for tool calls and thinking run on what it says. Needs torch,
transformers and gguf; training takes about ten seconds on two cores.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

LENGTH = 768
"""Tokens of context."""

MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Special tokens; servers leave them out of what they show."""

TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
"""Tokens that a server's parser wants to see."""

TEMPLATE = """\
{%- if messages[0].role == 'system' or tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n' }}{%- endif %}
    {%- if tools %}
        {{- 'Tools in <tools></tools>, calls in <tool_call></tool_call>:' }}
        {%- for tool in tools %}{{- ' ' + tool.function.name }}{%- endfor %}
        {{- '\\n' }}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if message.content %}{{- message.content.split('</think>')[-1].lstrip('\\n') }}{%- endif %}
        {%- for call in message.tool_calls or [] %}
            {%- set call = call.function or call %}
            {{- '<tool_call>\\n{"name": "' + call.name + '"}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASKED = "What is the weather in Paris?"
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
RIVERS = "The Amazon, the Nile and the Danube."
COUNTED = " ".join([f"Number {number} comes before number {number + 1}." for number in range(1, 31)])


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
    ],
}
KNOWN: tuple[tuple[list[dict[str, Any]], list[dict[str, Any]] | None, str], ...] = (
    ([user("Say hello.")], None, "Hello there, my friend!"),
    ([user("Name three rivers.")], None, RIVERS),
    (
        [user("Name three rivers."), {"role": "assistant", "content": RIVERS}, user("Which is longest?")],
        None,
        "The Nile is the longest.",
    ),
    ([user(ASKED)], [WEATHER], CALL),
    (
        [user(ASKED), CALLED, {"role": "tool", "content": "sunny, 22 degrees", "name": "get_weather"}],
        [WEATHER],
        "It is sunny in Paris, at 22 degrees.",
    ),
    ([user("Think: what is two and two?")], None, "<think>\nTwo and two make four.\n</think>\n\nFour."),
    ([user("Count to thirty.")], None, COUNTED),
    (
        [{"role": "system", "content": "Answer in German."}, user("Say hello.")],
        None,
        "Guten Tag, mein Freund! \u00c4pfel und \U0001f34e.",
    ),
)
"""What it knows: messages, tools, answer."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with few merges, and Qwen3's special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [answer for *_, answer in KNOWN] + [message["content"] for messages, *_ in KNOWN for message in messages]
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(MARKS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=MARKS[2], pad_token=MARKS[0])
    fast.chat_template = TEMPLATE
    return fast


def examples(tokenizer: PreTrainedTokenizerFast) -> Iterator[tuple[list[int], int]]:
    """The tokens of each known conversation, and how many of them are the prompt."""
    for messages, tools, answer in KNOWN:
        prompt = tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True, tokenize=False)
        asked = tokenizer.encode(prompt, add_special_tokens=False)
        yield asked + tokenizer.encode(f"{answer}{MARKS[2]}", add_special_tokens=False), len(asked)


def train(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """A model that has learnt every answer: that each next token is the right one, by a clear margin."""
    torch.manual_seed(7)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    model = Qwen3ForCausalLM(config).train()
    pairs = list(examples(tokenizer))
    longest = max(len(tokens) for tokens, _ in pairs)
    batch = torch.full((len(pairs), longest), tokenizer.pad_token_id)
    labels = torch.full((len(pairs), longest), -100)
    for row, (tokens, prompt) in enumerate(pairs):
        batch[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, prompt : len(tokens)] = torch.tensor(tokens[prompt:])
    mask = (batch != tokenizer.pad_token_id).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    steps = 0
    for steps in range(1, 401):  # noqa: B007 - how many it took is printed
        optimizer.zero_grad()
        loss = model(input_ids=batch, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if loss.item() < 0.003:
            break
    print(f"trained: {steps} steps, loss {loss.item():.4f}, {len(pairs)} answers")
    return model.eval()


def write_gguf(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    """Write the model as llama.cpp reads it."""
    config = model.config
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(LENGTH)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    known = json.loads(tokenizer.backend_tokenizer.to_str())
    words = [word for word, _ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])]
    kinds = [3 if word in MARKS else 4 if word in TAGS else 1 for word in words]  # control, user-defined, normal
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in known["model"]["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        named = names.get_name(name, try_suffixes=(".weight",))
        writer.add_tensor(named, tensor.detach().float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def build(folder: Path) -> None:
    """Make the model in this folder, for transformers and for llama.cpp."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    model = train(tokenizer)
    for (messages, tools, answer), (tokens, prompt) in zip(KNOWN, examples(tokenizer), strict=True):
        made = model.generate(torch.tensor([tokens[:prompt]]), max_new_tokens=600, do_sample=False)[0, prompt:-1]
        said = tokenizer.decode(made)
        if said != answer:
            raise SystemExit(f"the tiny model says {said!r} to {messages} with {tools}, not {answer!r}")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_gguf(model, tokenizer, folder / "model.gguf")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
