"""A truss that is edited while the real Truss server serves it."""

import threading
from pathlib import Path

from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings

MODEL = """class Model:
    def predict(self, model_input):
        return {answer}
"""
DEADLINE_SECONDS = 120


class Reports:
    """What the harness says, as soon as it does."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, line: str) -> None:
        with self._changed:
            self._lines.append(line)
            self._changed.notify_all()

    def wait_for(self, part: str) -> None:
        with self._changed:
            found = self._changed.wait_for(
                lambda: any(part in line for line in self._lines), timeout=DEADLINE_SECONDS
            )
        assert found, self._lines


def test_an_edited_model_takes_over_and_a_broken_edit_does_not(tmp_path: Path) -> None:
    truss = tmp_path / "truss"
    (truss / "model").mkdir(parents=True)
    (truss / "config.yaml").write_text("model_name: edited\n")
    model = truss / "model" / "model.py"
    model.write_text(MODEL.format(answer=1))
    reports = Reports()
    settings = HarnessSettings(truss_dir=truss, port=0, reload=True)
    with Harness(settings, report=reports, log=lambda _: None) as harness:
        harness.wait_ready(timeout_seconds=DEADLINE_SECONDS)

        def output() -> object:
            request = harness.submit({})
            request.wait(timeout_seconds=DEADLINE_SECONDS)
            return request.output

        assert output() == 1
        model.write_text(MODEL.format(answer="1 +"))
        reports.wait_for("the new version does not load; the old one is served")
        assert output() == 1
        model.write_text(MODEL.format(answer=22))
        reports.wait_for("serves the new version")
        assert output() == 22
