"""The execution plan: what a validated spec is compiled into."""
