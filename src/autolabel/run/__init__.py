"""Running a plan: shards in, labels out."""
