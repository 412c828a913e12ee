# SPDX-License-Identifier: GPL-2.0-only
"""One command in a guest: its input goes in, its output and its exit code come out."""

import json
import os
import time
from collections.abc import Sequence
from typing import BinaryIO

from engines.guests.frames import Frame, Kind
from engines.guests.guest import Guest

BEATS_MISSED = 10.0
"""Seconds of silence in which several signs of life should have come."""
SILENT_SECONDS = 60.0
"""A guest that runs a command says so every other second. One that has been silent for so long hangs."""
_PIECE = 1 << 16


def run_in(
    guest: Guest, words: Sequence[str], timeout: float, stdin: int | None, stdout: BinaryIO, stderr: BinaryIO
) -> int:
    """The exit code of a command. `stdin` is a descriptor, or None for no input. Raises Lost."""
    deadline = time.monotonic() + timeout
    guest.send(Frame(Kind.RUN, json.dumps(list(words)).encode()), deadline, "it does not take the command")
    if stdin is None:
        guest.send(Frame(Kind.INPUT), deadline, "it does not take the end of the input")
    heard = time.monotonic()
    while True:
        frames, readable = guest.received(0.5, [] if stdin is None else [stdin])
        now = time.monotonic()
        if frames:
            heard = now
        for kind, payload in frames:
            if kind is Kind.EXIT:
                return int(payload)
            if kind is Kind.OUTPUT:
                stdout.write(payload)
                stdout.flush()
            elif kind is Kind.ERRORS:
                stderr.write(payload)
                stderr.flush()
        if stdin is not None and readable:
            piece = os.read(stdin, _PIECE)
            guest.send(Frame(Kind.INPUT, piece), deadline, "the command does not take its input")
            stdin = stdin if piece else None
        if now >= deadline:
            silent = now - heard
            alive = (
                "though the guest still answers" if silent < BEATS_MISSED else f"and it is silent for {silent:.0f} s"
            )
            raise guest.lost(f"the command has not ended after {timeout:g} s, {alive}")
        if now - heard >= SILENT_SECONDS:
            raise guest.lost(f"it has not answered for {SILENT_SECONDS:g} s")
