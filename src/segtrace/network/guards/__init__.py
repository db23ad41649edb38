"""What the arguments of public functions may be: one guard a kind, shared by all functions.

Most people who come with an array of numpy, a string where a list is wanted, or a module's class in
the place of a module are answered here, by the name of the argument, before any work is done.
"""

from segtrace.network.guards.arguments import ARGUMENTS, fields, held, holding
from segtrace.network.guards.combined import each, instance, optional, some
from segtrace.network.guards.explained import (
    a_channel,
    a_component,
    a_rule,
    an_activation,
    an_organ,
    an_output,
    channels,
    rules,
    targets,
)
from segtrace.network.guards.places import (
    PROPOSED,
    named_or_resolved,
    places,
    places_or_proposed,
    places_or_sites,
    refuse_misspelt,
    sites,
    some_or_none,
)
from segtrace.network.guards.tensors import (
    a_finite_image,
    a_network,
    a_tensor,
    an_image,
    batches,
    labels,
    of_one_stage,
    tensors,
)
from segtrace.network.guards.values import (
    a_count,
    a_function,
    a_function_or_none,
    a_name,
    a_name_or_number,
    a_number,
    a_range,
    a_switch,
    a_text,
    a_whole,
    ends,
    from_zero,
    names,
    numbers,
)

__all__ = [
    "ARGUMENTS", "PROPOSED", "a_channel", "a_component", "a_count", "a_finite_image",
    "a_function", "a_function_or_none", "a_name", "a_name_or_number", "a_network", "a_number",
    "a_range", "a_rule", "a_switch", "a_tensor", "a_text", "a_whole", "an_activation",
    "an_image", "an_organ", "an_output", "batches", "channels", "each", "ends", "fields",
    "from_zero", "held", "holding", "instance", "labels", "named_or_resolved", "names",
    "numbers", "of_one_stage", "optional", "places", "places_or_proposed", "places_or_sites",
    "refuse_misspelt", "rules", "sites", "some", "some_or_none", "targets", "tensors",
]  # fmt: skip
