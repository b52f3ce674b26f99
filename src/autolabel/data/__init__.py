"""Read the inputs of a run: photos, captions, boxes."""
