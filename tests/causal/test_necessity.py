import pytest
import torch
from monai.networks.nets import BasicUNet

from helpers import plain_conv_unet as nnunet
from helpers import routes as nets
from helpers.changed import changed
from helpers.nets import flexible_unet, images, labels, stirred
from segtrace import InputError
from segtrace.causal.baselines import collect
from segtrace.causal.necessity import necessity
from segtrace.causal.outcome import Judge
from segtrace.causal.replacement import CUTS
from segtrace.labelled import names_along, tensor
from segtrace.network.hooks import edit, observe
from segtrace.network.sites import chosen, sites_of

X, TRUTH = nets.blob(4)
ORGAN = {"organ": 1}


def numbers(found):
    return tensor(found.data["dice"]), tensor(found.data["scores"])


def routed(skip=1.0, up=0.0):
    net = nets.Routed(skip, up)
    sites = sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES)
    return net, sites, collect(net, sites, [X], maps=True)


def lost(found):
    losses = found.lost["mean"].isel(organ=0)
    return dict(zip(names_along(losses, "site"), losses.values.tolist(), strict=True))


@pytest.mark.parametrize("cut", CUTS)
def test_a_hand_built_route_is_found_and_the_other_costs_nothing(cut):
    for skip, up in ((1.0, 0.0), (0.0, 1.0)):
        net, sites, means = routed(skip, up)
        found = necessity(net, sites, X, TRUTH, ORGAN, means, cut=cut, draws=3)
        assert (found.data["whole_dice"] == 1).all()
        used, unused = ("skip_1", "up_1") if skip else ("up_1", "skip_1")
        assert lost(found)[used] > 0.3
        assert lost(found)[unused] == 0
        assert lost(found)["enc1"] == lost(found)["dec1"] == lost(found)[used]


def test_of_what_is_not_found_before_any_cut_the_result_says_that_nothing_can_be_lost():
    net, sites, means = routed(-1.0)
    found = necessity(net, sites, X, TRUTH, ORGAN, means)
    assert found.not_found == ["organ"]
    assert "nothing can be lost of organ, whose Dice is 0 before any cut" in repr(found)
    net, sites, means = routed()
    found = necessity(net, sites, X, TRUTH, ORGAN, means)
    assert repr(found) == "Necessity: 6 sites x 1 organs x 4 slices, cut: channel_mean"


def test_two_paths_lose_exactly_their_part_of_the_score():
    net = nets.TwoPaths(2.0, 3.0).double()
    sites = sites_of(net, nets.TWO_PATHS, {})
    found = necessity(net, sites, X, TRUTH, ORGAN, cut="zero")
    # the organ's pixels are 1: logit 5 whole, of which 2 and 3 come over the two paths
    assert (found.data["whole_score"] == 5).all()
    assert found.score_lost[:, 0].mean("slice").values.tolist() == [2.0, 3.0, 0.0, 5.0]
    assert not found.dice_lost[2].any()


def test_every_number_equals_a_plain_loop_over_sites_slices_and_draws():
    net, x, truth = flexible_unet(), images(3, 32), labels(3, 32)
    sites = chosen(sites_of(net), ["enc2", "enc5", "dec2", "skip_2", "up_3"])
    organs = {"a": 1, "b": 2, "c": 3}
    means = collect(net, sites, [x])
    found = necessity(net, sites, x, truth, organs, means, batch=2)
    dice, scores = numbers(found)
    for s, site in enumerate(sites):
        for n in range(3):
            mean = means.channels[site.name][None, :, None, None]
            with torch.no_grad(), edit(net, {site: lambda a, m=mean: m + 0 * a}):
                slow = Judge({"any": int(truth[n, 0, 0])}, truth[n : n + 1])
                logits = net(x[n : n + 1])
            for o, channel in enumerate(organs.values()):
                if not (truth[n] == channel).any():
                    assert dice[s, o, n].isnan()
                    continue
                slow = Judge({"organ": channel}, truth[n : n + 1]).of(logits)
                assert dice[s, o, n] == pytest.approx(float(slow.dice))
                assert scores[s, o, n] == pytest.approx(float(slow.score), rel=1e-9)


