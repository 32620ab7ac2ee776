"""A front that lets the platform's contract through, and nothing else."""

import re
from types import TracebackType

import aiohttp
from aiohttp import web

from truss_async.workers import LoopThread

_TARGET = r"(?:production|development|environments/[^/]+|deployment/[^/]+)"
_CONTRACT = re.compile(
    rf"POST /{_TARGET}/(?:async_)?predict|POST /{_TARGET}/wake|GET /{_TARGET}/async_queue_status"
    r"|(?:GET|DELETE) /async_request/[0-9a-f]{32}"
)
_FROM_CALLERS = ("Authorization", "Content-Type")
_TO_CALLERS = ("Content-Type", "Retry-After", "X-Baseten-Request-Id")


class ContractOnly:
    """Leads to a harness. What the platform would not know is answered 404, and kept in ``refused``.

    ``answer_next`` has the next calls of an operation answered by itself, once it has (or has not) passed them on.
    """

    def __init__(self, behind: str) -> None:
        self._behind = behind
        self.refused: list[str] = []
        self.calls: list[str] = []
        self._scripted: list[tuple[str, int, bool]] = []
        self._loop = LoopThread("contract-only")
        self.url = self._loop.run(self._start())

    def answer_next(self, operation: str, status: int, *, passes_on: bool) -> None:
        self._scripted.append((operation, status, passes_on))

    def close(self) -> None:
        self._loop.run(self._stop())
        self._loop.close()

    def __enter__(self) -> "ContractOnly":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def _start(self) -> str:
        self._session = aiohttp.ClientSession()
        application = web.Application(client_max_size=2**30)
        application.router.add_route("*", "/{any:.*}", self._answer)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = f"{request.method} {request.raw_path}"
        self.calls.append(call)
        if not _CONTRACT.fullmatch(call):
            self.refused.append(call)
            return web.json_response({"error": "the platform has no such call"}, status=404)
        for script in self._scripted:
            if script[0] in request.path:
                self._scripted.remove(script)
                if script[2]:
                    await self._passed_on(request)
                return web.json_response({"error": "scripted"}, status=script[1])
        return await self._passed_on(request)

    async def _passed_on(self, request: web.Request) -> web.Response:
        try:
            async with self._session.request(
                request.method,
                self._behind + request.raw_path,
                data=await request.read(),
                headers={name: request.headers[name] for name in _FROM_CALLERS if name in request.headers},
            ) as answer:
                headers = {name: answer.headers[name] for name in _TO_CALLERS if name in answer.headers}
                return web.Response(status=answer.status, body=await answer.read(), headers=headers)
        except aiohttp.ClientError as error:
            return web.json_response({"error": f"nobody behind it: {error}"}, status=502)
