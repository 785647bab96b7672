"""The demo model's configuration, a fast training forward that equals transformers', and the export."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Callable

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import Glm4MoeLiteConfig, Glm4MoeLiteForCausalLM

LAYERS = 8
CONTEXT = 2048
ROPE_THETA = 10000.0
SHARD_BYTES = 12_000_000
Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def config(vocab_size: int, eos: list[int]) -> Glm4MoeLiteConfig:
    """A small model with the structure of GLM-4.7-Flash."""
    return Glm4MoeLiteConfig(
        vocab_size=vocab_size,
        hidden_size=256,
        intermediate_size=512,
        moe_intermediate_size=128,
        num_hidden_layers=LAYERS,
        num_attention_heads=8,
        num_key_value_heads=8,
        n_shared_experts=1,
        n_routed_experts=8,
        num_experts_per_tok=2,
        routed_scaling_factor=1.8,
        kv_lora_rank=64,
        q_lora_rank=96,
        qk_rope_head_dim=32,
        qk_nope_head_dim=32,
        v_head_dim=64,
        n_group=1,
        topk_group=1,
        norm_topk_prob=True,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=eos[0],
        tie_word_embeddings=False,
    )


def published_config(c: Glm4MoeLiteConfig) -> dict[str, object]:
    """config.json laid out as the published GLM-4.7-Flash one is."""
    return {
        "architectures": ["Glm4MoeLiteForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "pad_token_id": c.pad_token_id,
        "eos_token_id": c.eos_token_id,
        "hidden_act": "silu",
        "hidden_size": c.hidden_size,
        "intermediate_size": c.intermediate_size,
        "max_position_embeddings": c.max_position_embeddings,
        "model_type": "glm4_moe_lite",
        "moe_intermediate_size": c.moe_intermediate_size,
        "topk_method": "noaux_tc",
        "norm_topk_prob": True,
        "num_attention_heads": c.num_attention_heads,
        "n_group": 1,
        "topk_group": 1,
        "n_routed_experts": c.n_routed_experts,
        "n_shared_experts": c.n_shared_experts,
        "routed_scaling_factor": c.routed_scaling_factor,
        "num_experts_per_tok": c.num_experts_per_tok,
        "first_k_dense_replace": 1,
        "num_hidden_layers": c.num_hidden_layers,
        "num_key_value_heads": c.num_key_value_heads,
        "num_nextn_predict_layers": 0,
        "partial_rotary_factor": 1.0,
        "rms_norm_eps": c.rms_norm_eps,
        "rope_interleave": True,
        "rope_scaling": None,
        "rope_theta": ROPE_THETA,
        "tie_word_embeddings": False,
        "dtype": "bfloat16",
        "transformers_version": "5.17.0",
        "q_lora_rank": c.q_lora_rank,
        "kv_lora_rank": c.kv_lora_rank,
        "qk_nope_head_dim": c.qk_nope_head_dim,
        "qk_rope_head_dim": c.qk_rope_head_dim,
        "v_head_dim": c.v_head_dim,
        "vocab_size": c.vocab_size,
    }


def rope_table(c: Glm4MoeLiteConfig, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [length, rope/2] in float32."""
    half = torch.arange(0, c.qk_rope_head_dim, 2, dtype=torch.float32, device=device) / c.qk_rope_head_dim
    angle = torch.arange(length, dtype=torch.float32, device=device)[:, None] / ROPE_THETA ** half[None]
    return angle.cos(), angle.sin()


