"""What is measured against: a bare endpoint, and a model server that does nothing. ``python -m benchmarks.servers NAME``."""

import json
import socket
import sys
from uuid import uuid4

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def accept(request: Request) -> Response:
    """The least that any endpoint for async requests does: read the body, parse it, answer an id."""
    json.loads(await request.body())
    return JSONResponse({"request_id": uuid4().hex}, status_code=201)


async def echo(request: Request) -> Response:
    """A model that takes no time."""
    return Response(await request.body(), media_type="application/json")


APPLICATIONS = {
    "bare": Starlette(routes=[Route("/production/async_predict", accept, methods=["POST"])]),
    "echo": Starlette(
        routes=[Route("/", lambda _: Response()), Route("/v1/models/model:predict", echo, methods=["POST"])]
    ),
}


def main(name: str) -> None:
    """Serve on a free port, and say which on stdout."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(
        APPLICATIONS[name], http="httptools", loop="uvloop", log_config=None, access_log=False
    )
    print(f"listening on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvloop.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    main(sys.argv[1])
