"""`fmq init`: writes a project."""

from pathlib import Path

import click

from fmq.cli.common.output import say
from fmq.errors import FmqError
from fmq_processor.project.writing import make_files, package_name, write_files


@click.command(
    short_help="Write a project for your own handlers.", context_settings={"help_option_names": ["-h", "--help"]}
)
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", help="Name of the project and its Python package. Default: the name of FOLDER.")
def init(folder: Path, name: str | None) -> None:
    """Write a project into FOLDER (default: the working directory): a handler, its tests, fmq.toml, a Dockerfile.

    No file is overwritten: if one is in the way, nothing is written, and the exit code is 2.
    """
    package = package_name(name or folder.absolute().name)
    texts = make_files(package)
    try:
        write_files(folder, texts)
    except OSError as error:
        raise FmqError(f"Can't write the project to {folder}: {error.strerror or error}") from error
    for path in sorted(texts):
        say(str(folder / path))
    say("")
    say(f"Next: read {folder / 'README.md'}, which says how to install, test and run it")
