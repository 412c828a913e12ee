# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots doctor`: what this machine offers, one line each, with a remedy."""

import json
from pathlib import Path

import click

from fuzz.cli import NOT_HERE, NOTHING_NEW, PATH, cli
from fuzz.doctor import examined


@cli.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--tree", "places", type=PATH, multiple=True, help="A kernel tree, or a folder of them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def doctor(names: tuple[str, ...], places: tuple[Path, ...], as_json: bool) -> int:
    """Say what this machine offers, and what to do about what it does not.

    Exits with 3 if something that is named (kvm, qemu, ...) is not there, and with 0 otherwise.
    """
    offers = examined(places)
    known = [offer.name for offer in offers]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f"nothing is called {unknown[0]!r}: expected one of {', '.join(known)}")
    shown = [offer for offer in offers if not names or offer.name in names]
    width = max(len(name) for name in known)
    for offer in shown:
        if as_json:
            click.echo(json.dumps(offer._asdict()))
        else:
            remedy = f": {offer.remedy}" if offer.remedy else ""
            click.echo(f"{offer.name:{width}}  {'yes' if offer.there else 'NO '}  {offer.found}{remedy}")
    return NOT_HERE if names and not all(offer.there for offer in shown) else NOTHING_NEW
