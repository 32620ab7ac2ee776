"""Serves ``app`` of app.py in the current folder on a socket that it inherits: ``serve_app.py asgi|wsgi FD``."""

import socket
import sys
from importlib import import_module
from pathlib import Path


def main() -> None:
    interface, descriptor = sys.argv[1], int(sys.argv[2])
    sys.path.insert(0, str(Path.cwd()))
    app = import_module("app").app

    if interface == "wsgi":
        from werkzeug.serving import make_server

        make_server("127.0.0.1", 0, app, threaded=True, fd=descriptor).serve_forever()
    else:
        import uvicorn

        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        server.run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main()
