"""MONAI's networks."""

from segtrace.network.known.record import Junction, Known

# MONAI nests its UNets: the level below sits in `model.1.submodule`, the next one in
# `model.1.submodule.1.submodule`, and so on.
_LEVELS = r"model(\.1\.submodule)*"
_BELOW = r"model(\.1\.submodule)+"

_UPCAT = Junction(up="{stage}.upsample", argument=1)
_UNETR = Junction(up="{stage}.transp_conv", argument=1)


def _nested(level: int) -> Junction:
    """The encoder's feature comes first; behind it, what the nested blocks of its level made."""
    beside = f"upcat_{level}_1"
    return Junction(up="{stage}.upsample", argument=1, joined="cat", beside=beside)


MONAI = (
    # The encoders return lists, so their stages are the modules inside them.
    Known(
        "FlexibleUNet",
        ["monai.networks.nets.flexible_unet.FlexibleUNet"],
        [
            ("enc", r"encoder\.act"),
            ("enc", r"encoder\.layer\d"),
            ("enc", r"encoder\._blocks\.[01246]"),  # EfficientNet
            ("dec", r"decoder\.blocks\.\d"),
            ("head", r"segmentation_head\.0"),
        ],
        [_UPCAT],
    ),
    # The paper counts decoder stages from the bottleneck up; this class counts down.
    Known(
        "BasicUNet",
        ["monai.networks.nets.basic_unet.BasicUNet"],
        [("enc", r"conv_0"), ("enc", r"down_\d"), ("dec", r"upcat_\d"), ("head", r"final_conv")],
        [_UPCAT],
    ),
    Known(
        "UNet",
        ["monai.networks.nets.unet.UNet"],
        [
            ("enc", rf"{_LEVELS}\.0:(Convolution|ResidualUnit)"),
            ("enc", rf"{_BELOW}:(Convolution|ResidualUnit)"),
            ("dec", rf"{_BELOW}\.2"),
            ("head", r"model\.2"),
        ],
        [Junction(up="{parent}.1.submodule", argument=0, joined="cat")],
        last_joins=True,
    ),
    Known(
        "AttentionUnet",
        ["monai.networks.nets.attentionunet.AttentionUnet"],
        [
            ("enc", rf"{_LEVELS}\.0:ConvBlock"),
            ("enc", rf"{_BELOW}:ConvBlock"),
            ("dec", rf"{_LEVELS}\.1:AttentionLayer"),
            ("head", r"model\.2"),
        ],
        [Junction(up="{stage}.upconv", skip="{stage}.attention")],
    ),
    Known(
        "SegResNet",
        ["monai.networks.nets.segresnet.SegResNet"],
        [("enc", r"down_layers\.\d"), ("dec", r"up_layers\.\d"), ("head", r"conv_final")],
        [Junction(up="up_samples.{last}", argument=0, joined="add")],
    ),
    Known(
        "DynUNet",
        ["monai.networks.nets.dynunet.DynUNet"],
        [
            ("enc", r"input_block"),
            ("enc", r"downsamples\.\d"),
            ("enc", r"bottleneck"),
            ("dec", r"upsamples\.\d"),
            ("head", r"output_block"),
        ],
        [_UNETR],
    ),
    # enc5 is the transformer's last layer; its tokens lie on the network's own grid.
    Known(
        "UNETR",
        ["monai.networks.nets.unetr.UNETR"],
        [("enc", r"encoder\d"), ("enc", r"vit\.norm"), ("dec", r"decoder\d"), ("head", r"out")],
        [_UNETR],
        layouts={r"vit\.norm": "tokens{feat_size}"},
    ),
    # enc5 is also the skip into dec1; enc6 is the bottleneck.
    Known(
        "SwinUNETR",
        ["monai.networks.nets.swin_unetr.SwinUNETR"],
        [
            ("enc", r"encoder[1-4]"),
            ("enc", r"swinViT\.layers3\.0"),
            ("enc", r"encoder10"),
            ("dec", r"decoder\d"),
            ("head", r"out"),
        ],
        [_UNETR],
    ),
    Known(
        "VNet",
        ["monai.networks.nets.vnet.VNet"],
        [
            ("enc", r"in_tr"),
            ("enc", r"down_tr\d+"),
            ("dec", r"up_tr\d+"),
            ("head", r"out_tr"),
        ],
        [Junction(up="{stage}.act_function1", argument=1)],
    ),
    # Its output is a list of several in training.
    Known(
        "SegResNetDS",
        ["monai.networks.nets.segresnet_ds.SegResNetDS"],
        [
            ("enc", r"encoder\.layers\.\d\.blocks"),
            ("dec", r"up_layers\.\d\.blocks"),
            ("head", r"up_layers\.\d\.head:Conv\dd"),  # the last; the others are for training
        ],
        [Junction(up="{parent}.upsample", argument=0, joined="add")],
        output="0",
    ),
    # Of the nested decoder the blocks that follow one another up to the last output. What they take
    # in from other nested blocks, beside the encoder's feature, is neither skip nor up path.
    Known(
        "BasicUNetPlusPlus",
        ["monai.networks.nets.basic_unetplusplus.BasicUNetPlusPlus"],
        [
            ("enc", r"conv_\d_0"),
            ("dec", r"upcat_(3_1|2_2|1_3|0_4)"),
            ("head", r"final_conv_0_4"),
        ],
        [_UPCAT, *[_nested(level) for level in (2, 1, 0)]],
        output="-1",
    ),
    Known(
        "MedNeXt",
        ["monai.networks.nets.mednext.MedNeXt"],
        [
            ("enc", r"enc_stages\.\d"),
            ("enc", r"bottleneck"),
            ("dec", r"dec_stages\.\d"),
            ("head", r"out_0"),
        ],
        [Junction(up="up_blocks.{last}", argument=0, joined="add")],
        output="0",
    ),
)
