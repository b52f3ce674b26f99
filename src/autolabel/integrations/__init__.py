"""Where other tools call autolabel: CVAT, FiftyOne, supervision. Each module needs its tool installed."""
