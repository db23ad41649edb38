"""Where pictures and numbers of a run go, whatever its organs and stages are called."""

from dataclasses import replace

from helpers.invented import explained
from helpers.tags import expected_tags, further_tags
from segtrace.names import file_name
from segtrace.report.tables import read_table
from segtrace.report.tensorboard import OVERVIEW_TAG
from segtrace.tracking.history import History
from segtrace.tracking.leaks import LeakMeter, Leaks
from segtrace.tracking.writer import Writer, last_shown

ORGANS = ("../../Left", "LEFT")
STAGES = ("../dec1", "head")


def oddly_named(epoch):
    """The explained epoch of ``invented`` under names that could lead elsewhere."""
    known = explained(epoch, 0.5)
    flow, scene = known.record.flow, known.record.scene
    maps = dict(zip(STAGES, flow.maps.values(), strict=True))
    flow = replace(flow, organs=ORGANS, maps=maps)
    scene = replace(scene, channels=dict(zip(ORGANS, (1, 2), strict=True)))
    record = replace(known.record, flow=flow, scene=scene)
    names = known.measures.assign_coords(organ=list(ORGANS), site=list(STAGES))
    return replace(known, record=record, measures=names)


def test_every_file_of_an_epoch_lies_in_its_folder_under_a_name_of_its_own(tmp_path):
    folder = tmp_path / "deep" / "flow"
    writer, history, epoch = Writer(folder), History(), oddly_named(0)
    history.add(epoch, {})
    writer.pictures(epoch, ["grad_pam"])
    writer.numbers(epoch, history)
    writer.timelines(history)
    writer.leaks(Leaks(epoch.record, LeakMeter().of(epoch.record), None, None))
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(folder) for path in found)
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    organs = {f"{file_name(organ, ORGANS)}.png" for organ in ORGANS}
    stages = {f"{file_name(stage, STAGES)}.png" for stage in STAGES}
    for place, names in {
        "epoch_000/grad_pam": organs,
        "timeline/gain/grad_pam": organs,
        "epoch_000/leak/grad_pam": stages,
    }.items():
        assert {path.name for path in (folder / place).iterdir()} == names
    rows = read_table(folder / "timeline.csv")
    assert {(row["organ"], row["stage"]) for row in rows} == {
        (organ, stage) for organ in ORGANS for stage in STAGES
    }


def test_of_every_tag_it_is_known_how_far_it_had_come():
    reached = {"overview": 4, "charts": 3, "cuts": 2, "numbers": 5, "a/b": 1}
    known, tags = last_shown(reached), {"rules": ["a/b"], "organs": ["liver"], "cut": ["liver"]}
    blocks = [("gain", "a/b")]
    ours = expected_tags(**tags, estimated=True)
    ours |= further_tags(**tags, stages=["enc1"], blocks=blocks, timelines=blocks)
    begins = {"1": 4, "2": 1, "3": 3, "4": 2, "5": 3, "z": 5}
    for tag in ours:
        assert [last for start, last in known.items() if tag.startswith(start)] == [begins[tag[0]]]
    assert last_shown({})[OVERVIEW_TAG] == -1
