"""The local platform: HTTP API, durable queue, the real Truss server, signed webhooks.

``Harness`` and ``run`` are in ``truss_async.harness.harness``, ``HarnessSettings`` in ``truss_async.harness.settings``.
"""
