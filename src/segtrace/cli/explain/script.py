"""``segtrace-explain`` and ``explain.py``: a study, and what stands beside it."""

import segtrace.cli.start_up as start_up  # from here on, Ctrl-C is answered

# isort: split
import hydra
from omegaconf import DictConfig

from segtrace.cli.configuration import CONF
from segtrace.cli.entry import answering, start
from segtrace.cli.explain.missing import refuse_missing
from segtrace.cli.explain.shorthand import SHORT, written_out


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="explain")
@answering
def explain(config: DictConfig) -> None:
    """Write and show each thing that is found."""
    # Imported here: what was mistyped is answered before torch and Lightning are there.
    from segtrace.cli.explain.explain_config import checked
    from segtrace.progress import is_first, say
    from segtrace.report.page.page import Page

    start_up.imported()
    asked, page = checked(config), Page()
    for result in asked.results():
        result.write(asked.folder)
        result.show(page)
    if is_first():
        page.write(asked.folder / "index.html")
    say(f"Done: open {asked.folder / 'index.html'}")


def main() -> None:
    """Explain by what was typed; ends the process with 1 where that was a mistake."""
    start(explain, "explain", written_out, SHORT, refuse_missing)
