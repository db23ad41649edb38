"""Networks of ``segtrace.models``, built from their papers."""

from segtrace.network.known.record import Junction, Known

_UP = Junction(up="{stage}.up", argument=1)
_DECODER = [("dec", r"decoder\.\d"), ("head", r"head")]

MODELS = (
    Known(
        "segtrace RonnebergerUNet",
        ["segtrace.models.ronneberger2015.RonnebergerUNet"],
        [("enc", r"encoder\.\d"), *_DECODER],
        [_UP],
    ),
    # enc5 is the transformer's last layer, on the grid of enc4, which is its input and no skip.
    Known(
        "segtrace TransUNet",
        ["segtrace.models.chen2021.TransUNet"],
        [("enc", r"root"), ("enc", r"body\.\d"), ("enc", r"transformer"), *_DECODER],
        [_UP],
        sources=["enc3", "enc2", "enc1"],
    ),
)
