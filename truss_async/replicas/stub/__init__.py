"""Stubs: what answers in the place of a model that is not there, or cannot run here."""

from .answers import StubAnswers, names_file, read_answers

__all__ = ["StubAnswers", "names_file", "read_answers"]
