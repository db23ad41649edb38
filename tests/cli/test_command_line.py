"""What people type, and Hydra's grammar: one line, and a form that works when it is typed."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from segtrace import InputError
from segtrace.cli import command_line
from segtrace.cli.command_line import readable

GROUPS = {"data": ["phantom", "synapse"], "study": ["cut"]}


def value_of(argument):
    return OverridesParser.create().parse_override(argument).value()


def refused(*arguments):
    with pytest.raises(InputError) as caught:
        readable(arguments, GROUPS)
    return str(caught.value)


def typed(message):
    """What a shell hands over when the end of the message is typed, behind its last "say"."""
    return readable(shlex.split(message.rpartition("say ")[2]), GROUPS)


@pytest.mark.parametrize(
    "value",
    [
        "/x/epoch=9-step=400.ckpt",
        "a#b.ckpt",
        "a&b;c!d",
        "<a>`b`^",
        "run (1).ckpt",
        "a[1].ckpt",
        "a{1}.ckpt",
        "it's.ckpt",
        'a "b=c".ckpt',
        "/Bäuche/a.ckpt",
        "腹部.ckpt",
        r"C:\runs\epoch=1.ckpt",
        "$HOME=1",
        "50%=half",
        "a=\\",
    ],
)
def test_a_value_that_the_grammar_refuses_is_given_back_in_quotes_that_work(value):
    message = refused(f"checkpoint={value}")
    assert message.startswith(f"checkpoint={value}: ")
    (again,) = typed(message)
    assert value_of(again) == value


def test_what_the_grammar_reads_is_left_as_it_was_typed():
    arguments = ["checkpoint=a b.ckpt", r"image=C:\data\a.nii", "log_dir=a$b%c", "seed= 1"]
    assert [a.removeprefix("++") for a in readable(arguments, GROUPS)] == arguments
    assert [value_of(a) for a in arguments] == ["a b.ckpt", r"C:\data\a.nii", "a$b%c", 1]


def test_home_is_written_out_where_no_shell_did_it(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert refused("checkpoint=~/a.ckpt").endswith("say checkpoint=/home/me/a.ckpt")
    assert value_of(*typed(refused("checkpoint=~/a=1.ckpt"))) == "/home/me/a=1.ckpt"
    assert value_of(*typed(refused("checkpoint=[~/a,b]"))) == ["/home/me/a", "b"]


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("data.split={train: [a], val: [b]", {"train": ["a"], "val": ["b"]}),
        ("data.split={train: [a", {"train": ["a"]}),
        ("organs=[liver", ["liver"]),
        ("checkpoint=[epoch=1.ckpt,b.ckpt]", ["epoch=1.ckpt", "b.ckpt"]),
        ("data.root='/x", "/x"),
        ('data.root=/x"', "/x"),
        ("checkpoint==/x", "/x"),
    ],
)
def test_brackets_and_quotes_are_closed(argument, meant):
    (again,) = typed(refused(argument))
    assert value_of(again) == meant


@pytest.mark.parametrize(
    "pieces",
    [
        ("seed", "=", "1"),
        ("seed=", "1"),
        ("seed", "=1"),
        ("seed = 1",),
        ("seed =1",),
        ("test=true", "seed", "=", "1", "resume=a"),
    ],
)
def test_spaces_around_the_equals_sign_are_told(pieces):
    message = refused(*pieces)
    assert message == "there are spaces around =; say seed=1"


def test_a_list_that_the_shell_took_apart_is_put_together():
    message = refused("seed=1", "data.split={train:", "[a],", "val:", "[b]}", "test=true")
    (again,) = readable(shlex.split(message.rpartition("not: ")[2]), GROUPS)
    assert value_of(again) == {"train": ["a"], "val": ["b"]}


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("trainer.max_epochs",), ("'trainer.max_epochs' has no value", "trainer.max_epochs=…")),
        (("seed", "test=true"), ("'seed' has no value", "say seed=…")),
        (("+x",), ("'+x' has no value",)),
        (("checkpoint:a",), ("'checkpoint:a' has no value", "key=value")),
        (("",), ("'' has no value", "key=value")),
        (("=a",), ("'' is no name of an option",)),
        (("1=2",), ("'1' is no name of an option",)),
        (("trainer.callbacks[0]=1",), ("'trainer.callbacks[0]' is no name",)),
        (("+++seed=1",), ("'+++seed' is no name",)),
        (("/x/epoch=1.ckpt",), ("'/x/epoch' is no name", "key=value")),
        (("data=3",), ("no data 3; allowed are phantom, synapse",)),
        (("data={a: 1}",), ("no data {'a': 1}; allowed are phantom, synapse",)),
        (("-m", "seed=glob(*)"), ("seed=glob(*)", "options of a group")),
        (("-m", "seed=range(5,5)"), ("seed=range(5,5)", "nothing to run")),
        (("checkpoint=a=\nb",), ("rename the file or folder",)),
    ],
)
def test_what_has_no_reading_is_named(arguments, parts):
    message = refused(*arguments)
    for part in parts:
        assert part in message


def test_a_file_without_its_option_is_told_its_option():
    one, other = (
        shlex.split(part)[0] for part in refused("/x/a.ckpt").rpartition("say ")[2].split(", ")
    )
    assert (one, value_of(one)) == ('checkpoint="/x/a.ckpt"', "/x/a.ckpt")
    assert (other, value_of(other)) == ('resume="/x/a.ckpt"', "/x/a.ckpt")


def test_several_values_are_a_list_one_text_or_a_sweep():
    message = refused("checkpoint=a,b.ckpt")
    listed, text = (shlex.split(part)[0] for part in message.split(" is ")[1:])
    assert value_of(listed.rstrip(",;")) == ["a", "b.ckpt"]
    assert value_of(text.rstrip(",;")) == "a,b.ckpt"
    assert typed(message) == ["-m", "++checkpoint=a,b.ckpt"]
    assert refused("data=phantom,synapse").endswith("; to run each of them, say -m "
                                                    "data=phantom,synapse")  # fmt: skip
    with pytest.raises(InputError, match=r"a list is 'explainer=\[rise,misure\]'; to"):
        readable(["explainer=rise,misure"], {**GROUPS, "explainer": ["misure", "rise"]})
    assert typed(refused("seed=range(1,3)")) == ["-m", "++seed=range(1,3)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seed=1",), "there is no flag --seed; options have no dashes: say seed=1"),
        (("--seed", "1"), "there is no flag --seed; options have no dashes: say seed=…"),
        (("-x",), "there is no flag -x; options have no dashes: say x=…"),
        (
            ("data=phantom", "-m", "seed=1,2"),
            "seed=1,2 stands behind -m; put flags first: -m data=phantom seed=1,2",
        ),
        (
            ("data=phantom", "--config-dir", "mine", "seed=1"),
            "seed=1 stands behind --config-dir; put flags first: --config-dir mine data=phantom "
            "seed=1",
        ),
    ],
)
def test_flags_that_are_none_are_answered(arguments, message):
    assert refused(*arguments) == message


@pytest.mark.parametrize("arguments", [("-checkpoint=a",), ("--cfg", "nosuch"), ("-model=x",)])
def test_a_flag_with_a_wrong_value_is_answered(arguments):
    assert "options are written key=value, without dashes" in refused(*arguments)


def test_a_pickle_of_before_is_not_read():
    assert "may run code" in refused("--experimental-rerun", "config.pickle")


def test_null_takes_a_group_out_and_other_options_stay():
    assert readable(["study=null", "seed=null", "data=phantom"], GROUPS) == [
        "~study",
        "++seed=null",
        "data=phantom",
    ]


def test_groups_of_a_users_own_folder_are_left_to_hydra():
    assert readable(["--config-dir", "mine", "network=big", "data.size=3"], GROUPS) == [
        "--config-dir", "mine", "network=big", "++data.size=3",
    ]  # fmt: skip
    assert readable(["hydra.searchpath=[mine]", "network=big"], GROUPS)[1] == "network=big"


def test_a_name_of_a_group_that_is_given_twice_is_refused():
    assert refused("data=[phantom,phantom]") == (
        "data=[phantom,phantom]: phantom is named twice; name each once"
    )
    both = "callbacks=[default,ema]"
    assert readable([both], {"callbacks": ["default", "ema"]}) == [both]


def test_of_a_group_that_takes_one_two_are_refused():
    assert refused("data=[phantom,synapse]") == (
        "data=[phantom,synapse]: one at a time; to run each of them, say -m data=phantom,synapse"
    )


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (b"M\xfcller".decode(errors="surrogateescape"), "bytes that are no UTF-8"),
        ("two\nlines", "line breaks"),
        ("a\u200bb", "letters that are not printed"),
    ],
)
def test_what_is_not_printed_is_read_in_quotes_alone_which_is_said(name, what):
    said = refused(f"data.root=/scans/{name}")
    assert "\n" not in said
    assert said.encode()  # no half letters
    assert f": Hydra reads {what} in quotes alone; say 'data.root=\"…\"' with" in said
    quoted = f'data.root="/scans/{name}"'
    assert readable([quoted], GROUPS) == [f"++{quoted}"]


def test_letters_that_the_locale_does_not_know_are_laid_at_its_door(monkeypatch):
    image = "image=/scans/" + "é.nii.gz".encode().decode("ascii", "surrogateescape")
    monkeypatch.setattr(command_line.sys, "getfilesystemencoding", lambda: "ascii")
    said = refused(image)
    assert said.startswith(r"'image=/scans/\xe9.nii.gz': the locale")
    assert said.endswith("set LC_ALL=C.UTF-8")
    readable(["image=/scans/e.nii.gz"], GROUPS)
