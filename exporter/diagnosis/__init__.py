"""What is wrong with a workload, in facts and words. No I/O."""
