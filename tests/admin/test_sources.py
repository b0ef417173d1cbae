"""Every polled source on one page; what can't be read comes first, with its words."""

import logging

from sidecar.admin.sources import sources_panel
from sidecar.common.errors import Fault
from sidecar.common.polling import PollStatus
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import Ask, At, Mark

LOG = logging.getLogger("test")


def test_what_cant_be_read_comes_first() -> None:
    good = PollStatus("a", "the first", LOG, now=lambda: 10.0)
    bad = PollStatus("b", "the second", LOG, now=lambda: 20.0)
    new = PollStatus("c", "the third", LOG, now=lambda: 30.0)
    good.succeeded()
    bad.failed(Fault("no answer"))
    panel = sources_panel([good, bad, new], Ask(50.0))
    assert panel.summary == "3 sources polled, 1 of them can't be read."
    assert [each.part for each in panel.findings] == ["b"]
    (table,) = panel.tables
    assert table.rows == (
        ("b", "the second", Mark("can't be read", Severity.WARNING), None, At(20.0), "no answer"),
        ("a", "the first", Mark("read"), At(10.0), None, ""),
        ("c", "the third", Mark("not read yet", Severity.INFO), None, None, ""),
    )


def test_all_is_well() -> None:
    panel = sources_panel([], Ask(50.0))
    assert (panel.summary, panel.findings) == ("0 sources polled, all of them can be read.", ())
