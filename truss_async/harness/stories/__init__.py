"""What became of each request, told for people: every transition, attempt and delivery with its time."""

from .journal import Journal
from .journaling import JournalingQueue
from .problems import (
    PROBLEM_KINDS,
    Problem,
    ProblemKind,
    find_problems,
    render_problems,
    tells_of_exception,
    wait_for_rest,
)
from .request_handle import RequestHandle
from .story import Story, render_story

__all__ = [
    "PROBLEM_KINDS",
    "Journal",
    "JournalingQueue",
    "Problem",
    "ProblemKind",
    "RequestHandle",
    "Story",
    "find_problems",
    "render_problems",
    "render_story",
    "tells_of_exception",
    "wait_for_rest",
]
