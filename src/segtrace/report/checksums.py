"""TensorBoard's checksums at the speed of C."""

import google_crc32c
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow


def hasten_tensorboard() -> None:
    """Let TensorBoard's package sum the bytes of event files in C, in this process.

    It does so in a Python loop (tensorflow/tensorboard#4354, pytorch/pytorch#101962): 30 ms for
    the picture of an organ, in a thread on which drawing and training then wait, and minutes for
    reading the file of a long run. The sums are the same, so the files are too.
    """
    pywrap_tensorflow.crc32c = google_crc32c.value
