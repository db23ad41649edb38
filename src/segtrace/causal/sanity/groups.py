"""The weights of a network in groups, one a stage, from the head down."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from segtrace.network.cached_forward import Timetable
from segtrace.network.stages import Stage
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped


@dataclass(frozen=True)
class Group:
    """The modules that work between the stage before and this one.

    Attributes:
        name: of the stage.
        modules: paths of those that hold weights or statistics of their own.
        unclear: those of them that are never called in a forward pass, nor is any module that
            they lie in: which stage they serve is not known.
    """

    name: str
    modules: tuple[str, ...]
    unclear: tuple[str, ...] = ()


def groups_of(net: nn.Module, stages: Sequence[Stage], image: Tensor) -> tuple[Group, ...]:
    """Every parameter and buffer of a network in exactly one group, the head's group first.

    Read off one forward pass: a module belongs to the first stage that returns after the module
    has started; what starts behind all stages to the last one. What is never called itself, such as
    the weights that attention reads, goes with the innermost module around it that is; without
    one, with the stage next to the image, which is randomised last.

    Args:
        net: the network; wrappers of ``torch.compile`` and DDP are looked through.
        stages: all of its stages, whichever are explained.
        image: (1, C, *image) a slice that it takes.
    """
    net = unwrapped(net)
    x = as_input(net, image)
    with undisturbed(net, x.device):
        times = Timetable.of(net, x)
    rising = sorted(stages, key=lambda stage: times.returns[stage.module])
    held: dict[str, list[str]] = {stage.name: [] for stage in rising}
    unclear: list[str] = []
    for path in _owners(net):
        starts = _starts(path, times.starts)
        if starts is None:
            unclear.append(path)
            continue
        later = (stage for stage in rising if times.returns[stage.module] > starts)
        held[next(later, rising[-1]).name].append(path)
    held[rising[0].name] += unclear
    groups = [Group(name, tuple(paths)) for name, paths in held.items()]
    groups[0] = Group(groups[0].name, groups[0].modules, tuple(unclear))
    return tuple(group for group in reversed(groups) if group.modules)


def _owners(net: nn.Module) -> Iterator[str]:
    """Paths of the modules that hold a tensor of their own; one that is shared is the first's."""
    names = [name for name, _ in (*net.named_parameters(), *net.named_buffers())]
    yield from dict.fromkeys(name.rpartition(".")[0] for name in names)


def _starts(path: str, starts: Mapping[str, int]) -> int | None:
    """When the module, or else the innermost one around it, is first called."""
    while path and path not in starts:
        path = path.rpartition(".")[0]
    return starts.get(path)
