"""Networks as their papers' repositories publish them, under the names of their files."""

from segtrace.network.known.record import Junction, Known

_SWIN = r"(swin_unet\.)?"  # the class that is trained holds the network itself

PUBLISHED = (
    # enc5 is the transformer's last layer, on a square grid; enc4 is its input and no skip.
    Known(
        "TransUNet",
        ["networks.vit_seg_modeling.VisionTransformer"],
        [
            ("enc", r"transformer\.embeddings\.hybrid_model\.(root|body\.block\d)"),
            ("enc", r"transformer\.encoder\.encoder_norm"),
            ("dec", r"decoder\.blocks\.\d"),
            ("head", r"segmentation_head"),
        ],
        [Junction(up="{stage}.up", argument="skip")],
        sources=["enc3", "enc2", "enc1"],
        layouts={r"transformer\.encoder\.encoder_norm": "tokens"},
    ),
    # All tokens on square grids. A skip is what enters a layer: enc1 are the patches, enc2 to enc4
    # the layers with the merging behind them.
    Known(
        "Swin-Unet",
        [
            "networks.swin_transformer_unet_skip_expand_decoder_sys.SwinTransformerSys",
            "networks.vision_transformer.SwinUnet",
        ],
        [
            ("enc", rf"{_SWIN}pos_drop"),
            ("enc", rf"{_SWIN}layers\.[012]"),
            ("enc", rf"{_SWIN}norm"),
            ("dec", rf"{_SWIN}layers_up\.\d"),
            ("head", rf"{_SWIN}output"),
        ],
        [
            Junction(up="{stage}", up_argument=0),
            Junction(up="{below}", skip="{root}concat_back_dim.{last}", argument=0, joined="cat"),
        ],
        sources=["", "enc3", "enc2", "enc1"],
        layouts={rf"{_SWIN}(pos_drop|norm|(layers|layers_up|concat_back_dim)\.\d)": "tokens"},
    ),
)
