"""The review page: a server on this machine that shows a run's labels and keeps what a person decides about them."""
