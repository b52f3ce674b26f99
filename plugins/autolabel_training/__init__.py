"""Code that trainings share: the loop, the optimiser's step, views of photos, the loss of a detector, figures."""
