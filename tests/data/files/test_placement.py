import nibabel
import numpy as np
import pytest

from helpers.raw_layout import AFFINES
from segtrace.data.files.geometry import Geometry
from segtrace.data.files.nifti import read_image
from segtrace.data.volumes.geometry import VolumeGeometry

VALUES = np.where(np.arange(120).reshape(6, 5, 4) < 60, -1000, 40).astype(np.int16)
SCAN = np.diag([-1.3, 1.3, 5.0, 1.0])
SCAN[:3, 3] = (80, -90, 30)


def turned(axis, degrees, affine=SCAN):
    i, j = (other for other in range(3) if other != axis)
    angle, turn = np.deg2rad(degrees), np.eye(4)
    turn[[i, j], [i, j]] = np.cos(angle)
    turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
    return turn @ affine


@pytest.fixture
def read(tmp_path):
    """A file with these affines (None for not given), unit and, in the end, pixdim."""

    def read(sform=None, qform=None, unit="mm", pixdim=None):
        file = nibabel.Nifti1Image(VALUES, SCAN)
        file.set_sform(sform, int(sform is not None))
        file.set_qform(qform, int(qform is not None))
        if sform is not None and qform is None:
            file.header["pixdim"][1:4] = np.linalg.norm(sform[:3, :3], axis=0)
        file.header.set_xyzt_units(unit)
        path = tmp_path / "a.nii"
        file.to_filename(path)
        if pixdim is not None:
            content = bytearray(path.read_bytes())
            content[80:92] = np.array(pixdim, "<f4").tobytes()
            path.write_bytes(content)
        return read_image(path)

    return read


def kinds(volume):
    return [finding.kind for finding in volume.findings]


@pytest.mark.parametrize("axes", AFFINES)
@pytest.mark.parametrize("form", ["sform", "qform"])
def test_a_header_that_agrees_with_itself_is_believed(read, axes, form):
    volume = read(**{form: AFFINES[axes]})
    assert kinds(volume) == []
    assert volume.grid.sides_known
    assert volume.grid.spacing == pytest.approx((5, 5, 6))


def test_both_affines_alike_are_believed(read):
    near = turned(2, 4)
    near[:3, 3] += 50  # a template's space: moved and a little turned
    for qform in (SCAN, near):
        volume = read(SCAN, qform)
        assert kinds(volume) == []
        assert volume.grid.sides_known


def test_neither_affine_means_unknown_sides_and_known_mm(read):
    volume = read()
    assert not volume.grid.sides_known
    assert volume.grid.spacing == pytest.approx((1.3, 1.3, 5))
    (finding,) = volume.findings
    assert "does not say how the patient lies (sform and qform codes are 0)" in finding.words


def test_neither_affine_and_voxels_of_one_mean_that_nothing_is_known(read):
    volume = read(pixdim=(1, 1, 1))
    assert not volume.grid.sides_known
    assert np.isnan(volume.grid.spacing).all()
    assert kinds(volume) == ["no orientation"]


def test_the_identity_is_a_placeholder(read):
    for volume in (read(np.eye(4)), read(np.eye(4), pixdim=(1.3, 1.3, 10))):
        assert kinds(volume) == ["placeholder"]
        assert not volume.grid.sides_known
        assert np.isnan(volume.grid.spacing).all()
    assert "its pixdim says 1.3 x 1.3 x 10 mm" in volume.findings[0].words


def test_an_sform_of_another_voxel_size_leaves_mm_unknown(read):
    unit = np.diag([-1.0, 1, 1, 1])
    unit[:3, 3] = 20
    for volume in (read(unit, SCAN), read(unit, pixdim=(1.3, 1.3, 5))):
        assert kinds(volume) == ["two sizes"]
        assert np.isnan(volume.grid.spacing).all()
        assert "a voxel is 1 x 1 x 1 mm, its pixdim 1.3 x 1.3 x 5" in volume.findings[0].words
        assert volume.grid.sides_known


@pytest.mark.parametrize("pixdim", [(0, 0, 0), (1.3, 0, 5), (np.nan, 1.3, 5), (1.3, 1.3, 9)])
def test_a_pixdim_that_contradicts_leaves_mm_unknown(read, pixdim):
    for volume in (read(SCAN, pixdim=pixdim), read(SCAN, SCAN, pixdim=pixdim)):
        assert "two sizes" in kinds(volume)
        assert np.isnan(volume.grid.spacing).all()


def test_a_voxel_of_size_zero_is_told(read):
    volume = read(qform=SCAN, pixdim=(1.3, 0, 5))
    assert np.isnan(volume.grid.spacing).all()
    assert "a voxel is 1.3 x 0 x 5 mm" in volume.findings[0].words


