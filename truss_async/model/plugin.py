"""The two ways to have outputs saved: a base class and a decorator."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar, cast, overload

from ..errors import UnsupportedModelError
from .chainlets import RUN_REMOTE, check_run_remote, install_in_chainlet
from .construction import ARGUMENTS_ATTRIBUTE, accepted_keywords
from .installation import REQUEST_CONTEXT, install, install_in_subclasses, refuse_construction
from .settings import check_setting_names

Method = TypeVar("Method", bound=Callable[..., Any])

_DECORATED = ("predict", "postprocess", RUN_REMOTE)


class AsyncOutputModel:
    """Base class of a Truss model: every output is saved under its request id before it is answered.

    Where to is said by ``output_url`` on the class, by the environment variable ``TRUSS_ASYNC_OUTPUT_URL``, or by
    ``model_metadata.async_output.url`` in config.yaml; so it is with every setting of OutputSettings. ``self.context["request_id"]`` names the request in work.
    Calling ``super().__init__(**kwargs)`` works and is not needed.
    """

    output_url: str | None = None
    output_local: bool | None = None
    output_key: str | None = None
    output_model_id: str | None = None
    output_deployment_id: str | None = None
    output_format: str | None = None
    output_respond_with: str | None = None
    output_compression: str | None = None
    output_storage_class: str | None = None
    output_kms_key_id: str | None = None
    output_tags: Mapping[str, str] | None = None
    output_headers: Mapping[str, str] | None = None
    output_overwrite: bool | None = None
    output_save_errors: bool | None = None
    output_on_failure: str | None = None
    output_timeout_seconds: float | None = None
    output_spill_dir: str | None = None
    output_streaming: str | None = None
    output_check: bool | None = None
    context: Mapping[str, str] = REQUEST_CONTEXT

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        next_init = super().__init__
        next_init(*arguments, **accepted_keywords(next_init, keywords))

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        install(cls)


@overload
def save_output(method: Method, /) -> Method: ...


@overload
def save_output(*, url: str | None = None, **settings: Any) -> Callable[[Method], Method]: ...


def save_output(
    method: Method | None = None, /, *, url: str | None = None, **settings: Any
) -> Method | Callable[[Method], Method]:
    """Save what this ``postprocess`` (or ``predict``, in a class without one) returns, under its request id.

    It makes the class what a subclass of AsyncOutputModel is; classes derived from it save too. On a chainlet's
    ``run_remote`` it saves what that returns. ``settings`` are those of OutputSettings.
    """
    arguments = {name: value for name, value in {"url": url, **settings}.items() if value is not None}
    check_setting_names(arguments)

    def decorate(decorated: Method) -> Method:
        if getattr(decorated, "__name__", "") == RUN_REMOTE:
            check_run_remote(decorated, streaming=settings.get("streaming", "refuse"))
        return cast("Method", _Decorated(decorated, arguments))

    return decorate if method is None else decorate(method)


class _Decorated:
    """Stands in the class body for a decorated method until the class is there, then gives way to it."""

    def __init__(self, method: Callable[..., Any], arguments: dict[str, Any]) -> None:
        self._method = method
        self._arguments = arguments

    def __set_name__(self, owner: type, name: str) -> None:
        setattr(owner, name, self._method)
        inherited = getattr(owner, ARGUMENTS_ATTRIBUTE, {})
        setattr(owner, ARGUMENTS_ATTRIBUTE, {**inherited, **self._arguments})
        if name == RUN_REMOTE:
            install_in_chainlet(owner, self._method)
            return
        try:
            if name not in _DECORATED:
                raise UnsupportedModelError(
                    f"@save_output goes on {', '.join(_DECORATED[:-1])} or {RUN_REMOTE}, not on {name}"
                )
            if not any(isinstance(each, _Decorated) for each in vars(owner).values()):
                install(owner)
                install_in_subclasses(owner)
        except UnsupportedModelError as error:
            refuse_construction(owner, str(error))

    def __get__(self, instance: object, owner: type) -> NoReturn:
        self._refuse()

    def __call__(self, *arguments: Any, **keywords: Any) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UnsupportedModelError(
            "@save_output works on a method in a class body, above any other decorator of that method"
        )
