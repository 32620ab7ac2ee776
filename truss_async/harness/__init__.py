"""The local platform: HTTP API, durable queue, the real Truss server, signed webhooks.

``Harness`` and ``run`` are in ``truss_async.harness.server``, ``HarnessSettings`` in ``truss_async.harness.settings``.
"""
