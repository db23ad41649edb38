"""Sites that every path from image to logits runs through, and those that are one path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.attribution.forward import Output
from segtrace.errors import InputError
from segtrace.network.graph import DETACHED, check_all
from segtrace.network.hooks import Edit, edit
from segtrace.network.logits import logits_at
from segtrace.network.sites import Site


@dataclass(frozen=True)
class Wiring:
    """Autograd's graph of one forward pass, with a node of its own for every site.

    Attributes:
        image: the leaf of the graph.
        logits: the node that the logits come from.
        gates: site -> its node; ``None`` where no gradient reaches it.
    """

    image: Tensor
    logits: Any
    gates: Mapping[str, Any]

    @classmethod
    def of(
        cls, net: nn.Module, sites: Sequence[Site], x: Tensor, output: Output | None = None
    ) -> "Wiring":
        """Of this network as it is wired, without a table.

        Args:
            net: the network itself, in evaluation mode.
            sites: the sites.
            x: (n, C, *image); one slice will do.
            output: picks the logits from what the network returns.

        Raises:
            InputError: logits that do not depend on the image at all, or have no gradient; sites
                under re-entrant checkpointing.
        """
        gates: dict[str, Any] = {}
        copies: dict[str, Tensor] = {}

        def gate(name: str) -> Edit:
            def pass_on(activation: Tensor) -> Tensor:
                copies[name] = activation.clone()  # a node of its own in the graph
                gates[name] = copies[name].grad_fn
                return copies[name]

            return pass_on

        leaf = x.detach().clone().requires_grad_()
        with torch.enable_grad(), edit(net, {site: gate(site.name) for site in sites}):
            logits = logits_at(net, leaf, output)
        if not logits.requires_grad:
            raise InputError(DETACHED)
        # What a checkpointed part puts out has its node only when the part is left.
        gates = {name: node or copies[name].grad_fn for name, node in gates.items()}
        check_all(logits, {name for name, node in gates.items() if node is None})
        found = cls(leaf, logits.grad_fn, {site.name: gates.get(site.name) for site in sites})
        if not found._reaches_image(found.logits, None):
            raise InputError("the logits do not depend on the image; there is nothing to cut")
        return found

    @property
    def cut_vertices(self) -> Tensor:
        """Which sites, taken away alone, part the logits from the image: (S,) bool.

        Their cut costs all there is by construction and ranks nothing.
        """
        parted = [not self._reaches_image(self.logits, gate) for gate in self.gates.values()]
        return torch.tensor(parted)

    @property
    def path_ends(self) -> tuple[str, ...]:
        """Of every site the last one on its path: itself, or what it alone feeds, and it alone.

        Two sites are one path where whatever runs through the one runs through the other as well:
        ``dec3`` and the edge ``up_4`` that carries it up. To cut either is to cut the same path.
        """
        names = [name for name, gate in self.gates.items() if gate is not None]
        # All that the logits still hold of the network when a site is taken away.
        left = {name: self._behind(self.logits, self.gates[name]) for name in names}

        def follows(later: str, site: str) -> bool:
            """What leaves the site comes by the later one, which gets nothing else."""
            return (
                self.gates[site] not in left[later]
                and self.gates[later] in left[site]
                and not self._reaches_image(self.gates[later], self.gates[site])
            )

        def end(site: str) -> str:
            after = [name for name in names if name != site and follows(name, site)]
            # Of those after it the last is the one that none of them follows.
            return next((one for one in after
                         if not any(follows(other, one) for other in after if other != one)),
                        site)  # fmt: skip

        return tuple(end(name) if name in names else name for name in self.gates)

    def _reaches_image(self, start: Any, closed: Any) -> bool:
        """Whether a walk down the graph comes to the image without passing the closed node."""
        nodes = self._behind(start, closed)
        return any(getattr(node, "variable", None) is self.image for node in nodes)

    @staticmethod
    def _behind(start: Any, closed: Any) -> set[Any]:
        """All nodes that a walk down the graph comes to without passing the closed one."""
        found: set[Any] = set()
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if node is None or node is closed or node in found:
                continue
            found.add(node)
            waiting += [below for below, _ in node.next_functions]
        return found
