"""Code that labelers share: pixels and phrases as networks want them, how their folders are read, given boxes."""
