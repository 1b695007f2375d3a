"""What is known of the workloads of an account, and how an answer changes it. No I/O."""
