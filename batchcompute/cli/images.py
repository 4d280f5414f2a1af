"""`batchcompute image list`: the images for tasks."""

from __future__ import annotations

from collections.abc import Mapping

from . import output, shapes
from .session import Session, command

_COLUMNS: Mapping[str, output.Column] = {
    "image_id": "IMAGE",
    "name": "NAME",
    "platform": "PLATFORM",
    "description": "DESCRIPTION",
}


@command("list", examples=["batchcompute image list", "batchcompute image list --endpoint cn-qingdao"])
def list_(session: Session) -> None:
    """List the images that tasks can run on.

    JSON: a list of {image_id, name, platform, description, owner}.
    """
    with session.client() as client:
        output.emit(map(shapes.image, client.list_images()), _COLUMNS, session.format, "There are no images.")
