"""Why the boxes of an image are what they are."""
