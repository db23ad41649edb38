"""The paper's rule and its neighbours: the gradient averaged, as it is, and its positive part."""

from torch import Tensor

from segtrace.attribution.rules.rule import Rule, Stride

_PAPER = "Hasany, Mériaudeau and Petitjean, The Do's and Don'ts of Grad-CAM in Image Segmentation"
GRADIENT = "G_k = ∂ Σ_(i,j)∈M y_ij / ∂A_k"
"""For captions: the gradient that a rule weighs with."""


def global_average(gradient: Tensor, stride: Stride = ()) -> Tensor:
    """Seg-Grad-CAM's weights, α_k = GAP(∂S/∂A^k), (N, K, 1, …, 1): Eq. 3 of Hasany et al. 2023.

    With S = Σ_(i,j)∈M y_ij (see :mod:`segtrace.attribution.targets`). Plain Grad-CAM (Selvaraju et
    al. 2017, Eq. 2) is the same on the region ``all``, and on the logits of a classifier. The ReLU
    of Eq. 1 is left to the reader of the map, who may want the evidence against the organ as well.

    Do use it to follow evidence from stage to stage. Do not read it as a saliency map: the average
    forgets where the gradient was, so a place can light up that cannot influence the region, and
    two instances of an organ get the same map. Do not use it behind InstanceNorm, which makes α
    vanish (kappa, status ``gap_degenerate``). At the last stages it draws the logits: at the
    logits themselves it is (|M| / N) y^c exactly, whatever the region M.

    >>> import torch
    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> global_average(gradient).flatten().tolist()
    [1.0, 0.0]
    >>> seg_grad_cam(activation, gradient)
    tensor([[1., 2., 3., 4.]])
    """
    return gradient.mean(tuple(range(2, gradient.ndim)), keepdim=True)


def element_wise(gradient: Tensor, stride: Stride = ()) -> Tensor:
    """G itself, the weights of Grad-PAM (Wan et al. 2020; the same as HiResCAM).

    Keeps the place of the gradient: two instances of one organ get two maps, and no cell lights up
    whose gradient is zero. The map's sum is the score where what follows is linear without biases.
    Near the output it lies inside the region by construction, even in an untrained network ("region
    echo"), so its localisation there is no evidence: compare with epoch 0.

    >>> import torch
    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> grad_pam(activation, gradient)
    tensor([[1., 7., 1., 0.]])
    """
    return gradient


def positive_part(gradient: Tensor, stride: Stride = ()) -> Tensor:
    """ReLU(G), the weights of LayerCAM (Jiang et al. 2021).

    Sharp at shallow stages, so good to look at. It drops the evidence against the organ and is
    not linear in the region: not for numbers over epochs.

    >>> import torch
    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> layer_cam(activation, gradient)
    tensor([[1., 7., 3., 0.]])
    """
    return gradient.relu()


seg_grad_cam = Rule(
    "seg_grad_cam",
    global_average,
    title="Seg-Grad-CAM",
    equation="Seg-Grad-CAM (Vinogradova et al., 2020): L = ReLU(Σ_k α_k A_k) with "
    f"α_k = GAP(∂ Σ_(i,j)∈M y_ij / ∂A_k), Eq. 1 and 3 of {_PAPER}",
    papers=("vinogradova2020", "selvaraju2017"),
    averages=True,
)
grad_pam = Rule(
    "grad_pam",
    element_wise,
    title="Grad-PAM",
    equation="Seg-Grad-CAM with element-wise weights (Grad-PAM, Wan et al., 2020): "
    f"L = ReLU(Σ_k G_k ⊙ A_k) with {GRADIENT}",
    papers=("wan2020", "draelos2020"),
)
layer_cam = Rule(
    "layer_cam",
    positive_part,
    title="LayerCAM",
    equation="LayerCAM (Jiang et al., 2021) with a segmentation score: "
    f"L = ReLU(Σ_k ReLU(G_k) ⊙ A_k) with {GRADIENT}",
    papers=("jiang2021",),
)
