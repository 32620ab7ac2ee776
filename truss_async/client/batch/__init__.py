"""A batch: the lines of one file in, a result for each of them out, whatever happens in between.

What belongs to whom, in the order of a line's life:

- ``lines`` reads a line: a bare model input, a request with a ``custom_id``, or a line of the OpenAI Batch format.
- ``input_file`` makes of whatever the input is (a file, a compressed one, a URL, standard input) one local file in which
  a line can be found again by its place: it is read once to be entered, and a line at a time to be submitted.
- ``ledger`` is the truth: one SQLite file with each line's state, and each of its submissions before and after the call.
  What waits at a moment is one commit (``group_commits``). Everything else here can be lost.
- ``pace`` says when the next call may go, from what the platform has answered. Numbers alone: no clock, no I/O.
- ``flow`` is the engine: it submits, collects and asks, against two protocols: a ``Journal`` that remembers (the ledger's,
  or one in memory for ``AsyncPlatformClient.map``), and a ``ResultSource`` that knows results (``sources``, ``receiving``).
- ``open_requests`` keeps what was accepted and has no result, in the order of age. Completion is nearly first in, first
  out: results are looked for from the oldest on, and the status is asked for only of a request that younger ones have
  overtaken, or when nothing at all comes.
- ``verdicts`` says what a status or a result means for the line: still open, over, failed, submit again. Pure.
- ``outputs`` writes whole lines, in the same breath as the ledger's commit. After a kill, the file is cut back to what
  the ledger says of it, so that each ``custom_id`` is in it once.
- ``batch`` puts them together for one ledger: the object that Python and the command use. ``upkeep`` is what is done with a
  ledger beside that, and ``blocking`` gives ``run`` and ``map`` to those who have no event loop.

At least once: a call of which no answer came may have been taken. It is counted, the line is submitted again, and the
first result of a line wins.
"""

from .batch import Batch, BatchEnd
from .progress import Progress
from .settings import BatchSettings
from .upkeep import batch_settings, batch_status, export_results, failed_lines_by_code, put_back_failed

__all__ = [
    "Batch",
    "BatchEnd",
    "BatchSettings",
    "Progress",
    "batch_settings",
    "batch_status",
    "export_results",
    "failed_lines_by_code",
    "put_back_failed",
]
