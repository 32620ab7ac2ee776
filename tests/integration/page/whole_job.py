"""From a failed request to the webhook that arrives: what a person sees on the way, whatever the hand that leads there."""

from dataclasses import dataclass

from playwright.sync_api import Page, expect

from truss_async.client import HarnessClient
from truss_async.harness.harness import Harness
from truss_async.webhooks.receiver import WebhookReceiver


@dataclass(frozen=True)
class WholeJob:
    """``failed`` is the id of the request; the receiver refuses the next webhook, and then takes it."""

    failed: str
    harness: Harness
    receiver: WebhookReceiver

    def sees_why(self, page: Page) -> None:
        """Why the request failed."""
        expect(page.get_by_label("Error message")).to_have_text("no more memory")

    def sees_that_the_new_one_was_refused(self, page: Page, *, reloads: bool = False) -> None:
        """The page of the new request, once its result was sent; without scripts it is looked at again."""
        expect(page.get_by_role("status")).to_contain_text("was submitted again")
        assert self.failed not in page.url
        with HarnessClient(self.harness.url, api_key="any") as client:
            client.wait(_id_of(page), timeout_seconds=30)
        if reloads:
            page.reload()
        expect(page.locator("dl.facts [data-status=WEBHOOK_FAILED]")).to_be_visible()
        expect(page.get_by_text("answered 404")).to_be_visible()

    def sees_it_delivered(self, page: Page) -> None:
        """The webhook has come, and the page says so."""
        expect(page.get_by_role("status")).to_have_text("The result was sent again: answered 200.")
        expect(page.locator("dl.facts [data-status=SUCCEEDED]")).to_have_count(2)
        sent = page.get_by_role("region", name="Table of deliveries").locator("tbody tr")
        expect(sent).to_have_count(2)
        expect(sent.last).to_contain_text("200")
        delivery = self.receiver.wait_for(_id_of(page))
        assert (delivery.verdict, delivery.result.data) == ("valid", {"echo": {"n": 7}})


def _id_of(page: Page) -> str:
    return page.url.partition("?")[0].rpartition("/")[2]
