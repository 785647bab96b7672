"""Show that the training forward and the exported files equal transformers' own model."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from transformers import Glm4MoeLiteForCausalLM

import model as demo


def main() -> None:
    """Compare logits of a random model, before and after an export."""
    torch.manual_seed(1)
    reference = Glm4MoeLiteForCausalLM(demo.config(4096, [4060, 4067, 4069])).float().eval()
    for layer in reference.model.layers[1:]:
        layer.mlp.gate.e_score_correction_bias.normal_(0, 0.05)
    ids = torch.randint(0, 4096, (2, 200))
    cos, sin = demo.rope_table(reference.config, 200, ids.device)
    with torch.no_grad():
        expected = reference(ids).logits
        mine = demo.fast_forward(reference, ids, cos, sin, demo.causal)[0]
        reference.load_state_dict(
            {k: v.bfloat16().float() if "bias" not in k else v for k, v in reference.state_dict().items()}
        )
        rounded = reference(ids).logits
        with tempfile.TemporaryDirectory() as folder:
            demo.export(reference, Path(folder))
            loaded = Glm4MoeLiteForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
            reloaded = loaded(ids).logits
    scale = expected.abs().max()
    forward, files = (mine - expected).abs().max() / scale, (reloaded - rounded).abs().max() / scale
    print(f"fast forward: {forward:.2e} of max |logit|; exported files: {files:.2e}")
    if forward > 1e-5 or files > 1e-6:
        sys.exit("not equal")


if __name__ == "__main__":
    main()
