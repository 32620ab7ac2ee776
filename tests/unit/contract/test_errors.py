import pytest

from truss_async.contract import ErrorCode, ErrorDetail
from truss_async.contract.limits import MAX_ERROR_CHARACTERS
from truss_async.harness.decisions import failure


@pytest.mark.parametrize("message", ["", "no", "two\nlines\x1b[31m", "é" * MAX_ERROR_CHARACTERS])
def test_a_message_stays_as_it_is(message: str) -> None:
    assert ErrorDetail.of(ErrorCode.MODEL_PREDICT_ERROR, message).message == message


def test_a_message_of_any_length_is_cut_and_can_be_written() -> None:
    error = failure(ErrorCode.MODEL_PREDICT_ERROR, "\udc80" + "x" * 2_000_000, retry=True).error
    assert error.message.startswith("\\udc80xxx")
    assert error.message.endswith(f"… ({2_000_001 - MAX_ERROR_CHARACTERS} characters more)")
    assert len(error.model_dump_json()) < MAX_ERROR_CHARACTERS + 200
