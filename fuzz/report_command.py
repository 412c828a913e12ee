# SPDX-License-Identifier: GPL-2.0-only
"""The command that writes bug reports: report."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from inspect import getdoc
from itertools import islice
from pathlib import Path

import click

from engines.catalogue import MACHINES, build_named, built, engine_named
from engines.protocol import Engine
from engines.simulated.plain import PlainVm
from engines.tree.engine import TreeSerial
from fuzz.cli import BAD_INPUT, NOTHING_NEW, PATH, cli, disposable_option, policy_option, reference_option
from fuzz.commit import commit
from fuzz.doubts import Doubts
from fuzz.explain import engine_for, engine_option, told_of
from fuzz.replay import case_paths, located, read_named
from fuzz.reproduce import program_of
from fuzz.trial import policy_for
from fuzz.written import write
from memslots.case import Case
from memslots.casefile import CaseFile
from memslots.errors import BadInput
from memslots.outcome import Change
from memslots.textwriter import text_of, words_of
from oracles.policy import Policy
from reports.bug_report import Bug, document_of
from reports.document import INNER, Document, as_markdown, as_text
from reports.file_stem import file_stem
from reports.report_index import Entry, index_of
from reports.reproducer import LIST, SERIAL
from reports.svg_map import svg_map
from reports.wrapped import continued

_FORMATS = {"text": (as_text, ".txt"), "markdown": (as_markdown, ".md")}
_IOCTLS = {"rfc-v1": LIST, "kvm-list": LIST, "kvm": SERIAL, "serial-rfc-v1": SERIAL}
"""The engines that are an ioctl of some kernel, and which program asks a kernel the same."""
_SERIES = "20220909104506.738478-1-eesposit@redhat.com"
"""The cover letter of the RFC, on the list."""
_OF_THE_SERIES = ("rfc-v1", "serial-rfc-v1")
_MOST_ASKED = 64


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line asks for."""

    engine: str | None
    reference: str
    policy: Policy
    format: str
    doubts: Doubts


@dataclass(frozen=True, slots=True)
class _Written:
    """One report: the document, and the files that go with it, by their endings."""

    document: Document
    attached: dict[str, str]


@cli.command()
@click.argument("path", type=PATH)
@engine_option
@reference_option
@policy_option
@disposable_option
@click.option("--format", "form", type=click.Choice(list(_FORMATS)), default="text", show_default=True)
@click.option("--out", type=PATH, help="Write the report here, with the case, a memory map and a C program beside it.")
def report(path: Path, engine: str | None, reference: str, policy: str, form: str, out: Path | None) -> int:
    """Write a bug report of a case, or one for each case of a folder, for people to read."""
    asked = _Asked(engine, reference, Policy(policy), form, Doubts())
    if path.is_dir():
        if out is None:
            raise BadInput(f"{path}: a folder: expected --out DIR, for a file a case")
        return _report_folder(path, asked, out)
    written = _report(path, asked, out)
    if written is None:
        click.echo(f"{path}: no mismatch: there is nothing to report.")
    elif out is None:
        click.echo(_FORMATS[form][0](written.document), nl=False)
    else:
        click.echo(str(_write(out, file_stem(path.stem), written, form)))
    return NOTHING_NEW


def _report_folder(path: Path, asked: _Asked, out: Path) -> int:
    """A report for each case of the folder, and an index. The exit code."""
    entries: list[Entry] = []
    agreeing = unread = 0
    paths = case_paths((path,))
    if paths == [path]:
        raise BadInput(f"{path}: no case file (*.slots) in this folder")
    for each in paths:
        try:
            written = _report(each, asked, out)
        except BadInput as error:
            click.echo(str(error), err=True)
            unread += 1
            continue
        if written is None:
            agreeing += 1
            continue
        folder = out / each.relative_to(path).parent
        file = _write(folder, file_stem(each.stem), written, asked.format)
        case = read_named(each).case
        size = len(case.given) + len(case.apply)
        entries.append(Entry(file.relative_to(out).as_posix(), written.document.subject, size))
    render, ending = _FORMATS[asked.format]
    index = _put(out / f"index{ending}", render(index_of("Reports", entries, agreeing, unread)))
    click.echo(f"{index}: {len(entries)} reports, {agreeing} cases without a mismatch, {unread} bad")
    return BAD_INPUT if unread else NOTHING_NEW


