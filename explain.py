"""Explain a trained network: the callback's maps again, on new images, or any other network.

python explain.py checkpoint=outputs/…/checkpoints/epoch_010.ckpt
python explain.py checkpoint='outputs/…/epoch_*.ckpt' log_dir=logs     the course of a training
python explain.py checkpoint=… net=my_package:MyNet     a network that is in no table of known ones
python explain.py checkpoint=… image=any_ct.nii.gz volume=true         every slice, as NIfTI
python explain.py net=my_module:build weights=my.pth stages=stages.yaml data=synapse data.root=…
python explain.py checkpoint=… study=ablation                          which stages are needed?
python explain.py checkpoint=… study=faithfulness data=phantom         do cuts bear out the maps?
python explain.py checkpoint=… explainer=[rise,kernel_shap]            methods of other papers
python explain.py checkpoint=… study=compare data=phantom              all of them in one table
python explain.py runs='multirun/…/*'                                  mean and band over seeds
python explain.py --help
"""

import segtrace.cli.start_up  # noqa: F401 (from here on, Ctrl-C is answered)

# isort: split
import hydra
from omegaconf import DictConfig

from segtrace.cli.entry import answering, start
from segtrace.cli.explain.shorthand import SHORT, written_out


@hydra.main(version_base="1.3", config_path="conf", config_name="explain")
@answering
def main(config: DictConfig) -> None:
    """Write and show each thing that the study, and what stands beside it, finds."""
    # Imported here: what was mistyped is answered before torch and Lightning are there.
    from segtrace.cli.explain.explain_config import checked
    from segtrace.progress import is_first, say
    from segtrace.report.page.page import Page

    asked, page = checked(config), Page()
    for result in asked.results():
        result.write(asked.folder)
        result.show(page)
    if is_first():
        page.write(asked.folder / "index.html")
    say(f"Done: open {asked.folder / 'index.html'}")


if __name__ == "__main__":
    start(main, written_out, SHORT)
