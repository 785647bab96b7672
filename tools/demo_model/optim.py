"""Muon for the matrices (batched over equal shapes) and AdamW for the rest."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def _orthogonalise(g: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz iteration on a stack of wide matrices."""
    x = g.bfloat16() if g.is_cuda else g.float()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x.float()


class Muon:
    """Momentum, orthogonalised; the update has the root mean square of an AdamW step (factor 0.2 sqrt(max side))."""

    def __init__(self, parameters: list[nn.Parameter], momentum: float = 0.95, decay: float = 0.05) -> None:
        self.momentum, self.decay = momentum, decay
        self.groups: dict[tuple[int, int], list[nn.Parameter]] = {}
        self.buffers: dict[tuple[int, int], Tensor] = {}
        for p in parameters:
            wide = self._wide(p, p.detach())
            self.groups.setdefault((wide.shape[1], wide.shape[2]), []).append(p)

    @staticmethod
    def _wide(p: nn.Parameter, t: Tensor) -> Tensor:
        """A stack of wide matrices [n, rows, columns], rows <= columns; fused gate and up count as two."""
        if t.dim() == 2:
            t = t[None]
        elif p.shape[1] == p.shape[2]:
            t = t.reshape(t.shape[0] * 2, t.shape[1] // 2, t.shape[2])
        return t.mT if t.shape[1] > t.shape[2] else t

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update from the gradients."""
        for shape, parameters in self.groups.items():
            views = [self._wide(p, p.grad) for p in parameters]
            g = torch.cat(views)
            buffer = self.buffers.setdefault(shape, torch.zeros_like(g))
            buffer.lerp_(g, 1 - self.momentum)
            update = _orthogonalise(g.lerp(buffer, self.momentum)) * (-rate * 0.2 * max(shape) ** 0.5)
            targets = [self._wide(p, p.data) for p in parameters]
            torch._foreach_mul_(targets, 1 - rate * self.decay)
            torch._foreach_add_(targets, list(update.split([v.shape[0] for v in views])))


def split(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters for Muon and for AdamW."""
    matrices, rest = [], []
    for name, p in model.named_parameters():
        plain = p.dim() < 2 or "embed_tokens" in name or "lm_head" in name or name.endswith("gate.weight")
        (rest if plain else matrices).append(p)
    return matrices, rest
