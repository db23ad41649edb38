from segtrace.tracking.pace import CHARTS, EVERY, Pace


def drawn(pace, name, epochs, last):
    return [epoch for epoch in epochs if pace.due(name, epoch, epoch == last)]


def test_the_first_epoch_every_fifth_and_the_last_are_drawn():
    assert drawn(Pace({"grad_pam": 5}), "grad_pam", range(13), 12) == [0, 5, 10, 12]
    assert drawn(Pace({"grad_pam": 5}), "seg_grad_cam", range(4), 9) == [0, 1, 2, 3]


def test_with_epochs_left_out_it_waits_at_least_as_long():
    assert drawn(Pace({CHARTS: 10}), CHARTS, range(0, 40, 4), 100) == [0, 12, 24, 36]


def test_it_goes_on_from_where_it_was():
    whole, first = Pace(EVERY), Pace(EVERY)
    expected = drawn(whole, "grad_pam", range(20), 19)
    found = drawn(first, "grad_pam", range(8), 19)
    found += drawn(Pace(EVERY, dict(first.last)), "grad_pam", range(8, 20), 19)
    assert found == expected
