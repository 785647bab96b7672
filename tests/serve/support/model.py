"""Model folders for tests: of the demo model's files, and such as give a known answer."""

import array
import json
import math
import os
import shutil
import struct


def demo_with_template(demo, folder, template):
    """The demo model with another chat template, in `folder`, which exists."""
    demo = os.path.abspath(demo)
    for name in os.listdir(demo):
        if os.path.isfile(os.path.join(demo, name)) and name != "chat_template.jinja":
            os.symlink(os.path.join(demo, name), os.path.join(folder, name))
    with open(os.path.join(folder, "chat_template.jinja"), "w") as file:
        file.write(template)
    return str(folder)


def without(demo, folder, *names):
    """A copy of the demo model's folder that lacks these files."""
    demo = os.path.abspath(demo)
    for name in os.listdir(demo):
        if os.path.isfile(os.path.join(demo, name)) and name not in names:
            shutil.copy(os.path.join(demo, name), folder)
    return str(folder)


def chained(folder, pieces, template):
    """A model whose answer to every conversation is known: behind <|assistant|> come these tokens, each once.

    A piece is a text, or the name of a special token of GLM's. Other text is read byte by byte.
    """
    special = ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"]
    texts = [chr(byte) for byte in range(256)]
    texts += [piece for piece in pieces if piece not in special and piece not in texts]
    ids = {piece: i for i, piece in enumerate(texts + special)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    _write(folder, "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": byte_level,
        "post_processor": None, "decoder": byte_level,
        "added_tokens": [{"id": ids[name], "content": name, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for name in special],
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
                  "vocab": {_byte_level(i if i < 256 else text): i for i, text in enumerate(texts)}, "merges": []}})
    _write(folder, "tokenizer_config.json", {"eos_token": "<|endoftext|>"})
    _write(folder, "generation_config.json", {"eos_token_id": [ids["<|endoftext|>"]], "do_sample": False})
    with open(os.path.join(folder, "chat_template.jinja"), "w") as file:
        file.write(template)
    chain = [ids["<|assistant|>"]] + [ids[piece] for piece in pieces]
    assert len(set(chain)) == len(chain), "a token has but one successor"
    _write_weights(folder, len(ids), dict(zip(chain, chain[1:])))
    return str(folder)


def _write(folder, name, content):
    with open(os.path.join(folder, name), "w") as file:
        json.dump(content, file)


def _byte_level(text):
    """As GPT-2 spells bytes, in printable characters. A number is one byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    spelt = {**{byte: chr(byte) for byte in printable}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}
    return "".join(spelt[byte] for byte in ([text] if isinstance(text, int) else text.encode()))


def _write_weights(folder, vocab, successors):
    """One layer that adds nothing, an embedding of unit vectors, and a head that sends each to its successor."""
    hidden, heads, head_dim, intermediate = (vocab + 15) // 16 * 16, 2, 8, 16
    _write(folder, "config.json", {
        "architectures": ["Glm4ForCausalLM"], "model_type": "glm4", "vocab_size": vocab, "hidden_size": hidden,
        "intermediate_size": intermediate, "num_hidden_layers": 1, "num_attention_heads": heads,
        "num_key_value_heads": heads, "head_dim": head_dim, "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "partial_rotary_factor": 0.5, "attention_bias": False, "tie_word_embeddings": False,
        "max_position_embeddings": 4096, "eos_token_id": []})
    embedding = array.array("f", bytes(4 * vocab * hidden))
    head = array.array("f", bytes(4 * vocab * hidden))
    for token in range(vocab):
        embedding[token * hidden + token] = 1
        head[successors.get(token, token) * hidden + token] = 1
    layer = "model.layers.0."
    tensors = {"model.embed_tokens.weight": ((vocab, hidden), embedding), "lm_head.weight": ((vocab, hidden), head)}
    for name in ("model.norm", layer + "input_layernorm", layer + "post_attention_layernorm",
                 layer + "post_self_attn_layernorm", layer + "post_mlp_layernorm"):
        tensors[name + ".weight"] = ((hidden,), array.array("f", [1]) * hidden)
    for name in ("q_proj", "k_proj", "v_proj"):
        tensors[f"{layer}self_attn.{name}.weight"] = ((heads * head_dim, hidden), None)
    tensors[layer + "self_attn.o_proj.weight"] = ((hidden, heads * head_dim), None)
    tensors[layer + "mlp.gate_up_proj.weight"] = ((2 * intermediate, hidden), None)
    tensors[layer + "mlp.down_proj.weight"] = ((hidden, intermediate), None)
    header, data = {}, bytearray()
    for name, (shape, values) in tensors.items():
        begin = len(data)
        data += bytes(4 * math.prod(shape)) if values is None else values.tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
