"""Write webhooks.json: bodies and their signatures, signed by the openssl command and not by this package.

Run it by hand when a vector is added: ``python tests/vectors/make_webhooks.py``.
"""

import json
import subprocess
from pathlib import Path

NEW = "whsec_" + "NEWnew0123456789abcdefghijABCDEFGHIJ012"
OLD = "whsec_" + "OLDold9876543210zyxwvutsrqZYXWVUTSRQ987"
ODD = "clé-秘密-🔑"
HEAD = '{"request_id":"%s","model_id":"abcd1234","deployment_id":"wxyz9876","type":"async_request_completed",'

CASES = [
    ("one secret", "1" * 32, "2024-04-30T01:01:08.883423Z", '"data":{"total":12},"errors":[]', [NEW]),
    (
        "two secrets, newest first",
        "2" * 32,
        "2024-04-30T01:01:08.883423Z",
        '"data":{},"errors":[]',
        [NEW, OLD],
    ),
    (
        "non-ASCII text",
        "3" * 32,
        "2024-04-30T01:01:08Z",
        '"data":{"Straße":"naïve 日本 🙂"},"errors":[]',
        [NEW],
    ),
    (
        "floats",
        "4" * 32,
        "2024-04-30T01:01:08.250000Z",
        '"data":[0.1,1234.5678,3.0,-0.5],"errors":[]',
        [NEW, OLD],
    ),
    (
        "an error result",
        "5" * 32,
        "2024-04-30T01:01:08.883423Z",
        '"data":null,"errors":[{"code":"MODEL_PREDICT_ERROR","message":"Übel \\"quoted\\"\\n"}]',
        [OLD],
    ),
    ("a string as output", "6" * 32, "2024-04-30T01:01:08.883423Z", '"data":"plain","errors":[]', [NEW]),
    ("a secret beyond ASCII", "7" * 32, "2024-04-30T01:01:08.883423Z", '"data":true,"errors":[]', [ODD]),
]


def openssl_hmac(body: bytes, secret: str) -> str:
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{secret.encode().hex()}"]
    answer = subprocess.run(command, input=body, capture_output=True, check=True)
    return answer.stdout.decode().rsplit("= ", 1)[1].strip()


def main() -> None:
    vectors = []
    for name, request_id, time, rest, secrets in CASES:
        body = HEAD % request_id + f'"time":"{time}",' + rest + "}"
        header = ",".join(f"v1={openssl_hmac(body.encode(), secret)}" for secret in secrets)
        vectors.append(
            {"name": name, "time": time, "secrets": secrets, "body": body, "signature_header": header}
        )
    path = Path(__file__).with_name("webhooks.json")
    path.write_text(json.dumps(vectors, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