def _norm(x: Tensor, layer: nn.Module) -> Tensor:
    y = x.float()
    y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + layer.variance_epsilon)
    return layer.weight * y.to(x.dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def _attend(
    layer: nn.Module, x: Tensor, cos: Tensor, sin: Tensor, attention: Attention, c: Glm4MoeLiteConfig
) -> Tensor:
    batch, length, _ = x.shape
    heads, nope, rope = c.num_attention_heads, c.qk_nope_head_dim, c.qk_rope_head_dim
    q = (
        layer.q_b_proj(_norm(layer.q_a_proj(x), layer.q_a_layernorm))
        .view(batch, length, heads, nope + rope)
        .transpose(1, 2)
    )
    latent, k_rope = layer.kv_a_proj_with_mqa(x).split((c.kv_lora_rank, rope), -1)
    kv = (
        layer.kv_b_proj(_norm(latent, layer.kv_a_layernorm))
        .view(batch, length, heads, nope + c.v_head_dim)
        .transpose(1, 2)
    )
    k_nope, v = kv.split((nope, c.v_head_dim), -1)
    cos, sin = cos.to(q.dtype), sin.to(q.dtype)
    k_rope = _rotate(k_rope[:, None], cos, sin).expand(-1, heads, -1, -1)
    q = torch.cat((q[..., :nope], _rotate(q[..., nope:], cos, sin)), -1)
    k = torch.cat((k_nope, k_rope), -1)
    return layer.o_proj(attention(q, k, v.contiguous()).transpose(1, 2).reshape(batch, length, -1))


def _experts(layer: nn.Module, x: Tensor, c: Glm4MoeLiteConfig) -> tuple[Tensor, Tensor]:
    """All experts as two wide products; the weight of an expert that was not selected is zero."""
    flat = x.reshape(-1, c.hidden_size)
    with torch.autocast(flat.device.type, enabled=False):
        scores = F.linear(flat.float(), layer.gate.weight.float()).sigmoid()
        chosen = (scores.detach() + layer.gate.e_score_correction_bias).topk(c.num_experts_per_tok, -1).indices
        mask = torch.zeros_like(scores).scatter(1, chosen, 1.0)
        weight = scores * mask
        weight = weight / (weight.sum(-1, keepdim=True) + 1e-20) * c.routed_scaling_factor
    count, inner = c.n_routed_experts, c.moe_intermediate_size
    gate_up = F.linear(flat, layer.experts.gate_up_proj.reshape(count * 2 * inner, c.hidden_size)).view(
        -1, count, 2, inner
    )
    hidden = F.silu(gate_up[:, :, 0]) * gate_up[:, :, 1] * weight[:, :, None].to(gate_up.dtype)
    down = layer.experts.down_proj.permute(1, 0, 2).reshape(c.hidden_size, count * inner)
    out = F.linear(hidden.reshape(-1, count * inner), down).view_as(x) + _mlp(layer.shared_experts, x)
    return out, mask.sum(0)


def _mlp(layer: nn.Module, x: Tensor) -> Tensor:
    return layer.down_proj(F.silu(layer.gate_proj(x)) * layer.up_proj(x))


def fast_forward(
    model: Glm4MoeLiteForCausalLM, ids: Tensor, cos: Tensor, sin: Tensor, attention: Attention
) -> tuple[Tensor, Tensor]:
    """Logits [batch, length, vocab] and the tokens that each expert of each sparse layer got [layers, experts]."""
    c = model.config
    x = model.model.embed_tokens(ids)
    if torch.is_autocast_enabled(ids.device.type):
        x = x.to(torch.get_autocast_dtype(ids.device.type))
    loads = []
    for layer in model.model.layers:
        x = x + _attend(layer.self_attn, _norm(x, layer.input_layernorm), cos, sin, attention, c)
        h = _norm(x, layer.post_attention_layernorm)
        if hasattr(layer.mlp, "experts"):
            h, load = _experts(layer.mlp, h, c)
            loads.append(load)
        else:
            h = _mlp(layer.mlp, h)
        x = x + h.to(x.dtype)
    return model.lm_head(_norm(x, model.model.norm)), torch.stack(loads)


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Plain causal attention."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def export(model: Glm4MoeLiteForCausalLM, out: Path) -> None:
    """Write BF16 shards with the published names, their index, config.json and generation_config.json."""
    out.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        value = value.detach().cpu()
        if name.endswith("experts.gate_up_proj"):
            gate, up = value.chunk(2, dim=1)
            for e in range(value.shape[0]):
                tensors[name.replace("gate_up_proj", f"{e}.gate_proj.weight")] = gate[e]
                tensors[name.replace("gate_up_proj", f"{e}.up_proj.weight")] = up[e]
        elif name.endswith("experts.down_proj"):
            for e in range(value.shape[0]):
                tensors[name.replace("down_proj", f"{e}.down_proj.weight")] = value[e]
        else:
            tensors[name] = value
    for name, value in tensors.items():
        keep = name.endswith("e_score_correction_bias")
        tensors[name] = value.to(torch.float32 if keep else torch.bfloat16).contiguous().clone()

    def order(name: str) -> tuple[int, list[object]]:
        parts = [int(p) if p.isdigit() else p for p in name.split(".")]
        rank = 0 if "embed_tokens" in name else 1 if ".layers." in name else 2
        return rank, [(isinstance(p, str), p) for p in parts]

    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name in sorted(tensors, key=order):
        nbytes = tensors[name].numel() * tensors[name].element_size()
        if size + nbytes > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = tensors[name]
        size += nbytes
    for old in out.glob("model-*.safetensors"):
        old.unlink()
    where: dict[str, str] = {}
    for i, shard in enumerate(shards, 1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, out / file, metadata={"format": "pt"})
        where |= dict.fromkeys(shard, file)
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    count = sum(t.numel() for t in tensors.values())
    index = {"metadata": {"total_parameters": count, "total_size": total}, "weight_map": dict(sorted(where.items()))}
    c = model.config
    for file, data in (
        ("model.safetensors.index.json", index),
        ("config.json", published_config(c)),
        (
            "generation_config.json",
            {
                "do_sample": False,  # answers are either right or wrong, and tests want the same ones each time
                "eos_token_id": c.eos_token_id,
                "pad_token_id": c.pad_token_id,
                "transformers_version": "5.17.0",
            },
        ),
    ):
        text = json.dumps(data, indent=2)
        text = re.sub(r"\[\s+(\d+(?:,\s+\d+)*)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m.group(1)) + "]", text)
        (out / file).write_text(text + "\n")
