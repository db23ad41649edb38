"""Slow truths: loops written from the equations, one stage, organ and slice at a time."""

import torch


def activation_and_gradient(net, module, x, weights, score=lambda logits: logits):
    """One stage, one slice at a time: A and ∂S/∂A, by a pass of their own."""
    activations, gradients = [], []
    for n in range(len(x)):
        stored = []
        handle = module.register_forward_hook(lambda _m, _i, out, stored=stored: stored.append(out))
        logits = net(x[n : n + 1].clone().requires_grad_())
        handle.remove()
        total = sum(
            weights[n, c, i, j] * score(logits)[0, c, i, j]
            for c, i, j in weights[n].nonzero().tolist()
        )
        activations.append(stored[0][0].detach())
        gradients.append(torch.autograd.grad(total, stored[0])[0][0])
    return torch.stack(activations), torch.stack(gradients)


def seg_grad_cam(activation, gradient):
    """Eq. 1-3 for one slice: α_k = 1/N Σ_u Σ_v ∂S/∂A^k_uv, then Σ_k α_k A^k."""
    channels, height, width = activation.shape
    total = torch.zeros(height, width, dtype=activation.dtype)
    for k in range(channels):
        alpha = 0.0
        for u in range(height):
            for v in range(width):
                alpha += gradient[k, u, v].item() / (height * width)
        total += alpha * activation[k]
    return total


def grad_pam(activation, gradient):
    channels, height, width = activation.shape
    total = torch.zeros(height, width, dtype=activation.dtype)
    for u in range(height):
        for v in range(width):
            total[u, v] = sum(
                (gradient[k, u, v] * activation[k, u, v]).item() for k in range(channels)
            )
    return total


def kappa(gradient):
    """Σ_k|Σ_uv G| / Σ_k Σ_uv|G| of one slice."""
    signed = sum(abs(channel.sum().item()) for channel in gradient)
    return signed / sum(channel.abs().sum().item() for channel in gradient)


def difference_quotient(net, module, x, weights, direction, step=1e-6):
    """Central difference of Σ weights · logits when a stage's output moves along a direction."""

    def score(shift):
        handle = module.register_forward_hook(lambda _m, _i, out: out + shift * direction)
        with torch.no_grad():
            total = (weights * net(x)).sum().item()
        handle.remove()
        return total

    return (score(step) - score(-step)) / (2 * step)


def direction(activation, seed=3):
    """Where to move a stage: at random, but not where a ReLU has put exact zeros.

    Several zeros in one window of a max-pool tie, and a tie has no derivative to compare with.
    """
    generator = torch.Generator().manual_seed(seed)
    moved = torch.randn(activation.shape, generator=generator, dtype=torch.float64)
    return moved * (activation != 0)
