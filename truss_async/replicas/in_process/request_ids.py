"""The request id, where code inside the Truss server looks for it."""

from __future__ import annotations

import importlib.util
import sys
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Final

from ...contract.truss_server import LOG_MODULES, REQUEST_ID_VARIABLE

_MODULE: Final = LOG_MODULES[0]
_PACKAGE, _, _NAME = _MODULE.partition(".")
_VARIABLES: Final = (REQUEST_ID_VARIABLE, "chain_request_id_context")


def publish_request_ids() -> tuple[ContextVar[str | None], ContextVar[str | None]]:
    """The variables of ``_truss_shared.log_config``: those that are there, else new ones in a module of that name."""
    module = _found() or _made()
    request_id, chain_request_id = (getattr(module, name) for name in _VARIABLES)
    return request_id, chain_request_id


def _found() -> Any:
    module = sys.modules.get(_MODULE)
    if module is None and importlib.util.find_spec(_PACKAGE) is not None:
        module = importlib.import_module(_MODULE)
    return module


def _made() -> ModuleType:
    package, module = ModuleType(_PACKAGE), ModuleType(_MODULE)
    package.__path__ = []
    vars(package)[_NAME] = module
    for name in _VARIABLES:
        vars(module)[name] = ContextVar[str | None](name.removesuffix("_context"), default=None)
    sys.modules.update({_PACKAGE: package, _MODULE: module})
    return module
