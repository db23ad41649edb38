"""Train a segmentation network and watch, epoch by epoch, where its evidence comes from.

python train.py                                             the phantom, 10 epochs
python train.py data=synapse data.root=/data/Abdomen        the raw Synapse download
python train.py resume=outputs/…                            goes on where a run was broken off
python train.py --help                                      every option

The story, step by step: src/segtrace/cli/train/script.py.
"""

from segtrace.cli.train.script import main

if __name__ == "__main__":
    main()
