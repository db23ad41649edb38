import json
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
from torch import nn

from segtrace.data.cases import TEST12, TRAIN18, published_split
from segtrace.data.datamodule import CaseDataModule
from segtrace.data.sources import RawSource
from segtrace.data.splits.choosing import chosen_split
from segtrace.errors import InputError
from segtrace.training.module import SegmentationModule

ALL30 = tuple(sorted(TRAIN18 + TEST12))


def source(cases=ALL30, held_out=None):
    """What a split is chosen of, without files."""
    kept = tuple(case for case in TEST12 if case in cases) if held_out is None else held_out
    return SimpleNamespace(
        cases=lambda: tuple(cases), split=lambda: published_split(cases), held_out=lambda: kept
    )


def test_the_published_split_is_the_default():
    assert chosen_split(source()) == chosen_split(source(), "published") == published_split(ALL30)


def test_the_protocols_own_trains_on_all_18_and_validates_on_none():
    assert chosen_split(source(), "protocol") == {"train": TRAIN18, "val": (), "test": TEST12}


def test_btcv24_validates_on_35_to_40_and_says_what_it_is_not(capsys):
    split = chosen_split(source(), "btcv24")
    assert split["val"] == ("0035", "0036", "0037", "0038", "0039", "0040")
    assert len(split["train"]) == 24
    assert {*split["train"], *split["val"]} == {*ALL30}
    assert split["test"] == ()
    assert chosen_split(source(), "btcv24") == split
    assert capsys.readouterr().out.count("not to be compared") == 1


@pytest.mark.parametrize("name", ["published", "protocol", "btcv24"])
def test_with_cases_missing_what_is_there_is_proposed_without_test_cases(name):
    with pytest.raises(InputError, match=r"give e.g. 'data.split={train: \[\"0006\"") as caught:
        chosen_split(source(ALL30[1:4] + ALL30[5:]), name)  # without 0001 and 0005
    trained = str(caught.value).split("give e.g. ")[1].split(", test:")[0]
    assert not any(f'"{case}"' in trained for case in TEST12)


@pytest.mark.parametrize(("n", "part"), [(9, "1/5"), (3, "1/3")])
def test_cases_without_a_split_are_offered_a_fold_first(n, part):
    own = source([f"c{row}" for row in range(n)])
    with pytest.raises(InputError, match=rf"without a split; say data.fold={part},.*data.split="):
        chosen_split(own)
    assert chosen_split(own, "published", part)["val"]  # the default beside it, as when typed


@pytest.mark.parametrize(
    ("cases", "split"), [(("c1",), "published"), (("c1", "c2"), "protocol"), (TEST12, "published")]
)
def test_no_fold_is_offered_where_it_would_be_refused(cases, split):
    with pytest.raises(InputError, match=r"^these cases have no published split; (?!.*data.fold)"):
        chosen_split(source(cases), split)


def test_a_name_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(InputError, match=r"no split, and no file .*'protokol'.*did you mean proto"):
        chosen_split(source(), "protokol")


def test_a_file_may_train_on_one_case_and_validate_on_none(tmp_path):
    (tmp_path / "own.json").write_text('{"train": ["0005"], "test": ["0001"]}')
    split = chosen_split(source(), str(tmp_path / "own.json"))
    assert split == {"train": ("0005",), "val": (), "test": ("0001",)}


def test_folds_validate_every_case_once_and_no_test_case_ever():
    folds = [chosen_split(source(), part=f"{k}/5", seed=3) for k in range(1, 6)]
    assert sorted(case for split in folds for case in split["val"]) == list(TRAIN18)
    for split in folds:
        assert {*split["train"], *split["val"]} == {*TRAIN18}
        assert {*split["train"]}.isdisjoint(split["val"])
        assert split["test"] == TEST12
        assert len(split["val"]) in (3, 4)
    again = [chosen_split(source(), part=f"{k}/5", seed=3) for k in range(1, 6)]
    assert again == folds
    assert chosen_split(source(), part="1/5", seed=4) != folds[0]


def test_a_fold_of_a_data_set_without_test_cases_is_of_all():
    split = chosen_split(source(("a", "b", "c")), part="1/3")
    assert sorted(split["train"] + split["val"]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "part", ["0/5", "6/5", "1/1", "5", 1, "1/19", "x/5", "-1/5", "1/2/3", True]
)
def test_what_is_no_fold_is_refused(part):
    with pytest.raises(InputError, match=r"data.fold="):
        chosen_split(source(), part=part)


@pytest.mark.parametrize("given", ["protocol", {"train": ["0005"], "val": ["0006"]}])
def test_a_fold_of_another_split_is_refused(given):
    with pytest.raises(InputError, match=r"give one of the two"):
        chosen_split(source(), given, "1/5")


