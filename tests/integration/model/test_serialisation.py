"""Outputs of every type: what the real Truss server sends of them, and what is saved."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.model.conftest import Reload

HEADER = """
import collections, dataclasses, datetime, decimal, enum, io, pathlib, uuid
import numpy as np
import pydantic
from PIL import Image
from truss_async.model import AsyncOutputModel

class Colour(str, enum.Enum):
    RED = "red"

class Number(enum.IntEnum):
    ONE = 1

class Plain(enum.Enum):
    A = "a"

class Page(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(ser_json_timedelta="float", arbitrary_types_allowed=True)
    page_title: str = pydantic.Field("x", alias="pageTitle")
    at: datetime.datetime = datetime.datetime(2026, 1, 2)
    took: datetime.timedelta = datetime.timedelta(seconds=90)
    price: decimal.Decimal = decimal.Decimal("1.20")
    extra: object = None

@dataclasses.dataclass
class Box:
    label: str
    inner: object = None

Pair = collections.namedtuple("Pair", "left right")
"""
# As the model returns them. The server sends each of these by itself, and that is what is saved.
SENDABLE = [
    "[1, -0.0, 1e22, 0.1 + 0.2, 1e-07, 2**80, True, None, 'h\u00e9\u2028\\x00 <&>']",
    "{1: 'int', 2.5: 'float', True: 'bool', None: 'none', Colour.RED: 'enum', Number.ONE + 1: 'more'}",
    "{'deep': [{'none': {None: [None]}}]}",
    "[Colour.RED, Number.ONE, Pair(1, 2), (3, [4])]",
    "collections.OrderedDict(b=1, a=collections.defaultdict(list, x=[1]))",
    "[np.float64(0.1), np.float32(0.1), np.float16(0.1), np.int8(-3), np.uint64(2**63 + 1), np.str_('x')]",
    "{'array': np.arange(6).reshape(2, 3), 'strided': np.arange(9.0)[::4], 'zero': np.array(7), 'empty': np.zeros((0, 2))}",
    "{'bools': np.array([True]), 'text': np.array(['a', 'bc']), 'small': np.ones(2, 'float32') / 3}",
    "Page()",
    "''",
    "None",
]
# The server would answer each of these with a 500. Saved, and so answered, is what is said here.
UNSENDABLE = {
    "datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.timezone.utc)": "2026-01-02T03:00:00Z",
    "[datetime.date(2026, 1, 2), datetime.time(1, 2), datetime.timedelta(seconds=90)]": ["2026-01-02", "01:02:00", "PT1M30S"],
    "[decimal.Decimal('1.20'), uuid.UUID(int=1), Plain.A, {3}]": ["1.20", "00000000-0000-0000-0000-000000000001", "a", [3]],
    "[np.bool_(True), {np.int64(3): 1}, np.array([np.nan, 1], dtype=object)]": [True, {"3": 1}, [None, 1]],
    "Box('x', [Box('y')])": {"label": "x", "inner": [{"label": "y", "inner": None}]},
    "{'page': Page(extra=np.arange(2))}": {
        "page": {
            "page_title": "x", "at": "2026-01-02T00:00:00", "took": 90.0, "price": "1.20", "extra": [0, 1],
        },
    },
}  # fmt: skip
NESTED = """{
    'array': np.arange(2), 'nan': float('nan'), 'page': Page(extra=b'GIF89a'), 'box': Box('x', Image.new('RGB', (1, 1))),
    'list': [decimal.Decimal('1.5'), datetime.date(2026, 1, 2), (np.float32(0.5), {'path': pathlib.Path('note.txt')})],
    'file': io.BytesIO(b'%PDF-1'), 'raw': memoryview(b'RIFF0000WAVE'), None: Plain.A,
}"""


def model(outputs: list[str], *, base: str = "AsyncOutputModel") -> str:
    listed = "".join(f"            lambda: {output},\n" for output in outputs)
    return (
        f"{HEADER}\nclass Model({base}):\n"
        "    def predict(self, number):\n        pathlib.Path('note.txt').write_text('noted')\n"
        f"        return [\n{listed}        ][number]()\n"
    )


def exact(value: object) -> str:
    """JSON in which 1, 1.0 and true differ, as they do not in Python."""
    return json.dumps(value)


def test_what_the_server_can_send_is_saved_as_it_is_sent(reload: Reload) -> None:
    bare = reload(model(SENDABLE, base=""))
    sent = [bare.predict(number) for number in range(len(SENDABLE))]
    server = reload(model(SENDABLE))
    for number, (output, answer) in enumerate(zip(SENDABLE, sent, strict=True)):
        assert answer.status == 200, output
        assert server.predict(number, f"r{number}").body == answer.body, output
        assert exact(server.result(f"r{number}").data) == exact(answer.json), output


def test_what_it_cannot_send_is_answered_as_it_is_saved(reload: Reload) -> None:
    bare = reload(model(list(UNSENDABLE), base=""))
    assert {bare.predict(number).status for number in range(len(UNSENDABLE))} == {500}
    server = reload(model(list(UNSENDABLE)))
    for number, (output, expected) in enumerate(UNSENDABLE.items()):
        answer = server.predict(number, f"r{number}")
        assert (answer.status, exact(answer.json)) == (200, exact(expected)), output
        assert exact(server.result(f"r{number}").data) == exact(expected), output


def test_all_of_them_nested_in_one_output(reload: Reload) -> None:
    server = reload(model([NESTED]))
    answer = server.predict(0, "r")
    assert answer.json == server.result("r").data
    assert (answer.json["null"], answer.json["nan"], answer.json["list"][2][0]) == ("a", None, 0.5)
    assert server.stored_files() == [
        "r.json",
        "r/box-inner.png",
        "r/file.pdf",
        "r/note.txt",
        "r/page-extra.gif",
        "r/raw.wav",
    ]
    assert (server.folder / "store" / "r" / "file.pdf").read_bytes() == b"%PDF-1"


def test_what_is_too_deep_for_the_server_is_saved_and_then_answered_as_without_the_plugin(
    reload: Reload,
) -> None:
    deep = ["__import__('functools').reduce(lambda inner, _: [inner], range(3000), 1)"]
    bare = reload(model(deep, base="")).predict(0)
    server = reload(model(deep))
    assert server.predict(0, "r").status == bare.status
    assert (server.folder / "store" / "r.json").read_bytes().count(b"[") > 3000
    assert server.stored_files() == ["r.json"]


def test_a_binary_caller_gets_what_it_would_have_got(reload: Reload) -> None:
    binary = {"Content-Type": "application/octet-stream"}
    outputs = [
        "{'at': datetime.datetime(2026, 1, 2), 'price': decimal.Decimal('1.20'), 'array': np.arange(3)}"
    ]
    bare = reload(model(outputs, base="")).post("/v1/models/model:predict", b"\x00", **binary)
    server = reload(model(outputs))
    answer = server.post("/v1/models/model:predict", b"\x00", request_id="r", **binary)
    assert (bare.status, answer.body) == (200, bare.body)
    assert server.result("r").data == {"at": "2026-01-02T00:00:00", "price": "1.20", "array": [0, 1, 2]}
