"""Fixtures for tests of async inference: a local platform, a webhook endpoint and an output store for each test.

Nothing but pytest is imported until a test asks for a fixture.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .harness.harness import Harness
    from .harness.settings import HarnessSettings
    from .harness.shared_replicas import SharedReplicas
    from .stores import OutputStore
    from .webhooks.receiver import WebhookReceiver

MARKER = "async_harness"
SIGNING_KEY = "whsec_" + "testsonly0" * 4
OUTPUT_URL = "TRUSS_ASYNC_OUTPUT_URL"

_SERVED = ("model", "truss_dir", "model_url", "stub", "deployments", "chain")
_OF_A_STUB = ("latency_seconds", "fail_rate", "fail_seed")
_NOTHING_TO_SERVE = (
    "async_harness has nothing to serve: mark the test with @pytest.mark.async_harness(model=…), truss_dir=…, chain=…, "
    "model_url=… or stub=…, return one of these from a fixture async_harness_settings, or run pytest with --truss DIR"
)
_HARNESS = pytest.StashKey["Harness"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("truss-async").addoption(
        "--truss",
        metavar="DIR",
        type=Path,
        help="The truss that async_harness serves in tests that do not say otherwise.",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARKER}(**settings): settings of the fixture async_harness (model, truss_dir, chain, model_url, stub, and all others of "
        "truss_async.HarnessSettings); allow= names problems that shall not fail the test: model_errors, "
        "webhook_failures, unfinished_requests",
    )


@pytest.fixture
def async_harness_settings() -> Mapping[str, Any]:
    """Settings of ``async_harness``, by name; override it for a module or a folder. Markers are stronger."""
    return {}


@pytest.fixture(scope="session")
def async_output_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where models save outputs; by default a folder that each test finds empty. Override it for a store of your own."""
    return tmp_path_factory.mktemp("async_outputs").as_uri()


@pytest.fixture
def async_harness(request: pytest.FixtureRequest, _unstarted_async_harness: Harness) -> Iterator[Harness]:
    """The local platform, on a virtual clock, with the model loaded: a truss_async.Harness.

    The test fails when the model raises an exception, a webhook is not delivered or a request is not over at its end,
    unless it allows that, by the marker or with ``async_harness.allow(…)``.
    """
    if "webhook_receiver" in request.fixturenames:
        request.getfixturevalue("webhook_receiver")  # so that it outlives the harness
    with _unstarted_async_harness as harness:
        harness.wait_ready()
        request.node.stash[_HARNESS] = harness
        yield harness


@pytest.fixture
def webhook_receiver(request: pytest.FixtureRequest) -> Iterator[WebhookReceiver]:
    """A webhook endpoint at ``webhook_receiver.url``, which verifies, keeps and can be waited on."""
    from .clock import SYSTEM_CLOCK, Clock
    from .webhooks.receiver import WebhookReceiver

    clock: Clock = SYSTEM_CLOCK
    secrets: tuple[str, ...] = (SIGNING_KEY,)
    if "async_harness" in request.fixturenames:
        harness: Harness = request.getfixturevalue("_unstarted_async_harness")
        clock, secrets = harness.clock, harness.settings.webhook_secrets
    with WebhookReceiver(secrets=secrets, clock=clock) as receiver:
        yield receiver


@pytest.fixture
def output_store(async_output_url: str) -> OutputStore:
    """Where the model's outputs are, by their request ids."""
    from .stores import OutputStore

    return OutputStore.from_url(async_output_url)


@pytest.fixture
def _unstarted_async_harness(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    async_harness_settings: Mapping[str, Any] | HarnessSettings,
    async_output_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Harness:
    options = _options(request, async_harness_settings)
    allowed = options.pop("allow", ())
    from pydantic import ValidationError

    from .errors import explained
    from .harness.harness import Harness
    from .harness.settings import HarnessSettings

    monkeypatch.setenv(OUTPUT_URL, async_output_url)
    _empty(async_output_url, tmp_path_factory.getbasetemp())
    try:
        settings = HarnessSettings(**options)
    except ValidationError as error:
        pytest.fail(f"{MARKER}: {explained(error, known=HarnessSettings.model_fields)}", pytrace=False)
    if not settings.runs_truss:
        harness = Harness(settings, log=_log_of(request.config))
    else:
        shared: SharedReplicas = request.getfixturevalue("_shared_async_replicas")
        harness = Harness(shared.share(settings), log=_log_of(request.config))
        shared.attach(harness)
    harness.allow(*([allowed] if isinstance(allowed, str) else allowed))
    return harness


@pytest.fixture(scope="session")
def _shared_async_replicas(pytestconfig: pytest.Config, async_output_url: str) -> Iterator[SharedReplicas]:
    from .harness.shared_replicas import SharedReplicas

    log = _log_of(pytestconfig)
    with SharedReplicas(environment={OUTPUT_URL: async_output_url}, log=log) as shared:
        yield shared


def _options(
    request: pytest.FixtureRequest, from_fixture: Mapping[str, Any] | HarnessSettings
) -> dict[str, Any]:
    """What is asked for: on the command line, by the fixture, by markers from the module's to the test's own."""
    options: dict[str, Any] = {
        "port": 0,
        "virtual_clock": True,
        "sync_retries": False,
        "webhook_secrets": (SIGNING_KEY,),
    }
    layers = [{"truss_dir": request.config.getoption("--truss")}, _as_options(from_fixture)]
    layers += [marker.kwargs for marker in reversed(list(request.node.iter_markers(MARKER)))]
    for layer in layers:
        if any(layer.get(name) is not None for name in _SERVED):
            options = {name: value for name, value in options.items() if name not in (*_SERVED, *_OF_A_STUB)}
        options.update(layer)
    if not any(options.get(name) is not None for name in _SERVED):
        pytest.fail(_NOTHING_TO_SERVE, pytrace=False)
    return options


def _log_of(config: pytest.Config) -> Callable[[str], None]:
    """What replicas say becomes a part of the stories; there is no need to capture it, too."""
    if config.getoption("capture") == "no":
        from .harness.harness import print_to_stderr

        return print_to_stderr
    return lambda line: None


def _as_options(settings: Mapping[str, Any] | HarnessSettings) -> Mapping[str, Any]:
    if hasattr(settings, "model_fields_set"):
        return {name: getattr(settings, name) for name in settings.model_fields_set}
    return settings


def _empty(url: str, base: Path) -> None:
    """Empty a folder that is made for these tests, and no other."""
    folder = Path(url.removeprefix("file://"))
    if folder.parent == base and folder.name.startswith("async_outputs"):
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that passed, but in which something went wrong that it does not allow."""
    result = yield
    harness = item.stash.get(_HARNESS, None)
    if harness is not None and (problems := harness.problems()):
        from .harness.stories import render_problems

        kinds = ", ".join(sorted({f'"{problem.kind}"' for problem in problems}))
        del item.stash[_HARNESS]  # its stories are told
        pytest.fail(
            f"{render_problems(problems)}\n\n"
            f"If the test means this: @pytest.mark.{MARKER}(allow=[{kinds}]), or async_harness.allow({kinds})",
            pytrace=False,
        )
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the stories of all requests of a test that failed."""
    report = yield
    harness = item.stash.get(_HARNESS, None)
    if harness is not None and call.when == "call" and report.failed:
        report.sections.append(("async requests", _all_stories(harness)))
    return report


def _all_stories(harness: Harness) -> str:
    stories = [request.story for request in harness.requests] or ["there was none"]
    if harness.other_lines:
        stories.append("\n| ".join(["log lines of the model outside of any request:", *harness.other_lines]))
    return "\n\n".join(stories)