def written(folder, content, name="split.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


PLAIN = {"train": ("0005", "0006"), "val": ("0007",), "test": ("0001",)}
TEXT = "train: 0005, 0006\nval: 0007\ntest: 0001\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", PLAIN),
        ("a.json", {part: [f"img{name}.nii" for name in names] for part, names in PLAIN.items()}),
        ("a.yaml", "train: [0005, img0006]\nval:\n  - 0007\ntest: [0001]\n"),
        ("a.txt", TEXT),
        ("a.txt", "\ufeff" + TEXT.replace("\n", "\r\n")),
        ("a.json", {"training": [{"image": "./imagesTr/img0005.nii.gz", "label": "x"},
                                 {"image": ["imagesTr/0006_0000.nii.gz"]}],
                    "validation": [{"image": "img0007.nii.gz"}], "test": ["img0061.nii.gz"]}),
    ],
)  # fmt: skip
def test_a_file_names_the_parts(tmp_path, name, content):
    split = chosen_split(source(), written(tmp_path, content, name))
    assert split == PLAIN | ({"test": ()} if "training" in content else {})


NNUNET = [
    {"train": ["0005", "0006"], "val": ["0007"]},
    {"train": ["0007", "0005"], "val": ["0006"]},
]


def test_a_fold_of_nnunets_file_is_chosen_by_its_number(tmp_path):
    path = written(tmp_path, NNUNET, "splits_final.json")
    assert chosen_split(source(), path, 1)["val"] == ("0006",)
    assert chosen_split(source(), path, "0")["val"] == ("0007",)
    for part, words in (
        (None, r"holds 2 folds; say which, data.fold=0"),
        (2, "holds folds 0 to 1"),
    ):
        with pytest.raises(InputError, match=words):
            chosen_split(source(), path, part)


def test_the_decathlons_training_cases_are_folded_or_all_trained_on(tmp_path):
    images = [{"image": f"./imagesTr/{case}.nii.gz"} for case in TRAIN18]
    path = written(tmp_path, {"training": images, "test": ["./imagesTs/x.nii.gz"]}, "dataset.json")
    assert chosen_split(source(), path) == {"train": TRAIN18, "val": (), "test": ()}
    split = chosen_split(source(), path, "1/3")
    assert len(split["val"]) == 6
    with pytest.raises(InputError, match="names the validation cases itself"):
        chosen_split(source(), written(tmp_path, PLAIN), "1/3")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1, 2", "not readable as a split"),
        ("[]", "holds no fold"),
        ("3", "is no split; write a mapping"),
        ({"train": 3, "val": ["0005"]}, "train is 3; write a list"),
        ({"train": [[[], "0005"]], "val": ["0006"]}, "is no name of a case"),
        ({"train": [{"picture": "x"}], "val": ["0006"]}, "is no name of a case"),
        ({"val": ["0006"]}, "no cases to train on"),
        ({"train": ["0099"], "val": ["0006"]}, "no case '0099'"),
        ({"train": ["0006"], "val": ["0006"]}, "named twice"),
        ({"train": ["../../0006"], "val": [True]}, "is no name of a case"),
    ],
)
def test_a_file_that_is_no_split_of_these_cases_is_one_line(tmp_path, content, words):
    path = written(tmp_path, content)
    with pytest.raises(InputError, match=words) as caught:
        chosen_split(source(), path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["!!python/object/apply:os.system ['x']", "train: [*a]", "a: {"]
)
def test_nothing_in_yaml_is_made_into_an_object(tmp_path, content):
    with pytest.raises(InputError):
        chosen_split(source(), written(tmp_path, content, "a.yaml"))


def test_where_no_case_validates_the_watched_slices_are_of_training_cases(
    tiny_raw, tmp_path, capsys
):
    path = written(tmp_path, {"training": ["img0005.nii.gz", "img0006.nii.gz"]})
    data = CaseDataModule(
        RawSource(str(tiny_raw)), size=48, split=path, organs=["liver"], cache_dir=str(tmp_path)
    )
    data.setup("fit")
    assert data.val_dataloader() == []
    assert data.probes(2).marks[-1] == "TRAINING SLICES"
    assert "No case validates" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"no test cases; say probes.from=train"):
        data.probes(2, "test")


@pytest.mark.filterwarnings("ignore:.*")
def test_a_training_without_validation_ends_with_weights_that_nobody_scored(tiny_raw, tmp_path):
    data = CaseDataModule(RawSource(str(tiny_raw)), size=16, organs=["liver"],
                           split=written(tmp_path, {"training": ["0005", "0006"]}),
                           steps_per_epoch=1, cache_dir=str(tmp_path))  # fmt: skip
    module = SegmentationModule(nn.Conv2d(1, 2, 1), data.organs)
    trainer = pl.Trainer(max_epochs=1, logger=False, enable_checkpointing=False,
                         enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
                         reload_dataloaders_every_n_epochs=1)  # fmt: skip
    trainer.fit(module, data)
    assert trainer.current_epoch == 1
    assert module.validated is None
    assert module.organ_dice == {}
