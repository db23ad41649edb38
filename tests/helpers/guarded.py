"""What every public function answers to an argument that cannot be."""

import pytest

from segtrace import InputError

ODD = pytest.mark.parametrize("value", [object(), b"x", 1j], ids=["object", "bytes", "complex"])
"""Nothing takes any of these."""


def refusal(call, arguments):
    """The one line with which a call is refused."""
    with pytest.raises(InputError) as caught:
        call(**arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)
