"""The environment variables that say where a model's outputs go, to the plugin and to whoever runs the model."""

from typing import Final

OUTPUT_URL: Final = "TRUSS_ASYNC_OUTPUT_URL"
"""The output store; goes before the one in config.yaml."""
LOCAL_OUTPUT_URL: Final = "TRUSS_ASYNC_OUTPUT_LOCAL_URL"
"""Set by the harness for its replicas: the store of a model that names none, or asks for a local one."""
