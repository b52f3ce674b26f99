"""Code shared by labelers: preparing pixels and phrases, reading checkpoint folders, given boxes."""
