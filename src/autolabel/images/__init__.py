"""Read image files: supported formats, upright sizes, pixels as 8-bit RGB."""

from autolabel.images.files import MAX_PIXELS, image_digest, split_page
from autolabel.images.formats import FORMATS, SUFFIXES, advice, is_image_file, suffix_of, unread_reason
from autolabel.images.header import Header, page_name, size_of_page
from autolabel.images.inside import leaves_root
from autolabel.images.read import (
    content_mark,
    convert_pixels,
    decode_pixels,
    decode_size,
    read_header,
    read_pixels,
    read_size,
)
from autolabel.images.upright import turn_boxes
from autolabel.images.values import ValueRange

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "SUFFIXES",
    "Header",
    "ValueRange",
    "advice",
    "content_mark",
    "convert_pixels",
    "decode_pixels",
    "decode_size",
    "image_digest",
    "is_image_file",
    "leaves_root",
    "page_name",
    "read_header",
    "read_pixels",
    "read_size",
    "size_of_page",
    "split_page",
    "suffix_of",
    "turn_boxes",
    "unread_reason",
]
