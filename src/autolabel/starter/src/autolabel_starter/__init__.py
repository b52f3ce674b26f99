"""Strategies for autolabel; each module holds one kind and the hook that offers it."""
