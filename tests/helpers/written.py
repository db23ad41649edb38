"""A page at once, from all of its epochs."""

from segtrace.report.page.page import Page


def write_page(path, series, facts=None, **settings):
    """Write the page of one network, or of one training over its epochs; see :class:`Page`."""
    page = Page()
    for measured in series:
        page.add(measured)
    page.write(path, facts, **settings)
