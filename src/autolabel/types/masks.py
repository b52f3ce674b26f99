"""Binary masks as COCO run-length encodings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autolabel.types.image import Size


@dataclass(frozen=True, slots=True)
class Rle:
    """A mask of a whole image as COCO's compressed RLE: column-major runs, zeros first, as pycocotools writes it."""

    size: Size
    """(height, width) of the image."""
    counts: str
    """The compressed runs, ASCII."""

    @classmethod
    def encode(cls, mask: npt.NDArray[np.bool_] | npt.NDArray[np.uint8]) -> Rle:
        """Encode an (H, W) mask; anything but zero is inside."""
        from pycocotools import mask as coco

        rle = coco.encode(np.asfortranarray(mask != 0, dtype=np.uint8))
        height, width = rle["size"]
        return cls((int(height), int(width)), rle["counts"].decode("ascii"))

    def decode(self) -> npt.NDArray[np.bool_]:
        """Return the (H, W) boolean mask."""
        from pycocotools import mask as coco

        decoded: npt.NDArray[np.uint8] = coco.decode(self.as_coco())
        return decoded.astype(bool)

    def area(self) -> int:
        """Return the number of pixels inside."""
        from pycocotools import mask as coco

        return int(coco.area(self.as_coco()))

    def as_coco(self) -> dict[str, object]:
        """Return ``{"size": [height, width], "counts": str}``, as COCO JSON and pycocotools have it."""
        return {"size": list(self.size), "counts": self.counts}
