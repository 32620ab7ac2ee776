"""Starts the Truss server as production does, but on loopback and with folders of its own.

Run by the replica's interpreter as ``launcher.py SETTINGS.json``, from a copy: it must not depend on
anything but the standard library and on what the server itself imports.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import runpy
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1


class PluginFinder(importlib.abc.MetaPathFinder):
    """Finds truss_async in one folder, whatever else sys.path may offer."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "truss_async":
            return None
        return importlib.machinery.PathFinder.find_spec(fullname, [self._folder])


class SourceLoader(importlib.machinery.SourceFileLoader):
    """Loads modules from copies, as what they are copies of: tracebacks and debuggers name the files that can be edited."""

    copies = ""
    originals = ""

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        original = path.replace(self.copies, self.originals, 1)
        return compile(self.get_data(path), original, "exec", dont_inherit=True)


def load_as(copies: str, originals: str) -> None:
    """Let what is imported from one folder say that it comes from another."""
    loader = type("SourceLoader", (SourceLoader,), {"copies": copies, "originals": originals})
    hook = importlib.machinery.FileFinder.path_hook((loader, importlib.machinery.SOURCE_SUFFIXES))

    def hook_for_copies(path: str) -> Any:
        if path != copies and not path.startswith(f"{copies}/"):
            raise ImportError(path)
        return hook(path)

    sys.path_hooks.insert(0, hook_for_copies)


def die_with_parent() -> None:
    """Where the system can: end this process with the one that started it, even if nobody is left to see to that."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def call_before(owner: Any, name: str, first: Callable[[], None]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        first()
        return original(*args, **kwargs)

    setattr(owner, name, wrapper)


class MarkedLines:
    """A text stream in which each line that is written for a request begins with ``\\x1d``, its id, ``\\x1d``.

    What a model prints says nothing of the request it is printed for; the server's own log records do.
    """

    def __init__(self, stream: Any, request_id: Callable[[], str | None]) -> None:
        self._stream = stream
        self._request_id = request_id
        self._thread = threading.local()

    def write(self, text: str) -> int:
        request_id = self._request_id()
        marked = text
        if request_id and text:
            mark = f"\x1d{request_id}\x1d"
            body, end = (text[:-1], "\n") if text.endswith("\n") else (text, "")
            begins = not getattr(self._thread, "is_mid_line", False)
            marked = (mark if begins else "") + body.replace("\n", f"\n{mark}") + end
        if text:
            self._thread.is_mid_line = not text.endswith("\n")
        self._stream.write(marked)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def fail_on_exits(wrapper: Any) -> None:
    """Let whatever ends the loading be a failed load: of ``sys.exit`` the server takes no notice, and is never ready."""
    load = getattr(wrapper, "_load_impl", None)
    if load is None:
        return

    @functools.wraps(load)
    def load_or_fail(*args: Any, **kwargs: Any) -> Any:
        try:
            return load(*args, **kwargs)
        except Exception:
            raise
        except BaseException as error:
            raise RuntimeError(f"loading ended with {error!r}, which the server does not notice") from error

    wrapper._load_impl = load_or_fail


def prepare_loading(wrapper: Any, packages_dir: str | None) -> None:
    fail_on_exits(wrapper)
    if packages_dir:
        # The server appends /packages when it loads the model, and not before.
        call_before(wrapper, "load", functools.partial(sys.path.append, packages_dir))


def by_the_line(stream: Any) -> Any:
    """The stream, which passes on whole lines: print alone writes each of its words apart, a system call for each."""
    stream.reconfigure(write_through=False, line_buffering=True)
    return stream


def listen_on(listener: socket.socket) -> None:
    uvicorn: Any = importlib.import_module("uvicorn")
    serve = uvicorn.Server.serve

    @functools.wraps(serve)
    def serve_on_listener(server: Any) -> Any:
        return serve(server, sockets=[listener])

    uvicorn.Server.serve = serve_on_listener


def look_in_own_folders(package: str, settings: dict[str, Any]) -> None:
    """Let these modules of truss find secrets and what the platform mounts where they are here."""
    secrets_resolver: Any = importlib.import_module(f"{package}.secrets_resolver")
    resolver = secrets_resolver.SecretsResolver
    resolver.SECRETS_MOUNT_DIR = settings["secrets_dir"]
    resolve = resolver._resolve_secret
    # Here people write these files, some with a byte order mark.
    resolver._resolve_secret = staticmethod(lambda *named: (resolve(*named) or "").removeprefix("\ufeff"))
    dynamic_config: Any = importlib.import_module(f"{package}.dynamic_config_resolver")
    dynamic_config.DYNAMIC_CONFIG_MOUNT_DIR = settings["dynamic_config_dir"]


def main(settings: dict[str, Any]) -> None:
    die_with_parent()
    os.set_inheritable(settings["listener_fd"], False)
    app_dir = settings["app_dir"]
    main_file = str(Path(app_dir, "main.py"))
    sys.argv = [main_file]
    if sys.path and Path(sys.path[0]) == Path(__file__).parent:
        del sys.path[0]
    sys.path.insert(0, app_dir)
    if settings["plugin_dir"]:
        sys.meta_path.insert(0, PluginFinder(settings["plugin_dir"]))

    if settings["packages_source"]:
        load_as(settings["packages_dir"], settings["packages_source"])
    look_in_own_folders("_truss_shared", settings)
    if settings["is_chainlet"]:
        with contextlib.suppress(ImportError):  # not all that a chain can hold needs it
            look_in_own_folders("truss.templates.shared", settings)
    log_config: Any = importlib.import_module("_truss_shared.log_config")
    sys.stdout = MarkedLines(by_the_line(sys.stdout), log_config.request_id_context.get)
    truss_server: Any = importlib.import_module("truss_server")
    truss_server.INFERENCE_SERVER_FAILED_FILE = Path(settings["crash_file"])
    prepare_loading(importlib.import_module("model_wrapper").ModelWrapper, settings["packages_dir"])
    listen_on(socket.socket(fileno=settings["listener_fd"]))
    runpy.run_path(main_file, run_name="__main__")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
