"""The dashboard and the alert rules of the examples: each query, taken apart, against what a harness really exposes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.harness.model_server import Answer, ModelServer, echo
from truss_async.contract import InferenceRetryConfig
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.webhooks.receiver import WebhookReceiver

FOLDER = Path(__file__).parents[3] / "examples" / "grafana"
VARIABLES = {"$deployment": ".*", "$__rate_interval": "1m"}
FUNCTIONS = {"rate", "increase", "histogram_quantile", "min_over_time", "sum", "min", "max"}
GROUPING = {"by", "on"}
WORDS = {"and"}
TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<span>\[\d+[smhd]\])|(?P<number>\d+(?:\.\d+)?)|(?P<name>[a-zA-Z_:][\w:]*)"""
    r"""|(?P<sign>=~|!~|!=|==|>=|<=|[(){},=<>+*/-]))"""
)
# What has no series before the disk of a harness has damaged something.
ONLY_WHEN_DAMAGED = {"truss_async_damaged_requests_total"}
Series = dict[str, list[dict[str, str]]]


class Query:
    """A PromQL expression: its ``selectors`` (metric, label, sign, value), and the labels that it groups by."""

    def __init__(self, expression: str) -> None:
        for name, value in VARIABLES.items():
            expression = expression.replace(name, value)
        self.tokens = list(_tokens(expression))
        self.selectors: list[tuple[str, list[tuple[str, str, str]]]] = []
        self.grouped: set[str] = set()
        self._read()

    def _read(self) -> None:
        at, depth = 0, 0
        while at < len(self.tokens):
            kind, text = self.tokens[at]
            following = self.tokens[at + 1][1] if at + 1 < len(self.tokens) else ""
            at += 1
            if text in ("(", ")"):
                depth += 1 if text == "(" else -1
                assert depth >= 0, self.tokens
            elif kind != "name" or text in WORDS:
                assert text not in ("{", "}"), f"a selector without a metric: {self.tokens}"
            elif text in GROUPING:
                at = self._labels(at)
            elif text in FUNCTIONS:
                assert following in ("(", *GROUPING), f"{text} of nothing: {self.tokens}"
            else:
                at = self._selector(text, at)
        assert depth == 0, self.tokens

    def _labels(self, at: int) -> int:
        end = self.tokens.index(("sign", ")"), at)
        assert self.tokens[at] == ("sign", "(")
        self.grouped |= {text for kind, text in self.tokens[at + 1 : end] if kind == "name"}
        return end + 1

    def _selector(self, metric: str, at: int) -> int:
        matchers: list[tuple[str, str, str]] = []
        if self.tokens[at : at + 1] == [("sign", "{")]:
            end = self.tokens.index(("sign", "}"), at)
            inside = [text for _, text in self.tokens[at + 1 : end] if text != ","]
            assert len(inside) % 3 == 0, f"{metric}: {inside}"
            matchers = [
                (inside[n], inside[n + 1], json.loads(inside[n + 2])) for n in range(0, len(inside), 3)
            ]
            at = end + 1
        self.selectors.append((metric, matchers))
        return at


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at, text = 0, expression.rstrip()
    while at < len(text):
        found = TOKEN.match(text, at)
        assert found is not None, f"not understood: {text[at:]!r}"
        assert found.lastgroup is not None
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()


def fits(series: dict[str, str], matchers: list[tuple[str, str, str]]) -> bool:
    """Whether a series is selected, as Prometheus would: regular expressions are of the whole value."""
    for label, sign, value in matchers:
        has = series.get(label, "")
        same = bool(re.fullmatch(value, has)) if "~" in sign else has == value
        if same == sign.startswith("!"):
            return False
    return True


def problems_of(expression: str, series: Series) -> list[str]:
    """What of a query is not found in what is exposed."""
    query, found = Query(expression), []
    for metric, matchers in query.selectors:
        known = series.get(metric)
        if known is None:
            found.append(f"there is no metric {metric}")
            continue
        labels = {name for each in known for name in each}
        used = {label for label, _, _ in matchers} | query.grouped
        found += [f"{metric} has no label {label}" for label in sorted(used - labels)]
        if not any(fits(each, matchers) for each in known):
            found.append(f"{metric}{matchers} selects nothing")
    return found


@pytest.fixture(scope="module")
def series() -> Series:
    """Each series of a harness in which a request has succeeded, one has failed, and a webhook was sent."""

    def behave(model_input: object) -> Answer:
        return Answer(500, b'{"error": "no"}') if model_input == "bad" else echo(model_input)

    with ModelServer(behave) as model, WebhookReceiver() as receiver:
        settings = HarnessSettings(model_url=model.url, model_id="local", port=0, quiet=True)
        with Harness(settings, report=lambda line: None) as harness:
            harness.submit("good", webhook_endpoint=receiver.url).wait()
            harness.submit("bad", inference_retry_config=InferenceRetryConfig(max_attempts=1)).wait()
            text = httpx.get(f"{harness.url}/metrics").text
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
        if family.name + "_total" in ONLY_WHEN_DAMAGED:
            found.setdefault(family.name + "_total", [{"damaged": "request"}])
    return found


def dashboard() -> dict[str, str]:
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels
        for target in panel["targets"]
    }


def alerts() -> dict[str, str]:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


@pytest.mark.parametrize("name", [*dashboard(), *alerts()])
def test_each_query_finds_what_a_harness_exposes(series: Series, name: str) -> None:
    assert problems_of({**dashboard(), **alerts()}[name], series) == []


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("sum(baseten_async_queue)", "there is no metric baseten_async_queue"),
        ("sum by (pod) (baseten_async_queue_size)", "baseten_async_queue_size has no label pod"),
        (
            'baseten_inference_requests_total{code="200"}',
            "baseten_inference_requests_total has no label code",
        ),
        ('baseten_inference_requests_total{status="418"}', "selects nothing"),
    ],
)
def test_a_query_that_would_find_nothing_is_found_out(series: Series, expression: str, problem: str) -> None:
    assert problem in " ".join(problems_of(expression, series))


@pytest.mark.parametrize("broken", ["sum(x", "sum by (a) x)", "x{a=}", '{a="b"}', "rate x", "x[5q]", "x ; y"])
def test_what_is_no_query_is_found_out(broken: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        Query(broken)


def test_the_dashboard_is_whole() -> None:
    made = json.loads((FOLDER / "dashboard.json").read_text())
    ids = [panel["id"] for panel in made["panels"]]
    assert len(ids) == len(set(ids)) >= 8
    assert {each["name"] for each in made["templating"]["list"]} == {"datasource", "deployment"}
    titles = {panel["title"] for panel in made["panels"]}
    assert {"Async queue size", "Time in async queue", "Async webhook latency"} <= titles


def test_each_alert_says_what_to_do() -> None:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert set(rule["annotations"]) == {"summary", "remedy"}, rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")
