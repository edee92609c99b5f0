"""`beamlens version`."""

from __future__ import annotations

import importlib.metadata
import json
import platform

import click


def installed_version() -> str:
    """The version of the installed package."""
    try:
        return importlib.metadata.version("beamlens")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def version(*, as_json: bool) -> None:
    """Print the version of Beamlens and of Python."""
    if as_json:
        click.echo(json.dumps({"beamlens": installed_version(), "python": platform.python_version()}))
    else:
        click.echo(f"beamlens {installed_version()} (Python {platform.python_version()})")
