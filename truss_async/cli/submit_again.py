"""``truss-async submit-again``"""

from ..client.refusals import one_line
from ..contract import AsyncPredictAccepted
from ..printable import print_line
from .connection import HARNESS_HERE, Connection
from .options import AsJson, RequestId, print_json


def submit_again(
    request_id: RequestId,
    /,
    *,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> None:
    """Submit an async request again, as a new one; print the id of that.

    A harness keeps the inputs of the latest 10,000 requests in memory, 32 MB at most.

    Example:
        truss-async submit-again 0123456789abcdef0123456789abcdef
        truss-async submit-again 01234567
    """
    with connection.to_harness() as client:
        new = client.submit_again(request_id)
    if as_json:
        print_json(AsyncPredictAccepted(request_id=new).model_dump_json())
        return
    print_line(one_line(new))
