"""How a truss gets this package: its container part, and the requirements that come with it."""

from .container_part import CONTAINER_PART, container_part_is_current, copy_container_part
from .package import PackageReport, package_truss

__all__ = [
    "CONTAINER_PART",
    "PackageReport",
    "container_part_is_current",
    "copy_container_part",
    "package_truss",
]
