"""What is done: one domain a package, one actor a file, beside the stores and providers they use."""