def test_a_negative_pixdim_is_read_as_everybody_reads_it(read):
    volume = read(SCAN, pixdim=(-1.3, 1.3, 5))
    assert kinds(volume) == []
    assert volume.grid.spacing == pytest.approx((1.3, 1.3, 5))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_qform_leaves_the_sides_unknown(read, axis):
    mirrored = SCAN.copy()
    mirrored[axis] *= -1
    volume = read(SCAN, mirrored)
    assert kinds(volume) == ["two orientations"]
    assert "lie 180° apart (LAS and " in volume.findings[0].words
    assert not volume.grid.sides_known
    assert volume.grid.spacing == pytest.approx((1.3, 1.3, 5))


def test_a_turned_qform_leaves_the_sides_unknown(read):
    assert kinds(read(SCAN, turned(2, 40))) == ["two orientations"]


def test_a_qform_that_is_no_rotation_is_passed_over(read, tmp_path):
    read(SCAN, SCAN)
    path = tmp_path / "a.nii"
    content = bytearray(path.read_bytes())
    content[256:260] = np.array([5], "<f4").tobytes()  # of a unit quaternion
    path.write_bytes(content)
    assert read_image(path).findings == ()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("degrees", "oblique"), [(25, False), (44, True), (46, True), (90, False)])
def test_a_scan_that_stands_oblique_is_told(read, axis, degrees, oblique):
    volume = read(turned(axis, degrees))
    assert kinds(volume) == ["oblique"] * oblique
    # About the axis through the sides, as a gantry tilts, right stays right.
    assert volume.grid.sides_known == (not oblique or axis == 0)
    if oblique:
        assert "44° oblique" in volume.findings[0].words


def test_an_oblique_scan_beyond_45_degrees_says_along_which_axis_it_is_sliced(read):
    assert "the stored axis k" in read(turned(0, 44)).findings[0].words
    beyond = read(turned(0, 46))
    assert "the stored axis j" in beyond.findings[0].words
    assert len(beyond.image) == VALUES.shape[1]


def test_units_are_turned_into_mm(read):
    micron = SCAN.copy()
    micron[:3] *= 1000
    metre = SCAN.copy()
    metre[:3] /= 1000
    for volume in (read(micron, unit="micron"), read(metre, unit="meter"), read(SCAN, unit=0)):
        assert kinds(volume) == []
        assert volume.grid.spacing == pytest.approx((1.3, 1.3, 5))


@pytest.mark.parametrize("unit", ["meter", "micron"])
def test_a_wrong_unit_leaves_mm_unknown(read, unit):
    volume = read(SCAN, unit=unit)
    assert kinds(volume) == ["strange size"]
    assert np.isnan(volume.grid.spacing).all()


def test_the_identity_in_the_axes_of_itk_is_a_placeholder(read):
    nothing = np.diag([-1.0, -1.0, 1.0, 1.0])  # what SimpleITK writes of an array alone
    for forms in ({"sform": nothing}, {"qform": nothing}, {"sform": nothing, "qform": nothing}):
        volume = read(**forms)
        assert kinds(volume) == ["placeholder"]
        assert "is the identity in the axes of ITK, as of a program" in volume.findings[0].words
        assert not volume.grid.sides_known
        assert np.isnan(volume.grid.spacing).all()


def test_an_affine_that_says_place_or_size_is_no_placeholder(read):
    nothing = np.diag([-1.0, -1.0, 1.0, 1.0])
    moved, turned_over, large = nothing.copy(), np.diag([-1.0, 1, 1, 1]), nothing.copy()
    moved[0, 3], large[2, 2] = 0.5, 2.0
    for affine in (moved, turned_over, large):
        assert kinds(read(affine, affine)) == []


@pytest.mark.parametrize(("shear", "told"), [(0, False), (0.01, False), (0.5, True), (-3, True)])
def test_a_sheared_scan_is_told_and_its_volumes_are_those_of_its_affine(read, shear, told):
    """Distances along every way, in mm of the affine and of orthogonal axes, differ by as much."""
    affine = SCAN.copy()
    affine[0, 1] = shear
    volume = read(affine)
    assert ("sheared" in kinds(volume)) == told
    voxel = abs(np.linalg.det(affine[:3, :3])) / 1000
    assert volume.grid.voxel_ml == pytest.approx(voxel, rel=1e-6)
    slices = Geometry.fit(volume.grid, 30)
    assert slices.voxel_ml * 30**2 == pytest.approx(voxel * np.prod(slices.square), rel=1e-6)
    if told:
        ways = np.random.default_rng(0).normal(size=(3, 20000))
        true = np.linalg.norm(affine[:3, :3] @ ways, axis=0)
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        apart = np.abs(np.linalg.norm(sizes[:, None] * ways, axis=0) / true - 1).max()
        said = float(volume.findings[-1].words.split("up to ")[1].split("%")[0]) / 100
        assert said == pytest.approx(apart, abs=0.01, rel=0.03)
        whole = VolumeGeometry.fit(volume.grid, (1.0, 1.0, 1.0), "a")
        assert whole.voxel_ml * np.prod(whole.shape) == pytest.approx(VALUES.size * voxel, rel=1e-6)
