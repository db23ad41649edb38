from segtrace.report.page.fitting import by_importance


def test_first_last_and_best_stay_longest_and_the_rest_is_spaced_in_the_logarithm():
    order = by_importance(list(range(101)), best=60)
    assert order[:3] == [100, 0, 60]
    assert sorted(order) == list(range(101))
    early = sorted(order[:8])
    assert sum(epoch <= 20 for epoch in early) >= 4