def _report(path: Path, asked: _Asked, out: Path | None) -> _Written | None:
    """The report of one case; None if there is nothing to report. Raises BadInput."""
    file = read_named(path)
    name = engine_for(path, file, asked.engine, asked.reference)
    asked.doubts.mention(name, asked.reference)
    reference, engine = engine_named(asked.reference), engine_named(name)
    try:
        verdict, told = told_of(file.case, reference, engine, asked.policy)
        policy = policy_for(engine, asked.policy)
        if not verdict.findings:
            return None
        stem = file_stem(path.stem)
        program, program_line = _program(file, path, name, asked.policy, out)
        if program and all(finding.mismatch.oracle == "visibility" for finding in verdict.findings):
            program_line += " (it sees what is left, not what readers see on the way)"
    except BadInput as error:
        raise located(path, file, error) from None
    outcomes = {reference.name: told.reference, engine.name: told.engine}
    held = {} if told.held is None else {engine.name: told.held}
    attached = {".slots": text_of(file), ".svg": svg_map(path.stem, file.case, outcomes, policy, held)}
    if program:
        attached[".c"] = program
    options = [] if name == "rfc-v1" else ["--engine", name]
    options += [] if asked.reference == "serial" else ["--reference", asked.reference]
    options += [] if asked.policy is Policy.ATOMIC else ["--policy", asked.policy.value]
    shown = f"{stem}.slots" if out else str(path)
    bug = Bug(
        file,
        told,
        tuple((finding.mismatch, finding.parting, finding.bucket) for finding in verdict.findings),
        tuple(_asked_for(file.case)),
        policy,
        tuple((_titled(each), _source(each)) for each in (reference, engine)),
        tuple(continued(["sameslots", "show", *options, shown], INNER)),
        tuple(
            [
                f"{stem}.slots: the case",
                f"{stem}.svg: a memory map, before, after and on the way",
                program_line,
            ]
            if out
            else [program_line]
        ),
        tuple(_versions(file.case, reference, engine)),
    )
    return _Written(document_of(bug)._replace(picture=f"{stem}.svg" if out else ""), attached)


def _program(file: CaseFile, path: Path, engine: str, policy: Policy, out: Path | None) -> tuple[str, str]:
    """The C program of the case and a line about it; no program where no kernel has the engine or may be asked."""
    ioctl = SERIAL if isinstance(engine_named(engine), TreeSerial) else _IOCTLS.get(engine)
    if ioctl is None and built(engine):
        return "", f"no C program: expected a kernel that has the list ioctl of {engine} (sameslots reproduce)"
    if ioctl is None:
        return "", f"no C program: {engine} is no ioctl of a kernel"
    name = f"{file_stem(path.stem)}.c"
    try:
        text = program_of(file, name, ioctl, policy)
    except BadInput as error:
        return "", f"no C program: {error}"
    if out is None:
        return text, f"a C program of it: sameslots reproduce --ioctl {ioctl} {path}"
    return text, f"{name}: a program that asks a real kernel; see its head before it is run"


def _asked_for(case: Case) -> Iterator[Change]:
    """What each of the entries asks for, one at a time, a refused one passed over."""
    vm = PlainVm(case.machine)
    for region in case.given:
        vm.set_memory_region(region)
    for region in islice(case.named(), max(len(case.apply), _MOST_ASKED)):
        yield vm.asked_by(region)
        vm.set_memory_region(region)


def _titled(engine: Engine) -> str:
    """The engine's name, and whether a kernel was really run."""
    build = build_named(engine.name)
    kind = "this kernel" if engine.name in MACHINES else "simulated" if build is None else f"Linux {build.release}"
    return f"{engine.name} ({kind})"


def _source(engine: Engine) -> str:
    """What the engine says of itself in its first line."""
    return " ".join((getdoc(type(engine)) or "").partition("\n\n")[0].split())


def _versions(case: Case, *engines: Engine) -> Iterator[str]:
    at = commit()
    yield f"sameslots {version('sameslots')}{f', commit {at}' if at else ''}, Python {platform.python_version()}"
    for engine in engines:
        build = build_named(engine.name)
        if build is not None:
            yield f"{engine.name}: the memslot code of a tree of Linux {build.release}; no kernel was run"
        elif engine.name in MACHINES:
            yield f"{engine.name}: Linux {platform.release()}, really run"
        else:
            yield f"{engine.name}: simulated; no kernel was run"
        if engine.name in _OF_THE_SERIES:
            yield f"the series: Message-ID <{_SERIES}>"
    yield f"machine: {words_of(case.machine)}"


def _write(folder: Path, stem: str, written: _Written, form: str) -> Path:
    """Write a report and what goes with it; the report's file."""
    render, ending = _FORMATS[form]
    for attached, text in written.attached.items():
        _put(folder / f"{stem}{attached}", text)
    return _put(folder / f"{stem}{ending}", render(written.document))


def _put(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}: expected a file to write to") from None
    write(path, text, "a report")
    return path