@pytest.mark.parametrize("dims", nets.DIMENSIONAL)
@pytest.mark.parametrize("cut", ["channel_mean", "mean_map", "zero"])
def test_lines_slices_and_volumes_are_judged_as_in_a_loop_over_their_pixels(dims, cut):
    net, x, truth = nets.dimensional(dims)
    sites = sites_of(net, nets.DIMENSIONAL_STAGES, nets.DIMENSIONAL_EDGES)
    means = collect(net, sites, [x], maps=True)
    found = necessity(net, sites, x, truth, nets.BOTH, means, cut=cut, batch=1)
    dice, scores = numbers(found)
    seen = observe(net, sites, x).activations
    cells = tuple(range(2, x.ndim))
    for s, site in enumerate(sites):
        whole = seen[site.name]
        mean = {
            "channel_mean": whole.mean((0, *cells), keepdim=True).expand_as(whole[:1]),
            "mean_map": whole.mean(0, keepdim=True),
            "zero": torch.zeros_like(whole[:1]),
        }[cut]
        with torch.no_grad(), edit(net, {site: lambda a, m=mean: m.clone()}):
            logits = torch.cat([net(one) for one in x.split(1)])
        for n in range(len(x)):
            for o, channel in enumerate(nets.BOTH.values()):
                slow = nets.dice_by_hand(logits[n], truth[n], channel)
                assert float(dice[s, o, n]) == pytest.approx(slow, nan_ok=True)
                mine = logits[n, channel][truth[n] == channel]
                score = float(mine.mean())
                assert float(scores[s, o, n]) == pytest.approx(score, nan_ok=True)
    assert dice[:, 1, -1].isnan().all()
    assert abs(found.dice_lost).sum() > 0
    assert found.data["cut_vertex"].values.tolist() == [True, False, True, True, False, False]


