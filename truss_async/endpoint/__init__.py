"""For those who write a webhook endpoint: one that stands in for it, and a trial of it."""
