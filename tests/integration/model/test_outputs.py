"""Outputs of every kind, as the caller gets them and as they are saved."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from tests.integration.model.conftest import Reload

HEADER = """
import dataclasses, pathlib
from typing import Any
import fastapi, numpy, pydantic
from fastapi import Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from PIL import Image
from truss_async.model import AsyncOutputModel, save_output
"""


def model(*lines: str, annotation: str = "") -> str:
    body = "".join(f"        {line}\n" for line in lines)
    return (
        f"{HEADER}\nclass Model(AsyncOutputModel):\n    def predict(self, model_input){annotation}:\n{body}"
    )


def test_artifacts_are_stored_beside_the_result_and_referred_to(reload: Reload) -> None:
    server = reload(
        model(
            "path = pathlib.Path('report.txt')",
            "path.write_text('a report')",
            "page = Image.new('RGB', (2, 3), 'red')",
            "return {'annotated': page, 'pages': [{'image': page}], 'raw': b'%PDF-1', 'report': path, 'lines': 3}",
        )
    )
    answer = server.predict({}, "art")
    assert answer.json == server.result("art").data
    assert server.stored_files() == [
        "art.json",
        "art/annotated.png",
        "art/pages-0-image.png",
        "art/raw.pdf",
        "art/report.txt",
    ]
    assert answer.json["lines"] == 3
    assert answer.json["raw"] == {
        "type": "artifact",
        "url": f"{server.store_url}/art/raw.pdf",
        "content_type": "application/pdf",
        "size_bytes": 6,
    }
    stored = (server.folder / "store" / "art" / "annotated.png").read_bytes()
    assert Image.open(io.BytesIO(stored)).size == (2, 3)


def test_an_output_that_is_bytes_is_answered_with_its_reference(reload: Reload) -> None:
    server = reload(model("return b'\\x89PNG\\r\\n\\x1a\\n'"))
    assert server.predict({}, "bytes").json["url"].endswith("/bytes/output.png")


def test_a_missing_file_fails_the_request_and_leaves_no_result(reload: Reload) -> None:
    server = reload(model("return {'file': pathlib.Path('/nowhere/x.png')}"))
    assert server.predict({}, "gone").status == 500
    assert server.stored_files() == ["gone.error.json"]
    server.wait_for_log("the output's part file is the path /nowhere/x.png, which is missing")


def test_numbers_are_answered_as_truss_does_and_saved_as_valid_json(reload: Reload) -> None:
    server = reload(
        model("return {'array': numpy.arange(3), 'scalar': numpy.float32(0.5), 'nan': float('nan')}")
    )
    answer = server.predict({}, "numbers")
    assert b"NaN" in answer.body  # Truss's own answer is left as it is
    assert server.result("numbers").data == {"array": [0, 1, 2], "scalar": 0.5, "nan": None}


def test_a_pydantic_output_keeps_its_schema(reload: Reload) -> None:
    source = model("return Out(n=2)", annotation=" -> 'Out'").replace(
        "class Model", "class Out(pydantic.BaseModel):\n    n: int\n\nclass Model"
    )
    server = reload(source)
    assert server.get("/v1/models/model/schema").json["output_schema"]["title"] == "Out"
    assert server.predict({}, "typed").json == server.result("typed").data == {"n": 2}


RESPONSES = {
    "json": ("JSONResponse({'n': 1})", b'{"n":1}', {"n": 1}),
    "text": ("PlainTextResponse('h\u00e9')", "h\u00e9".encode(), "h\u00e9"),
    "empty": ("Response(status_code=204)", b"", None),
}


@pytest.mark.parametrize("annotation", ["", " -> Response"])
def test_a_response_is_saved_and_answered_as_it_is(reload: Reload, annotation: str) -> None:
    kinds = {name: code for name, (code, _, _) in RESPONSES.items()}
    choices = "{" + ", ".join(f"{name!r}: {code}" for name, code in kinds.items()) + "}"
    server = reload(model(f"return {choices}[model_input]", annotation=annotation))
    for name, (_, body, data) in RESPONSES.items():
        assert server.predict(name, name).body == body
        assert server.result(name).data == data


def test_a_response_that_is_a_file_becomes_an_artifact(reload: Reload) -> None:
    server = reload(
        model(
            "pathlib.Path('tone.wav').write_bytes(b'RIFF0000WAVE')",
            "image = Response(b'GIF89a', media_type='image/gif')",
            "return FileResponse('tone.wav') if model_input else image",
        )
    )
    assert server.predict(True, "file").body == b"RIFF0000WAVE"
    assert server.predict(False, "body").body == b"GIF89a"
    assert server.result("file").data["url"].endswith("/file/tone.wav")
    assert server.result("body").data["content_type"] == "image/gif"
    assert (server.folder / "store" / "body" / "output.gif").read_bytes() == b"GIF89a"


def test_an_answer_that_reports_an_error_is_not_saved_as_an_output(reload: Reload) -> None:
    server = reload(
        model(
            "if model_input: raise fastapi.HTTPException(422, 'no')",
            "return JSONResponse({'error': 'no'}, status_code=422)",
        )
    )
    for number, model_input in enumerate((True, False)):
        answer = server.predict(model_input, f"error-{number}")
        assert (answer.status, answer.json) == (422, {"error": "no"})
    assert server.stored_files() == ["error-0.error.json"]


@pytest.mark.parametrize("stream", ["(bytes([n]) for n in range(3))", "StreamingResponse(iter([b'x']))"])
def test_a_stream_at_run_time_is_refused_with_the_remedy(reload: Reload, stream: str) -> None:
    server = reload(model(f"return {stream}"))
    assert server.predict({}, "stream").status == 500
    server.wait_for_log("a stream cannot be saved: return the whole output")


def test_a_store_that_cannot_be_written_fails_the_request_in_one_line(reload: Reload) -> None:
    server = reload(model("return model_input"))
    (server.folder / "store").write_text("a file stands where the folder should be")
    assert server.predict({}, "full").status == 500
    line = server.wait_for_log("the output of request full is not saved: cannot")
    assert (line.level, line.request_id) == ("error", "full")


def test_a_binary_caller_gets_msgpack(reload: Reload) -> None:
    server = reload(model("return {'n': model_input}"))
    answer = server.post(
        "/v1/models/model:predict",
        b"\x03",
        request_id="binary",
        **{"Content-Type": "application/octet-stream"},
    )
    assert answer.body == b"\x81\xa1n\x03"
    assert server.result("binary").data == {"n": 3}
