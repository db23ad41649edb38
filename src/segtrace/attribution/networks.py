"""The stages of known networks: plain data, by the name of the class."""

from collections.abc import Mapping

# The paper counts decoder stages from the bottleneck up; MONAI's BasicUNet counts down.
STAGES: Mapping[str, Mapping[str, str]] = {
    "FlexibleUNet": {
        # The encoder returns a list, so its stages are the modules inside it.
        "enc1": "encoder.act",
        "enc2": "encoder.layer1",
        "enc3": "encoder.layer2",
        "enc4": "encoder.layer3",
        "enc5": "encoder.layer4",
        "dec1": "decoder.blocks.0",
        "dec2": "decoder.blocks.1",
        "dec3": "decoder.blocks.2",
        "dec4": "decoder.blocks.3",
        "dec5": "decoder.blocks.4",
        "head": "segmentation_head.0",
    },
    "BasicUNet": {
        "enc1": "conv_0",
        "enc2": "down_1",
        "enc3": "down_2",
        "enc4": "down_3",
        "enc5": "down_4",
        "dec1": "upcat_4",
        "dec2": "upcat_3",
        "dec3": "upcat_2",
        "dec4": "upcat_1",
        "head": "final_conv",
    },
}
