"""The figure of two parts of an organ."""

import torch

from segtrace.report.figures.nuances.instances import Example, instances_figure


def test_the_untrained_network_is_named_where_it_is_drawn():
    by = torch.Generator().manual_seed(0)
    apart = {name: torch.rand(3, 2, 6, generator=by) for name in ("parts", "organs", "untrained")}
    rules, mask = ("seg_grad_cam", "grad_pam"), torch.ones(8, 8, dtype=torch.bool).tril()
    maps = {rule: (torch.rand(4, 4, generator=by), torch.rand(4, 4, generator=by))
            for rule in rules}  # fmt: skip
    example = Example(torch.rand(8, 8, generator=by), (mask, ~mask), maps, "liver, dec1")
    sites = ("enc1", "dec1", "dec2")
    figure, caption = instances_figure(apart, sites, rules, example)
    labels = [text.get_text() for part in figure.subfigs for one in part.legends
              for text in one.get_texts()]  # fmt: skip
    assert "the same, untrained network" in labels
    assert "Dotted: the untrained network." in caption
    assert "learned" not in caption
    _, alone = instances_figure({"parts": apart["parts"]}, sites, rules)
    assert "untrained" not in alone
