"""The review page: a local server that shows a run's labels and stores decisions about them."""
