"""``truss-async wake``"""

import json

from ..client.calls import DEFAULT_TARGET
from ..printable import printable
from .connection import HARNESS_HERE, Connection, TargetName
from .options import AsJson


def wake(
    *, target: TargetName = DEFAULT_TARGET, connection: Connection = HARNESS_HERE, as_json: AsJson = False
) -> None:
    """Wake a model that is scaled to zero. Returns at once, without waiting for it to load.

    Example:
        truss-async wake
        truss-async wake --url https://model-abcd1234.api.baseten.co --target environments/staging
    """
    with connection.to_platform(target=target) as client:
        client.wake()
    print(json.dumps({"target": target, "woken": True}) if as_json else f"woken: {printable(target)}")
