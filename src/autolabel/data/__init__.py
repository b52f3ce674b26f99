"""Reading what a data set owner has: photos, captions, boxes."""
