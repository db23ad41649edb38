import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow
from torch.utils.tensorboard import SummaryWriter

from segtrace.report.checksums import hasten_tensorboard

SLOW = pywrap_tensorflow.crc32c


@pytest.fixture
def hastened(monkeypatch):
    monkeypatch.setattr(pywrap_tensorflow, "crc32c", SLOW)  # and back again afterwards
    hasten_tensorboard()
    assert pywrap_tensorflow.crc32c is not SLOW


@given(st.binary(max_size=300))
def test_the_sums_are_tensorboards_own(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pywrap_tensorflow, "crc32c", SLOW)
        expected = pywrap_tensorflow.masked_crc32c(data)
        hasten_tensorboard()
        assert pywrap_tensorflow.masked_crc32c(data) == expected


def test_a_file_written_with_them_passes_the_slow_check(hastened, tmp_path, monkeypatch):
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("a", 1.0, 0)
    monkeypatch.setattr(pywrap_tensorflow, "crc32c", SLOW)
    (path,) = tmp_path.iterdir()
    assert len(list(RawEventFileLoader(str(path)).Load())) == 2  # the file's version, one point
