"""Explain a trained network: the callback's maps again, on new images, or any other network.

python explain.py checkpoint=outputs/…/checkpoints/epoch_010.ckpt
python explain.py checkpoint='outputs/…/epoch_*.ckpt' log_dir=logs     the course of a training
python explain.py checkpoint=… net=my_package:MyNet     a network that is in no table of known ones
python explain.py checkpoint=… image=any_ct.nii.gz volume=true         every slice, as NIfTI
python explain.py checkpoint=… image=FOLDER             each of its images; the same again goes on
python explain.py net=my_module:build weights=my.pth stages=stages.yaml data=synapse data.root=…
python explain.py checkpoint=… evaluate=true data=synapse data.root=…  Dice, HD95 of whole cases
python explain.py checkpoint=… study=ablation                          which stages are needed?
python explain.py checkpoint=… study=faithfulness data=phantom         do cuts bear out the maps?
python explain.py checkpoint=… explainer=[rise,kernel_shap]            methods of other papers
python explain.py checkpoint=… study=compare data=phantom              all of them in one table
python explain.py runs='multirun/…/*'                                  mean and band over seeds
python explain.py --help

The story, step by step: src/segtrace/cli/explain/script.py.
"""

from segtrace.cli.explain.script import main

if __name__ == "__main__":
    main()
