"""Read annotations corrected in other tools into common shapes."""
