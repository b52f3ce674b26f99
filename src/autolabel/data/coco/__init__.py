"""Reading COCO files."""
