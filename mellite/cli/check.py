"""`mellite check`: judge answers that were recorded, without generating anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from ..values.errors import CassetteError, MelliteError, MissingExtra
from ..values.terminal import one_line
from .cassettes import without_secrets
from .examples import examples
from .output import errors_shown, print_json, print_table
from .requirements import HELP, requirements_of

if TYPE_CHECKING:
    from ..cassettes.files.find import Found
    from ..strategies.requirements import Requirement, Subject, ValidationResult
    from ..values.provider_json import JsonObject

__all__ = ["check"]


class _Answer(NamedTuple):
    """A recorded answer: its name and what is judged of it; None, and why, if it cannot be read."""

    name: str
    subject: Subject | None
    text: str
    problem: str = "it is of no known protocol"


@click.command(
    epilog=examples(
        "mellite check answers.json --require json --require max-words=50",
        "mellite check tests/cassettes --require not-contains=sorry",
    ),
)
@click.argument("cassette", type=click.Path(exists=True))
@click.option("--require", "requires", multiple=True, required=True, metavar="NAME[=VALUE]", help=HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line, one for each answer.")
def check(*, cassette: str, requires: tuple[str, ...], as_json: bool) -> None:
    """Judge every answer in CASSETTE by requirements.

    CASSETTE is an HTTP cassette, a text cassette, or a folder of them. Nothing is generated, and likely secrets are not
    shown. Exits with 1 if an answer does not meet a requirement, or cannot be read.
    """
    from ..cassettes.scrub import scrub_value
    from ..cassettes.secrets.scan import SecretScan

    with errors_shown():
        required = requirements_of(requires)
        judged = [(answer, _verdicts(answer, required)) for answer in _answers(cassette)]
    if as_json:
        for answer, verdicts in judged:
            print_json(scrub_value(_as_json(answer, required, verdicts), SecretScan()))
    else:
        _print(judged, required)
    if not judged:
        click.echo(f"mellite: there is no answer in {cassette!r}", err=True)
    if not judged or not all(_good(verdicts) for _, verdicts in judged):
        sys.exit(1)


def _answers(cassette: str) -> Iterator[_Answer]:
    """Yield the answers in a file or below a folder, and for each damaged file an answer that cannot be read."""
    from ..cassettes.audit import is_to_be_told
    from ..cassettes.files.find import find_cassettes

    damaged: list[_Answer] = []

    def failed(path: str, error: MelliteError) -> None:
        damaged.append(_Answer(path, None, "", problem=str(error)))

    in_folder = os.path.isdir(cassette)
    for found in find_cassettes([cassette], failed=failed):
        name = os.path.relpath(found.path, cassette) if in_folder else ""
        try:
            yield from _in_file(found, name)
        except (CassetteError, MissingExtra) as error:
            if not in_folder:
                raise
            if is_to_be_told(found):
                failed(name, error)
    yield from damaged


def _in_file(found: Found, name: str) -> list[_Answer]:
    """Return the answers in one file; `name` is what to call the file, empty if it is the only one."""
    from ..archive.replay import replay_all
    from ..cassettes.text.directory import TextDirectory

    if found.kind == "http":
        before = f"{name} " if name else ""
        return [
            _Answer(f"{before}{index}", thunk, url if thunk is None else thunk.partial)
            for index, (url, thunk) in enumerate(replay_all(found.path))
        ]
    if found.kind != "text":
        return []
    folder, file = os.path.split(found.path)
    answer = TextDirectory(folder).answer(int(file.partition(".")[0]))
    if answer is None or answer.path != found.path:  # another file of the same key is read instead
        return []
    return [_Answer(name or file, answer.text, answer.text)]


def _verdicts(answer: _Answer, required: Sequence[Requirement]) -> list[ValidationResult] | None:
    """Judge an answer; return None if it cannot be read."""
    import anyio

    from ..strategies.requirements import check as judge

    return None if answer.subject is None else anyio.run(judge, answer.subject, required)


def _good(verdicts: list[ValidationResult] | None) -> bool:
    return verdicts is not None and all(verdict.passed for verdict in verdicts)


def _as_json(answer: _Answer, required: Sequence[Requirement], verdicts: list[ValidationResult] | None) -> JsonObject:
    return {
        "answer": answer.name,
        "passed": _good(verdicts),
        "problem": answer.problem if verdicts is None else None,
        "text": None if verdicts is None else answer.text,
        "validations": None
        if verdicts is None
        else [
            {
                "requirement": requirement.description,
                "passed": verdict.passed,
                "reason": verdict.reason,
                "score": verdict.score,
                "error": None if verdict.error is None else f"{type(verdict.error).__name__}: {verdict.error}",
            }
            for requirement, verdict in zip(required, verdicts, strict=True)
        ],
    }


def _print(judged: Sequence[tuple[_Answer, list[ValidationResult] | None]], required: Sequence[Requirement]) -> None:
    rows = [
        (answer.name, _good(verdicts), _why(answer, verdicts, required), without_secrets(answer.text))
        for answer, verdicts in judged
    ]
    passed = sum(good for _, good, _, _ in rows)
    summary = f"{passed} of {len(rows)} answers passed"
    if not sys.stdout.isatty():
        for name, good, why, _ in rows:
            click.echo("\t".join([name, "passed" if good else "failed", *why]))
        click.echo(summary)
        return
    print_table(
        summary,
        ("answer", "verdict", "why", "text"),
        [(name, "passed" if good else "failed", "; ".join(why), one_line(text, 100)) for name, good, why, text in rows],
        whole="answer",
        styles=["green" if good else "red" for _, good, _, _ in rows],
    )


def _why(answer: _Answer, verdicts: list[ValidationResult] | None, required: Sequence[Requirement]) -> list[str]:
    """Return why an answer did not pass: a line for each requirement, without secrets."""
    reasons = (
        [answer.problem]
        if verdicts is None
        else [
            f"{requirement.description.removesuffix('.')}: {verdict.reason or verdict.error or 'it does not'}"
            for requirement, verdict in zip(required, verdicts, strict=True)
            if not verdict.passed
        ]
    )
    return [one_line(without_secrets(reason)) for reason in reasons]
