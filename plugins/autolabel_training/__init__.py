"""Code shared by trainings: training loop, optimiser step, augmentation, detection loss, metrics."""
