"""A webhook endpoint, to run beside the harness or in production.

In both terminals: export TRUSS_ASYNC_WEBHOOK_SECRETS=whsec_rehearsal
Then: python receiver.py
And:  truss-async submit '{"name": "Ada"}' --webhook-endpoint http://127.0.0.1:8099/webhook
"""

from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI

from truss_async import AsyncPredictResult, on_result, starlette_webhook


def handle(result: AsyncPredictResult) -> None:
    """Called once for each result, after it has been stored."""
    print(result.request_id, result.errors or result.data, flush=True)


inbox = on_result(handle, path="webhook-inbox.sqlite")
app = FastAPI()


@app.post("/webhook")
def webhook(result: Annotated[AsyncPredictResult, Depends(starlette_webhook())]) -> None:
    """Reached only by webhooks that carry a valid signature; the answer follows once the result is stored."""
    inbox.accept(result)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=8099)
