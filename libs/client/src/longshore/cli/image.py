"""`longshore image`: images as files in storage, for hosts without a registry.

What must not enter: how an image is saved and stored (`imaging`); its import, before a command runs.
"""

from typing import Annotated

import typer

from longshore.cli.words import Json, add_noun, new_app

_DEST = "a URI: a folder that ends in /, or a file that ends in .tar.gz, .tar.zst or .tar"
Image = Annotated[
    str, typer.Argument(metavar="IMAGE", help="a name or id that the container engine of this computer knows")
]
Dest = Annotated[str, typer.Argument(metavar="DEST", help=_DEST)]
Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="a URI that ends in /")]
Engine = Annotated[
    str,
    typer.Option("--engine", metavar="NAME", help="docker or podman; default: who has the image", show_default=False),
]


def register(root: typer.Typer) -> None:
    """Add this noun."""
    app = new_app("images as files in storage, for hosts without a registry: submit --container URI")
    app.command("publish")(publish)
    app.command("list")(list_images)
    add_noun(root, "image", app)


def publish(*, image: Image, dest: Dest, engine: Engine = "", as_json: Json = False) -> int:
    """Save an image to storage, and print the URI for --container, pinned to exactly this image."""
    from longshore.cli.imaging import published

    return published(image, dest, engine, as_json=as_json)


def list_images(*, folder: Folder, as_json: Json = False) -> int:
    """The images that were published to a folder."""
    from longshore.cli.imaging import listed

    return listed(folder, as_json=as_json)
