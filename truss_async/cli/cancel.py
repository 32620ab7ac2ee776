"""``truss-async cancel``"""

from ..client.refusals import one_line
from ..errors import ApiError
from .connection import HARNESS_HERE, Connection
from .options import AsJson, RequestId, print_json


def cancel(
    request_id: RequestId,
    /,
    *,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> int:
    """Cancel an async request. Fails if it is no longer queued.

    Example:
        truss-async cancel 0123456789abcdef0123456789abcdef
        truss-async cancel 01234567
    """
    with connection.to_harness() as client:
        answer = client.cancel(client.full_id(request_id))
    if as_json:
        print_json(answer.model_dump_json())
        return 0 if answer.canceled else 1
    if not answer.canceled:
        raise ApiError(f"request {request_id} was not canceled: {one_line(answer.message)}", status_code=200)
    print(f"canceled {one_line(answer.request_id)}")
    return 0
