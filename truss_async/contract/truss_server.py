"""The Truss server's own words and names, as far as more than one part of this package goes by them."""

from typing import Final

MODEL_ERROR_MESSAGE: Final = (
    "Internal Server Error (in model/chainlet)."  # for any exception that a hook raises
)
UNHANDLED_EXCEPTION: Final = "Unhandled exception: "  # and the exception: for one of the server's own
NOT_READY: Final = "is not ready"

SERVER_SOURCE: Final = "04"
UNEXPECTED_ERROR, DOWNSTREAM_ERROR, CLIENT_ERROR = "500", "600", "700"  # codes of errors

LOG_MODULES: Final = ("_truss_shared.log_config", "shared.log_config")  # the second one before 0.18.18
REQUEST_ID_VARIABLE: Final = "request_id_context"

CONSTRUCTOR_ARGUMENTS: Final = ("config", "secrets", "environment", "data_dir", "lazy_data_resolver")
