"""What is done with the images of a request before it is sent, and with the coordinates that come back.

What it is not: the arithmetic of sizes and tokens (`catalogue`), or where images stand (`messages`). Invariants: an
image is never enlarged; the same image becomes the same bytes in every turn and every process; what is changed is
named, and every other byte stays.
"""

from trimtab.vision.preparing import Images, Prepared
from trimtab.vision.settings import ImageSettings, check_images
from trimtab.vision.workshop import Workshop

__all__ = ["ImageSettings", "Images", "Prepared", "Workshop", "check_images"]
