"""The examples of docs/sessions.md do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

from beamlens.testing import ScriptedClient, tool
from tests.support.loops import ADD

PAGE = Path(__file__).parents[3] / "docs" / "sessions.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_examples_run_one_after_the_other(tmp_path, capsys):
    start, restore, read = EXAMPLES
    client = ScriptedClient([tool("add", value=1), "Two are late.", "One is paid."])
    names = {"orders": ADD, "client": client}
    exec(start.replace("~/.local/state/shop", str(tmp_path)), names)
    assert names["lens"].agent_core.sessions.stop_session("support-7")
    exec(restore, names)
    exec(read, names)
    names["lens"].stop()
    assert capsys.readouterr().out == "Two are late.\nOne is paid.\nsupport-7 6 ['answered', 'answered']\n"
