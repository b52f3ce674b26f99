"""The results directory: write and read the files of a run."""
