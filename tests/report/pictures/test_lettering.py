import numpy as np
import pytest

from segtrace.report.pictures.lettering import INK_HEIGHT, sprite, stamp, text_width, wrap


@pytest.mark.parametrize("letter", ["H", "L", "R", "0", "8", "M"])
@pytest.mark.parametrize("bold", [False, True])
def test_capitals_and_digits_are_at_least_nine_pixels_high(letter, bold):
    rows = np.nonzero(sprite(letter, bold).max(1) > 128)[0]
    assert np.ptp(rows) + 1 >= 9


def test_a_line_keeps_its_ascenders_and_descenders():
    ink = sprite("Ägjpq|").max(1)
    assert ink.shape == (INK_HEIGHT,)
    assert ink[-1] == 0


def test_text_beyond_the_edge_is_cut_and_leaves_the_rest():
    picture = np.full((20, 20, 3), 255, np.uint8)
    stamp(picture, "wide words", 5, 8)
    assert (picture[:8] == 255).all()
    assert (picture[8:, 5:] < 255).any()


def test_stamping_uses_the_colour_asked_for():
    picture = np.full((20, 20, 3), 255, np.uint8)
    stamp(picture, "■", 0, 0, (10, 20, 30))
    assert (picture == (10, 20, 30)).all(-1).any()


def test_upright_text_is_as_tall_as_it_was_wide():
    picture = np.full((200, 30, 3), 255, np.uint8)
    stamp(picture, "right_kidney", 0, 0, upright=True)
    rows = np.nonzero((picture < 255).any((1, 2)))[0]
    assert rows.max() > text_width("right_kidney") - 6


def test_wrapped_lines_fit_and_lose_no_word():
    text = "score does not depend on this stage"
    lines = wrap(text, 90)
    assert all(text_width(line) <= 90 for line in lines)
    assert " ".join(lines) == text


def test_a_word_too_long_for_the_line_is_broken_where_its_parts_meet():
    lines = wrap("a_stage_with_a_very_long_name", 90)
    assert "".join(lines) == "a_stage_with_a_very_long_name"
    assert all(text_width(line) <= 90 for line in lines)
    assert all(line.endswith("_") for line in lines[:-1])
    assert "".join(wrap("x" * 40, 60)) == "x" * 40


def test_a_no_break_space_keeps_words_together():
    lines = wrap("drawn in solid\N{NO-BREAK SPACE}blue", text_width("drawn in solid") + 2)
    assert lines == ["drawn in", "solid\N{NO-BREAK SPACE}blue"]


@pytest.mark.parametrize(("name", "shown"), [("a\nb", "a b"), ("a\x1b[2Jb", "a\\x1b[2Jb")])
def test_breaks_and_codes_in_a_name_are_drawn_as_one_line(name, shown):
    assert np.array_equal(sprite(name), sprite(shown))