def test_a_three_dimensional_network_of_the_table_is_cut_at_every_site():
    net = stirred(lambda: BasicUNet(3, 1, 3, features=(2, 2, 2, 2, 2, 2), norm="batch"))
    x = torch.rand(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    truth = torch.zeros(2, 16, 16, 16, dtype=torch.long)
    truth[0, :8], truth[1, :, :8] = 1, 2
    sites = sites_of(net)
    means = collect(net, sites, [x])
    dice, _ = numbers(necessity(net, sites, x, truth, nets.BOTH, means, batch=2))
    (site,) = chosen(sites, ["skip_4"])
    mean = means.channels["skip_4"].view(-1, 1, 1, 1)
    with torch.no_grad(), edit(net, {site: lambda a: mean + 0 * a}):
        logits = net(x)
    s = sites.names.index("skip_4")
    for o, n in ((0, 0), (1, 1)):
        slow = nets.dice_by_hand(logits[n], truth[n], o + 1)
        assert float(dice[s, o, n]) == pytest.approx(slow)
        assert dice[s, 1 - o, n].isnan()


@pytest.mark.parametrize("i", [1, 2, 3])
def test_a_skip_joined_behind_the_up_path_costs_what_a_hook_on_that_half_costs(i):
    net, x, truth = nnunet.plain_conv_unet(), images(3, 32), labels(3, 32, 3)
    sites = sites_of(net, nnunet.STAGES, nnunet.EDGES)
    edges = chosen(sites, [f"skip_{i}", f"up_{i}"])
    means = collect(net, sites, [x], output=nnunet.first)
    found = necessity(net, edges, x, truth, {"a": 1, "b": 2}, means, output=nnunet.first)
    dice, scores = numbers(found)
    stage, half = net.decoder.stages[i - 1], means.channels[f"skip_{i}"].numel()
    assert torch.equal(means.channels[f"skip_{i}"], means.channels[f"enc{4 - i}"])
    for edge, part in ((0, slice(half, None)), (1, slice(half))):
        mean = means.channels[edges[edge].name][:, None, None]

        def put(_module, args, part=part, mean=mean):
            joined = args[0].clone()
            joined[:, part] = mean
            return (joined,)

        handle = stage.register_forward_pre_hook(put)
        with torch.no_grad():
            slow = Judge({"a": 1, "b": 2}, truth).of(net(x)[0])
        handle.remove()
        torch.testing.assert_close(dice[edge], slow.dice, equal_nan=True)
        torch.testing.assert_close(scores[edge], slow.score, equal_nan=True)
    assert not torch.equal(scores[0], scores[1])


def test_batches_and_seeds_decide_nothing_else():
    net, sites, _ = routed()
    one = necessity(net, sites, X, TRUTH, ORGAN, cut="resample", seed=3, batch=1)
    all_ = necessity(net, sites, X, TRUTH, ORGAN, cut="resample", seed=3, batch=4)
    torch.testing.assert_close(numbers(one), numbers(all_))
    other = necessity(net, sites, X, TRUTH, ORGAN, cut="resample", seed=4, draws=1)
    again = necessity(net, sites, X, TRUTH, ORGAN, cut="resample", seed=4, draws=1)
    assert other.data.identical(again.data)


def test_resampling_takes_slices_of_other_cases():
    net, sites, _ = routed()
    # slices 0 and 3 differ from 1 and 2; within a case all are alike
    x = X[[0, 0, 1, 1]]
    truth = TRUTH[[0, 0, 1, 1]]
    found = necessity(net, sites, x, truth, ORGAN, cases=["p", "p", "q", "q"], cut="resample")
    assert (found.data["dice"][0] == 0).all()  # the two squares do not overlap
    assert found.data.attrs["draws"] == 5


def of_cases(dice, cases="ppqr"):
    """One site whose cut leaves so much of a whole Dice of 0.9, in four slices."""
    net, sites, means = routed()
    found = necessity(net, sites[:1], X, TRUTH, ORGAN, means, cases=list(cases))
    whole = torch.full((1, 4), 0.9).double()
    return changed(found, whole_dice=whole, dice=torch.tensor(dice).double().view(1, 1, 4))


def test_a_loss_is_the_mean_over_cases_with_its_interval():
    found = of_cases([0.1, 0.3, 0.5, 0.8])
    over = found.lost
    # Lost by p, q and r: 0.7, 0.4, 0.1; standard deviation 0.3, t of 2 degrees of freedom.
    assert over["mean"].item() == pytest.approx(0.4)
    assert over["low"].item() == pytest.approx(0.4 - 4.302653 * 0.3 / 3**0.5)
    assert over["high"].item() == 1  # no more can be lost
    assert over["cases"].item() == 3
    assert found.whole_dice.item() == pytest.approx(0.9)
    few = of_cases([0.1, 0.3, 0.5, 0.8], "ppqq").lost
    assert (few["cases"].item(), few["low"].isnull().item()) == (2, True)


def test_where_all_is_lost_there_is_no_interval_and_that_is_known():
    found = of_cases([0.0, 0.0, 0.0, 0.0])
    found = changed(found, whole_dice=[[0.97, 0.95, 0.9, 0.99]])
    assert found.all_lost.values.tolist() == [[True]]
    assert found.lost["low"].isnull()
    assert found.lost["mean"].item() == found.whole_dice.item() == pytest.approx(0.95)
    some = of_cases([0.0, 0.0, 0.0, 0.1])
    assert some.all_lost.values.tolist() == [[False]]
    assert some.lost["low"].notnull()
    absent = changed(of_cases([torch.nan] * 4), whole_dice=[[torch.nan] * 4])
    assert absent.all_lost.values.tolist() == [[False]]


def test_the_data_are_found_by_their_names():
    net, sites, means = routed()
    found = necessity(net, sites, X, TRUTH, ORGAN, means).data
    assert found["dice"].dims == ("site", "organ", "slice")
    assert names_along(found["site"][found["cut_vertex"]], "site") == ["enc1", "dec1", "head"]
    assert names_along(found.sel(site=["enc2", "skip_1"]), "place") == ["stage", "edge"]
    assert names_along(found, "case") == ["0", "1", "2", "3"]
    assert found.attrs == {"cut": "channel_mean", "draws": 1, "score": "logit"}


def test_an_estimate_comes_before_the_start_and_every_pass_is_counted():
    net, sites, means = routed()
    told = []
    necessity(net, sites, X, TRUTH, ORGAN, means, batch=2, progress=told.append)
    assert told[0].done == 0
    assert told[0].left > 0
    assert told[-1].done == told[-1].total == len(sites) * 4


def test_the_network_is_left_as_it_was():
    net, x, truth = flexible_unet().train(), images(2, 32), labels(2, 32)
    sites = chosen(sites_of(net), ["enc3", "skip_1"])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    necessity(net, sites, x, truth, {"a": 1}, cut="resample", draws=2)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in net.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_mistakes_are_named():
    net, sites, means = routed()
    with pytest.raises(InputError, match="no cut 'mean'; allowed are channel_mean"):
        necessity(net, sites, X, TRUTH, ORGAN, means, cut="mean")
    with pytest.raises(InputError, match="needs baselines"):
        necessity(net, sites, X, TRUTH, ORGAN)
    with pytest.raises(InputError, match="2 cases are named for 4 slices"):
        necessity(net, sites, X, TRUTH, ORGAN, means, cases=["a", "b"])
    with pytest.raises(InputError, match="at least 2 slices"):
        necessity(net, sites, X[:1], TRUTH[:1], ORGAN, cut="resample")
    with pytest.raises(InputError, match="no site is named"):
        necessity(net, [], X, TRUTH, ORGAN, means)
    with pytest.raises(InputError, match="organ 'spleen' is in none of the 4 slices"):
        necessity(net, sites, X, TRUTH, {"spleen": 2}, means)
